"""Intermediate lines: what the passes of deworks exchange through the spill.

A *join line* brings a value (a document, an archive item) to a join key, or requests the value of that key.
A *contribution* adds one thing (the work, an edition, an author, …) to the line of deworks with that key.

    join line       join key TAB fields                rank: hash of the join key; values before requests
    contribution    line key TAB kind TAB fields       rank: that of the line key; then kind and position

Ranks of join lines are below JOINS_END. Contributions to works rank above them, and contributions to editions without a
work above all others. This module does not spill or sort.
"""

from decimal import Decimal
from enum import IntEnum
from typing import Any

from xxhash import xxh3_64_intdigest

from oldump.engine.frames import Batch
from oldump.records.keys import COLLECTIONS, REVISION_BITS, order_key, rank

SECTION_SHIFT = 62
JOINS_END = 1 << SECTION_SHIFT
"""The ranks of join lines are below this."""

_KIND_SHIFT = 15
_MOST_POSITION = (1 << _KIND_SHIFT) - 1
_STEM_BYTES = len("/works/OL")
_COMMON = {(c.stem.encode(), c.letter.encode()): c.rank for c in COLLECTIONS if len(c.stem) == _STEM_BYTES}
"""Works and books, which are nearly all line keys."""
_MOST_DIGITS = 11


class Section(IntEnum):
    """The two sections of deworks, in order."""

    WORKS = 1
    EDITIONS = 2
    """Editions without a work."""


class Contribution(IntEnum):
    """The kinds of contributions, in their order within a line of deworks."""

    WORK = 0
    EDITION = 1
    AUTHOR = 2
    ITEM = 3
    DUPLICATE = 4


KIND_CODES = tuple(b"%d" % kind for kind in Contribution)
"""The kinds as they are written in contributions."""


class JoinRole(IntEnum):
    """Whether a join line brings a value or requests it. Values sort first."""

    VALUE = 0
    REQUEST = 1


class IntermediateLines:
    """A list of intermediate lines and their ranks."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._ranks: list[int] = []

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._lines)

    def add_join(self, role: JoinRole, key: bytes, *fields: bytes) -> None:
        """Add a join line."""
        self._lines.append(b"\t".join((key, *fields)))
        self._ranks.append(xxh3_64_intdigest(key) >> 3 << 1 | role)

    def add_contribution(self, section: int, key: bytes, kind: Contribution, position: int, *fields: bytes) -> None:
        """Add a contribution to the line of deworks with this key. position: among those of its kind."""
        self._lines.append(b"\t".join((key, KIND_CODES[kind], *fields)))
        place = kind << _KIND_SHIFT | min(position, _MOST_POSITION)
        self._ranks.append(section << SECTION_SHIFT | _rank(key, place) >> 2)

    def take_batch(self) -> Batch:
        """Return the lines for the spill, and clear the list."""
        batch = Batch.of(self._lines, self._ranks)
        self._lines, self._ranks = [], []
        return batch


def _rank(key: bytes, place: int) -> int:
    """Return the rank of a key, with `place` in place of a revision. The two lowest bits are not used."""
    place = (place << 2) + 4  # 0 is for keys that sort before those with the same number
    collection = _COMMON.get((key[:_STEM_BYTES], key[-1:]))
    digits = key[_STEM_BYTES:-1]
    if collection is not None and digits.isdigit() and digits[0] != ord("0") and len(digits) <= _MOST_DIGITS:
        return collection + (int(digits) << REVISION_BITS) + place
    return rank(key, Decimal(place))


def join_order(line: bytes) -> bytes:
    """Return the sort key for join lines of the same rank. Any fixed order will do."""
    return line


def contribution_order(line: bytes) -> tuple[Any, ...]:
    """Return the sort key for contributions of the same rank."""
    key, kind, *fields = line.split(b"\t")
    if int(kind) == Contribution.EDITION:
        return order_key(key), int(kind), order_key(fields[0]), line
    if int(kind) == Contribution.AUTHOR:
        return order_key(key), int(kind), int(fields[0]), line
    return order_key(key), int(kind), line
