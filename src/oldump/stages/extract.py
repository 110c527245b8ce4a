"""Extract: table `data` of the live database, as it was at one moment.

Reads:      the database
Writes:     data    COPY text in seekable gzip, rows in the table's order
Promises:   one snapshot; as many rows as the server says it sent
Memory:     some segments
On failure: nothing under the final name; run again and it copies anew, under a new snapshot
"""

import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial

from oldump.engine.segments import Compressing, SegmentWriter, segment_of, segment_texts
from oldump.errors import SourceEmpty, VerificationError
from oldump.outside import postgres
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress

LEVEL = 1
"""The file is private and read once or twice: speed before size."""
_TABLE = "data"
_COLUMNS = "data (thing_id, revision, data)"
_THING_ID_COLUMN = 0
_PIECES = 256
"""Rows that libpq hands over one by one, put together for the next step."""
_REPORT_SECONDS = 0.5


def extract(conninfo: str, folder: RunFolder, workers: int, progress: Progress) -> tuple[dict[str, object], Artifact]:
    """Copy the table; what the manifest is to say of the source, and the artifact.

    Raises SourceUnreachable, SourceEmpty, VerificationError, StorageError.
    """
    progress.begin("extract", "copy")
    compress = partial(segment_of, first_key_at=_THING_ID_COLUMN, level=LEVEL)
    with (
        postgres.connected(conninfo) as connection,
        SegmentWriter(folder.data) as writer,
        Compressing(workers, compress) as compressing,
    ):
        snapshot = postgres.snapshot_of(connection)
        estimate = postgres.estimated_bytes(connection, _TABLE)
        table = postgres.TableCopy(connection, _COLUMNS)
        reported, text_bytes = time.monotonic(), 0
        for text in segment_texts(_joined(iter(table))):
            compressing.add(text, writer)
            text_bytes += len(text)
            if time.monotonic() > reported + _REPORT_SECONDS:
                reported = time.monotonic()
                progress.update(writer.records, min(text_bytes / (estimate * 2 + 1), 0.99))
        compressing.finish()
        if not writer.records:
            raise SourceEmpty(f"Table data of {postgres.place_of(conninfo)} holds no rows. Is it the right database?")
        if writer.records != table.rows_sent:
            raise VerificationError(
                f"Table data: the server sent {table.rows_sent:,} rows, {writer.records:,} arrived. Run again."
            )
        written = writer.commit()
    progress.update(written.records, 1.0)
    return {**asdict(snapshot), "rows": written.records}, Artifact(**asdict(written), item=None)


def _joined(rows: Iterator[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    for row in rows:
        held.append(row)
        if len(held) == _PIECES:
            yield b"".join(held)
            held.clear()
    yield b"".join(held)
