"""Links between documents: an edition's work and archive item, a work's authors, a redirect's location.

Keys are returned as the document spells them. This module does not follow redirects.
"""

from typing import Any, NamedTuple

import msgspec

from oldump.records.document import is_text, parsed


class _LinkMembers(msgspec.Struct, gc=False):
    """The members that hold links. The decoder skips all others."""

    works: Any = None
    authors: Any = None
    ocaid: Any = None
    location: Any = None


_decode = msgspec.json.Decoder(_LinkMembers).decode


class EditionLinks(NamedTuple):
    """The links of an edition."""

    work: str | None
    """The key of its first work."""
    ocaid: str | None
    """The identifier of its scan at the Internet Archive."""


def edition_links(text: bytes) -> EditionLinks:
    """Return the links in an edition's document."""
    members = _members(text)
    first = members.works[0] if isinstance(members.works, list) and members.works else None
    ocaid = members.ocaid if is_text(members.ocaid) and members.ocaid else None
    return EditionLinks(_key(first), ocaid)


def author_keys(text: bytes) -> list[str]:
    """Return the keys of a work's authors, in the document's order."""
    authors = _members(text).authors
    if not isinstance(authors, list):
        return []
    keys = [_key(role.get("author")) for role in authors if isinstance(role, dict)]
    return [key for key in keys if key is not None]


def location_of(text: bytes) -> str | None:
    """Return the key that a redirect's document points to; None if it has no string `location`."""
    location = _members(text).location
    return location if is_text(location) else None


def _key(value: object) -> str | None:
    key = value.get("key") if isinstance(value, dict) else None
    return key if is_text(key) else None


def _members(text: bytes) -> _LinkMembers:
    try:
        return _decode(text)
    except (msgspec.DecodeError, RecursionError):  # lone surrogates, huge numbers and deep nesting are legal
        document = parsed(text)
        return _LinkMembers(**{name: document.get(name) for name in ("works", "authors", "ocaid", "location")})
