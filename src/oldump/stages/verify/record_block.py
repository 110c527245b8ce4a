"""A segment of records, examined in bulk: which lines are proved right, and the segment's counts and ranks.

This is the fast path to what `record_rules.problems_in` finds in each line. Lines that it cannot prove right are
marked as doubtful and checked one by one.

1. The kernel proves in one pass over the bytes that the columns match the JSON, that the JSON is canonical, and that it
   has no legacy spelling (see kernel.rows).
2. Text without certain byte strings has no page to withhold and no account data (see privacy).

Does not: compare neighbouring lines; see records.
"""

from collections import Counter

import numpy as np

from oldump.engine.text_lines import Lines
from oldump.kernel.arrays import Flags
from oldump.kernel.rows import COMPILED, NO_MATCH, RecordProofs, RecordReader
from oldump.records.record import LAST_MODIFIED, OTHER_NUMBER, part_number
from oldump.records.rows import TABLES
from oldump.records.tally import newest_of
from oldump.stages.verify.privacy import ACCOUNT_MARKS, ACCOUNT_TYPES, PRIVATE_MARKS, PRIVATE_TYPE, SALTED_HASH_END
from oldump.stages.verify.record_rules import RecordRules

_read = RecordReader(TABLES._replace(marks=tuple(mark.strip(b'"') for mark in ACCOUNT_MARKS))).read
_HEAD_MARKS = (*PRIVATE_MARKS, *(f"{each}\t".encode() for each in (PRIVATE_TYPE, *sorted(ACCOUNT_TYPES))))

_COLUMN_COUNT = 5

PartNumbers = np.ndarray[tuple[int], np.dtype[np.uint8]]

_PART_OF_TYPE = np.array([*(part for _, part in TABLES.types), OTHER_NUMBER], np.uint8)
"""The part of each type of the tables, and of NO_MATCH."""


class RecordBlock:
    """The lines of a segment of records, and which of them are doubtful."""

    def __init__(self, text: bytes, rules: RecordRules) -> None:
        whole = text if text.endswith(b"\n") else text + b"\n"
        proofs = _read(whole) if COMPILED else _unproved(whole)
        self.lines = Lines(whole, proofs.starts, proofs.ends)
        self.ranks = proofs.ranks
        """Ranks of common keys in proved lines; 0 for all others."""
        self._text, self._proofs = whole, proofs
        self.is_doubtful: Flags = ~proofs.is_proved
        """Lines that must be checked one by one."""
        self.parts: PartNumbers = _PART_OF_TYPE[proofs.types]
        counts = np.bincount(proofs.types[proofs.is_proved & (proofs.types != NO_MATCH)], minlength=len(TABLES.types))
        self.by_type = Counter(
            {each.decode(): n for (each, _), n in zip(TABLES.types, counts.tolist(), strict=True) if n}
        )
        proved = self.lines.take(proofs.is_proved)
        self.newest = newest_of(whole, proved.starts, proved.ends)
        self._text_starts = proofs.text_starts.copy()
        for place in np.flatnonzero((self.ranks == 0) | (proofs.types == NO_MATCH)).tolist():
            self._examine(place)
        self._mark_doubtful(rules)

    def _examine(self, place: int) -> None:
        """Complete the figures with a line of which the kernel could not read everything."""
        proofs = self._proofs
        end = proofs.text_starts[place] if proofs.is_proved[place] else proofs.ends[place] - 1
        head = self._text[proofs.starts[place] : end]
        fields = head.split(b"\t")
        if proofs.is_proved[place]:
            self.is_doubtful[place] |= not fields[1].startswith(b"/") or any(mark in head for mark in _HEAD_MARKS)
        else:
            self._text_starts[place] = end - len(fields[4]) if len(fields) == _COLUMN_COUNT else NO_MATCH
            self.newest = max(self.newest, _column(fields, LAST_MODIFIED))
        if not proofs.is_proved[place] or proofs.types[place] == NO_MATCH:
            self.by_type[_column(fields, 0)] += 1
            self.parts[place] = part_number(fields[0])

    def _mark_doubtful(self, rules: RecordRules) -> None:
        """Mark lines that may be newer than the cutoff, in the wrong part, or contain a password hash."""
        if self.newest >= rules.first_day_after:
            moments = (_column(line.split(b"\t"), LAST_MODIFIED) for line in self.lines)
            self.is_doubtful |= np.fromiter((each >= rules.first_day_after for each in moments), np.bool_)
        if rules.part is not None:
            self.is_doubtful |= self.parts != rules.part
        for key in rules.withheld:
            at = -1
            while (at := self._text.find(b"\t%b\t" % key, at + 1)) >= 0:
                self.is_doubtful[np.searchsorted(self.lines.ends, at, side="right")] = True
        if b"$" in self._text:
            for match in SALTED_HASH_END.finditer(self._text):
                self.is_doubtful[np.searchsorted(self._proofs.ends, match.start(), side="right")] = True

    @property
    def documents(self) -> Lines:
        """The JSON of the lines that have five columns."""
        return Lines(self.lines.text, self._text_starts, self.lines.ends).take(self._text_starts >= 0)


def _unproved(text: bytes) -> RecordProofs:
    """Return all lines as unproved, for a kernel that is not compiled."""
    lines = Lines.of_text(text)
    none, types = np.zeros(len(lines), np.int64), np.full(len(lines), NO_MATCH, np.int8)
    return RecordProofs(np.zeros(len(lines), np.bool_), lines.starts, none, lines.ends, none.astype(np.uint64), types)


def _column(fields: list[bytes], number: int) -> str:
    return fields[number].decode(errors="replace") if len(fields) > number else ""
