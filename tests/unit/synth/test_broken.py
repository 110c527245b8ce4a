"""Broken rows: each is broken in the way that its name tells, and in no other."""

import json

import pytest

from oldump.synth.broken import BROKEN_ROWS, BrokenRow, broken_line


def fault(line: bytes) -> str:
    """Why design.md, section 3, rejects this line; empty if it does not."""
    try:
        columns = line.removesuffix(b"\n").decode().split("\t")
    except UnicodeDecodeError:
        return "bytes"
    if len(columns) != 3:
        return "columns"
    if (len(columns[2]) - len(columns[2].rstrip("\\"))) % 2:
        return "backslash"
    try:
        document = json.loads(columns[2].replace("\\\\", "\\"), parse_constant=_refuse)
    except ArithmeticError:
        return "NaN"
    except ValueError:
        return "JSON"
    return _fault_of_document(document)


def _refuse(name: str) -> None:
    raise ArithmeticError(name)


def _fault_of_document(document: object) -> str:
    if not isinstance(document, dict):
        return "object"
    kind, time = document.get("type"), document.get("last_modified")
    good = {
        "key": isinstance(document.get("key"), str),
        "type": isinstance(kind, dict) and isinstance(kind.get("key"), str),
        "revision": type(document.get("revision")) is int,
        "last_modified": isinstance(time, dict) and isinstance(time.get("value"), str),
    }
    return ", ".join(name for name, passed in good.items() if not passed)


_FAULTS = {
    "one column": "columns",
    "two columns": "columns",
    "four columns": "columns",
    "empty line": "columns",
    "null": "JSON",
    "empty text": "JSON",
    "cut off": "JSON",
    "no JSON": "JSON",
    "text after JSON": "JSON",
    "list": "object",
    "string": "object",
    "no key": "key",
    "key is a number": "key",
    "no type": "type",
    "type is text": "type",
    "type without key": "type",
    "no revision": "revision",
    "revision is text": "revision",
    "revision is a fraction": "revision",
    "no last_modified": "last_modified",
    "last_modified is text": "last_modified",
    "last_modified without value": "last_modified",
    "NaN": "NaN",
    "Infinity": "NaN",
    "backslash at the end": "backslash",
    "not UTF-8": "bytes",
}


@pytest.mark.parametrize("at", range(len(BROKEN_ROWS)), ids=[row.name for row in BROKEN_ROWS])
def test_broken_for_its_reason_alone(at: int) -> None:
    """Every broken row has the one fault that its name tells."""
    line = broken_line(at, 77, "2015-01-01T00:00:00").encode("utf-8", "surrogateescape")
    assert line.endswith(b"\n")
    assert fault(line) == _FAULTS[BROKEN_ROWS[at].name]


def test_every_reason_is_there() -> None:
    """No rule of the record contract that rejects a row lacks a row that it rejects."""
    assert set(_FAULTS) == {row.name for row in BROKEN_ROWS}
    assert all(isinstance(row, BrokenRow) for row in BROKEN_ROWS)
