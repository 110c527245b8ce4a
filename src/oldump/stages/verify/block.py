"""A segment of records, looked at as a whole: what is wrong with its lines, and what they add up to.

The fast way to what `lines.wrong_with` says about each line. Each step looks at the whole text, and names the lines of
which it is not sure; those go the exact way, alone.

1. *Characters*: with numpy, all control characters are found at once; they must be four tabs and a newline a line.
2. *Document*: a typed decoder reads all of each JSON text and gives what the columns must be; formatting all texts as
   one array, and comparing, proves the dress.
3. *Marks*: byte strings without which nothing is withheld, nothing an account's, nothing spelled as it once was.
4. *Order*: ranks of usual keys are compared at once; others, and equal ones, by their records.

Does not: look at neighbouring segments; the leader does, with the first and the last line.
"""

import re
from collections import Counter
from typing import NamedTuple

import numpy as np
from msgspec import UNSET

from oldump.records.bytewise import Bytes, Flags
from oldump.records.fields import Fields, decoded, undressed
from oldump.records.heads import Heads
from oldump.records.keys import documents, order_key
from oldump.records.record import PARTS, part_number, revision_of
from oldump.stages.verify.findings import Finding, Findings, Kind
from oldump.stages.verify.lines import Rules, wrong_with
from oldump.stages.verify.privacy import ACCOUNT_MARKS, PRIVATE_MARKS, PRIVATE_TYPE, SALTED_HASH_END
from oldump.stages.verify.seen import Seen
from oldump.stages.verify.sets import hashes_of

_REGULAR = np.frombuffer(b"\t\t\t\t\n", np.uint8)
_MARKS = (*ACCOUNT_MARKS, b"\x7f")
_HEAD_MARKS = (*PRIVATE_MARKS, f"{PRIVATE_TYPE}\t".encode())
_LEGACY_VALUE = re.compile(rb'": "/(?:[abl]|user)/')
_HIDING_ESCAPE = re.compile(rb"\\(?:u00[2-7]|/)")
"""An escape of a character that needs none: it may hide a name, a key or an address."""
_DATETIME = b'"/type/datetime"'
_PLAIN_DATETIME = re.compile(rb'"type": "/type/datetime", "value": "[^" \\]*"')

PartNumbers = np.ndarray[tuple[int], np.dtype[np.uint8]]


class Order(NamedTuple):
    """In which order a file's records stand."""

    every_revision: bool = False
    """Whether a key may have several, by revision: the cdump."""
    by_part: bool = False
    """Whether all of a part stand before all of the next one: the dump."""


def seen_records(text: bytes, file: str, rules: Rules, order: Order) -> tuple[Seen, list[bytes]]:
    """Look at the text of a segment; and the JSON of its lines that have five columns."""
    block = _Block(text, rules)
    lines = block.lines
    found = Findings()
    if not text.endswith(b"\n"):
        found.add(Finding(Kind.COLUMNS, file, "ends in the middle of a line", len(lines)))
    for place in sorted(block.doubtful):
        for kind, what in wrong_with(lines[place], rules):
            found.add(Finding(kind, file, what, place + 1, key_of(lines[place])))
    parts = np.fromiter(map(part_number, map(str.encode, block.types)), np.uint8, len(lines))
    neighbours = _Neighbours(lines, parts, block.head_text, order)
    for place, kind in neighbours.wrong:
        found.add(out_of_order(kind, file, lines[place + 1], place + 2))
    hashes = hashes_of(lines)
    looked = Seen(len(lines), found, lines[0], lines[-1], hashes, block.newest, Counter(block.types))
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
        self.lines = text.removesuffix(b"\n").split(b"\n")
        self.doubtful: set[int] = set()
        """The places of the lines of which only the exact way can tell what is wrong, or that nothing is."""
        self.head_text: str | None = None
        """The first four columns of all lines, each with its tab; None if the lines are not regular."""
        characters: Bytes = np.frombuffer(text, np.uint8)
        breaks = np.flatnonzero(characters < 32)
        if len(breaks) != 5 * len(self.lines) or not (characters[breaks].reshape(-1, 5) == _REGULAR).all():
            self._take_irregular()
        else:
            self._take_regular(text, breaks.reshape(-1, 5), characters, rules)

    def _take_irregular(self) -> None:
        self.doubtful = set(range(len(self.lines)))
        fields = [line.split(b"\t") for line in self.lines]
        self.types = [each[0].decode(errors="replace") for each in fields]
        self.newest = max((each[3].decode(errors="replace") for each in fields if len(each) > 3), default="")
        self.texts = [each[4] for each in fields if len(each) == 5]

    def _take_regular(
        self, text: bytes, breaks: "np.ndarray[tuple[int, int], np.dtype[np.intp]]", characters: Bytes, rules: Rules
    ) -> None:
        json_starts, ends = (breaks[:, 3] + 1).tolist(), breaks[:, 4].tolist()
        starts = [0, *(end + 1 for end in ends[:-1])]
        self.texts = [text[start:end] for start, end in zip(json_starts, ends, strict=True)]
        heads = [text[start:end] for start, end in zip(starts, json_starts, strict=True)]
        members = decoded(self.texts)
        self._compare(heads, members)
        self.doubtful.update(undressed(self.texts))
        self._look_for_marks(text)
        self.doubtful.update(np.flatnonzero(characters[breaks[:, 0] + 1] != ord("/")).tolist())
        moments = [
            _column(head, 3) if each is None else each.last_modified.value
            for head, each in zip(heads, members, strict=True)
        ]
        self.types = [
            _column(head, 0) if each is None else each.type.key for head, each in zip(heads, members, strict=True)
        ]
        self.newest = max(moments)
        if self.newest >= rules.first_day_after:
            self.doubtful.update(place for place, each in enumerate(moments) if each >= rules.first_day_after)
        if rules.part is not None:
            fitting = {type_key for type_key in set(self.types) if part_number(type_key.encode()) == rules.part}
            self.doubtful.update(place for place, each in enumerate(self.types) if each not in fitting)

    def _compare(self, heads: list[bytes], members: list[Fields | None]) -> None:
        """Doubt the lines whose columns are not plainly what the JSON says; those mean nothing as members."""
        expected = [
            "" if m is None else f"{m.type.key}\t{m.key}\t{m.revision}\t{m.last_modified.value}\t" for m in members
        ]
        for place, (each, head, wanted) in enumerate(zip(members, heads, expected, strict=True)):
            if each is None or each.id is not UNSET or wanted.encode() != head:
                members[place] = None
                self.doubtful.add(place)
        joined = b"".join(heads)
        for mark in _HEAD_MARKS:
            if mark in joined:
                self.doubtful.update(place for place, head in enumerate(heads) if mark in head)
        self.head_text = joined.decode(errors="replace")

    def _look_for_marks(self, text: bytes) -> None:
        lines = self.lines
        if not text.isascii():
            self.doubtful.update(place for place, line in enumerate(lines) if not line.isascii())
        for mark in _MARKS:
            if mark in text:
                self.doubtful.update(place for place, line in enumerate(lines) if mark in line)
        for pattern in (_HIDING_ESCAPE, _LEGACY_VALUE, SALTED_HASH_END):
            if pattern.search(text):
                self.doubtful.update(place for place, line in enumerate(lines) if pattern.search(line))
        if text.count(_DATETIME) != len(_PLAIN_DATETIME.findall(text)):
            self.doubtful.update(
                place for place, line in enumerate(lines) if line.count(_DATETIME) != len(_PLAIN_DATETIME.findall(line))
            )


def _column(head: bytes, number: int) -> str:
    return head.split(b"\t")[number].decode(errors="replace")


class _Neighbours:
    """What is to be said of each record and the next one."""

    def __init__(self, lines: list[bytes], parts: PartNumbers, head_text: str | None, order: Order) -> None:
        self.same: Flags = np.zeros(len(lines) - 1, np.bool_)
        """Whether they have the same key, for each record but the last."""
        self.same_revision = 0
        """How many have the same revision too."""
        self.wrong: list[tuple[int, Kind]] = []
        """Where the next one stands wrongly."""
        sure = self._of_ranks(parts, head_text, order)
        for place in np.flatnonzero(~sure).tolist():
            pair = compared(lines[place], lines[place + 1], order)
            self.same[place] = pair.same_key
            self.same_revision += pair.same_revision
            if pair.wrong is not None:
                self.wrong.append((place, pair.wrong))

    def _of_ranks(self, parts: PartNumbers, head_text: str | None, order: Order) -> Flags:
        """For each record but the last, whether ranks alone say that the next one stands behind it."""
        heads = Heads([head_text or ""])
        if head_text is None or not heads.are_plain or len(heads) != len(parts):
            return self.same.copy()
        ranks, usual = heads.ranks()
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
