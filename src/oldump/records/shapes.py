r"""Shapes of the lines in table dumps, to detect a table mistaken for another, and the order of the lines.

This module does not know where the tables are or how they are copied.
"""

import re
from decimal import Decimal
from typing import Any

from oldump.records.copytext import NULL, unescaped

_DAY = rb"\d{4}-\d\d-\d\d"
_WORK, _EDITION = rb"/works/OL-?\d+W", rb"/books/OL-?\d+M"
_NULL = rb"\\N"

SHAPES = {
    "reading-log": re.compile(
        rb"%b\t(?:%b|%b)\t(?!(?:-?\d+|%b)\t)[^\t\n]+\t%b" % (_WORK, _EDITION, _NULL, _NULL, _DAY)
    ),
    "ratings": re.compile(rb"%b\t(?:%b|%b)\t(?:\d+|%b)\t%b" % (_WORK, _EDITION, _NULL, _NULL, _DAY)),
    "wikidata": re.compile(rb"[^\t\n]+\t%b\t(?: *[\[{].*|%b)" % (_DAY, _NULL)),
    "covers_metadata": re.compile(rb"\d+\t(?:-?\d+|%b)\t(?:-?\d+|%b)\t%b" % (_NULL, _NULL, _DAY)),
    "ia-metadata": re.compile(rb"[^\t\n]+\t[^\t\n]*\t[^\t\n]*"),
}
"""The pattern of a line without its newline, by the table dump's name."""

COLUMNS = {
    "reading-log": ("work_key", "edition_key", "shelf", "date"),
    "ratings": ("work_key", "edition_key", "rating", "date"),
    "wikidata": ("id", "updated", "json"),
    "covers_metadata": ("id", "width", "height", "date"),
    "ia-metadata": ("identifier", "boxid", "collection"),
}
"""The names of the columns, by the table dump's name."""


def table_order(name: str, line: bytes) -> tuple[Any, ...]:
    """Return the sort key of a line, which must match the table dump's shape."""
    fields = line.split(b"\t")
    if name in {"reading-log", "ratings"}:
        work, edition, *others = fields
        last = unescaped(others[0]) if name == "reading-log" else _number(others[0])
        return _number_of_key(work), _number_of_key(edition), last, others[1]
    if name == "covers_metadata":
        return (*map(_number, fields[:3]), fields[3])
    return (unescaped(fields[0]),)


def _number_of_key(key: bytes) -> tuple[bool, Decimal]:
    """Return the number in /works/OL1W as a sort key; NULL sorts last."""
    return _number(key if key == NULL else key[key.rindex(b"OL") + 2 : -1])


def _number(field: bytes) -> tuple[bool, Decimal]:
    return (True, Decimal(0)) if field == NULL else (False, Decimal(field.decode()))
