"""Documents: convert the JSON of a row to the canonical form that readers depend on.

This is the slow path, which works for every document: parse it, change it, print it. `records.rows` has the fast path
for common documents and falls back to this one. Both give the same bytes.

Numbers keep their stored spelling (1e5, 1E400, integers of any length), because a float or a size limit would change
them. Strings are printed as the standard library's json prints them.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum, auto
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple, NoReturn

from oldump.records.keys import modern

MAX_DEPTH = 5_000
"""Objects and arrays within each other in a document, which is the first. One that is deeper is rejected."""
_RECURSION_LIMIT = MAX_DEPTH + 1_500
"""The recursion limit while parsing, which leaves the callers of this module as much as they may use otherwise."""


class Reject(StrEnum):
    """A reason why a row cannot become a record. Its lower-case name is used in rejects.txt.gz and the manifest."""

    LONE_BACKSLASH = auto()
    NOT_THREE_COLUMNS = auto()
    NOT_UTF8 = auto()
    NOT_FINITE = auto()
    NOT_A_JSON_OBJECT = auto()
    NO_KEY = auto()
    NO_TYPE = auto()
    NO_REVISION = auto()
    NO_LAST_MODIFIED = auto()


class Rejected(Exception):
    """Raised for a row that cannot become a record, with the reason."""

    def __init__(self, reason: Reject) -> None:
        super().__init__(reason)
        self.reason = reason


class Document(NamedTuple):
    """A document in canonical form, with the values of its record's columns."""

    key: str
    type_key: str
    revision: str
    last_modified: str
    text: bytes
    """The JSON: ASCII, in the canonical form of the dumps."""


class _Number(str):
    """A number in its stored spelling."""

    __slots__ = ()


def normalised(stored: bytes) -> Document:
    """Return the document in a row's JSON text, in canonical form. Raises Rejected."""
    with deep_recursion():
        document = _parsed(stored)
        pieces: list[str] = []
        _print(_modernised(document), pieces)
    return Document(*_columns(document), "".join(pieces).encode("ascii"))


def parsed(text: bytes) -> dict[str, Any]:
    """Return the members of a document. Numbers are strings in their stored spelling. Raises Rejected."""
    with deep_recursion():
        return _parsed(text)


def printed(document: dict[str, Any]) -> bytes:
    """Return the canonical JSON of a document that `parsed` returned."""
    pieces: list[str] = []
    with deep_recursion():
        _print(document, pieces)
    return "".join(pieces).encode("ascii")


def _parsed(stored: bytes) -> dict[str, Any]:
    try:
        document = json.loads(
            stored.decode("utf-8"),
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError:
        raise Rejected(Reject.NOT_UTF8) from None
    except (ValueError, RecursionError):
        raise Rejected(Reject.NOT_A_JSON_OBJECT) from None
    if not isinstance(document, dict) or _is_too_deep(stored, document):
        raise Rejected(Reject.NOT_A_JSON_OBJECT)
    return document


def _is_too_deep(stored: bytes, document: dict[str, Any]) -> bool:
    """Whether the document is nested more deeply than MAX_DEPTH; quick if it has too few brackets for that."""
    if stored.count(b"[") + stored.count(b"{") <= MAX_DEPTH:
        return False
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        members = [each for value in level for each in (value.values() if isinstance(value, dict) else value)]
        level = [each for each in members if isinstance(each, list | dict)]
        if not level:
            return False
    return True


def _refuse_constant(_: str) -> NoReturn:
    raise Rejected(Reject.NOT_FINITE)


def _modernised(document: dict[str, Any]) -> dict[str, Any]:
    document.pop("id", None)
    _modernise(document)
    location: Any = document.get("location")
    if is_text(location) and _member(document, "type", "key") == "/type/redirect":
        document["location"] = modern(location)
    return document


def _modernise(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Rewrite old keys and datetimes in every object of value, in place."""
    if isinstance(value, list):
        for item in value:
            _modernise(item)
    elif isinstance(value, dict):
        if is_text(value.get("key")):
            value["key"] = modern(value["key"])
        if value.get("type") == "/type/datetime" and is_text(value.get("value")):
            value["value"] = value["value"].replace(" ", "T", 1)
        for item in value.values():
            _modernise(item)


def _columns(document: dict[str, Any]) -> tuple[str, str, str, str]:
    key: Any = document.get("key")
    if not is_text(key):
        raise Rejected(Reject.NO_KEY)
    type_key = _member(document, "type", "key")
    if not is_text(type_key):
        raise Rejected(Reject.NO_TYPE)
    revision = document.get("revision")
    if not isinstance(revision, _Number) or not revision.lstrip("-").isdigit():
        raise Rejected(Reject.NO_REVISION)
    last_modified = _member(document, "last_modified", "value")
    if not is_text(last_modified):
        raise Rejected(Reject.NO_LAST_MODIFIED)
    return key, type_key, "0" if revision == "-0" else str(revision), last_modified


def values_in(document: dict[str, Any]) -> Iterator[Any]:
    """Yield the document and every value in it, at any depth."""
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()


def is_text(value: object) -> bool:
    """Whether a parsed value is a string; numbers, which are parsed as strings too, are not."""
    return isinstance(value, str) and not isinstance(value, _Number)


def _member(document: dict[str, Any], outer: str, inner: str) -> Any:  # noqa: ANN401 - any JSON value
    value = document.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def _print(value: Any, pieces: list[str]) -> None:  # noqa: ANN401 - any JSON value
    """Append the pieces of value's JSON, spaced as json.dumps spaces it."""
    if isinstance(value, _Number):
        pieces.append(value)
    elif isinstance(value, str):
        pieces.append(encode_basestring_ascii(value))
    elif isinstance(value, dict):
        pieces.append("{")
        for place, (name, item) in enumerate(value.items()):
            pieces.append(f"{', ' if place else ''}{encode_basestring_ascii(name)}: ")
            _print(item, pieces)
        pieces.append("}")
    elif isinstance(value, list):
        pieces.append("[")
        for place, item in enumerate(value):
            if place:
                pieces.append(", ")
            _print(item, pieces)
        pieces.append("]")
    else:
        pieces.append({None: "null", True: "true", False: "false"}[value])


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Let a document of MAX_DEPTH be parsed and printed recursively."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
