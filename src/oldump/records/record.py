"""Records: one line of a dump, five columns separated by tabs.

    type key TAB document key TAB revision TAB last_modified value TAB JSON LF

Does not: know how a row becomes a record (see document and rows), or what is published (see privacy).
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
"""The names of the parts, in alphabetical order, which is their order in the dump."""

PART_NUMBER_OF_TYPE = {type_key: PARTS.index(part) for type_key, part in PART_OF_TYPE.items()}
OTHER_NUMBER = PARTS.index(OTHER)

CONTROLS = "\x00-\x1f"
"""Control characters, as in the brackets of a regular expression."""
FURTHER_CONTROLS = "\x7f-\x9f\u2028\u2029"
"""The other control characters; and two that are none, but end a line for str.splitlines, as U+0085 does."""
_NOT_IN_A_COLUMN = re.compile(f"[{CONTROLS}{FURTHER_CONTROLS}\ud800-\udfff]")
_SHORT = {"\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t"}

# Type, usual key and revision of a record in a big collection; each collection's number, letter and revision together.
_USUAL_HEAD = re.compile(
    rb"[^\t]*\t(?:"
    + b"|".join(
        f"{c.stem}(?P<{c.letter}>[1-9][0-9]{{0,11}}{c.letter}\t[1-9][0-9]{{0,4}})\t".encode() for c in COLLECTIONS
    )
    + b")"
)
_RANK_OF_COLLECTION = {c.letter: c.rank for c in COLLECTIONS}

LAST_MODIFIED = 3
"""The column, counted from 0."""

_REVISION = re.compile(rb"-?[0-9]+")

RecordOrder = tuple[OrderKey, Decimal, bytes, bytes]


class Columns(NamedTuple):
    """The columns of a record."""

    type_key: bytes
    key: bytes
    revision: bytes
    last_modified: bytes
    text: bytes
    """The JSON."""


def record_of(document: Document) -> bytes:
    """The record of a document, without the newline."""
    key, type_key, revision, last_modified, text = document
    return b"\t".join((column(type_key), column(key), revision.encode(), column(last_modified), text))


def column(value: str) -> bytes:
    """The text as UTF-8. Control characters, line ends and lone surrogates may not stand there: escaped as in JSON."""
    return _NOT_IN_A_COLUMN.sub(_escape, value).encode()


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0], f"\\u{ord(match[0]):04x}")


def columns(record: bytes) -> Columns:
    """The columns of a record without its newline. Raises ValueError if they are not five."""
    type_key, key, revision, last_modified, text = record.split(b"\t")
    return Columns(type_key, key, revision, last_modified, text)


def revision_of(column: bytes) -> Decimal:
    """The number in a record's third column. Raises ValueError if it is no integer in plain decimal digits.

    Decimal, since int() refuses more than 4,300 digits; and checked, since Decimal reads NaN, 1.5 and 1_0 too.
    """
    if _REVISION.fullmatch(column) is None:
        raise ValueError(f"no revision: {column[:40]!r}")
    return Decimal(column.decode())


def record_order(record: bytes) -> RecordOrder:
    """What to sort records by: key, revision, last_modified, JSON. Raises ValueError on what is no record."""
    _, key, revision, last_modified, text = columns(record)
    return order_key(key), revision_of(revision), last_modified, text


def record_rank(record: bytes) -> int:
    """The rank of a record, see oldump.records.keys. Raises ValueError on what is no record."""
    usual = _USUAL_HEAD.match(record)
    if usual is None or record.count(b"\t") != 4:
        _, key, revision, _, _ = columns(record)
        return rank(key, revision_of(revision))
    number, revision = usual[usual.lastgroup or 0].split(b"\t")
    return _RANK_OF_COLLECTION[usual.lastgroup or ""] + (int(number[:-1]) << REVISION_BITS) + int(revision)


def part_number(type_key: bytes) -> int:
    """Which of PARTS the type belongs to; an unforeseen type belongs to `other`."""
    return PART_NUMBER_OF_TYPE.get(type_key, OTHER_NUMBER)
