"""Which of sorted records are the latest of their documents, and what can be said of them.

Does not: sort; the engine does.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from oldump.engine.lines import Lines
from oldump.engine.shuffle import Batch, joined_batches
from oldump.kernel.arrays import Digests, Flags
from oldump.kernel.lines import greatest_column
from oldump.records.keys import documents, settled
from oldump.records.record import LAST_MODIFIED, OTHER_NUMBER, PART_NUMBER_OF_TYPE, PARTS, columns
from oldump.records.tally import Tally, digests_of, types_of

CDUMP = "cdump"
NOT_LOOKED_AT = "-"
"""Stands for the newest record where it is known from elsewhere; sorts before any date."""
_TYPE_OF_NUMBER = {number: type_key.decode() for type_key, number in PART_NUMBER_OF_TYPE.items()}


class Tallies(NamedTuple):
    """What the leader hears of a bucket."""

    of_stream: dict[str, Tally]
    same_revision: int
    last_keys: dict[str, str]


class Latest:
    """Arranges a bucket's sorted records: all go to the cdump, the latest of each key to its part."""

    def __init__(self) -> None:
        """Begin a bucket."""
        self._held: Batch | None = None
        """The last record of the slice before, which is the latest of its key if the next one has another."""
        self._held_digest = np.empty(0, np.uint64)
        self._tallies = {name: Tally() for name in (CDUMP, *PARTS)}
        self._last_keys: dict[str, str] = {}
        self._same_revision = 0

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:
        """The next lines of the cdump and of the parts."""
        records = batch if self._held is None else joined_batches([self._held, batch])
        same = _same_document(records)
        self._same_revision += _same_revisions(records)
        latest = np.append(~same, last)
        digests = digests_of(batch.lines.text, batch.lines.starts, batch.lines.ends)
        self._note(CDUMP, batch, digests, NOT_LOOKED_AT)
        digests = np.concatenate((self._held_digest, digests))
        streams = {CDUMP: batch.lines}
        for number, part in enumerate(PARTS):
            chosen = np.flatnonzero(latest & (records.tags == number))
            of_part = records.take(chosen)
            streams[part] = of_part.lines
            self._note(part, of_part, digests[chosen])
        self._held = None if last else records.take(slice(-1, None))
        self._held_digest = digests[:0] if last else digests[-1:]
        return streams

    def tally(self) -> Tallies:
        """Counts of what was arranged; the newest of the cdump is not looked for, the scatter knows it."""
        return Tallies(self._tallies, self._same_revision, self._last_keys)

    def _note(self, name: str, batch: Batch, digests: Digests, newest: str = "") -> None:
        lines = batch.lines
        if len(lines):
            self._last_keys[name] = columns(lines[-1]).key.decode()
            newest = newest or greatest_column(lines.text, lines.starts, lines.ends, LAST_MODIFIED).decode()
            self._tallies[name].add(Tally(len(lines), _types(batch), newest, int(digests.sum())))


def _types(batch: Batch) -> Counter[str]:
    """How many records there are of each type: the part tells it, but for `other`."""
    counts = np.bincount(batch.tags, minlength=len(PARTS)).tolist()
    by_type = Counter({type_key: counts[number] for number, type_key in _TYPE_OF_NUMBER.items() if counts[number]})
    if counts[OTHER_NUMBER]:
        by_type.update(types_of(batch.lines.take(np.flatnonzero(batch.tags == OTHER_NUMBER))))
    return by_type


def _same_document(records: Batch) -> Flags:
    """For each record but the last, whether the next one has the same key."""
    same: Flags = np.diff(documents(records.ranks)) == 0
    unsettled = ~settled(records.ranks)
    for place in np.flatnonzero(same & (unsettled[:-1] | unsettled[1:])).tolist():
        same[place] = columns(records.lines[place]).key == columns(records.lines[place + 1]).key
    return same


def _same_revisions(records: Batch) -> int:
    """How many records have the key and the revision of the one before them."""
    equal = np.flatnonzero(np.diff(records.ranks) == 0)
    surely = settled(records.ranks[equal])
    doubtful = equal[~surely].tolist()
    return int(surely.sum()) + sum(
        columns(records.lines[place])[1:3] == columns(records.lines[place + 1])[1:3] for place in doubtful
    )
