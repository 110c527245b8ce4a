"""The kinds of documents, their shares, and how the numbers of one kind relate to those of another.

Numbers are dense per kind and grow in order of creation, so the number of works that exist when an
edition is created follows from the edition's own number, and with it the work that it belongs to.
"""

from typing import Final

from oldump.synth.dice import mixed

EDITION: Final = 0
WORK: Final = 1
AUTHOR: Final = 2
ACCOUNT: Final = 3
LIST: Final = 4
SUBJECT: Final = 5
SITE: Final = 6
ADMIN: Final = 7
OBSOLETE: Final = 8

SHARES: Final = (455, 333, 124, 55, 8, 10, 5, 3, 7)
"""Documents of each kind per thousand."""

PAGES_OF_ACCOUNT: Final = 4

_POPULAR_EVERY = 1024
_NOWHERE = 40_000_000
"""Added to a number to name a document that does not exist."""


def work_of_edition(edition: int, die: int) -> int:
    """Return the number of the edition's work: mostly recent, some popular, a few nonexistent."""
    newest = edition * SHARES[WORK] // SHARES[EDITION]
    if die < 1_300:
        return newest // _POPULAR_EVERY * _POPULAR_EVERY + 1
    if die > 65_300:
        return newest + _NOWHERE
    return _earlier(newest, die)


def author_of_work(work: int, place: int = 0) -> int:
    """Return the number of the work's author, or of a second one at `place` 1; one in 127 does not exist."""
    newest = work * SHARES[AUTHOR] // SHARES[WORK]
    chance = (work + place) * 40_503 >> 4
    if chance % 127 == 0:
        return newest + _NOWHERE
    return _earlier(newest, chance & 0xFFFF)


def account_of_list(number: int) -> int:
    """Return the number of the account that owns a list."""
    newest = number * SHARES[ACCOUNT] // (SHARES[LIST] * PAGES_OF_ACCOUNT)
    return _earlier(newest, mixed(number) & 0xFFFF)


def _earlier(newest: int, die: int) -> int:
    """Return a number between three quarters of `newest` and `newest`, near ones more often; at least 1."""
    return newest - (newest * (die * die >> 16) >> 18) or 1
