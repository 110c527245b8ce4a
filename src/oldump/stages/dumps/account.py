"""The account of rows: every row is counted as a record, a drop or a reject.

Workers convert blocks and send a BlockSummary of each; the leader adds them up in the order of the blocks.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from oldump.engine.workers import TaskOrder
from oldump.errors import SourceDamaged
from oldump.records.document import Reject
from oldump.records.privacy import Drop
from oldump.records.record import PARTS
from oldump.records.rows import ConvertedRows, Rejection
from oldump.stages.dumps.rejects import RejectsWriter


@dataclass
class RowCounts:
    """How many rows became records, drops and rejects."""

    rows: int = 0
    records: int = 0
    drops: Counter[Drop] = field(default_factory=Counter)
    rejects: Counter[Reject] = field(default_factory=Counter)
    newest: str = ""
    """The latest last_modified of the records."""
    same_revision: int = 0
    """Records with the same key and revision as the record before them."""
    by_part: Counter[str] = field(default_factory=Counter)
    """Records per part."""

    @property
    def hint_if_empty(self) -> str:
        """What to check if there are no records."""
        return "Check the date." if self.drops else "Check that the input is COPY text of table data."

    def __str__(self) -> str:
        """Return the counts as text for messages and the log."""
        counts = [f"{self.rows:,} rows", f"{self.records:,} records"]
        counts += [f"dropped {count:,} as {reason.value}" for reason, count in self.drops.items()]
        counts += [f"rejected {count:,} as {reason.value}" for reason, count in self.rejects.items()]
        return ", ".join(counts)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as the journal and the manifest store them."""
        return {
            "rows": self.rows,
            "records": self.records,
            "drops": {reason.value: self.drops[reason] for reason in Drop},
            "rejects": {reason.value: self.rejects[reason] for reason in Reject},
            "same_revision": self.same_revision,
        }


class BlockSummary(NamedTuple):
    """The counts and rejects of a block, sent from a worker to the leader."""

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
    def of(cls, converted: ConvertedRows) -> "BlockSummary":
        """Summarize the converted rows of a block."""
        by_part = np.bincount(converted.part_numbers, minlength=len(PARTS)).tolist()
        return cls(
            converted.rows,
            len(converted.ends),
            converted.drops,
            converted.rejects,
            converted.ended,
            converted.text_after_end,
            converted.cut_short,
            converted.newest,
            Counter(dict(zip(PARTS, by_part, strict=True))),
        )


class AccountState(NamedTuple):
    """The state of the account in a checkpoint."""

    blocks: int
    """The number of blocks counted."""
    ended: bool
    """Whether the end-of-data marker was found."""
    counts: RowCounts


class Account:
    """Adds up the blocks of a source. Blocks may arrive in any order and are counted in the order of the source."""

    def __init__(self, source_name: str, rejects: RejectsWriter, resume_from: AccountState | None = None) -> None:
        """Resume from a checkpoint if there is one. source_name: for error messages."""
        state = resume_from or AccountState(0, ended=False, counts=RowCounts())
        self.counts = replace(state.counts, rejects=rejects.counts)
        self._source_name = source_name
        self.rejects = rejects
        self._order = TaskOrder[BlockSummary](state.blocks)
        self._ended = state.ended

    def state(self) -> AccountState:
        """Return the state to resume from. Valid only while no block is being processed."""
        return AccountState(self._order.current, self._ended, self.counts)

    def add(self, number: int, summary: BlockSummary) -> None:
        """Add the block with this number. Raises SourceDamaged, TooManyRejects."""
        self._order.put(number, summary)
        while (following := self._order.take()) is not None:
            self._count(following)
            self._order.advance()

    def _count(self, summary: BlockSummary) -> None:
        """Count a block. Errors are raised in the order of the rows, so they do not depend on where blocks end."""
        if self._ended and (summary.rows or summary.ended):
            raise self._error_of_text_after_end()
        rejects = summary.rejects[:-1] if summary.cut_short else summary.rejects  # a truncated row is not a reject
        self.rejects.add(rejects, self.counts.rows)
        self.counts.rows += summary.rows
        if summary.text_after_end:
            raise self._error_of_text_after_end()
        if summary.cut_short:
            raise SourceDamaged(
                f"{self._source_name}: the text ends in the middle of row {self.counts.rows:,}",
                "The export was cut off: repeat it.",
            )
        self._ended |= summary.ended
        self.counts.records += summary.records
        self.counts.drops.update(summary.drops)
        self.counts.newest = max(self.counts.newest, summary.newest)
        self.counts.by_part.update(summary.by_part)

    def _error_of_text_after_end(self) -> SourceDamaged:
        return SourceDamaged(
            rf"{self._source_name}: text follows the end-of-data marker (\.) after row {self.counts.rows:,}",
            "Use the COPY text of one table; load an SQL dump into PostgreSQL first.",
        )
