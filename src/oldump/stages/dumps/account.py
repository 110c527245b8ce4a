"""Where rows went: read in blocks by workers, counted in order by their leader.

Does not: keep records; what becomes of them is the caller's.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np

from oldump.engine.segment_writer import Position, SegmentWriter
from oldump.engine.segments import Packer, segment_of
from oldump.errors import SourceDamaged, TooManyRejects
from oldump.records.document import Reject
from oldump.records.privacy import Drop
from oldump.records.record import PARTS
from oldump.records.rows import ConvertedRows, Rejection


@dataclass
class RowCounts:
    """Where the rows went."""

    rows: int = 0
    records: int = 0
    drops: Counter[Drop] = field(default_factory=Counter)
    rejects: Counter[Reject] = field(default_factory=Counter)
    newest: str = ""
    """The latest last_modified among the records."""
    same_revision: int = 0
    """Records beside another one of the same key and revision."""
    by_part: Counter[str] = field(default_factory=Counter)
    """Records by the part that their type belongs to."""

    @property
    def doubt(self) -> str:
        """What to ask oneself if there are no records."""
        return "Is the date right?" if self.drops else "Is it COPY text of table data?"

    def __str__(self) -> str:
        """For people: what was read, kept, dropped and rejected."""
        told = [f"{self.rows:,} rows", f"{self.records:,} records"]
        told += [f"dropped {count:,} as {reason.value}" for reason, count in self.drops.items()]
        told += [f"rejected {count:,} as {reason.value}" for reason, count in self.rejects.items()]
        return ", ".join(told)

    def as_json(self) -> dict[str, Any]:
        """The counts as the journal and the manifest have them."""
        return {
            "rows": self.rows,
            "records": self.records,
            "drops": {reason.value: self.drops[reason] for reason in Drop},
            "rejects": {reason.value: self.rejects[reason] for reason in Reject},
            "same_revision": self.same_revision,
        }


class BlockSummary(NamedTuple):
    """What the leader hears of a block."""

    rows: int
    records: int
    drops: Counter[Drop]
    rejects: list[Rejection]
    ended: bool
    text_after_end: bool
    cut_short: bool
    newest: str
    by_part: Counter[str]

    @classmethod
    def of(cls, batch: ConvertedRows) -> "BlockSummary":
        """The summary of what a block's rows became."""
        return cls(
            batch.rows,
            len(batch.ends),
            batch.drops,
            batch.rejects,
            batch.ended,
            batch.text_after_end,
            batch.cut_short,
            batch.newest,
            Counter(dict(zip(PARTS, np.bincount(batch.part_numbers, minlength=len(PARTS)).tolist(), strict=True))),
        )


class RejectsState(NamedTuple):
    """How far the rejects have been written."""

    counts: Counter[Reject]
    held: bytes
    """Text that is not in the file yet."""
    position: Position | None
    """None: there is no file yet."""


class RejectsWriter:
    """Writes rejects.txt.gz, with the line numbers of the rows, and stops when there are too many; for `with`.

    Segments are written as they fill up. Without rejects there is no file, and without commit none with this name.
    """

    def __init__(self, path: Path, source_name: str, most: int, reached: RejectsState | None = None) -> None:
        """Take where to write and how many are too many; and where to go on. Raises StorageError."""
        self._path = path
        self._source_name = source_name
        self._most = most
        self._packer = Packer(reached.held if reached else b"")
        self._writer = SegmentWriter(path, reached.position) if reached and reached.position else None
        self.counts: Counter[Reject] = reached.counts if reached else Counter()

    def reached(self) -> RejectsState:
        """Where one can go on. Raises StorageError, StorageFull."""
        position = self._writer.reached() if self._writer is not None else None
        return RejectsState(self.counts, self._packer.held, position)

    def add(self, rejects: list[Rejection], rows_before: int) -> None:
        """Note a block's rejects. Raises TooManyRejects, after committing what there is; StorageError, StorageFull."""
        allowed = self._most - self.counts.total()
        noted = rejects[: allowed + 1]
        self.counts.update(reason for _, reason, _ in noted)
        self._write(self._packer.add([_reject_line(each, rows_before) for each in noted]))
        if len(noted) > allowed:
            self.commit()
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.counts.most_common())
            raise TooManyRejects(
                f"{self._source_name}: more than {self._most:,} rows cannot become records ({reasons}). "
                f"They are in {self._path}, with line number and reason. Is it COPY text of table data, and if it "
                "is gzip, does gzip -t pass? Mend the source, or raise --max-rejects."
            )

    def commit(self) -> None:
        """Finish the file and give it its name, if there are rejects. Raises StorageError, StorageFull."""
        self._write(self._packer.rest())
        if self._writer is not None:
            self._writer.commit()

    def _write(self, texts: Iterator[bytes]) -> None:
        for text in texts:
            if self._writer is None:
                self._writer = SegmentWriter(self._path)
            self._writer.append(segment_of(text, first_key_at=0))

    def __enter__(self) -> Self:
        """Nothing to prepare: the file is opened when there is something to write."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove what was not committed."""
        if self._writer is not None:
            self._writer.__exit__(kind, error, traceback)


def _reject_line(rejection: Rejection, rows_before: int) -> bytes:
    row, reason, line = rejection
    return b"\t".join((str(rows_before + row + 1).encode(), reason.encode(), line)) + b"\n"


class AccountState(NamedTuple):
    """How much of a source has been heard of."""

    blocks: int
    ended: bool
    """Whether the end-of-data marker has been seen."""
    counts: RowCounts


class Account:
    """Adds up blocks that are heard of in any order, in theirs."""

    def __init__(self, source_name: str, rejects: RejectsWriter, reached: AccountState | None = None) -> None:
        """Take the source's name, for errors, and where rejects go; and where to go on."""
        so_far = reached or AccountState(0, ended=False, counts=RowCounts())
        self.counts = replace(so_far.counts, rejects=rejects.counts)
        self._source_name = source_name
        self.rejects = rejects
        self._heard: dict[int, BlockSummary] = {}
        self._next = so_far.blocks
        self._ended = so_far.ended

    def reached(self) -> AccountState:
        """Where one can go on, when all blocks that were begun have been heard."""
        return AccountState(self._next, self._ended, self.counts)

    def hear(self, number: int, summary: BlockSummary) -> None:
        """Take what became of block number. Raises SourceDamaged, TooManyRejects."""
        self._heard[number] = summary
        while (following := self._heard.pop(self._next, None)) is not None:
            self._count(following)
            self._next += 1

    def _count(self, summary: BlockSummary) -> None:
        """Count a block. What comes first in the table counts first, so that it is the same wherever blocks end."""
        if self._ended and (summary.rows or summary.ended):
            raise self._text_after_end()
        rejects = summary.rejects[:-1] if summary.cut_short else summary.rejects  # a row that is cut off is no reject
        self.rejects.add(rejects, self.counts.rows)
        self.counts.rows += summary.rows
        if summary.text_after_end:
            raise self._text_after_end()
        if summary.cut_short:
            raise SourceDamaged(
                f"{self._source_name}: the text ends in the middle of row {self.counts.rows:,}. "
                "The export was cut off: make it again."
            )
        self._ended |= summary.ended
        self.counts.records += summary.records
        self.counts.drops.update(summary.drops)
        self.counts.newest = max(self.counts.newest, summary.newest)
        self.counts.by_part.update(summary.by_part)

    def _text_after_end(self) -> SourceDamaged:
        return SourceDamaged(
            rf"{self._source_name}: there are rows after the end-of-data marker (\.), behind row "
            f"{self.counts.rows:,}. Is it one table's COPY text? An SQL dump must be loaded first."
        )
