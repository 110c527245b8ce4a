"""What documents of the dumps say of each other: the work of an edition, its archive item, authors, redirects.

Keys are given as they are spelled in a document. Does not: look up where they lead.
"""

from typing import Any, NamedTuple

import msgspec

from oldump.records.document import is_text, parsed


class _LinkMembers(msgspec.Struct, gc=False):
    """The members that link; the decoder passes over the rest."""

    works: Any = None
    authors: Any = None
    ocaid: Any = None
    location: Any = None


_decode = msgspec.json.Decoder(_LinkMembers).decode


class EditionLinks(NamedTuple):
    """Where an edition leads."""

    work: str | None
    """The key of the first of its works."""
    ocaid: str | None
    """The archive's identifier of its scan."""


def edition_links(text: bytes) -> EditionLinks:
    """The links of an edition's document."""
    members = _members(text)
    first = members.works[0] if isinstance(members.works, list) and members.works else None
    ocaid = members.ocaid if is_text(members.ocaid) and members.ocaid else None
    return EditionLinks(_key(first), ocaid)


def author_keys(text: bytes) -> list[str]:
    """The keys of the authors that a work's document names, in order."""
    authors = _members(text).authors
    if not isinstance(authors, list):
        return []
    keys = [_key(role.get("author")) for role in authors if isinstance(role, dict)]
    return [key for key in keys if key is not None]


def location_of(text: bytes) -> str | None:
    """The key that a redirect's document leads to."""
    location = _members(text).location
    return location if is_text(location) else None


def _key(value: object) -> str | None:
    key = value.get("key") if isinstance(value, dict) else None
    return key if is_text(key) else None


def _members(text: bytes) -> _LinkMembers:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):  # lone surrogates, numbers beyond a float, deep nesting: all legal
        document = parsed(text)
        return _LinkMembers(**{name: document.get(name) for name in ("works", "authors", "ocaid", "location")})
