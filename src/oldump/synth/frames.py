"""What every row contains: datetimes, key prefixes and counters, in the style of their time."""

from collections.abc import Callable
from datetime import date, timedelta
from operator import itemgetter
from random import Random
from typing import NamedTuple

_DAY_S = 86_400
_START = date(2008, 4, 1)
_MODERN_SINCE = date(2010, 4, 1)
_LAST_MONTH = date(2022, 8, 1)
_END = date(2022, 9, 1)
_EVE = date(2022, 7, 30)
_EVE_ROWS = 8
_SPARSE_DAYS = 2
_LEGACY_SHARE = (1, 5)
_LAST_MONTH_SHARE = (1, 100)


_TWO_DIGITS = tuple(f"{number:02}" for number in range(60))
_THREE_DIGITS = tuple(f"{number:03}" for number in range(1_000))


class Manner(NamedTuple):
    """How keys and datetimes were written at a time."""

    authors: str
    books: str
    languages: str
    people: str
    gap: str


MODERN = Manner("/authors/", "/books/", "/languages/", "/people/", "T")
_LEGACY = Manner("/a/", "/b/", "/l/", "/user/", "T")
_LEGACY_SPACED = Manner("/a/", "/b/", "/l/", "/user/", " ")


Frame = tuple[str, str, str, str, Manner]
"""What every row has: its start (columns and a brace), the member `created` and the members
`last_modified` and `latest_revision`, each with a comma and a space behind it or empty, its
closing, and the manner of all the others.

A plain tuple, since one is made for every row.
"""


class RevisionClock:
    """Returns the time at which each row of a table of `rows` rows was written.

    The first fifth was written before April 2010, in the legacy style; the last hundredth in August 2022. In a small
    table rows are days apart; then the last ones before August are from its eve, so that the dumps of July have records
    of July's last days, as those of a real table.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.legacy_rows = rows * _LEGACY_SHARE[0] // _LEGACY_SHARE[1]
        self._last_month = rows - rows * _LAST_MONTH_SHARE[0] // _LAST_MONTH_SHARE[1]
        self._legacy_pace = _pace(0, self.legacy_rows, _START, _MODERN_SINCE)
        self._pace = _pace(self.legacy_rows, self._last_month, _MODERN_SINCE, _LAST_MONTH)
        self._last_pace = _pace(self._last_month, rows, _LAST_MONTH, _END)
        is_sparse = self._pace[1] > _SPARSE_DAYS * _DAY_S * 1_000_000
        self._eve = max(self.legacy_rows, self._last_month - _EVE_ROWS) if is_sparse else self._last_month
        self._eve_pace = _pace(self._eve, self._last_month, _EVE, _LAST_MONTH)
        self._days = [str(_START + timedelta(day)) for day in range((_END - _START).days)]
        self._seconds = [
            f"{hour}:{minute}:{second}" for hour in _TWO_DIGITS[:24] for minute in _TWO_DIGITS for second in _TWO_DIGITS
        ]

    def time(self, row: int, gap: str) -> str:
        """Return the time of `row`, such as 2008-04-30T20:50:18.033121, with `gap` instead of T."""
        if row < self.legacy_rows:
            start, step = self._legacy_pace
        elif row < self._eve:
            start, step = self._pace
        elif row < self._last_month:
            start, step = self._eve_pace
        else:
            start, step = self._last_pace
        jitter = row * 2_654_435_761 % step
        second, fraction = divmod(start + row * step + jitter, 1_000_000)
        day, second = divmod(second, _DAY_S)
        thousands, rest = divmod(fraction, 1_000)
        digits = _THREE_DIGITS
        return f"{self._days[day]}{gap}{self._seconds[second]}.{digits[thousands]}{digits[rest]}"

    def frame(self, thing: int, revision: int, born: int, row: int) -> Frame:
        """Return the frame of the revision in `row`, of a document created in row `born`."""
        if row < self.legacy_rows:
            return self._legacy_frame(thing, revision, row)
        modified = self.time(row, "T")
        created = modified if revision == 1 else self.time(born, "T")
        return (
            f"{thing}\t{revision}\t{{",
            f'"created": {{"type": "/type/datetime", "value": "{created}"}}, ',
            (f'"last_modified": {{"type": "/type/datetime", "value": "{modified}"}}, "latest_revision": {revision}, '),
            f'"revision": {revision}}}\n',
            MODERN,
        )

    def _legacy_frame(self, thing: int, revision: int, row: int) -> Frame:
        manner = _LEGACY_SPACED if thing % 4 else _LEGACY
        modified = self.time(row, manner.gap)
        old_id = "" if thing % 3 else f'"id": {thing}, '
        return (
            f"{thing}\t{revision}\t{{",
            "",
            f'"last_modified": {{"type": "/type/datetime", "value": "{modified}"}}, ',
            f'{old_id}"revision": {revision}}}\n',
            manner,
        )


def _pace(first: int, end: int, since: date, until: date) -> tuple[int, int]:
    """Return start and step of rows `first` to `end`: the time of row n is start + n * step or soon after.

    Times are microseconds since April 2008.
    """
    step = (until - since).days * _DAY_S * 1_000_000 // max(1, end - first)
    return (since - _START).days * _DAY_S * 1_000_000 - first * step, step


Order = Callable[[tuple[str, ...]], tuple[str, ...]]


def orders(parts: int, count: int = 4) -> tuple[Order, ...]:
    """Return `count` orders of the parts of a row; the first and the last part keep their places."""
    return tuple(
        itemgetter(0, *(1 + place for place in _permutation(parts - 2, Random(at))), parts - 1) for at in range(count)
    )


def _permutation(length: int, random: Random) -> list[int]:
    places = list(range(length))
    for at in range(length - 1, 0, -1):
        other = int(random.random() * (at + 1))
        places[at], places[other] = places[other], places[at]
    return places


NEVER = 1 << 30
"""A revision number that no document reaches."""

Chances = tuple[int, int]
"""The probability, in percent, that the first revision has a member, and that a later one adds it."""


def plans(*members: Chances, count: int = 256) -> tuple[tuple[int, ...], ...]:
    """Return plans of how a document grows: the revision that adds or corrects each member, and the last one.

    Revisions 2, 3, 4 … add one member each until the plan is complete.
    """
    return tuple(_plan(members, Random(at)) for at in range(count))


def _plan(members: tuple[Chances, ...], random: Random) -> tuple[int, ...]:
    since = [1] * len(members)
    last = 1
    for place in _permutation(len(members), random):
        first, later = members[place]
        chance = random.random() * 100
        if chance >= first + later:
            since[place] = NEVER
        elif chance >= first:
            last += 1
            since[place] = last
    return (*since, last)
