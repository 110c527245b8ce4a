"""Drops: which records are left out of the dumps on purpose, and why.

The rules read a record's first four columns, after old keys were rewritten. This module does not read JSON.
"""

import re
from collections.abc import Container
from datetime import date, timedelta
from enum import StrEnum, auto

PRIVATE_PREFIX = "/people/"
PUBLIC_PART = "/lists/"
"""Every public key with PRIVATE_PREFIX contains this."""
_LIST = re.compile(PRIVATE_PREFIX + r"[^/]+" + PUBLIC_PART + r"OL[0-9]+L", re.DOTALL)


class Drop(StrEnum):
    """A reason to drop a row. Its lower-case name is used in the manifest."""

    PRIVATE_PAGE = auto()
    ADMIN_PAGE = auto()
    OBSOLETE_PAGE = auto()
    WITHHELD = auto()
    AFTER_CUTOFF = auto()


def reason_to_drop(
    key: str, type_key: str, last_modified: str, cutoff: str, withheld: Container[str] = ()
) -> Drop | None:
    """Return the first reason that applies; None if the record is published.

    cutoff: from first_text_after. withheld: the keys that the operator withholds.
    """
    if is_private(key, type_key):
        return Drop.PRIVATE_PAGE
    if key.startswith("/admin/"):
        return Drop.ADMIN_PAGE
    if key.startswith(("/scan", "/old/")) or not key.startswith("/"):
        return Drop.OBSOLETE_PAGE
    if key in withheld:
        return Drop.WITHHELD
    if last_modified >= cutoff:
        return Drop.AFTER_CUTOFF
    return None


def is_private(key: str, type_key: str) -> bool:
    """Whether the page is private: any /type/user document, and any key under /people/ that is not a list's."""
    if type_key == "/type/user":
        return True
    return key.startswith(PRIVATE_PREFIX) and _LIST.fullmatch(key) is None


def first_text_after(day: date | None) -> str:
    """Return the smallest last_modified text after the day: records at or above it are after the cutoff.

    day: None for no cutoff.
    """
    return "\U0010ffff" if day in (None, date.max) else (day + timedelta(days=1)).isoformat()
