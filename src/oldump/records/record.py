"""Records: one line of a dump, with five tab-separated columns.

    type key TAB document key TAB revision TAB last_modified value TAB JSON LF

This module does not convert rows (see document and rows) or decide what is published (see privacy).
"""

import re
from decimal import Decimal
from typing import NamedTuple

from oldump.records.document import Document
from oldump.records.keys import COLLECTIONS, REVISION_BITS, OrderKey, order_key, rank

PART_OF_TYPE = {
    b"/type/author": "authors",
    b"/type/delete": "deletes",
    b"/type/edition": "editions",
    b"/type/list": "lists",
    b"/type/redirect": "redirects",
    b"/type/work": "works",
}
OTHER = "other"
PARTS = tuple(sorted({*PART_OF_TYPE.values(), OTHER}))
"""The names of the parts in alphabetical order, which is their order in the dump."""

PART_NUMBER_OF_TYPE = {type_key: PARTS.index(part) for type_key, part in PART_OF_TYPE.items()}
OTHER_NUMBER = PARTS.index(OTHER)

CONTROLS = "\x00-\x1f"
"""Control characters, for use in a character class of a regular expression."""
FURTHER_CONTROLS = "\x7f-\x9f\u2028\u2029"
"""The other control characters, and the two separators U+2028 and U+2029; str.splitlines splits at some of these."""
_NOT_IN_A_COLUMN = re.compile(f"[{CONTROLS}{FURTHER_CONTROLS}\ud800-\udfff]")
_SHORT = {"\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t"}

# Type, key and revision of a record in a large collection. One group per collection: number, letter and revision.
_COMMON_HEAD = re.compile(
    rb"[^\t]*\t(?:"
    + b"|".join(
        f"{c.stem}(?P<{c.letter}>[1-9][0-9]{{0,11}}{c.letter}\t[1-9][0-9]{{0,4}})\t".encode() for c in COLLECTIONS
    )
    + b")"
)
_RANK_OF_COLLECTION = {c.letter: c.rank for c in COLLECTIONS}

LAST_MODIFIED = 3
"""The index of the column, from 0."""

_REVISION = re.compile(rb"-?[0-9]+")

RecordOrder = tuple[OrderKey, Decimal, bytes, bytes, bytes, bytes]


class Columns(NamedTuple):
    """The columns of a record."""

    type_key: bytes
    key: bytes
    revision: bytes
    last_modified: bytes
    text: bytes
    """The JSON."""


def record_of(document: Document) -> bytes:
    """Return a document's record, without the newline."""
    key, type_key, revision, last_modified, text = document
    return b"\t".join((column(type_key), column(key), revision.encode(), column(last_modified), text))


def column(value: str) -> bytes:
    """Return the text as a column: UTF-8, with control characters, line ends and lone surrogates escaped as in JSON."""
    return _NOT_IN_A_COLUMN.sub(_escape, value).encode()


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0], f"\\u{ord(match[0]):04x}")


def columns(record: bytes) -> Columns:
    """Split a record, given without its newline. Raises ValueError if it does not have five columns."""
    type_key, key, revision, last_modified, text = record.split(b"\t")
    return Columns(type_key, key, revision, last_modified, text)


def revision_of(column: bytes) -> Decimal:
    """Return the number in a record's third column. Raises ValueError if it is not an integer in decimal digits.

    The result is a Decimal because int() refuses more than 4,300 digits. Decimal alone would accept NaN, 1.5 and 1_0.
    """
    if _REVISION.fullmatch(column) is None:
        raise ValueError(f"not a revision: {column[:40]!r}")
    return Decimal(column.decode())


def record_order(record: bytes) -> RecordOrder:
    """Return the sort key: key, revision, last_modified, JSON, type, and the literal text of the revision.

    Only equal lines have equal sort keys, so the order is total. Raises ValueError if the line is not a record.
    """
    type_key, key, revision, last_modified, text = columns(record)
    return order_key(key), revision_of(revision), last_modified, text, type_key, revision


def record_rank(record: bytes) -> int:
    """Return a record's rank (see oldump.records.keys). Raises ValueError if the line is not a record."""
    head = _COMMON_HEAD.match(record)
    if head is None or record.count(b"\t") != 4:
        _, key, revision, _, _ = columns(record)
        return rank(key, revision_of(revision))
    number, revision = head[head.lastgroup or 0].split(b"\t")
    return _RANK_OF_COLLECTION[head.lastgroup or ""] + (int(number[:-1]) << REVISION_BITS) + int(revision)


def part_number(type_key: bytes) -> int:
    """Return the index in PARTS of the part for a type. Unknown types belong to `other`."""
    return PART_NUMBER_OF_TYPE.get(type_key, OTHER_NUMBER)
