"""Where a document's page is on Open Library's site, and what the page is called.

The path is that of the site itself: the key, a slash, and the *slug*, the title without what is unsafe in a URL
(RFC 2396). Source: urlsafe and get_url_suffix of openlibrary/core.

Does not: know which documents have pages (see oldump.stages.sitemaps).
"""

import re
from datetime import datetime
from urllib.parse import quote

from oldump.records.record import CONTROLS, FURTHER_CONTROLS

UNTITLED = {b"/type/author": "unnamed", b"/type/edition": "untitled", b"/type/work": "untitled"}
"""The types whose pages have a slug, and what the site calls one without a title."""
MOST_SLUG_CHARACTERS = 100

_RESERVED, _DELIMITERS, _UNWISE = ";/?:@&=+$,", '<>#%"', "{}|\\^[]`"
_UNSAFE = re.compile(f"[{re.escape(_RESERVED + _DELIMITERS + _UNWISE)} {CONTROLS}{FURTHER_CONTROLS}\ud800-\udfff]+")
_CONTROLS = re.compile(f"[{CONTROLS}{FURTHER_CONTROLS}]")
# U+FFFE and U+FFFF of each plane, and U+FDD0 to U+FDEF: neither HTML nor XML may contain them.
_NO_CHARACTERS = re.compile(
    "[\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane | 0xFFFE)}{chr(plane | 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
_PLAIN_PATH = re.compile(r"[A-Za-z0-9/_.~-]*")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]+)?Z?", re.ASCII)


def slug(title: str) -> str:
    """What stands behind the key: no more than 100 characters, none of which is unsafe in a path or in a column."""
    return _UNSAFE.sub("_", title).strip("_")[:MOST_SLUG_CHARACTERS]


def shown(title: str) -> str:
    """The title as it may stand in a column and in a page: a space for a control character, U+FFFD for no character."""
    if title.isprintable():
        return title
    return _NO_CHARACTERS.sub("\ufffd", _CONTROLS.sub(" ", title))


def encoded(path: str) -> str:
    """The path, percent-encoded: letters, digits and -._~/ remain."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    return quote(path, errors="replace")


def moment(last_modified: str) -> str:
    """The second, as sitemaps write it (W3C datetime, UTC); empty if it is none that exists."""
    match = _MOMENT.fullmatch(last_modified)
    if match is None:
        return ""
    text = f"{match[1]}T{match[2]}"
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ""
    return f"{text}Z"
