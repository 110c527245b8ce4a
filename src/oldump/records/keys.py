"""Document keys: rewrite old keys, and sort keys.

Keys are sorted by first path component, then by the text before the number of an `OL<number><letter>` ending, then by
that number as a number, then by the key's bytes. So `/books/OL9M` sorts before `/books/OL10M`.

A *rank* is a 64-bit prefix of that order, refined by revision: the record with the smaller rank comes first. Records of
equal rank are compared by their full keys. Ranks make millions of records sortable as plain integers:

    class (4 bits) | number (40 bits) | revision (20 bits)      a key of one of the three large collections
    class (4 bits) | letters of the name (60 bits)              a key below /people/
    class (4 bits) | 0                                          any other key
"""

import re
from bisect import bisect_left
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from oldump.kernel.arrays import Flags, Ranks

LEGACY_PREFIXES = {"/a/": "/authors/", "/b/": "/books/", "/l/": "/languages/", "/user/": "/people/"}

NUMBER_BITS = 40
REVISION_BITS = 20
MAX_REVISION = (1 << REVISION_BITS) - 1
CLASS_SHIFT = NUMBER_BITS + REVISION_BITS
_MAX_NUMBER = (1 << NUMBER_BITS) - 1

_NO_NUMBER = Decimal(-1)
# Decimal, since int() refuses to read a number of more than 4,300 digits.
_OLID_ENDING = re.compile(rb"OL([0-9]+)[A-Za-z]\Z")

OrderKey = tuple[bytes, bytes, Decimal, bytes]


class Collection(NamedTuple):
    """A collection whose keys are consecutive numbers, such as /books/OL1M."""

    stem: str
    letter: str
    rank: int
    """The collection's class, shifted to its position in a rank."""


# These have the odd classes, in this order. Even classes are for keys before, between and after them.
_CLASSES = [
    (b"authors", b"/authors/OL"),
    (b"books", b"/books/OL"),
    (b"people", b""),
    (b"works", b"/works/OL"),
]
_PEOPLE = b"people"
_PEOPLE_CLASS = 5

COLLECTIONS = (
    Collection("/authors/OL", "A", 1 << CLASS_SHIFT),
    Collection("/books/OL", "M", 3 << CLASS_SHIFT),
    Collection("/works/OL", "W", 7 << CLASS_SHIFT),
)
_COLLECTION_OF_STEM = {collection.stem.encode(): collection for collection in COLLECTIONS}


def modern(key: str) -> str:
    """Return the key in today's spelling: until 2010, /authors/OL1A was /a/OL1A."""
    for old, new in LEGACY_PREFIXES.items():
        if key.startswith(old):
            return new + key[len(old) :]
    return key


def order_key(key: bytes) -> OrderKey:
    """Return the sort key: first path component, text before the number, number (-1 if there is none), key."""
    component = key.split(b"/", 2)[1] if b"/" in key else key
    olid = _OLID_ENDING.search(key)
    if olid is None:
        return component, key, _NO_NUMBER, key
    return component, key[: olid.start(1)], Decimal(olid[1].decode()), key


def rank(key: bytes, revision: Decimal) -> int:
    """Return the rank of a record, 0 ≤ rank < 2**64."""
    component, text, number, _ = order_key(key)
    if component == _PEOPLE:
        return (_PEOPLE_CLASS << CLASS_SHIFT) + _name_rank(text)
    collection = _COLLECTION_OF_STEM.get(text)
    if collection is None or number < 0:
        return 2 * bisect_left(_CLASSES, (component, text)) << CLASS_SHIFT
    if number >= _MAX_NUMBER:
        return collection.rank + (_MAX_NUMBER << REVISION_BITS)
    low = _revision_rank(key, len(text), collection.letter, revision)
    return collection.rank + (int(number) << REVISION_BITS) + low


def _revision_rank(key: bytes, digits_at: int, letter: str, revision: Decimal) -> int:
    """Return the low bits. Other keys with the same number (OL05M or OL5X for OL5M) sort before or after all of it."""
    if key[digits_at] == ord("0") and len(key) > digits_at + 2:
        return 0
    if key[-1] != ord(letter):
        return 0 if key[-1] < ord(letter) else MAX_REVISION
    return int(min(max(revision, Decimal(0)), Decimal(MAX_REVISION)))


def _name_rank(text: bytes) -> int:
    """Return the first letters of NAME in /people/NAME…: the first in the upper bits, which choose the bucket."""
    if not text.startswith(b"/people/"):
        return 0 if text < b"/people/" else (1 << CLASS_SHIFT) - 1
    name = text[len(b"/people/") :].ljust(4, b"\0")
    return (name[0] << (CLASS_SHIFT - 8)) + (name[1] << 12) + (name[2] << 4) + (name[3] >> 4)


def settled(ranks: Ranks) -> Flags:
    """Return for each rank whether it is exact: two records of that rank have the same key and revision."""
    classes = ranks >> np.uint64(CLASS_SHIFT)
    revisions = ranks & np.uint64(MAX_REVISION)
    numbered = (classes & np.uint64(1) == 1) & (classes != _PEOPLE_CLASS)
    settled: Flags = numbered & (revisions > 0) & (revisions < MAX_REVISION)
    return settled


def documents(ranks: Ranks) -> Ranks:
    """Return the ranks without revisions: records with settled ranks are of one document if these are equal."""
    return ranks >> np.uint64(REVISION_BITS)
