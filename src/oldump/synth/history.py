"""History of a table: which document gets its first or a further revision in each row."""

from array import array
from collections.abc import Iterator
from random import Random

from oldump.synth import kinds

ROWS_PER_THING = (14, 5)
"""2.8 revisions per document, as a fraction."""

Event = tuple[int, int, int, int, int]
"""Document (in order of creation), kind, number, revision, and the row of its first revision."""

_EARLY_SHARE_OF_THINGS = 3
_LATER_LISTS = 0.985
_LATER_FAVOURITES = 0.975
_FAVOURITE_EVERY = 3_571
_LATER_BUSY = 0.5
_BUSY_EVERY = 3


def events(things: int, rows: int, early_rows: int, seed: int) -> Iterator[Event]:
    """Yield `rows` events for `things` documents; the first `early_rows` create a third of them.

    Memory: some 20 bytes per document. Uses only Random.random(), whose sequence Python guarantees.
    """
    history = _History(Random(seed))
    early = min(early_rows, max(1, things // _EARLY_SHARE_OF_THINGS))
    yield from history.stretch(0, early_rows, early)
    yield from history.stretch(early_rows, rows, things - early)


class _History:
    """The documents so far: a few numbers each, in parallel arrays."""

    def __init__(self, random: Random) -> None:
        self._random = random.random
        self._kinds = bytearray()
        self._numbers = array("I")
        self._revisions = array("H")
        self._born = array("Q")
        self._lists = array("I")
        self._newest = [0] * len(kinds.SHARES)
        self._choice = bytes(kind for kind, share in enumerate(kinds.SHARES) for _ in range(share))

    def stretch(self, first: int, end: int, things: int) -> Iterator[Event]:
        """Yield the events of rows `first` to `end`, which create exactly `things` documents.

        Each row creates one with the remaining probability (Knuth, TAOCP 2, algorithm S).
        """
        random, revisions = self._random, self._revisions
        for row in range(first, end):
            if not revisions or random() * (end - row) < things:
                things -= 1
                yield self._create(row)
                continue
            thing = self._revised()
            revision = revisions[thing] + 1
            revisions[thing] = revision
            yield thing, self._kinds[thing], self._numbers[thing], revision, self._born[thing]

    def _create(self, row: int) -> Event:
        thing = len(self._kinds)
        kind = self._choice[int(self._random() * 1000)]
        if thing % _FAVOURITE_EVERY == 0:
            kind = kinds.WORK
        if kind == kinds.LIST:
            self._lists.append(thing)
        number = self._newest[kind] + 1
        self._newest[kind] = number
        self._kinds.append(kind)
        self._numbers.append(number)
        self._revisions.append(1)
        self._born.append(row)
        return thing, kind, number, 1, row

    def _revised(self) -> int:
        """Return a document for a further revision.

        Recent documents and every third one are more likely; sometimes it is a list or a favourite.
        """
        choice, age = self._random(), self._random()
        things = len(self._kinds)
        if choice > _LATER_LISTS and self._lists:
            return self._lists[int(age * len(self._lists))]
        if choice > _LATER_FAVOURITES:
            favourites = (things - 1) // _FAVOURITE_EVERY + 1
            return int(age * favourites) * _FAVOURITE_EVERY
        thing = things - 1 - int(age * age * things)
        return thing - thing % _BUSY_EVERY if choice < _LATER_BUSY else thing
