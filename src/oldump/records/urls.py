"""URLs and titles of documents' pages on Open Library's site.

The path is the one that the site uses: the key, a slash, and the *slug*, which is the title without characters that are
unsafe in a URL (RFC 2396). Source: urlsafe and get_url_suffix of openlibrary/core.

This module does not know which documents have pages (see oldump.stages.sitemaps).
"""

import re
from datetime import datetime
from urllib.parse import quote

from oldump.records.record import CONTROLS, FURTHER_CONTROLS

UNTITLED = {
    b"/type/author": "unnamed",
    b"/type/edition": "untitled",
    b"/type/list": "unnamed",
    b"/type/work": "untitled",
}
"""The types whose pages have a slug, and the site's slug for a page without a title."""
MOST_SLUG_CHARACTERS = 100

_RESERVED, _DELIMITERS, _UNWISE = ";/?:@&=+$,", '<>#%"', "{}|\\^[]`"
_UNSAFE = re.compile(f"[{re.escape(_RESERVED + _DELIMITERS + _UNWISE)} {CONTROLS}{FURTHER_CONTROLS}\ud800-\udfff]+")
_CONTROLS = re.compile(f"[{CONTROLS}{FURTHER_CONTROLS}]")
# Surrogates, U+FFFE and U+FFFF of each plane, and U+FDD0 to U+FDEF: not allowed in HTML or XML.
_NONCHARACTERS = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane | 0xFFFE)}{chr(plane | 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_.~-]*")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?Z?", re.ASCII)


def slug(title: str) -> str:
    """Return the part of the path after the key: at most 100 characters, all safe in a path and in a column."""
    return _UNSAFE.sub("_", title).strip("_")[:MOST_SLUG_CHARACTERS]


def shown(title: str) -> str:
    """Return the title for a column or a page: control characters become spaces, noncharacters U+FFFD."""
    if title.isprintable():
        return title
    return _NONCHARACTERS.sub("\ufffd", _CONTROLS.sub(" ", title))


def encoded(path: str) -> str:
    """Return the path percent-encoded: letters, digits and -._~/ are kept."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    return quote(path, errors="replace")


def moment(last_modified: str) -> str:
    """Return the time to the second as sitemaps write it (W3C datetime, UTC); empty if it is not a valid time."""
    match = _MOMENT.fullmatch(last_modified)
    if match is None:
        return ""
    text = f"{match[1]}T{match[2]}"
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ""
    return f"{text}Z"
