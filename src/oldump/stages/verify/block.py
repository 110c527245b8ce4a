"""A segment of records, looked at as a whole: what is wrong with its lines, and what they add up to.

The fast way to what `lines.wrong_with` says about each line. Each step looks at the whole text, and names the lines of
which it is not sure; those go the exact way, alone.

1. *Document*: the kernel proves in one pass over the bytes that columns are what the JSON says, that it is in the dress
   of the dumps, and that nothing in it would be spelled otherwise today (see kernel.rows).
2. *Marks*: byte strings without which nothing is withheld and nothing an account's.
3. *Order*: ranks of usual keys are compared at once; others, and equal ones, by their records.

Does not: look at neighbouring segments; the leader does, with the first and the last line.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from oldump.engine.text_lines import Lines
from oldump.kernel.arrays import Flags, Ranks
from oldump.kernel.rows import COMPILED, NOTHING, Held, RecordReader
from oldump.records.keys import documents, order_key
from oldump.records.record import LAST_MODIFIED, OTHER_NUMBER, PARTS, part_number, revision_of
from oldump.records.rows import TABLES
from oldump.records.tally import newest_of
from oldump.stages.verify.findings import Finding, Findings, Kind
from oldump.stages.verify.lines import Rules, wrong_with
from oldump.stages.verify.privacy import ACCOUNT_MARKS, PRIVATE_MARKS, PRIVATE_TYPE, SALTED_HASH_END
from oldump.stages.verify.seen import Seen
from oldump.stages.verify.sets import hashes_of_lines

_read = RecordReader(TABLES._replace(marks=tuple(mark.strip(b'"') for mark in ACCOUNT_MARKS))).read
_HEAD_MARKS = (*PRIVATE_MARKS, f"{PRIVATE_TYPE}\t".encode())

_COLUMNS = ("type", "key", "revision", "last_modified", "JSON")

PartNumbers = np.ndarray[tuple[int], np.dtype[np.uint8]]

_PART_OF_TYPE = np.array([*(part for _, part in TABLES.types), OTHER_NUMBER], np.uint8)
"""The part of each type of the tables, and of NOTHING."""


class Order(NamedTuple):
    """In which order a file's records stand."""

    every_revision: bool = False
    """Whether a key may have several, by revision: the cdump."""
    by_part: bool = False
    """Whether all of a part stand before all of the next one: the dump."""


def seen_records(text: bytes, file: str, rules: Rules, order: Order) -> tuple[Seen, Lines]:
    """Look at the text of a segment; and the JSON of its lines that have five columns."""
    block = _Block(text, rules)
    lines, parts = block.lines, block.parts
    found = Findings()
    if not text.endswith(b"\n"):
        found.add(Finding(Kind.COLUMNS, file, "ends in the middle of a line", len(lines)))
    for place in np.flatnonzero(block.is_doubtful).tolist():
        for kind, what in wrong_with(lines.line(place), rules):
            found.add(Finding(kind, file, what, place + 1, key_of(lines.line(place))))
    neighbours = _Neighbours(lines, parts, block.ranks, order)
    for place, kind in neighbours.wrong:
        found.add(out_of_order(kind, file, lines.line(place + 1), place + 2))
    hashes = hashes_of_lines(lines)
    looked = Seen(len(lines), found, lines.line(0), lines.line(-1), hashes, block.newest, block.by_type)
    if order.every_revision:
        is_latest = np.append(~neighbours.same, np.False_)  # of the last record the leader must know
        looked.extra = {PARTS[part]: hashes[is_latest & (parts == part)] for part in np.unique(parts[is_latest])}
        looked.counts["same_revision"] = neighbours.same_revision
    elif order.by_part:
        looked.extra = {PARTS[part]: hashes[parts == part] for part in np.unique(parts)}
    return looked, block.texts


def out_of_order(kind: Kind, file: str, line: bytes, number: int) -> Finding:
    """The finding of a line that does not stand behind the one before it."""
    what = "its key has a record before it" if kind is Kind.TWICE else "stands behind one that comes after it"
    return Finding(kind, file, what, number, key_of(line))


def key_of(line: bytes) -> str:
    """The key column, as it can be shown; empty if there is none."""
    fields = line.split(b"\t", 2)
    return fields[1].decode(errors="backslashreplace") if len(fields) > 1 else ""


class _Block:
    """Lines of records, and which of them need a closer look."""

    def __init__(self, text: bytes, rules: Rules) -> None:
        whole = text if text.endswith(b"\n") else text + b"\n"
        held = _read(whole) if COMPILED else _unproved(whole)
        self.lines = Lines(whole, held.starts, held.ends)
        self.ranks = held.ranks
        """Those of usual keys and revisions, in lines that are proved; 0 of all others."""
        self._text, self._held = whole, held
        self.is_doubtful: Flags = ~held.is_proved
        """The lines of which only the exact way can tell what is wrong, or that nothing is."""
        self.parts: PartNumbers = _PART_OF_TYPE[held.types]
        counts = np.bincount(held.types[held.is_proved & (held.types != NOTHING)], minlength=len(TABLES.types))
        self.by_type = Counter(
            {each.decode(): n for (each, _), n in zip(TABLES.types, counts.tolist(), strict=True) if n}
        )
        proved = self.lines.take(held.is_proved)
        self.newest = newest_of(whole, proved.starts, proved.ends)
        self._text_starts = held.text_starts.copy()
        for place in np.flatnonzero((self.ranks == 0) | (held.types == NOTHING)).tolist():
            self._look_at(place)
        if self.newest >= rules.first_day_after:
            moments = (_column(line.split(b"\t"), LAST_MODIFIED) for line in self.lines)
            self.is_doubtful |= np.fromiter((each >= rules.first_day_after for each in moments), np.bool_)
        if rules.part is not None:
            self.is_doubtful |= self.parts != rules.part
        if b"$" in whole:
            for match in SALTED_HASH_END.finditer(whole):
                self.is_doubtful[np.searchsorted(held.ends, match.start(), side="right")] = True

    def _look_at(self, place: int) -> None:
        """Take what the kernel could not tell of a line."""
        held = self._held
        end = held.text_starts[place] if held.is_proved[place] else held.ends[place] - 1
        head = self._text[held.starts[place] : end]
        fields = head.split(b"\t")
        if held.is_proved[place]:
            self.is_doubtful[place] |= not fields[1].startswith(b"/") or any(mark in head for mark in _HEAD_MARKS)
        else:
            self._text_starts[place] = end - len(fields[4]) if len(fields) == len(_COLUMNS) else NOTHING
            self.newest = max(self.newest, _column(fields, LAST_MODIFIED))
        if not held.is_proved[place] or held.types[place] == NOTHING:
            self.by_type[_column(fields, 0)] += 1
            self.parts[place] = part_number(fields[0])

    @property
    def texts(self) -> Lines:
        """The JSON of the lines that have five columns."""
        return Lines(self.lines.text, self._text_starts, self.lines.ends).take(self._text_starts >= 0)


def _unproved(text: bytes) -> Held:
    """All lines, left to the exact way."""
    lines = Lines.of_text(text)
    none, types = np.zeros(len(lines), np.int64), np.full(len(lines), NOTHING, np.int8)
    return Held(np.zeros(len(lines), np.bool_), lines.starts, none, lines.ends, none.astype(np.uint64), types)


def _column(fields: list[bytes], number: int) -> str:
    return fields[number].decode(errors="replace") if len(fields) > number else ""


class _Neighbours:
    """What is to be said of each record and the next one."""

    def __init__(self, lines: Lines, parts: PartNumbers, ranks: Ranks, order: Order) -> None:
        self.same: Flags = np.zeros(len(lines) - 1, np.bool_)
        """Whether they have the same key, for each record but the last."""
        self.same_revision = 0
        """How many have the same revision too."""
        self.wrong: list[tuple[int, Kind]] = []
        """Where the next one stands wrongly."""
        sure = self._of_ranks(parts, ranks, order)
        for place in np.flatnonzero(~sure).tolist():
            pair = compared(lines.line(place), lines.line(place + 1), order)
            self.same[place] = pair.same_key
            self.same_revision += pair.same_revision
            if pair.wrong is not None:
                self.wrong.append((place, pair.wrong))

    def _of_ranks(self, parts: PartNumbers, ranks: Ranks, order: Order) -> Flags:
        """For each record but the last, whether ranks alone say that the next one stands behind it."""
        usual = ranks > 0
        keys = documents(ranks)
        ascending = ranks[1:] > ranks[:-1] if order.every_revision else keys[1:] > keys[:-1]
        sure: Flags = usual[1:] & usual[:-1] & ascending
        if order.by_part:
            sure &= parts[1:] == parts[:-1]
        self.same[:] = keys[1:] == keys[:-1]
        return sure


class Pair(NamedTuple):
    """What is to be said of two records that stand one behind the other."""

    same_key: bool
    same_revision: bool
    """Of the same key."""
    wrong: Kind | None


def compared(one: bytes, other: bytes, order: Order) -> Pair:
    """Compare two neighbouring lines, the exact way. What is no record is not compared: it is found elsewhere."""
    try:
        (part, key, revision, rest), (next_part, next_key, next_revision, next_rest) = map(_fields, (one, other))
    except ValueError:
        return Pair(same_key=False, same_revision=False, wrong=None)
    same_key, same_revision = key == next_key, key == next_key and revision == next_revision
    if order.by_part and part != next_part:
        return Pair(same_key=False, same_revision=False, wrong=Kind.ORDER if part > next_part else None)
    if order.every_revision:
        is_behind = (order_key(key), revision, rest) <= (order_key(next_key), next_revision, next_rest)
        return Pair(same_key, same_revision, None if is_behind else Kind.ORDER)
    if same_key:
        return Pair(same_key, same_revision, Kind.TWICE)
    return Pair(same_key, same_revision, None if order_key(key) < order_key(next_key) else Kind.ORDER)


def _fields(line: bytes) -> tuple[int, bytes, object, tuple[bytes, bytes]]:
    """Part, key, revision, and what decides behind them. Raises ValueError."""
    type_key, key, revision, last_modified, text = line.split(b"\t")
    return part_number(type_key), key, revision_of(revision), (last_modified, text)
