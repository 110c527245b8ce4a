"""Extract: copy table `data` of the live database, in one snapshot.

Reads:      the database
Writes:     data    COPY text in seekable gzip, rows in the table's order
Guarantees: one snapshot; every row of it exactly once, also after lost connections; the same bytes for any number of
            connections
Memory:     per connection: a few segments of text, and a few compressed ranges that wait for their turn
On failure: no partial file under a final name; a rerun copies again, from a new snapshot
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import QUICK, Compress, Segment, segment_of, segment_texts
from oldump.engine.workers import Crew, Task, TaskFunction
from oldump.errors import SourceEmpty
from oldump.outside.postgres.copying import ResumableCopy, SnapshotReader
from oldump.outside.postgres.queries import SCANS_RANGES, Query
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress

TABLE = "data"

_THING_ID_COLUMN = 0
_PAGES = 1_024
"""Pages of the table per range: 8 MiB, not counting oversized fields, which PostgreSQL stores elsewhere."""
_THINGS = 8_192
"""Documents per range, if the server cannot scan a range of pages."""
_SLICE_BYTES = 32 << 20
"""Text of a range that is compressed before its turn. Few ranges have more, so connections rarely wait."""
_AHEAD = 4
"""Ranges per connection that may be in progress, counted from the range that is written next."""
_ALIVE_SECONDS = 10.0
_SUMS = ("sha256",)
"""No MD5: only archive.org requires it, and `data` is private."""


class CopiedRange(NamedTuple):
    """The next segments of a range."""

    segments: list[Segment]
    failures: list[str]
    """The errors of the connections that failed and were replaced."""


def extract(
    snapshot: SnapshotConnection, folder: RunFolder, jobs: int, progress: Progress, warn: Callable[[str], None]
) -> tuple[int, Artifact]:
    """Copy the table over `jobs` connections; return the number of rows and the artifact.

    warn: called with a message when a connection failed and was replaced.

    Raises SourceUnreachable, SnapshotLost, SourceEmpty, VerificationError, StorageError, WorkerError.
    """
    progress.begin("extract", "copy")
    compress = partial(segment_of, first_key_at=_THING_ID_COLUMN, level=QUICK)
    ranges = list(_ranges(snapshot))
    checked = time.monotonic()
    with SegmentWriter(folder.data, sums=_SUMS) as writer, Crew(jobs, _copier(snapshot.reader, compress)) as crew:
        tasks = ((f"table {TABLE}, {condition}", _statement(condition)) for condition in ranges)
        for number, copied, finished in crew.run_ordered(tasks, ahead=_AHEAD):
            for segment in copied.segments:
                writer.append(segment)
            for failure in copied.failures:
                warn(f"a connection failed and was replaced: {failure}")
            if time.monotonic() > checked + _ALIVE_SECONDS:
                snapshot.require_alive()
                checked = time.monotonic()
            if not finished:
                crew.answer(number, None)
            progress.update(writer.records, (number + 1 if finished else number) / len(ranges))
        snapshot.require_alive()
        if not writer.records:
            raise SourceEmpty(
                f"{snapshot.place}: table {TABLE} contains no rows", "Check that it is the right database."
            )
        return writer.records, Artifact(**asdict(writer.commit()), item=None)


def _ranges(snapshot: SnapshotConnection) -> Iterator[str]:
    """Yield conditions that divide the table into ranges, in the table's order. Each row meets exactly one of them."""
    if snapshot.server_version >= SCANS_RANGES:
        query = "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::integer"
        pages = snapshot.fetch(query, TABLE)[0][0]
        borders = [f"'({page},0)'" for page in range(_PAGES, pages, _PAGES)]
        yield from _between("ctid", borders)
    else:
        first, last = snapshot.fetch("SELECT min(thing_id), max(thing_id) FROM data")[0]
        borders = [str(thing_id) for thing_id in range(first or 0, last or 0, _THINGS)][1:]
        yield from _between("thing_id", borders)
        yield "thing_id IS NULL"


def _between(column: str, borders: list[str]) -> Iterator[str]:
    """Yield ranges of the column: up to the first border, between borders, and from the last border on."""
    if not borders:
        yield f"{column} IS NOT NULL"
        return
    yield f"{column} < {borders[0]}"
    yield from (f"{column} >= {low} AND {column} < {high}" for low, high in pairwise(borders))
    yield f"{column} >= {borders[-1]}"


def _statement(condition: str) -> str:
    """Return the query for COPY. A scan by ctid gives the table's order; a scan by thing_id must be sorted.

    It says data.data because plain `data` would mean the whole row in a table without that column.
    """
    order = "" if "ctid" in condition else " ORDER BY thing_id, revision, data.data"
    return f"(SELECT thing_id, revision, data.data FROM data WHERE {condition}{order})"  # noqa: S608 - no user input


QUERY = Query((TABLE,), _statement("ctid IS NOT NULL"), _statement("thing_id IS NOT NULL"))
"""The query that preflight tests. It refuses a view, which has no ctid, before the long work starts."""


def _copier(new_reader: Callable[[], SnapshotReader], compress: Compress) -> Callable[[int], TaskFunction]:
    """Return the workers' task: copy a range and compress it, pausing after _SLICE_BYTES until its turn.

    A segment never crosses the end of a range, so the bytes are the same for any number of connections.
    """

    def begin(_: int) -> TaskFunction:
        reader = new_reader()

        def perform(query: str) -> Task:
            copying = ResumableCopy(reader, query)
            segments: list[Segment] = []
            held_bytes = 0
            for text in segment_texts(iter(partial(copying.take, 1), b"")):
                if held_bytes >= _SLICE_BYTES:
                    yield CopiedRange(segments, [])
                    segments, held_bytes = [], 0
                segments.append(compress(text))
                held_bytes += len(text)
            return CopiedRange(segments, copying.failures)

        return perform

    return begin
