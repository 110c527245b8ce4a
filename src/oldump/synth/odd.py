"""Rows that are odd but legal: a dump keeps each exactly, or drops it for the reason in its name."""

from collections.abc import Callable
from typing import NamedTuple

from oldump.synth.words import copy_escaped

_FIRST_NUMBER = 30_000_000
_LARGE_TEXT = 3_000_000


class OddRow(NamedTuple):
    """A kind of odd row; `make` takes the number of odd rows before it, and a time."""

    name: str
    make: Callable[[int, str], str]


def odd_line(count: int, thing: int, time: str) -> str:
    """Return the odd row after `count` others, of the document with id `thing`, with its newline."""
    return f"{thing}\t1\t{copy_escaped(ODD_ROWS[count % len(ODD_ROWS)].make(count, time))}\n"


def _edition(count: int, time: str, members: str, key: str = "") -> str:
    return _document(key or f"/books/OL{_FIRST_NUMBER + count}M", "edition", time, members)


def _document(key: str, kind: str, time: str, members: str = "") -> str:
    return (
        f'{{{members}"key": "{key}", "type": {{"key": "/type/{kind}"}}, '
        f'"last_modified": {{"type": "/type/datetime", "value": "{time}"}}, "revision": 1}}'
    )


def _large(count: int, time: str) -> str:
    chapter = '{"type": {"key": "/type/toc_item"}, "pagenum": "%d", "title": "Chapter %d"}'
    chapters = ", ".join(chapter % (at * 3, at) for at in range(_LARGE_TEXT // len(chapter)))
    return _edition(count, time, f'"title": "Very long", "table_of_contents": [{chapters}], ')


def _tight(count: int, time: str) -> str:
    return _edition(count, time, '"title": "Tight spacing", ').replace('": ', '":').replace(", ", ",")


def _loose(count: int, time: str) -> str:
    return _edition(count, time, '"title": "Loose spacing", ').replace(': "', ' :  "').replace("{", "{ ")


def _twice_other_time(count: int, time: str) -> str:
    """Return revision 1 of a work that the table already has, written again later."""
    return _document(f"/works/OL{1 + count // len(ODD_ROWS)}W", "work", time, '"title": "Stored twice", ')


def _pair(title: str) -> Callable[[int, str], str]:
    """Return two adjacent rows with the same key and revision but different JSON."""

    def make(count: int, time: str) -> str:
        number = _FIRST_NUMBER + count // len(ODD_ROWS)
        return _document(f"/works/OL{number}W", "work", time[:10] + "T00:00:00", f'"title": "{title}", ')

    return make


ODD_ROWS = (
    OddRow(
        "lone surrogate",
        lambda count, time: _edition(count, time, '"title": "Half \\ud83d an emoji", '),
    ),
    OddRow(
        "emoji",
        lambda count, time: _edition(count, time, '"title": "Whole \\ud83d\\ude00 emoji", '),
    ),
    OddRow(
        "long integer",
        lambda count, time: _edition(count, time, f'"number_of_pages": {10**30 + count}, '),
    ),
    OddRow(
        "exponent",
        lambda count, time: _edition(count, time, '"weight": 1e5, "price": -0.0, "ratio": 1.50, '),
    ),
    OddRow(
        "capital escapes",
        lambda count, time: _edition(count, time, '"title": "\\u00C9t\\u00E9 \\/ \\u0041", '),
    ),
    OddRow("tight spacing", _tight),
    OddRow("loose spacing", _loose),
    OddRow(
        "key of a scan",
        lambda count, time: _edition(count, time, "", f"/books/ia:foo{count:04}bar"),
    ),
    OddRow(
        "key without slash",
        lambda count, time: _document(f"DUP/works/OL{count + 1}W-DUP", "work", time),
    ),
    OddRow(
        "raw text",
        lambda count, time: _edition(count, time, '"title": "Crème brûlée, Україна, 東京, 😀", '),
    ),
    OddRow(
        "empty lists",
        lambda count, time: _edition(count, time, '"authors": [], "subjects": [], "notes": {}, '),
    ),
    OddRow("unforeseen type", lambda count, time: _document(f"/shelves/{count}", "shelf", time)),
    OddRow("user elsewhere", lambda count, time: _document(f"/members/{count}", "user", time)),
    OddRow("stored twice, later", _twice_other_time),
    OddRow("stored twice, first", _pair("First of two")),
    OddRow("stored twice, second", _pair("Second of two")),
    OddRow(
        "id of text",
        lambda count, time: _edition(count, time, f'"id": "x{count}", "about": {{"id": 7}}, '),
    ),
    OddRow(
        "nested legacy key",
        lambda count, time: _edition(count, time, '"about": {"of": [{"key": "/user/me"}]}, '),
    ),
    OddRow(
        "control characters",
        lambda count, time: _edition(count, time, '"title": "a\\tb\\u0000c\\u001f\\u007f", '),
    ),
    OddRow("spaced key", lambda count, time: _document(f"/books/OL {count}M", "edition", time)),
    OddRow(
        "repeated member",
        lambda count, time: _edition(count, time, '"title": "one", "title": "two", '),
    ),
    OddRow(
        "empty title",
        lambda count, time: _edition(count, time, '"title": "", "": "no name", "none": null, '),
    ),
    OddRow("large", _large),
)
"""Every kind of odd row; a table uses them in turn."""
