"""Rows that cannot become records. Each must be rejected, for the reason in its name."""

from typing import NamedTuple

_KEY = b'"key": "/books/OL7NUMBERM"'
_TIME = b'"last_modified": {"type": "/type/datetime", "value": "TIME"}'
_TYPE = b'"type": {"key": "/type/edition"}'
_REVISION = b'"revision": 1'


class BrokenRow(NamedTuple):
    """A kind of broken row: COPY text without the newline, with the placeholders NUMBER and TIME."""

    name: str
    text: bytes


def broken_line(count: int, thing: int, time: str) -> str:
    """Return the broken row after `count` others, with its newline.

    A byte that is not UTF-8 is represented by a surrogate (PEP 383).
    """
    text = BROKEN_ROWS[count % len(BROKEN_ROWS)].text
    line = text.decode("utf-8", "surrogateescape")
    return line.replace("NUMBER", str(thing)).replace("TIME", time) + "\n"


def _row(*members: bytes) -> bytes:
    return b"NUMBER\t1\t{" + b", ".join(members) + b"}"


_WHOLE = _row(_KEY, _TYPE, _TIME, _REVISION)

BROKEN_ROWS = (
    BrokenRow("one column", b"NUMBER"),
    BrokenRow("two columns", b"NUMBER\t1"),
    BrokenRow("four columns", _WHOLE + b"\tmore"),
    BrokenRow("empty line", b""),
    BrokenRow("null", b"NUMBER\t1\t\\N"),
    BrokenRow("empty text", b"NUMBER\t1\t"),
    BrokenRow("cut off", _WHOLE[:-20]),
    BrokenRow("no JSON", b"NUMBER\t1\t<html>502 Bad Gateway</html>"),
    BrokenRow("text after JSON", _WHOLE + b" {}"),
    BrokenRow("list", b"NUMBER\t1\t[" + _WHOLE.split(b"\t")[2] + b"]"),
    BrokenRow("string", b'NUMBER\t1\t"/books/OL1M"'),
    BrokenRow("no key", _row(_TYPE, _TIME, _REVISION)),
    BrokenRow("key is a number", _row(b'"key": NUMBER', _TYPE, _TIME, _REVISION)),
    BrokenRow("no type", _row(_KEY, _TIME, _REVISION)),
    BrokenRow("type is text", _row(_KEY, b'"type": "/type/edition"', _TIME, _REVISION)),
    BrokenRow("type without key", _row(_KEY, b'"type": {}', _TIME, _REVISION)),
    BrokenRow("no revision", _row(_KEY, _TYPE, _TIME)),
    BrokenRow("revision is text", _row(_KEY, _TYPE, _TIME, b'"revision": "1"')),
    BrokenRow("revision is a fraction", _row(_KEY, _TYPE, _TIME, b'"revision": 1.5')),
    BrokenRow("no last_modified", _row(_KEY, _TYPE, _REVISION)),
    BrokenRow("last_modified is text", _row(_KEY, _TYPE, b'"last_modified": "TIME"', _REVISION)),
    BrokenRow("last_modified without value", _row(_KEY, _TYPE, b'"last_modified": {}', _REVISION)),
    BrokenRow("NaN", _row(b'"weight": NaN', _KEY, _TYPE, _TIME, _REVISION)),
    BrokenRow("Infinity", _row(b'"weight": -Infinity', _KEY, _TYPE, _TIME, _REVISION)),
    BrokenRow("backslash at the end", _WHOLE + b"\\"),
    BrokenRow("not UTF-8", _row(b'"title": "Caf\xe9"', _KEY, _TYPE, _TIME, _REVISION)),
)
"""Every kind of broken row; a table uses them in turn."""
