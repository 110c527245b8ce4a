r"""Rules for what a public file must not contain, written independently of those that make the dumps.

Checked of a record, from its columns and its document:

- Is it a page that is withheld: a person's page, by key or type, an administration page, or an obsolete page?
- Is it newer than the cutoff?
- Does it contain account data? Accounts are stored apart from documents. If one gets among them by accident, it has a
  member that no page has: docs/decisions/0014-account-documents.md.

Does not: parse JSON.
"""

import re
from datetime import date, timedelta
from typing import Any

from oldump.records.document import is_text, values_in

_NAME_OF_LIST = re.compile(r"OL[0-9]+L")

ACCOUNT_MEMBERS = frozenset({"enc_password", "lusername"})
"""Members that only account documents have, at any depth."""
_ACCOUNT_KEYS = ("account/", "account-email/")
_SALTED_HASH = re.compile(r"[0-9a-f]{5}\$[0-9a-f]{32}")
_HAS_PUBLIC_ADDRESS = "/type/library"

ACCOUNT_MARKS = (b'"enc_password"', b'"lusername"', b'"_key"', b'"email"')
"""Text without any of these and without a salted hash contains no account data."""
SALTED_HASH_END = re.compile(rb'\$[0-9a-f]{32}"')

PRIVATE_MARKS = (b"\t/people/", b"\t/admin/", b"\t/scan", b"\t/old/")
"""Text without any of these is public if every key starts with a slash and no type is PRIVATE_TYPE."""
PRIVATE_TYPE = "/type/user"


def reason_withheld(type_key: str, key: str) -> str | None:
    """Return why a document of this type and key must not be published; None if it may be."""
    if type_key == PRIVATE_TYPE:
        return "a document of type /type/user"
    first, *rest = key.split("/")
    if first or not rest:
        return "its key does not start with /"
    match rest[0]:
        case "people" if len(rest) > 1 and not _is_list(rest):
            return "a person's page that is not a list"
        case "admin" if len(rest) > 1:
            return "an administration page"
        case "old" if len(rest) > 1:
            return "an obsolete page"
    return "an obsolete page" if rest[0].startswith("scan") else None


def _is_list(path: list[str]) -> bool:
    """Whether the path, split at slashes, is people/NAME/lists/OL<digits>L."""
    if len(path) != 4:
        return False
    _, name, lists, olid = path
    return bool(name) and lists == "lists" and _NAME_OF_LIST.fullmatch(olid) is not None


def first_day_after(day: date) -> str:
    """Return the day after the cutoff. A last_modified that is not less, compared as text, is after the cutoff."""
    return "\U0010ffff" if day == date.max else str(day + timedelta(days=1))


def account_data_in(document: dict[str, Any], type_key: str) -> str | None:
    """Return a description of the account data in a document; None if there is none."""
    for value in values_in(document):
        if isinstance(value, dict):
            if (found := _account_members(value, type_key)) is not None:
                return found
        elif is_text(value) and _SALTED_HASH.fullmatch(value):
            return "a string that looks like a password hash"
    return None


def _account_members(members: dict[str, Any], type_key: str) -> str | None:
    found = ACCOUNT_MEMBERS.intersection(members)
    if found:
        return f"a member {min(found)}"
    if is_text(members.get("_key")) and members["_key"].startswith(_ACCOUNT_KEYS):
        return "a member _key, as account documents have"
    if is_text(members.get("email")) and "@" in members["email"] and type_key != _HAS_PUBLIC_ADDRESS:
        return "an e-mail address in a member email"
    return None
