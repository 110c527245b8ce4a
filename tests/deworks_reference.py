r"""The reference implementation of deworks: from a dump and the IA metadata to the lines of the deworks file.

Written from the text of issue 4 alone, not from an implementation. It holds everything in memory, parses every
record, and is slow. Of src it uses only the order and the columns of keys and the unescaping of COPY text, which
tests compare with tests/reference.py.

Decisions where the issue is silent
----------------------------------
Records     A record is what its type column says: /type/work, /type/edition, /type/author, /type/redirect; whatever
            its key. No two have the same key column. They come in any order. Nothing is normalized again: old
            prefixes and the like were dealt with when the dump was made. Of a member name written twice, json keeps
            the last value, at the place of the first.
Keys        A key in a document is a string. It names the record whose key column is that string spelled as a column:
            control characters, line ends and lone surrogates as JSON escapes them. So a tab, and a backslash
            with a t, name the same record.
Lines       ``key TAB JSON``, without a newline. The key is spelled as a column; the JSON is json.dumps' own, but
            numbers keep their stored spelling (the documents' 1e400 must not become Infinity). `same_line` ignores
            the spelling of escapes and numbers, and repeated names in a document.
Work        An edition belongs to ``works[0]["key"]`` if works is a non-empty list, its first element an object, and
            that element's key a string. Otherwise it has no work, whatever its other works are. A work key that is
            no work record gives a line with ``{}``, in order among the works. It is not followed, even if it is a
            redirect. It may be anything: the key of an author, of the edition itself, or empty.
No work     After all these, in key order, a line for each edition without a work: no work, itself, no authors.
Authors     Elements of the work's authors, if those are a list, that are objects whose author is an object with a
            string key. Redirects (a string location at the top level of the redirect's document) are followed from
            that key to one that is no redirect. That one's document, if it is an author record; else ``{"key": KEY}``
            with KEY the string that the work or the last redirect has (not the column). A loop gives the string that
            the work has. A redirect without a string location is not followed. Repeated authors stay.
_ia_meta    At the end of each edition whose ocaid is a non-empty string; one that the edition has already is replaced
            in its place. Other editions keep what they have.
ia          In the order of the editions, one for each edition whose ocaid is in the IA metadata: two editions with the
            same ocaid give two. The identifier is the ocaid.
IA metadata Lines of three columns of COPY text, each unescaped first, then UTF-8, then split at ";". An empty value,
            or NULL, gives no values; an empty one among others stays. Of two lines with one identifier the first
            counts. An ocaid names an item if its UTF-8 is the identifier's; a lone surrogate has none.
duplicates  First the line's key, then each edition's, in their order; names and values are text as in the key
            column. The value is all redirects that lead to the key, of whatever part, in key order, without the key
            itself. A name occurs once, even if the line's key is that of an edition.
Order       Of keys as the contract has it, of their columns. A key without a slash is its own first component.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from oldump.records.copytext import NULL, unescaped
from oldump.records.keys import order_key
from oldump.records.record import column
from reference import Json, Number, Reject, member, parsed, written_json

MEMBERS = ("work", "editions", "authors", "ia", "duplicates")
"""The members of a line's JSON, in their order."""

Document: TypeAlias = "dict[str, Json]"


@dataclass(frozen=True)
class Catalogue:
    """The relevant records of a dump, by their key columns."""

    works: dict[bytes, Document]
    editions: dict[bytes, Document]
    authors: dict[bytes, Document]
    redirects: dict[bytes, Document]

    def location(self, key: str) -> str | None:
        """Return the key that this key redirects to; None if it is no redirect or has no string location."""
        location = self.redirects.get(column(key), {}).get("location")
        return location if isinstance(location, str) else None

    @cached_property
    def sources(self) -> dict[bytes, list[bytes]]:
        """The keys that redirect directly to each key."""
        sources: dict[bytes, list[bytes]] = {}
        for key, document in self.redirects.items():
            location = document.get("location")
            if isinstance(location, str):
                sources.setdefault(column(location), []).append(key)
        return sources


@dataclass(frozen=True)
class Item:
    """The IA metadata of one identifier."""

    boxid: list[str]
    collection: list[str]


Items: TypeAlias = dict[bytes, Item]


def deworks_of(records: Iterable[bytes] | bytes, ia_metadata: bytes) -> list[bytes]:
    """Return the lines in order, without newlines.

    Records are lines of a dump, with newlines or without, or its whole text.
    """
    catalogue = catalogue_of(records)
    items = items_of(ia_metadata)
    editions_of, without_work = grouped(catalogue)
    return [
        *(line_of(key, editions_of[key], catalogue, items) for key in sorted(editions_of, key=order_key)),
        *(line_without_work(key, catalogue, items) for key in without_work),
    ]


def counts_of(records: Iterable[bytes] | bytes) -> dict[str, int]:
    """Return the numbers of works, editions, missing works that editions name, editions without a work, and lines."""
    catalogue = catalogue_of(records)
    editions_of, without_work = grouped(catalogue)
    return {
        "works": len(catalogue.works),
        "editions": len(catalogue.editions),
        "missing_works": len(editions_of.keys() - catalogue.works.keys()),
        "editions_without_work": len(without_work),
        "lines": len(editions_of) + len(without_work),
    }


# Inputs


def catalogue_of(records: Iterable[bytes] | bytes) -> Catalogue:
    """Return the works, editions, authors and redirects among the records."""
    if isinstance(records, bytes):
        records = records.split(b"\n")
    catalogue = Catalogue({}, {}, {}, {})
    part_of_type = {
        b"/type/work": catalogue.works,
        b"/type/edition": catalogue.editions,
        b"/type/author": catalogue.authors,
        b"/type/redirect": catalogue.redirects,
    }
    for record in records:
        type_key, _, _ = record.partition(b"\t")
        if type_key in part_of_type:
            _, key, _, _, text = record.removesuffix(b"\n").split(b"\t")
            document = parsed(text.decode("ascii"))
            assert isinstance(document, dict)
            part_of_type[type_key][key] = document
    return catalogue


def items_of(ia_metadata: bytes) -> Items:
    """Return the IA metadata by identifier."""
    items: Items = {}
    for line in ia_metadata.split(b"\n"):
        if line:
            identifier, boxid, collection = line.split(b"\t")
            items.setdefault(unescaped(identifier), Item(values_of(boxid), values_of(collection)))
    return items


def values_of(field: bytes) -> list[str]:
    """Return the values in a column of the IA metadata."""
    if field in {b"", NULL}:
        return []
    return unescaped(field).decode("utf-8").split(";")


# Editions of each work


def grouped(catalogue: Catalogue) -> tuple[dict[bytes, list[bytes]], list[bytes]]:
    """Return the editions of each work, existing or missing, and the editions without a work; all in key order."""
    editions_of: dict[bytes, list[bytes]] = {key: [] for key in catalogue.works}
    without_work = []
    for key in sorted(catalogue.editions, key=order_key):
        work = work_of(catalogue.editions[key])
        if work is None:
            without_work.append(key)
        else:
            editions_of.setdefault(work, []).append(key)
    return editions_of, without_work


def work_of(edition: Document) -> bytes | None:
    """Return the key column of the edition's work; None if it has none."""
    works = edition.get("works")
    if not isinstance(works, list) or not works or not isinstance(works[0], dict):
        return None
    key = works[0].get("key")
    return column(key) if isinstance(key, str) else None


# Lines


def line_of(key: bytes, editions: list[bytes], catalogue: Catalogue, items: Items) -> bytes:
    """Return the line of a work, existing or missing, with these editions."""
    work = catalogue.works.get(key, {})
    return written_line(
        key,
        {
            "work": work,
            "editions": [with_ia_meta(catalogue.editions[edition], items) for edition in editions],
            "authors": authors_of(work, catalogue),
            "ia": ia_of([catalogue.editions[edition] for edition in editions], items),
            "duplicates": duplicates_of([key, *editions], catalogue),
        },
    )


def line_without_work(key: bytes, catalogue: Catalogue, items: Items) -> bytes:
    """Return the line of an edition without a work."""
    edition = catalogue.editions[key]
    return written_line(
        key,
        {
            "work": {},
            "editions": [with_ia_meta(edition, items)],
            "authors": [],
            "ia": ia_of([edition], items),
            "duplicates": duplicates_of([key], catalogue),
        },
    )


def written_line(key: bytes, members: Document) -> bytes:
    """Return the line with this key and JSON."""
    assert tuple(members) == MEMBERS
    return key + b"\t" + written_json(members).encode("ascii")


# IA metadata


def ocaid_of(edition: Document) -> str | None:
    """Return the edition's ocaid; None if it has none."""
    ocaid = edition.get("ocaid")
    return ocaid if isinstance(ocaid, str) and ocaid else None


def item_of(ocaid: str, items: Items) -> Item | None:
    """Return the IA metadata of the ocaid; None if there is none."""
    try:
        return items.get(ocaid.encode("utf-8"))
    except UnicodeEncodeError:  # a lone surrogate
        return None


def with_ia_meta(edition: Document, items: Items) -> Document:
    """Return the edition with the IA metadata of its ocaid."""
    ocaid = ocaid_of(edition)
    if ocaid is None:
        return edition
    item = item_of(ocaid, items)
    if item is None:
        return edition | {"_ia_meta": {"collection": []}}
    return edition | {"_ia_meta": {"boxid": [*item.boxid], "collection": [*item.collection]}}


def ia_of(editions: list[Document], items: Items) -> list[Json]:
    """Return the IA metadata of the editions that have any."""
    found: list[Json] = []
    for edition in editions:
        ocaid = ocaid_of(edition)
        item = None if ocaid is None else item_of(ocaid, items)
        if item is not None:
            found.append({"identifier": ocaid, "boxid": [*item.boxid], "collection": [*item.collection]})
    return found


# Authors and redirects


def authors_of(work: Document, catalogue: Catalogue) -> list[Json]:
    """Return the documents of the work's authors, or their keys where there is no document."""
    roles = work.get("authors")
    keys = (
        [member(role, "author", "key") for role in roles if isinstance(role, dict)] if isinstance(roles, list) else []
    )
    return [author_of(key, catalogue) for key in keys if isinstance(key, str)]


def author_of(named: str, catalogue: Catalogue) -> Document:
    """Return the document of the author with this key, after redirects; if there is none, the key."""
    key, passed = named, set()
    while (location := catalogue.location(key)) is not None:
        if column(key) in passed:
            return {"key": named}
        passed.add(column(key))
        key = location
    return catalogue.authors.get(column(key), {"key": key})


def duplicates_of(keys: list[bytes], catalogue: Catalogue) -> Document:
    """Return, for each of the keys that redirects lead to, all these redirects."""
    duplicates: Document = {}
    for key in keys:
        leading = redirects_to(key, catalogue)
        if leading:
            duplicates[key.decode("utf-8")] = [source.decode("utf-8") for source in leading]
    return duplicates


def redirects_to(key: bytes, catalogue: Catalogue) -> list[bytes]:
    """Return the keys of all redirects that lead to the key, directly or through others, in key order."""
    found: set[bytes] = set()
    open_keys = [key]
    while open_keys:
        leading = set(catalogue.sources.get(open_keys.pop(), [])) - found
        found |= leading
        open_keys += leading
    return sorted(found - {key}, key=order_key)


# Comparing lines


def same_line(a: bytes, b: bytes) -> bool:
    """Whether two lines are equal except for the spelling of their documents.

    These may differ: escapes in strings; numbers (1e5 equals 100000.0, but not 100000, which is an integer, and -0.0
    is not 0.0); and repeated names within an object of work, editions or authors, where the last value counts at the
    place of the first. Everything else must be equal byte by byte: the key, the order of members, the spacing, and
    whether a newline ends the line. A line that breaks the contract equals no line: JSON that is not ASCII, has a
    control character or other spaces, is invalid, or does not have exactly the five members.
    """
    key_a, tab_a, json_a = a.partition(b"\t")
    key_b, tab_b, json_b = b.partition(b"\t")
    if key_a != key_b or not tab_a or not tab_b or json_a.endswith(b"\n") != json_b.endswith(b"\n"):
        return False
    try:
        return respelled(json_a.removesuffix(b"\n")) == respelled(json_b.removesuffix(b"\n"))
    except (ValueError, RecursionError, Reject):
        return False


@dataclass(frozen=True)
class Members:
    """The members of a JSON object as stored: a name may repeat."""

    pairs: list[tuple[str, "Stored"]]


Stored: TypeAlias = "Members | list[Stored] | str | Number | bool | None"


def respelled(line_json: bytes) -> str:
    """Return the JSON of a line in one spelling. Raises ValueError or Reject if it breaks the contract."""
    text = line_json.decode("ascii")
    check_encoding(text)
    line: Stored = json.loads(
        text,
        object_pairs_hook=Members,
        parse_int=lambda digits: Number(digits, is_integer=True),
        parse_float=lambda digits: Number(digits, is_integer=False),
    )
    if not isinstance(line, Members) or tuple(name for name, _ in line.pairs) != MEMBERS:
        raise ValueError(f"wrong members: {text[:80]}")
    return "\n".join(spelled_once(value, names_once=name in {"ia", "duplicates"}) for name, value in line.pairs)


def check_encoding(text: str) -> None:
    """Raise ValueError or Reject unless the text is JSON with ", " and ": ", no other blank and no DEL."""
    parsed(text)  # rejects NaN, Infinity, control characters within strings, and invalid JSON
    tokens = re.sub(r'"[^"\\]*(?:\\.[^"\\]*)*"', '""', text)
    if tokens != re.sub(r"\s", "", tokens).replace(",", ", ").replace(":", ": ") or "\x7f" in text:
        raise ValueError(f"not in the canonical encoding: {text[:80]}")


def spelled_once(value: Stored, *, names_once: bool) -> str:
    """Return the value in one spelling that all equal values share. Raises ValueError if a name repeats."""
    if isinstance(value, Members):
        if names_once and len(dict(value.pairs)) < len(value.pairs):
            raise ValueError(f"a repeated name: {[name for name, _ in value.pairs]}")
        members = dict(value.pairs).items()
        return joined("{}", [f"{json.dumps(name)}: {spelled_once(v, names_once=names_once)}" for name, v in members])
    if isinstance(value, list):
        return joined("[]", [spelled_once(item, names_once=names_once) for item in value])
    if isinstance(value, Number):
        return number_spelled_once(value)
    return json.dumps(value)


def joined(brackets: str, texts: Sequence[str]) -> str:
    """Return the texts within the two brackets."""
    return brackets[0] + ", ".join(texts) + brackets[1]


def number_spelled_once(number: Number) -> str:
    """Return the one spelling that equal numbers share: an integer, or sign, digits, e and a power of ten.

    Exact for any number of digits, unlike a float.
    """
    if number.is_integer:
        return "0" if number.text == "-0" else number.text
    parts = re.fullmatch(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?", number.text)
    assert parts is not None
    sign, whole, fraction, exponent = parts.groups(default="")
    digits = (whole + fraction).lstrip("0")
    power = int(exponent or "0") - len(fraction) + len(digits) - len(digits.rstrip("0"))
    return f"{sign}{digits.rstrip('0')}e{power}" if digits else f"{sign}0e0"
