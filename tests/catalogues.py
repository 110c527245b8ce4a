"""Hypothesis strategies for small inputs of deworks: records of works, editions, authors, redirects, and IA metadata.

Uses nothing of src except the encoding and order of keys, and nothing of the reference implementation.

The records have canonical JSON: ASCII, `", "`, `": "`. There are few keys, so that links often match. Contents are
legal but often odd: strings with lone surrogates, escapes and numbers that json.dumps would write differently, repeated
member names, values of the wrong type in place of links.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from oldump.records.copytext import escaped
from oldump.records.keys import order_key
from oldump.records.record import column


@dataclass(frozen=True)
class Catalogue:
    """The inputs of deworks."""

    records: list[bytes]
    """In the order of the dump, part after part, each with its newline."""
    ia_metadata: bytes
    """Sorted by identifier, bytewise."""


# Values


class Verbatim(str):
    """JSON text written unchanged: a number in one of its spellings."""


@dataclass(frozen=True)
class Members:
    """The members of an object, in which a name may repeat."""

    pairs: tuple[tuple[str, "Value"], ...] = ()

    def __add__(self, other: "Members") -> "Members":
        """Return these members followed by the others."""
        return Members(self.pairs + other.pairs)


Value: TypeAlias = "Members | list[Value] | str | Verbatim | bool | None"
Spelling: TypeAlias = Callable[[str], str]


def object_of(**members: Value) -> Members:
    """Return an object with distinct member names."""
    return Members(tuple(members.items()))


def written(value: Value, spelling: Spelling) -> str:
    """Return the value's JSON text in canonical encoding."""
    if isinstance(value, Members):
        pairs = [f"{written(name, spelling)}: {written(inner, spelling)}" for name, inner in value.pairs]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join([written(item, spelling) for item in value]) + "]"
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(map(spelling, value)) + '"'
    return json.dumps(value)


def plainly(character: str) -> str:
    """Return the string as the dumps write it: as json.dumps does, with DEL escaped too."""
    return "\\u007f" if character == "\x7f" else json.dumps(character)[1:-1]


def in_upper_case(character: str) -> str:
    """Return the string with capital letters in its escapes."""
    spelled = plainly(character)
    return spelled.upper().replace("\\U", "\\u") if spelled.startswith("\\u") else spelled


def with_escaped_slashes(character: str) -> str:
    """Return the string with a backslash before each slash."""
    return "\\/" if character == "/" else plainly(character)


def all_escaped(character: str) -> str:
    """Return the string with every UTF-16 code unit escaped."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


SPELLINGS = (plainly, in_upper_case, with_escaped_slashes, all_escaped)

# Keys: first those that records may have; then other strings with the same columns; then some that no record has.

WORKS = ("/works/OL1W", "/works/OL9W", "/works/OL10W", "/works/OL9\ud83dW", "/works/caf\u00e9", "/works/a\tb")
EDITIONS = ("/books/OL1M", "/books/OL9M", "/books/OL10M", "/books/ia:foo00bar", "/books/\ude00", "/books/a\x85b")
AUTHORS = ("/authors/OL1A", "/authors/OL2A", "/authors/OL10A", "/authors/\u8a9e", "/authors/a\nb")
ELSEWHERE = ("/languages/eng", "/old-works/OL1W", "/works", "/works/OL1W-DUP")
SAME_COLUMNS = ("/works/a\\tb", "/books/a\\u0085b", "/authors/a\\nb", "/works/OL9\\ud83dW")
NOWHERE = (
    "/works/OL404W",
    "/authors/OL404A",
    "/books/OL404M",
    "OL1W",
    "",
    "/works/OL1M",
    "/works/\x7f\u2028",
    "\ud83d",
)

PARTS = ("authors", "deletes", "editions", "lists", "other", "redirects", "works")
PART_OF_TYPE = {
    "/type/author": "authors",
    "/type/delete": "deletes",
    "/type/edition": "editions",
    "/type/list": "lists",
    "/type/redirect": "redirects",
    "/type/work": "works",
}
TYPES = (*PART_OF_TYPE, "/type/page")

_usual_types = {
    **dict.fromkeys(WORKS, "/type/work"),
    **dict.fromkeys(EDITIONS, "/type/edition"),
    **dict.fromkeys(AUTHORS, "/type/author"),
    **dict.fromkeys(ELSEWHERE, "/type/page"),
}
_stored_keys = tuple(_usual_types)


# Strategies


def _one_in(draw: st.DrawFn, chances: int) -> bool:
    """Return True once in this many draws."""
    return draw(st.sampled_from((False,) * (chances - 1) + (True,)))


@st.composite
def _mostly(draw: st.DrawFn, usual: SearchStrategy[Value], odd: SearchStrategy[Value], chances: int = 6) -> Value:
    """Return mostly common values, and an odd one once in this many: st.one_of would weigh all alike."""
    return draw(odd if _one_in(draw, chances) else usual)


def _links(usual: tuple[str, ...]) -> SearchStrategy[Value]:
    """Return a key to link to, most often a common one."""
    return _mostly(st.sampled_from(usual[:3] + usual), st.sampled_from(_stored_keys + SAME_COLUMNS + NOWHERE))


# The IA metadata

_IDENTIFIERS = ("scan00a", "Scan00a", "scan00b", "caf\u00e9", "a\\b", "a\tb", "\U0001f600", "\uffff", "N", "a;b")
_OCAIDS = (*_IDENTIFIERS, "noscan00", "\ud83d", "a\\\\b", "\\N", " scan00a", "")
_values = st.lists(st.sampled_from(("IA1", "Boston", "", " ", "caf\u00e9", "a\\b", "a\tb", '"', "\x7f")), max_size=3)


@st.composite
def ia_metadata(draw: st.DrawFn) -> bytes:
    """Return lines of COPY text, sorted by identifier; some identifiers have two lines."""
    at_least = draw(st.sampled_from((0, 8)))
    rows = draw(st.lists(st.tuples(st.sampled_from(_IDENTIFIERS), _values, _values), min_size=at_least, max_size=12))
    rows.sort(key=lambda row: row[0].encode())
    return b"".join(
        b"\t".join(map(_field, (name, ";".join(boxes), ";".join(sets)))) + b"\n" for name, boxes, sets in rows
    )


def _field(text: str) -> bytes:
    return escaped(text.encode())


# Documents

_numbers = st.sampled_from(("0", "-0", "1.50", "1e5", "1E+5", "1e400", "18446744073709551616", "9" * 70)).map(Verbatim)
_texts = st.lists(
    st.sampled_from(
        ("a", '"', "\\", ", ", ": ", "\u00e9", "\U0001f600", "\ud83d", "\ude00", "\t", "\x00", "\x7f", "{", "}")
    ),
    max_size=3,
).map("".join)
_no_links: SearchStrategy[Value] = st.one_of(
    st.none(), st.booleans(), _numbers, _texts, st.just([]), st.just(Members()), st.just([[]]), st.just([Members()])
)
"""Values in place of a link."""
_filling: SearchStrategy[Value] = st.one_of(
    _numbers,
    _texts,
    st.lists(_texts | _numbers, max_size=2).map(list),
    st.builds(lambda text, number: object_of(type="/type/text", value=text, n=[number]), _texts, _numbers),
    st.builds(lambda key: object_of(key=key), st.sampled_from(_stored_keys)),
)


@st.composite
def _mixed(draw: st.DrawFn, members: Members, names: SearchStrategy[str], others: SearchStrategy[Value]) -> Members:
    """Return the members, sometimes with a repeated name before or after them."""
    if not _one_in(draw, 10):
        return members
    other = Members(((draw(names), draw(others)),))
    return other + members if draw(st.booleans()) else members + other


def _twice(member_name: str, links: SearchStrategy[Value]) -> SearchStrategy[Value]:
    """Return an object with this member, which may repeat or have another type."""
    members = st.builds(lambda link: Members(((member_name, link),)), links)
    return members.flatmap(lambda once: _mixed(once, st.sampled_from((member_name, "x")), links | _no_links))


def _key_objects(usual: tuple[str, ...]) -> SearchStrategy[Value]:
    return _twice("key", _links(usual))


def _roles() -> SearchStrategy[Value]:
    """Return a work's authors: mostly roles, but also values that the old script fails on."""
    role = _twice("author", _key_objects(AUTHORS))
    typed = st.builds(lambda author: object_of(type="/type/author_role", author=author), _key_objects(AUTHORS))
    unlike = st.one_of(
        st.builds(lambda key: object_of(author=key), _links(AUTHORS)), _key_objects(AUTHORS), _links(AUTHORS), _no_links
    )
    return _mostly(role | typed, unlike, 4)


def _lists(items: SearchStrategy[Value], most: int) -> SearchStrategy[Value]:
    """Return a list, rarely empty."""
    return st.lists(items, min_size=1, max_size=most).map(list)


def _own_members(key: str, type_key: str) -> dict[str, SearchStrategy[Value]]:
    """Return the members that deworks reads in documents of this type.

    Most redirects lead to keys of their own kind.
    """
    if type_key == "/type/work":
        return {"authors": _mostly(_lists(_roles(), 4), _no_links)}
    if type_key == "/type/edition":
        return {
            "works": _mostly(_lists(_mostly(_key_objects(WORKS), _no_links, 12), 2), _no_links),
            "ocaid": _mostly(st.sampled_from(_OCAIDS), _no_links),
        }
    if type_key == "/type/redirect":
        family = next((family for family in (WORKS, EDITIONS, AUTHORS) if key in family), WORKS)
        return {"location": _mostly(_links(family), _no_links, 10)}
    return {}


_other_names = st.sampled_from(
    ("title", "subjects", "t\u00eftle", "", "authors", "works", "ocaid", "location", "_ia_meta", "x")
)


@st.composite
def _documents(draw: st.DrawFn, key: str, type_key: str) -> Members:
    """Return a document of this key and type, its members in any order."""
    own = _own_members(key, type_key)
    pairs: list[tuple[str, Value]] = [
        ("key", key),
        ("type", object_of(key=type_key)),
        ("revision", Verbatim("1")),
        ("last_modified", object_of(type="/type/datetime", value="2010-01-01T00:00:00")),
    ]
    pairs += [(name, draw(values)) for name, values in own.items() if not _one_in(draw, 8)]
    taken = {name for name, _ in pairs}
    pairs += [(name, draw(_filling)) for name in draw(st.sets(_other_names, max_size=2)) if name not in taken]
    document = Members(tuple(draw(st.permutations(pairs))))
    # In some documents a name repeats, most often one that deworks reads.
    return draw(_mixed(document, st.sampled_from((*own, "_ia_meta", "x")), st.one_of(_no_links, *own.values())))


# Catalogues


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    """Return up to 21 records with distinct keys, and up to 12 lines of IA metadata."""
    # Sets are small by default, and then few links match.
    at_least = draw(st.sampled_from((0, 8, 16)))
    keys = draw(st.sets(st.sampled_from(_stored_keys), min_size=at_least))
    records: dict[str, list[bytes]] = {part: [] for part in PARTS}
    for key in sorted(keys, key=lambda key: order_key(column(key))):
        # Most records have the type that their keys suggest, many are redirects, a few have any type.
        usual = _usual_types[key]
        type_key = draw(st.sampled_from(TYPES if _one_in(draw, 10) else (usual, usual, usual, "/type/redirect")))
        document = draw(_documents(key, type_key))
        records[PART_OF_TYPE.get(type_key, "other")].append(
            _record(key, type_key, document, draw(st.sampled_from(SPELLINGS)))
        )
    return Catalogue([record for part in PARTS for record in records[part]], draw(ia_metadata()))


def _record(key: str, type_key: str, document: Members, spelling: Spelling) -> bytes:
    columns = (column(type_key), column(key), b"1", b"2010-01-01T00:00:00", written(document, spelling).encode("ascii"))
    return b"\t".join(columns) + b"\n"
