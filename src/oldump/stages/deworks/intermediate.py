"""What the join moves about: lines with a rank, in two kinds of places.

*Joins* are where a document or an archive item meets those who ask for it: lines that share a join key. *Works* are
where all meet that goes into one line of deworks: lines that share its key.

    join       join key TAB order TAB …           rank: hash of the join key, documents before requests
    of a work  line key TAB kind TAB …            rank: the line key's, then kind and position

Ranks of joins are below JOINS_END, those of works above it, those of editions without a work above all.
Does not: know how lines are spilled and sorted.
"""

from decimal import Decimal
from enum import IntEnum
from typing import Any

from xxhash import xxh3_64_intdigest

from oldump.engine.frames import Batch
from oldump.records.keys import COLLECTIONS, REVISION_BITS, order_key, rank

SECTION_SHIFT = 62
JOINS_END = 1 << SECTION_SHIFT
"""The first rank that is not a join's."""

_KIND_SHIFT = 15
_MOST_POSITION = (1 << _KIND_SHIFT) - 1
_STEM_BYTES = len("/works/OL")
_USUAL = {(c.stem.encode(), c.letter.encode()): c.rank for c in COLLECTIONS if len(c.stem) == _STEM_BYTES}
"""Works and books: nearly all line keys."""
_MOST_DIGITS = 11


class Section(IntEnum):
    """Where a line of deworks stands."""

    WORKS = 1
    EDITIONS = 2
    """Those without a work: behind all works."""


class Contribution(IntEnum):
    """What a line brings to the line of deworks that it goes into."""

    WORK = 0
    EDITION = 1
    AUTHOR = 2
    ITEM = 3
    DUPLICATE = 4


KIND_CODES = tuple(b"%d" % kind for kind in Contribution)
"""How a line names its kind."""


class JoinRole(IntEnum):
    """What a join line is."""

    GIVEN = 0
    ASKED = 1


class IntermediateLines:
    """Collects lines and their ranks."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lines: list[bytes] = []
        self._ranks: list[int] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._lines)

    def join(self, joined: JoinRole, key: bytes, *fields: bytes) -> None:
        """Add a line to the join of a key."""
        self._lines.append(b"\t".join((key, *fields)))
        self._ranks.append(xxh3_64_intdigest(key) >> 3 << 1 | joined)

    def bring(self, section: int, key: bytes, kind: Contribution, position: int, *fields: bytes) -> None:
        """Add a line to what goes into a line of deworks."""
        self._lines.append(b"\t".join((key, KIND_CODES[kind], *fields)))
        place = kind << _KIND_SHIFT | min(position, _MOST_POSITION)
        self._ranks.append(section << SECTION_SHIFT | _rank(key, place) >> 2)

    def batch(self) -> Batch:
        """The lines, for the spill; and begin with none."""
        batch = Batch.of(self._lines, self._ranks)
        self._lines, self._ranks = [], []
        return batch


def _rank(key: bytes, place: int) -> int:
    """The rank of a key, with the place among its lines where a revision would be: its two lowest bits are not used."""
    place = (place << 2) + 4  # 0 is for keys that stand before those with the same number
    collection = _USUAL.get((key[:_STEM_BYTES], key[-1:]))
    digits = key[_STEM_BYTES:-1]
    if collection is not None and digits.isdigit() and digits[0] != ord("0") and len(digits) <= _MOST_DIGITS:
        return collection + (int(digits) << REVISION_BITS) + place
    return rank(key, Decimal(place))


def in_join(line: bytes) -> bytes:
    """The order of lines of the same rank in a join: any that is the same every time, what is given in its order."""
    return line


def in_work(line: bytes) -> tuple[Any, ...]:
    """The order of lines of the same rank that are brought to lines of deworks."""
    key, kind, *fields = line.split(b"\t")
    if int(kind) == Contribution.EDITION:
        return order_key(key), int(kind), order_key(fields[0]), line
    if int(kind) == Contribution.AUTHOR:
        return order_key(key), int(kind), int(fields[0]), line
    return order_key(key), int(kind), line
