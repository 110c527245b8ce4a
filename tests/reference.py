r"""The reference implementation of the record contract: from the text of a COPY to the dumps' records.

Written from the contract alone (design, section 3); uses nothing in src. It holds everything in
memory, parses every row, and is slow. Tests compare what oldump writes with its results.

Decisions where the contract is silent
--------------------------------------
Rows        Lines end at a newline only. A last line without one is a row. The line ``\.`` ends the
            table and is no row. An empty line is a row (of one column).
Rejects     The first that holds, in this order:
            ``lone_backslash``     the line ends in an odd number of backslashes
            ``not_three_columns``  split on raw tabs, but for those that a backslash escapes
            ``not_utf8``           any of the three columns, after unescaping
            ``not_finite``         json met NaN, Infinity or -Infinity before any other error
            ``not_a_json_object``  NULL, any other JSON error, no object, nesting too deep for json.
                                   How deep is too deep stays open: 100 levels are not, 100,000 are.
            ``no_key``             no top-level ``key`` that is a string
            ``no_type``            no object ``type`` with a string ``key``
            ``no_revision``        no integer; true, 1.0, 1e0 and "1" are none, 0 and -1 are
            ``no_last_modified``   no object ``last_modified`` with a string ``value``
Drops       After normalization, the first that holds, in this order:
            ``private_page``       under /people/ and no list, or of type /type/user
            ``admin_page``         under /admin/
            ``obsolete_page``      starts with /scan or /old/, or not with /
            ``after_cutoff``       last_modified, as text, is at or after the day after the date
COPY        As PostgreSQL reads it: ``\b \f \n \r \t \v``, one to three octal digits (of which
            the low eight bits count), ``\x`` and one or two hexadecimal digits; any other escaped
            character stands for itself. A column is NULL only if it is ``\N`` as written.
Columns     Type key, document key and last_modified are UTF-8 text after normalization. A control
            character (U+0000 to U+001F, U+007F to U+009F), a line or paragraph separator (U+2028,
            U+2029) or a lone surrogate in them is written as JSON escapes it; a backslash is not.
            The revision is a decimal integer (-0 is 0).
JSON        json.dumps of the normalized document, but numbers keep their stored spelling. Escapes
            are spelled as json.dumps does; `same_record` ignores their spelling, and
            nothing else. Of a member name written twice, json keeps the last value.
Order       Of the key as its column has it, so that a finished dump can be sorted again: first path
            component, text before the number, number, key. Two keys with equal columns are one. A key
            without OL<digits><letter> at its end is all text, and its number -1. The cdump further by
            revision, last_modified, JSON.
Latest      Of the kept records. A dropped revision neither counts nor hides an earlier one.
Same        n records with the same key and revision count n - 1 in `Reference.same_revision`.
Redirects   ``location`` is rewritten if it is a top-level string and the type is /type/redirect
            after the rewrite.
"""

import datetime
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NoReturn, TypeAlias

PARTS = ("authors", "deletes", "editions", "lists", "other", "redirects", "works")

PART_OF_TYPE = {
    "/type/author": "authors",
    "/type/delete": "deletes",
    "/type/edition": "editions",
    "/type/list": "lists",
    "/type/redirect": "redirects",
    "/type/work": "works",
}

NEW_PREFIXES = {
    "/a/": "/authors/",
    "/b/": "/books/",
    "/l/": "/languages/",
    "/user/": "/people/",
}


@dataclass(frozen=True)
class Reference:
    """The expected result of a run on one COPY text."""

    cdump: bytes
    parts: dict[str, bytes]
    dump: bytes
    drops: dict[str, int]
    rejects: list[tuple[int, str, bytes]]
    same_revision: int
    rows: int


@dataclass(frozen=True)
class Number:
    """A JSON number as spelled, so that 1e400 and 5,000 digits stay unchanged."""

    text: str
    is_integer: bool


Json: TypeAlias = "dict[str, Json] | list[Json] | str | Number | bool | None"


@dataclass(frozen=True)
class Record:
    """The five columns of a record before they are written."""

    type_key: str
    key: str
    revision: Number
    last_modified: str
    json: str


class Reject(Exception):
    """A row that cannot become a record."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def dumps_of(copy_text: bytes, date: str) -> Reference:
    """Return the expected result of a run for the date (YYYY-MM-DD) on the COPY text."""
    records: list[Record] = []
    drops: Counter[str] = Counter()
    rejects: list[tuple[int, str, bytes]] = []
    lines = lines_of(copy_text)
    for line_number, line in enumerate(lines, start=1):
        try:
            record = record_of(line)
        except Reject as reject:
            rejects.append((line_number, reject.reason, line))
            continue
        reason = drop_reason(record, date)
        if reason is None:
            records.append(record)
        else:
            drops[reason] += 1

    records.sort(key=cdump_order)
    # In this order the last record of a key is its latest.
    latest = {written_column(record.key): record for record in records}
    lines_of_part: dict[str, list[bytes]] = {name: [] for name in PARTS}
    for record in latest.values():
        lines_of_part[PART_OF_TYPE.get(record.type_key, "other")].append(written_record(record))
    parts = {name: b"".join(lines) for name, lines in lines_of_part.items()}
    return Reference(
        cdump=b"".join(written_record(record) for record in records),
        parts=parts,
        dump=b"".join(parts[name] for name in sorted(parts)),
        drops=dict(drops),
        rejects=rejects,
        same_revision=len(records) - len({(written_column(r.key), Decimal(r.revision.text)) for r in records}),
        rows=len(lines),
    )


def same_record(a: bytes, b: bytes) -> bool:
    """Whether two records are equal except for the spelling of escapes in their JSON.

    Everything else must be equal byte by byte: the other columns, the order of members, the spelling of
    numbers, the spacing, the newline at the end. A record that breaks the contract equals no record:
    JSON that is not ASCII, has a control character, is invalid, or has other spaces.
    """
    *columns_a, json_a = a.split(b"\t", 4)
    *columns_b, json_b = b.split(b"\t", 4)
    if len(columns_a) != 4 or columns_a != columns_b:
        return False
    if json_a.endswith(b"\n") != json_b.endswith(b"\n"):
        return False
    try:
        return respelled(json_a.removesuffix(b"\n")) == respelled(json_b.removesuffix(b"\n"))
    except (ValueError, Reject):
        return False


def respelled(json_column: bytes) -> str:
    """Return the JSON column with each string as json.dumps spells it, and everything else unchanged.

    Raises ValueError or Reject if the JSON column breaks the contract.
    """
    if b"\x7f" in json_column:  # JSON forbids the other control characters, or the spacing is wrong
        raise ValueError("a control character")
    text = re.sub(
        r'"[^"\\]*(?:\\.[^"\\]*)*"',
        lambda string: json.dumps(json.loads(string[0])),
        json_column.decode("ascii"),
    )
    if text != written_json(parsed(text)):
        raise ValueError(f"not spaced as the contract says: {text[:80]}")
    return text


# From a line to a record


def lines_of(copy_text: bytes) -> list[bytes]:
    """Return the rows of a COPY text, without newlines."""
    lines = copy_text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    if b"\\." in lines:
        del lines[lines.index(b"\\.") :]
    return lines


def record_of(line: bytes) -> Record:
    """Return the normalized record of a row. Raises Reject."""
    document = parsed(json_text_of(line))
    if not isinstance(document, dict):
        raise Reject("not_a_json_object")
    if not isinstance(document.get("key"), str):
        raise Reject("no_key")
    if not isinstance(member(document, "type", "key"), str):
        raise Reject("no_type")
    revision = document.get("revision")
    if not isinstance(revision, Number) or not revision.is_integer:
        raise Reject("no_revision")
    if not isinstance(member(document, "last_modified", "value"), str):
        raise Reject("no_last_modified")

    document = normalized_document(document)
    return Record(
        type_key=string(member(document, "type", "key")),
        key=string(document["key"]),
        revision=revision,
        last_modified=string(member(document, "last_modified", "value")),
        json=written_json(document),
    )


def json_text_of(line: bytes) -> str:
    """Return the third column of a row as text. Raises Reject."""
    if (len(line) - len(line.rstrip(b"\\"))) % 2 == 1:
        raise Reject("lone_backslash")
    columns = columns_of(line)
    if len(columns) != 3:
        raise Reject("not_three_columns")
    try:
        texts = [unescaped(column).decode("utf-8") for column in columns]
    except UnicodeDecodeError:
        raise Reject("not_utf8") from None
    if columns[2] == b"\\N":
        raise Reject("not_a_json_object")
    return texts[2]


def columns_of(line: bytes) -> list[bytes]:
    """Return the columns of a row, still escaped. A tab after a backslash is not a separator."""
    columns: list[list[bytes]] = [[]]
    for piece in re.findall(rb"\\.|\t|[^\\\t]+", line):
        if piece == b"\t":
            columns.append([])
        else:
            columns[-1].append(piece)
    return [b"".join(pieces) for pieces in columns]


def unescaped(column: bytes) -> bytes:
    """Return the bytes that a column of COPY text encodes (PostgreSQL, COPY, "Text Format")."""
    escape = re.compile(rb"\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|(.))")
    letters = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}

    def meaning(match: re.Match[bytes]) -> bytes:
        hexadecimal, octal, other = match.groups()
        if hexadecimal is not None:
            return bytes([int(hexadecimal, 16)])
        if octal is not None:
            return bytes([int(octal, 8) & 0xFF])
        return letters.get(other, other)

    return escape.sub(meaning, column)


def parsed(text: str) -> Json:
    """Return the value of a JSON text, with its numbers as spelled. Raises Reject."""

    def refuse(token: str) -> NoReturn:
        raise Reject("not_finite")

    try:
        value: Json = json.loads(
            text,
            parse_int=lambda digits: Number(digits, is_integer=True),
            parse_float=lambda digits: Number(digits, is_integer=False),
            parse_constant=refuse,
        )
    except (ValueError, RecursionError):
        raise Reject("not_a_json_object") from None
    return value


def member(document: dict[str, Json], outer: str, inner: str) -> Json:
    """Return the member `inner` of the object in the member `outer`; None if either is missing."""
    value = document.get(outer)
    return value.get(inner) if isinstance(value, dict) else None


def string(value: Json) -> str:
    """Return the value, which must be a string."""
    assert isinstance(value, str)
    return value


# Normalization


def normalized_document(document: dict[str, Json]) -> dict[str, Json]:
    """Return the document with new prefixes, datetimes with T, and without its id."""
    members = normalized_object(document)
    members.pop("id", None)
    location = members.get("location")
    if member(members, "type", "key") == "/type/redirect" and isinstance(location, str):
        members["location"] = with_new_prefix(location)
    return members


def normalized_object(value: dict[str, Json]) -> dict[str, Json]:
    """Return the object with new prefixes and datetimes with T, at any depth."""
    members = {name: normalized(inner) for name, inner in value.items()}
    key = members.get("key")
    if isinstance(key, str):
        members["key"] = with_new_prefix(key)
    moment = members.get("value")
    if members.get("type") == "/type/datetime" and isinstance(moment, str):
        members["value"] = moment.replace(" ", "T", 1)
    return members


def normalized(value: Json) -> Json:
    """Return the value with new prefixes and datetimes with T, at any depth."""
    if isinstance(value, dict):
        return normalized_object(value)
    if isinstance(value, list):
        return [normalized(item) for item in value]
    return value


def with_new_prefix(key: str) -> str:
    """Return the key with today's prefix instead of an old one."""
    for old, new in NEW_PREFIXES.items():
        if key.startswith(old):
            return new + key.removeprefix(old)
    return key


# Drops


def drop_reason(record: Record, date: str) -> str | None:
    """Return the reason to drop the record, or None."""
    key = record.key
    is_list = re.fullmatch(r"/people/[^/]+/lists/OL[0-9]+L", key) is not None
    if (key.startswith("/people/") and not is_list) or record.type_key == "/type/user":
        return "private_page"
    if key.startswith("/admin/"):
        return "admin_page"
    if key.startswith(("/scan", "/old/")) or not key.startswith("/"):
        return "obsolete_page"
    day_after = datetime.date.fromisoformat(date) + datetime.timedelta(days=1)
    if record.last_modified >= day_after.isoformat():
        return "after_cutoff"
    return None


# Order


def key_order(key: str) -> tuple[bytes, bytes, Decimal, bytes]:
    """Return the sort key of a document key: first path component, text before the number, number, key.

    A Decimal compares exactly and, unlike int(), accepts any number of digits.
    """
    first_component = key.split("/")[1] if "/" in key else ""
    numbered = re.search(r"OL([0-9]+)[A-Za-z]\Z", key)
    if numbered is None:
        text, number = key, Decimal(-1)
    else:
        text, number = key[: numbered.start(1)], Decimal(numbered[1])
    return encoded(first_component), encoded(text), number, encoded(key)


def cdump_order(
    record: Record,
) -> tuple[tuple[bytes, bytes, Decimal, bytes], Decimal, bytes, bytes]:
    """Return the sort key of a record in the cdump."""
    return (
        key_order(written_column(record.key)),
        Decimal(record.revision.text),
        encoded(written_column(record.last_modified)),
        encoded(record.json),
    )


def encoded(text: str) -> bytes:
    """Return UTF-8, with lone surrogates encoded like characters."""
    return text.encode("utf-8", "surrogatepass")


# Writing


def written_record(record: Record) -> bytes:
    """Return the line of a record, with its newline."""
    revision = "0" if record.revision.text == "-0" else record.revision.text
    columns = (
        written_column(record.type_key),
        written_column(record.key),
        revision,
        written_column(record.last_modified),
        record.json,
    )
    return "\t".join(columns).encode("utf-8") + b"\n"


def written_column(text: str) -> str:
    """Return the text with control characters, line ends and lone surrogates escaped as in JSON."""
    return "".join(
        json.dumps(character)[1:-1] if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} else character
        for character in text
    )


def written_json(value: Json) -> str:
    """Return what json.dumps writes, with numbers as spelled."""
    if isinstance(value, dict):
        return "{" + ", ".join(written_members(value)) + "}"
    if isinstance(value, list):
        return "[" + ", ".join([written_json(item) for item in value]) + "]"
    if isinstance(value, Number):
        return value.text
    return json.dumps(value)


def written_members(members: dict[str, Json]) -> Iterator[str]:
    """Yield each member of an object as JSON text."""
    for name, value in members.items():
        yield f"{json.dumps(name)}: {written_json(value)}"
