"""The file of rejected rows: rejects.txt.gz, with the line number and the reason of each.

Segments are written as they fill up. If no row is rejected, there is no file. Only its owner can read it, whatever the
umask: rejected rows may be private pages.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from oldump.engine.commit import PRIVATE_MODE
from oldump.engine.segment_writer import Position, SegmentWriter
from oldump.engine.segments import Packer, segment_of
from oldump.errors import TooManyRejects
from oldump.records.document import Reject
from oldump.records.rows import Rejection


class RejectsState(NamedTuple):
    """The rejects' part of a checkpoint."""

    counts: Counter[Reject]
    held: bytes
    """Text that is not in the file yet."""
    position: Position | None
    """Where the file ends; None if there is no file yet."""


class RejectsWriter:
    """Writes rejects.txt.gz and enforces the limit on rejects; a context manager.

    On exit, an uncommitted file is removed.
    """

    def __init__(self, path: Path, source_name: str, limit: int, resume_from: RejectsState | None = None) -> None:
        """Resume from a checkpoint if there is one. Raises StorageError."""
        self._path = path
        self._source_name = source_name
        self._limit = limit
        self._packer = Packer(resume_from.held if resume_from else b"")
        position = resume_from.position if resume_from else None
        self._writer = SegmentWriter(path, position) if position else None
        self.counts: Counter[Reject] = resume_from.counts if resume_from else Counter()

    def state(self) -> RejectsState:
        """Return the state to resume from. Raises StorageError, StorageFull."""
        position = self._writer.reached() if self._writer is not None else None
        return RejectsState(self.counts, self._packer.held, position)

    def add(self, rejects: list[Rejection], rows_before: int) -> None:
        """Write a block's rejects; rows_before: the number of rows before the block.

        Raises StorageError and StorageFull; TooManyRejects after committing the rejects up to the limit and one more.
        """
        allowed = self._limit - self.counts.total()
        written = rejects[: allowed + 1]
        self.counts.update(reason for _, reason, _ in written)
        self._write(self._packer.add([_line_of(each, rows_before) for each in written]))
        if len(written) > allowed:
            self.commit()
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.counts.most_common())
            raise TooManyRejects(
                f"{self._source_name}: more than {self._limit:,} rows cannot become records ({reasons}); "
                f"{self._path} lists them with line number and reason",
                "Check that the input is COPY text of table data and not truncated, or raise --max-rejects.",
            )

    def commit(self) -> None:
        """Finish the file under its final name, if there are rejects. Raises StorageError, StorageFull."""
        self._write(self._packer.rest())
        if self._writer is not None:
            self._writer.commit()

    def _write(self, texts: Iterator[bytes]) -> None:
        for text in texts:
            if self._writer is None:
                self._writer = SegmentWriter(self._path, mode=PRIVATE_MODE)
            self._writer.append(segment_of(text, first_key_at=0))

    def __enter__(self) -> Self:
        """Return the writer. The file is created with the first segment."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove what was not committed."""
        if self._writer is not None:
            self._writer.__exit__(kind, error, traceback)


def _line_of(rejection: Rejection, rows_before: int) -> bytes:
    row, reason, line = rejection
    return b"\t".join((str(rows_before + row + 1).encode(), reason.encode(), line)) + b"\n"
