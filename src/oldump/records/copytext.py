"""PostgreSQL's COPY text format: escape and unescape fields.

Source: https://www.postgresql.org/docs/current/sql-copy.html, section "Text Format".
This module does not read files and does not split a stream into lines.
"""

import re

NULL = rb"\N"
END_OF_DATA = rb"\."

_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPED = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))", re.DOTALL)
_ANY_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_ESCAPED_TAB = b"\\\t"
_MEANT = {
    b"\\": rb"\\",
    b"\b": rb"\b",
    b"\f": rb"\f",
    b"\n": rb"\n",
    b"\r": rb"\r",
    b"\t": rb"\t",
    b"\v": rb"\v",
}
_TO_ESCAPE = re.compile(rb"[\\\x08-\x0d]")


def fields(line: bytes) -> list[bytes]:
    r"""Return the fields of a line, still escaped.

    A tab after a backslash is data, not a separator. PostgreSQL reads such a tab but never writes one; it is returned
    as `\t`, the escape that PostgreSQL writes.
    """
    if _ESCAPED_TAB in line:
        line = _ANY_ESCAPE.sub(lambda match: rb"\t" if match[0] == _ESCAPED_TAB else match[0], line)
    return line.split(b"\t")


def unescaped(field: bytes) -> bytes:
    """Return the bytes that a field stands for. A lone backslash at the end is kept: callers reject it first."""
    if b"\\" not in field:
        return field
    only_pairs = field.replace(rb"\\", b"\\")
    if 2 * (len(field) - len(only_pairs)) == field.count(b"\\"):
        return only_pairs
    return _ESCAPED.sub(_meaning, field)


def _meaning(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, character = match.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    return _LETTERS.get(character, character)


def escaped(text: bytes) -> bytes:
    """Return the bytes as a field, escaped as PostgreSQL escapes them."""
    return _TO_ESCAPE.sub(lambda match: _MEANT[match[0]], text)


def ends_in_lone_backslash(line: bytes) -> bool:
    """Whether the line ends in a backslash that escapes nothing."""
    return (len(line) - len(line.rstrip(b"\\"))) % 2 == 1
