"""Extract: table `data` of the live database, as it was at one moment.

Reads:      the database
Writes:     data    COPY text in seekable gzip, rows in the table's order
Promises:   one snapshot; every row of it once, whatever happens to connections; the same bytes for any number of them
Memory:     four times a slice of text, 32 MiB, for each connection
On failure: nothing under the final name; run again and it copies anew, under a new snapshot
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from oldump.engine.lines import Lines
from oldump.engine.segments import QUICK, Segment, SegmentWriter, segment_of
from oldump.engine.shuffle import Gathering, Stream, conversation
from oldump.engine.workers import Crew, Perform, Task
from oldump.errors import SourceEmpty
from oldump.outside.postgres import SCANS_RANGES, Copying, Leading, Query, Reader
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress

TABLE = "data"

_THING_ID_COLUMN = 0
_PAGES = 1_024
"""Pages of the table in a range: 8 MiB, of which the oversized fields lie elsewhere."""
_THINGS = 8_192
"""Documents in a range, of a server that cannot scan a part of a table."""
_SLICE_BYTES = 32 << 20
"""Text that is compressed at a time; seldom less than a range has, so that no connection waits for another."""
_ALIVE_SECONDS = 10.0


class Copied(NamedTuple):
    """What the leader hears of a range."""

    rows: int
    failures: list[str]
    """What was said of the connections that failed and were replaced."""


def extract(
    leading: Leading, folder: RunFolder, jobs: int, progress: Progress, tell: Callable[[str], None]
) -> tuple[int, Artifact]:
    """Copy the table over `jobs` connections; its rows, and the artifact. tell: hears of connections that failed.

    Raises SourceUnreachable, SnapshotLost, SourceEmpty, VerificationError, StorageError, WorkerError.
    """
    progress.begin("extract", "copy")
    compress = partial(segment_of, first_key_at=_THING_ID_COLUMN, level=QUICK)
    ranges = list(_ranges(leading))
    rows, asked = 0, time.monotonic()
    with SegmentWriter(folder.data) as writer, Crew(jobs, _copier(leading.reader, compress)) as crew:
        tasks = ((f"table {TABLE}, {condition}", _statement(condition)) for condition in ranges)
        for number, copied in enumerate(Gathering(crew, {TABLE: Stream(writer)}, compress).run(tasks)):
            assert isinstance(copied, Copied)  # noqa: S101 - what _copier returns
            for failure in copied.failures:
                tell(f"a connection failed and was replaced: {failure}")
            if time.monotonic() > asked + _ALIVE_SECONDS:
                leading.require_alive()
                asked = time.monotonic()
            rows += copied.rows
            progress.update(rows, (number + 1) / len(ranges))
        leading.require_alive()
        if not rows:
            raise SourceEmpty(f"Table {TABLE} of {leading.place} holds no rows. Is it the right database?")
        return rows, Artifact(**asdict(writer.commit()), item=None)


def _ranges(leading: Leading) -> Iterator[str]:
    """Conditions that divide the table: each row meets one of them, and in their order they follow the table's."""
    if leading.server_version >= SCANS_RANGES:
        query = "SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::integer"
        pages = leading.fetch(query, TABLE)[0][0]
        borders = [f"'({page},0)'" for page in range(_PAGES, pages, _PAGES)]
        yield from _between("ctid", borders)
    else:
        first, last = leading.fetch("SELECT min(thing_id), max(thing_id) FROM data")[0]
        borders = [str(thing_id) for thing_id in range(first or 0, last or 0, _THINGS)][1:]
        yield from _between("thing_id", borders)
        yield "thing_id IS NULL"


def _between(column: str, borders: list[str]) -> Iterator[str]:
    """Ranges of the column, open below the first border and above the last."""
    if not borders:
        yield f"{column} IS NOT NULL"
        return
    yield f"{column} < {borders[0]}"
    yield from (f"{column} >= {low} AND {column} < {high}" for low, high in pairwise(borders))
    yield f"{column} >= {borders[-1]}"


def _statement(condition: str) -> str:
    """What COPY takes. A scan of a range of ctid gives rows in the table's order; an index would in its own.

    data.data: where there is no such column, `data` alone would be the whole row.
    """
    order = "" if "ctid" in condition else " ORDER BY thing_id, revision, data.data"
    return f"(SELECT thing_id, revision, data.data FROM data WHERE {condition}{order})"  # noqa: S608 - no word is a user's


QUERY = Query((TABLE,), _statement("ctid IS NOT NULL"), _statement("thing_id IS NOT NULL"))
"""One of those that the stage asks: a view, which has no ctid, is refused before the long work."""


def _copier(connect: Callable[[], Reader], compress: Callable[[bytes], Segment]) -> Callable[[int], Perform]:
    """What the workers of a Crew perform: a range is copied, slice by slice, as Gathering leads them."""

    def begin(_: int) -> Perform:
        reader = connect()

        def perform(query: str) -> Task:
            copying = Copying(reader, query)
            rows, text = 0, copying.take(_SLICE_BYTES)
            while True:
                lines = Lines.of_text(text)
                text = copying.take(_SLICE_BYTES) if len(text) >= _SLICE_BYTES else b""
                rows += len(lines)
                yield from conversation({TABLE: lines}, compress, last=not text)
                if not text:
                    break
            return Copied(rows, copying.failures)

        return perform

    return begin
