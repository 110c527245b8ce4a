"""What is left out of the dumps on purpose, and why.

Does not: read JSON. Everything here looks at the four columns of a record that is already in today's spelling.
"""

import re
from datetime import date, timedelta
from enum import StrEnum

PRIVATE_PREFIX = "/people/"
PUBLIC_PART = "/lists/"
"""What every public key with that prefix contains."""
_LIST = re.compile(PRIVATE_PREFIX + r"[^/]+" + PUBLIC_PART + r"OL[0-9]+L", re.DOTALL)


class Drop(StrEnum):
    """A reason to leave a row out; its value is its name in the manifest."""

    PRIVATE = "private_page"
    ADMIN = "admin_page"
    OBSOLETE = "obsolete_page"
    AFTER_CUTOFF = "after_cutoff"


def reason_to_drop(key: str, type_key: str, last_modified: str, cutoff: str) -> Drop | None:
    """The first reason that holds, None for a record that is published. cutoff: see first_text_after."""
    if is_private(key, type_key):
        return Drop.PRIVATE
    if key.startswith("/admin/"):
        return Drop.ADMIN
    if key.startswith(("/scan", "/old/")) or not key.startswith("/"):
        return Drop.OBSOLETE
    if last_modified >= cutoff:
        return Drop.AFTER_CUTOFF
    return None


def is_private(key: str, type_key: str) -> bool:
    """Whether the page is a person's own. Lists are public, but never a /type/user document, whatever its key."""
    if type_key == "/type/user":
        return True
    return key.startswith(PRIVATE_PREFIX) and _LIST.fullmatch(key) is None


def first_text_after(day: date | None) -> str:
    """The first last_modified (as text) after the day, so that `text >= it` says: after the cutoff. None: no cutoff."""
    return "\U0010ffff" if day in (None, date.max) else (day + timedelta(days=1)).isoformat()
