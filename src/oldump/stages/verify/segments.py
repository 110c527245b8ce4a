"""Segments of a file, decompressed and checked by the workers, in the order of the file.

Does not: know the kinds of files; each kind has a checker.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from oldump.engine.segments import IndexEntry
from oldump.engine.workers import Crew
from oldump.stages.verify.findings import Findings
from oldump.stages.verify.gzip_file import CompressedSegment, Piece, SegmentReader, SerialReader, inflated
from oldump.stages.verify.totals import FileTotals, SegmentResult, TextResult

_TASK_BYTES = 1 << 17
"""Bytes of segments in a task, about."""


class Checker(Protocol):
    """Checks a file of one kind. Workers call check_text; the leader calls the rest, segment by segment."""

    name: str
    """cdump, dump, deworks, or the name of a part or table."""
    file: str
    """The file's name."""

    def check_text(self, text: bytes) -> TextResult:
        """Check the lines of a segment."""

    def check_border(self, totals: FileTotals, result: TextResult, findings: Findings) -> None:
        """Compare a segment's first line with the last line before it."""

    def may_start_early(self, totals: FileTotals, result: TextResult) -> bool:
        """Whether the format ends the segment before here, although more would fit."""

    def collect(self, result: TextResult) -> None:
        """Keep what the check of another file needs."""

    def manifest_members(self, totals: FileTotals) -> dict[str, Any]:
        """Return the members of the manifest that only this kind of file has."""


class SegmentWorker:
    """What a worker does: check the segments of a task. A task names its checker by its position."""

    def __init__(self, checkers: list[Checker]) -> None:
        self._checkers = checkers

    def __call__(self, task: tuple[int, list[Piece]]) -> Generator[None, None, list[SegmentResult]]:
        """Return the results of a task's segments."""
        yield from ()  # the task has no intermediate messages
        number, pieces = task
        return [check_segment(self._checkers[number], piece) for piece in pieces]


def check_segment(checker: Checker, piece: Piece) -> SegmentResult:
    """Decompress and check a segment."""
    text, crc32, damage = inflated(piece)
    if damage is not None or not text:
        return SegmentResult(len(text), crc32, 0, damage or "is empty", None)
    first_line_bytes = text.find(b"\n") + 1 or len(text)
    return SegmentResult(len(text), crc32, first_line_bytes, None, checker.check_text(text))


def checked_segments(
    crew: Crew, number: int, path: Path, reader: SegmentReader | SerialReader
) -> Iterator[tuple[IndexEntry | None, SegmentResult]]:
    """Yield each segment's index entry, if there is an index, and its result. number: the position of the checker.

    Raises StorageError, WorkerError.
    """
    entries: deque[list[IndexEntry | None]] = deque()

    def tasks() -> Iterator[tuple[str, Any]]:
        for pieces in _grouped(reader):
            entries.append([each.entry if isinstance(each, CompressedSegment) else None for each in pieces])
            yield f"{path.name}, up to byte {reader.position_bytes:,}", (number, pieces)

    for finished in crew.run_ordered(tasks()):
        yield from zip(entries.popleft(), finished.message, strict=True)


def _grouped(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Group pieces into tasks."""
    group: list[Piece] = []
    size_bytes = 0
    for piece in pieces:
        group.append(piece)
        size_bytes += len(piece.data)
        if size_bytes >= _TASK_BYTES:
            yield group
            group, size_bytes = [], 0
    if group:
        yield group
