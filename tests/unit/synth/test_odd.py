"""Odd rows: all of them are legal."""

import json

import pytest

from oldump.synth.odd import ODD_ROWS, odd_line

_TIME = "2015-01-01T00:00:00"


def document(name: str) -> str:
    """The JSON text of the odd row of that name."""
    at = [row.name for row in ODD_ROWS].index(name)
    return odd_line(at, 77, _TIME).rstrip("\n").split("\t")[2].replace("\\\\", "\\")


@pytest.mark.parametrize("name", [row.name for row in ODD_ROWS])
def test_odd_but_legal(name: str) -> None:
    """Every odd row has the members that a record needs, in three columns of UTF-8."""
    text = document(name)
    members = json.loads(text)
    text.encode()
    assert isinstance(members["key"], str)
    assert members["type"]["key"].startswith("/type/")
    assert members["last_modified"]["value"].startswith("2015-01-01T")
    assert members["revision"] == 1


def test_oddities() -> None:
    """What is odd about a row is really in it."""
    assert json.loads(document("lone surrogate"))["title"] == "Half \ud83d an emoji"
    assert json.loads(document("long integer"))["number_of_pages"] > 1 << 64
    assert "1e5" in document("exponent")
    assert '":"' in document("tight spacing")
    assert json.dumps(json.loads(document("loose spacing"))) != document("loose spacing")
    assert not document("raw text").isascii()
    assert not json.loads(document("key without slash"))["key"].startswith("/")
    assert json.loads(document("user elsewhere"))["type"]["key"] == "/type/user"
    assert len(document("large")) > 2_000_000


def test_pair_has_one_key() -> None:
    """Two rows next to one another share key, revision and time, and differ in their text."""
    first, second = document("stored twice, first"), document("stored twice, second")
    assert first != second
    for name in ("key", "revision", "last_modified"):
        assert json.loads(first)[name] == json.loads(second)[name]
