"""What is wrong with one line of records, the exact way: parse all, look at all.

`block` has the fast way for the many lines with which nothing is wrong, and comes here with every line that it is not
sure of. A property test holds the two together.

Does not: look at what stands before or behind a line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oldump.records.document import Rejected, is_text, parsed, values_in
from oldump.records.keys import modern
from oldump.records.record import CONTROLS, FURTHER_CONTROLS, column, part_number
from oldump.stages.verify.findings import Kind
from oldump.stages.verify.privacy import what_of_an_account, why_withheld

_COLUMNS = ("type", "key", "revision", "last_modified")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_BREAKS_LINES = re.compile(f"[{CONTROLS}{FURTHER_CONTROLS}]")
_NOT_PLAIN = re.compile(rb"[^ -~]")
_SHOWN_BYTES = 40

Told = tuple[Kind, str]
"""A kind of finding, and what to say."""


@dataclass(frozen=True)
class Rules:
    """What the records of a file are held against."""

    first_day_after: str
    """See privacy."""
    part: int | None = None
    """The number of the part that they belong to; None if all do."""


def wrong_with(line: bytes, rules: Rules) -> Iterator[Told]:
    """All that is wrong with a line, given without its newline."""
    fields = line.split(b"\t")
    if len(fields) != len(_COLUMNS) + 1:
        yield Kind.COLUMNS, f"{len(fields)} columns instead of 5"
        return
    *head, text = fields
    try:
        columns = [field.decode() for field in head]
    except UnicodeDecodeError:
        yield Kind.COLUMNS, "a column is not UTF-8"
        return
    if any(map(_BREAKS_LINES.search, columns)):
        yield Kind.COLUMNS, "a control character in a column"
    yield from _wrong_with_columns(columns, rules)
    yield from _wrong_with_document(text, columns)


def _wrong_with_columns(columns: list[str], rules: Rules) -> Iterator[Told]:
    type_key, key, _, last_modified = columns
    if (why := why_withheld(type_key, key)) is not None:
        yield Kind.PRIVATE, why
    if last_modified >= rules.first_day_after:
        yield Kind.CUTOFF, f"last_modified is {last_modified[:_SHOWN_BYTES]}"
    if rules.part not in {None, part_number(type_key.encode())}:
        yield Kind.PART, f"of type {type_key}"


def _wrong_with_document(text: bytes, columns: list[str]) -> Iterator[Told]:
    if (odd := _NOT_PLAIN.search(text)) is not None:
        yield Kind.DRESS, f"a byte {odd[0][0]:#04x} in the JSON"
    try:
        document = parsed(text)
    except Rejected as rejected:
        yield Kind.JSON, f"the fifth column: {rejected.reason}"
        return
    except RecursionError:
        yield Kind.JSON, "the fifth column is nested too deeply"
        return
    if not is_spaced(text):
        yield Kind.DRESS, "spaces between tokens are others than those of json.dumps"
    for name, found, expected in zip(_COLUMNS, columns, _columns_of(document), strict=True):
        if found != expected:
            shown = "nothing" if expected is None else expected[:_SHOWN_BYTES]
            yield Kind.HEAD, f"{name} is {found[:_SHOWN_BYTES]}, in the JSON {shown}"
    yield from _wrong_spellings(document)
    if (what := what_of_an_account(document, columns[0])) is not None:
        yield Kind.ACCOUNT, what


def is_spaced(text: bytes) -> bool:
    """Whether JSON has one space behind each comma and colon that stands outside its strings, and no other."""
    tokens = _STRING.sub(b'""', text)
    return re.search(rb"[ ,:]", tokens.replace(b", ", b"").replace(b": ", b"")) is None


def _columns_of(document: dict[str, Any]) -> tuple[str | None, ...]:
    """The columns that the document makes; None for one that it has nothing for."""
    revision = document.get("revision")
    is_integer = isinstance(revision, str) and not is_text(revision) and revision.lstrip("-").isdigit()
    return (
        _column(_member(document.get("type"), "key")),
        _column(document.get("key")),
        ("0" if revision == "-0" else str(revision)) if is_integer else None,
        _column(_member(document.get("last_modified"), "value")),
    )


def _column(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    return column(value).decode() if is_text(value) else None


def _member(value: Any, name: str) -> Any:  # noqa: ANN401 - any JSON value
    return value.get(name) if isinstance(value, dict) else None


def _wrong_spellings(document: dict[str, Any]) -> Iterator[Told]:
    if "id" in document:
        yield Kind.SPELLING, "a member id"
    location: Any = document.get("location")
    if is_text(location) and modern(location) != location and _member(document.get("type"), "key") == "/type/redirect":
        yield Kind.SPELLING, f"the location {location[:_SHOWN_BYTES]}"
    for value in values_in(document):
        if isinstance(value, dict):
            yield from _wrong_spellings_of_object(value)


def _wrong_spellings_of_object(members: dict[str, Any]) -> Iterator[Told]:
    key: Any = members.get("key")
    if is_text(key) and modern(key) != key:
        yield Kind.SPELLING, f"the key {key[:_SHOWN_BYTES]}"
    moment: Any = members.get("value")
    if members.get("type") == "/type/datetime" and is_text(moment):
        before, space, _ = moment.partition(" ")
        if space and "T" not in before:  # of two spaces the first one became a T, and the second one stays
            yield Kind.SPELLING, f"the datetime {moment[:_SHOWN_BYTES]}"
