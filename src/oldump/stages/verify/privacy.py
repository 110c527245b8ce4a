r"""Rules for what a public file must not contain, written independently of those that make the dumps.

Checked of a record, from its columns and its document:

- Is it a page that is withheld: a person's page, by key or type, an administration page, or an obsolete page?
- Is it newer than the cutoff?
- Does it contain account data? Accounts are stored apart from documents. What looks like their data is a problem in an
  account's document, and elsewhere something to count, because editors can write it into any document:
  docs/decisions/0014-account-documents.md.

Does not: parse JSON.
"""

import re
from datetime import date, timedelta
from typing import Any, NamedTuple

from oldump.records.document import is_text, values_in

_NAME_OF_LIST = re.compile(r"OL[0-9]+L")

ACCOUNT_TYPES = frozenset({"/type/account", "/type/account-email"})
"""The types that account documents would have. /type/user is private in any case."""
ACCOUNT_MEMBERS = frozenset({"enc_password", "lusername"})
"""Members that only account documents have, at any depth."""
_ACCOUNT_KEYS = ("account/", "account-email/")
_LEAST_MARKS = 2
"""So many marks make an object an account's."""
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


class AccountData(NamedTuple):
    """What looks like account data in a document."""

    what: str
    is_of_an_account: bool
    """Whether it is in an account's document, so that it must not be published."""


def account_data_in(document: dict[str, Any], type_key: str, key: str) -> AccountData | None:
    """Return the first that looks like account data in a document, an account's object first; None without any."""
    is_account = type_key in {PRIVATE_TYPE, *ACCOUNT_TYPES} or (
        key.startswith("/people/") and reason_withheld(type_key, key) is not None
    )
    what: str | None = None
    for value in values_in(document):
        found: str | None = None
        if isinstance(value, dict):
            if _is_account(value):
                return AccountData("an account's members", is_of_an_account=True)
            found = _account_members(value, type_key)
        elif is_text(value) and _SALTED_HASH.fullmatch(value):
            found = "a string that looks like a password hash"
        what = what or found
    return None if what is None else AccountData(what, is_account)


def _is_account(members: dict[str, Any]) -> bool:
    """Whether an object is an account's, of the store or without its key: one mark alone can be an editor's."""
    password: Any = members.get("enc_password")
    key: Any = members.get("_key")
    marks: tuple[bool, ...] = (
        "enc_password" in members,
        is_text(password) and _SALTED_HASH.fullmatch(password) is not None,
        "lusername" in members,
        is_text(key) and key.startswith(_ACCOUNT_KEYS),
        members.get("type") in ("account", "account-email"),
    )
    return sum(marks) >= _LEAST_MARKS


def _account_members(members: dict[str, Any], type_key: str) -> str | None:
    found = ACCOUNT_MEMBERS.intersection(members)
    if found:
        return f"a member {min(found)}"
    if is_text(members.get("_key")) and members["_key"].startswith(_ACCOUNT_KEYS):
        return "a member _key, as account documents have"
    if is_text(members.get("email")) and "@" in members["email"] and type_key != _HAS_PUBLIC_ADDRESS:
        return "an e-mail address in a member email"
    return None
