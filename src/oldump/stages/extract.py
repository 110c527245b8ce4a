"""Extract: table `data` of the live database, as it was at one moment.

Reads:      the database
Writes:     data    COPY text in seekable gzip, rows in the table's order
Promises:   one snapshot; every row of it once, whatever happens to connections; the same bytes for any number of them
Memory:     for each connection, some segments of text, and some ranges of compressed text that wait for their turn
On failure: nothing under the final name; run again and it copies anew, under a new snapshot
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import QUICK, Compress, Segment, segment_of, segment_texts
from oldump.engine.workers import Crew, Task, TaskFunction, TaskMessage
from oldump.errors import SourceEmpty
from oldump.outside.postgres import SCANS_RANGES, Copying, Query, Reader, SnapshotConnection
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
"""Text of a range that is compressed before its turn; seldom less than a range has, so that no connection waits."""
_WINDOW = 4
"""Ranges for each connection that may be begun, counted from the one that is written next."""
_ALIVE_SECONDS = 10.0
_SUMS = ("sha256",)
"""No MD5, which archive.org asks for: data is private."""


class CopiedRange(NamedTuple):
    """What the leader hears of a range: the next of its segments, and at last that there are no more."""

    segments: list[Segment]
    failures: list[str]
    """What was said of the connections that failed and were replaced."""


def extract(
    leading: SnapshotConnection, folder: RunFolder, jobs: int, progress: Progress, tell: Callable[[str], None]
) -> tuple[int, Artifact]:
    """Copy the table over `jobs` connections; its rows, and the artifact. tell: hears of connections that failed.

    Raises SourceUnreachable, SnapshotLost, SourceEmpty, VerificationError, StorageError, WorkerError.
    """
    progress.begin("extract", "copy")
    compress = partial(segment_of, first_key_at=_THING_ID_COLUMN, level=QUICK)
    ranges = list(_ranges(leading))
    asked = time.monotonic()
    with SegmentWriter(folder.data, sums=_SUMS) as writer, Crew(jobs, _copier(leading.reader, compress)) as crew:
        tasks = ((f"table {TABLE}, {condition}", _statement(condition)) for condition in ranges)
        for number, copied, finished in _in_turn(crew, tasks, jobs):
            for segment in copied.segments:
                writer.append(segment)
            for failure in copied.failures:
                tell(f"a connection failed and was replaced: {failure}")
            if time.monotonic() > asked + _ALIVE_SECONDS:
                leading.require_alive()
                asked = time.monotonic()
            progress.update(writer.records, (number + finished) / len(ranges))
        leading.require_alive()
        if not writer.records:
            raise SourceEmpty(f"Table {TABLE} of {leading.place} holds no rows. Is it the right database?")
        return writer.records, Artifact(**asdict(writer.commit()), item=None)


def _in_turn(crew: Crew, tasks: Iterable[tuple[str, str]], jobs: int) -> Iterator[TaskMessage]:
    """What the tasks say, the next one's first: who speaks before its turn waits for it."""
    turn = 0
    heard: dict[int, TaskMessage] = {}
    for said in crew.run(tasks, window=_WINDOW * jobs):
        heard[said.number] = said
        while (following := heard.pop(turn, None)) is not None:
            yield following
            if following.finished:
                turn += 1
            else:
                crew.answer(turn, None)


def _ranges(leading: SnapshotConnection) -> Iterator[str]:
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


def _copier(connect: Callable[[], Reader], compress: Compress) -> Callable[[int], TaskFunction]:
    """What the workers of a Crew perform: a range is copied and compressed, as far as it may before its turn.

    Its last segment ends where it does: so no worker asks where another's ended, and ranges are the same for any
    number of connections.
    """

    def begin(_: int) -> TaskFunction:
        reader = connect()

        def perform(query: str) -> Task:
            copying = Copying(reader, query)
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
