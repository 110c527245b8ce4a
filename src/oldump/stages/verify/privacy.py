r"""What may not be in a public file, said again: verify does not ask the rule that the dumps were made with.

Three questions about a record, answered from its columns and its document:

- Is it a page that is withheld? A person's page, by key or by type; the administration's; what is obsolete.
- Is it after the cutoff?
- Does it hold what belongs to an account? Accounts lie in a store of their own, never among the documents. If one is
  here, by whatever accident, it shows a member that no page has: docs/decisions/0014-account-documents.md.

Does not: read JSON.
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
"""Without one of these, or a salted hash, no text holds what belongs to an account."""
SALTED_HASH_END = re.compile(rb'\$[0-9a-f]{32}"')

PRIVATE_MARKS = (b"\t/people/", b"\t/admin/", b"\t/scan", b"\t/old/")
"""Without one of these, where every key starts with a slash and no type is PRIVATE_TYPE, nothing is withheld."""
PRIVATE_TYPE = "/type/user"


def why_withheld(type_key: str, key: str) -> str | None:
    """Why a document of this type and key may not be published; None if it may."""
    if type_key == PRIVATE_TYPE:
        return "a document of type /type/user"
    first, *rest = key.split("/")
    if first or not rest:
        return "its key does not start with /"
    match rest[0]:
        case "people" if len(rest) > 1 and not _is_list(rest):
            return "a person's page that is no list"
        case "admin" if len(rest) > 1:
            return "a page of the administration"
        case "old" if len(rest) > 1:
            return "an obsolete page"
    return "an obsolete page" if rest[0].startswith("scan") else None


def _is_list(path: list[str]) -> bool:
    """Whether people/NAME/lists/OL<digits>L, split at slashes, is a list."""
    if len(path) != 4:
        return False
    _, name, lists, olid = path
    return bool(name) and lists == "lists" and _NAME_OF_LIST.fullmatch(olid) is not None


def first_day_after(day: date) -> str:
    """The day behind the cutoff: a last_modified that is not less, as text, is after the cutoff."""
    return "\U0010ffff" if day == date.max else str(day + timedelta(days=1))


def what_of_an_account(document: dict[str, Any], type_key: str) -> str | None:
    """What the document holds that belongs to an account; None if there is nothing. Numbers as they are spelled."""
    for value in values_in(document):
        if isinstance(value, dict):
            if (told := _told_of_members(value, type_key)) is not None:
                return told
        elif is_text(value) and _SALTED_HASH.fullmatch(value):
            return "what looks like a password's hash"
    return None


def _told_of_members(members: dict[str, Any], type_key: str) -> str | None:
    """What one object of a document has that belongs to an account, by the names of its members."""
    found = ACCOUNT_MEMBERS.intersection(members)
    if found:
        return f"a member {min(found)}"
    if is_text(members.get("_key")) and members["_key"].startswith(_ACCOUNT_KEYS):
        return "a member _key, as in the store of accounts"
    if is_text(members.get("email")) and "@" in members["email"] and type_key != _HAS_PUBLIC_ADDRESS:
        return "an e-mail address in a member email"
    return None
