"""Rules for one line of records, applied the slow and complete way: parse everything, check everything.

`record_block` proves most lines right in bulk and comes here with the others. A property test holds the two together.

Does not: compare a line with its neighbours.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oldump.records.document import Rejected, is_text, parsed, values_in
from oldump.records.keys import modern
from oldump.records.record import CONTROLS, FURTHER_CONTROLS, column, part_number
from oldump.stages.verify.findings import FindingKind
from oldump.stages.verify.privacy import account_data_in, reason_withheld

_COLUMNS = ("type", "key", "revision", "last_modified")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_FORBIDDEN_IN_COLUMN = re.compile(f"[{CONTROLS}{FURTHER_CONTROLS}]")
_NOT_PRINTABLE = re.compile(rb"[^ -~]")
_SHOWN_BYTES = 40

WRONG_SPACING = "the spacing between tokens is not that of json.dumps"

Problem = tuple[FindingKind | None, str]
"""The kind and the text of a finding; of a warning, None and its text."""


@dataclass(frozen=True)
class RecordRules:
    """What the records of a file must satisfy."""

    first_day_after: str
    """The day after the cutoff; see privacy."""
    part: int | None = None
    """The number of the part of all records; None if they may belong to any."""
    withheld: frozenset[bytes] = frozenset()
    """The keys that the manifest says are withheld, as columns."""


def problems_in(line: bytes, rules: RecordRules) -> Iterator[Problem]:
    """Yield all that is wrong with a line, which is given without its newline."""
    fields = line.split(b"\t")
    if len(fields) != len(_COLUMNS) + 1:
        yield FindingKind.COLUMNS, f"{len(fields)} columns instead of 5"
        return
    *head, text = fields
    try:
        columns = [field.decode() for field in head]
    except UnicodeDecodeError:
        yield FindingKind.COLUMNS, "a column is not UTF-8"
        return
    if any(map(_FORBIDDEN_IN_COLUMN.search, columns)):
        yield FindingKind.COLUMNS, "a control character in a column"
    yield from _problems_in_columns(columns, rules)
    yield from _problems_in_document(text, columns)


def _problems_in_columns(columns: list[str], rules: RecordRules) -> Iterator[Problem]:
    type_key, key, _, last_modified = columns
    if (reason := reason_withheld(type_key, key)) is not None:
        yield FindingKind.PRIVATE, reason
    if key.encode() in rules.withheld:
        yield FindingKind.PRIVATE, "a key that the manifest lists as withheld"
    if last_modified >= rules.first_day_after:
        yield FindingKind.CUTOFF, f"last_modified is {last_modified[:_SHOWN_BYTES]}"
    if rules.part not in {None, part_number(type_key.encode())}:
        yield FindingKind.PART, f"its type is {type_key}"


def _problems_in_document(text: bytes, columns: list[str]) -> Iterator[Problem]:
    if (odd := _NOT_PRINTABLE.search(text)) is not None:
        yield FindingKind.NON_CANONICAL, f"byte {odd[0][0]:#04x} in the JSON"
    try:
        document = parsed(text)
    except Rejected as rejected:
        yield FindingKind.JSON, f"the fifth column: {rejected.reason}"
        return
    if not is_spaced(text):
        yield FindingKind.NON_CANONICAL, WRONG_SPACING
    for name, found, expected in zip(_COLUMNS, columns, _columns_of(document), strict=True):
        if found != expected:
            in_json = "missing" if expected is None else expected[:_SHOWN_BYTES]
            yield FindingKind.MISMATCH, f"{name} is {found[:_SHOWN_BYTES]}, in the JSON {in_json}"
    yield from _legacy_spellings(document)
    if (data := account_data_in(document, columns[0], columns[1])) is not None:
        yield FindingKind.ACCOUNT if data.is_of_an_account else None, data.what


def is_spaced(text: bytes) -> bool:
    """Whether JSON has one space after each comma and colon outside its strings, and no other space."""
    tokens = _STRING.sub(b'""', text)
    return re.search(rb"[ ,:]", tokens.replace(b", ", b"").replace(b": ", b"")) is None


def _columns_of(document: dict[str, Any]) -> tuple[str | None, ...]:
    """Return the columns that a document must have; None for one that it has no value for."""
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


def _legacy_spellings(document: dict[str, Any]) -> Iterator[Problem]:
    if "id" in document:
        yield FindingKind.SPELLING, "a top-level id"
    location: Any = document.get("location")
    if is_text(location) and modern(location) != location and _member(document.get("type"), "key") == "/type/redirect":
        yield FindingKind.SPELLING, f"legacy location {location[:_SHOWN_BYTES]}"
    for value in values_in(document):
        if isinstance(value, dict):
            yield from _legacy_spellings_in_object(value)


def _legacy_spellings_in_object(members: dict[str, Any]) -> Iterator[Problem]:
    key: Any = members.get("key")
    if is_text(key) and modern(key) != key:
        yield FindingKind.SPELLING, f"legacy key {key[:_SHOWN_BYTES]}"
    moment: Any = members.get("value")
    if members.get("type") == "/type/datetime" and is_text(moment):
        before, space, _ = moment.partition(" ")
        if space and "T" not in before:  # only the first of two spaces became a T
            yield FindingKind.SPELLING, f"datetime with a space: {moment[:_SHOWN_BYTES]}"
