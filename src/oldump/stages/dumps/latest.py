"""Which of sorted records are the latest of their documents, and what can be said of them.

Does not: sort; the engine does.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np

from oldump.engine.frames import Batch
from oldump.engine.text_lines import Lines, chained
from oldump.kernel.arrays import Digests, Flags
from oldump.records.keys import documents, settled
from oldump.records.record import OTHER_NUMBER, PART_NUMBER_OF_TYPE, PARTS, columns
from oldump.records.tally import Tally, digests_of, newest_of, types_of

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
        self._tallies = {name: Tally() for name in (CDUMP, *PARTS)}
        self._last_keys: dict[str, str] = {}
        self._same_revision = 0

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:
        """The next lines of the cdump and of the parts."""
        records = batch if self._held is None else _chained(self._held, batch)
        held = len(records.ranks) - len(batch.ranks)
        same = _same_document(records)
        self._same_revision += _same_revisions(records)
        self._held = None if last else _alone(records, len(records.ranks) - 1)
        digests = digests_of(records.lines.text, records.lines.starts, records.lines.ends)
        streams = {CDUMP: self._noted(CDUMP, batch, digests[held:], NOT_LOOKED_AT)}
        latest = np.append(~same, last)
        for number, part in enumerate(PARTS):
            chosen = latest & (records.tags == number)
            streams[part] = self._noted(part, records.take(chosen), digests[chosen])
        return streams

    def tally(self) -> Tallies:
        """Counts of what was arranged; the newest of the cdump is not looked for, the scatter knows it."""
        return Tallies(self._tallies, self._same_revision, self._last_keys)

    def _noted(self, name: str, records: Batch, digests: Digests, newest: str = "") -> Lines:
        """The next lines of a stream, counted. newest: their latest last_modified, if it is known."""
        lines = records.lines
        if len(lines):
            self._last_keys[name] = columns(lines.line(-1)).key.decode()
            newest = newest or newest_of(lines.text, lines.starts, lines.ends)
            self._tallies[name].add(Tally(len(lines), _types(records), newest, int(digests.sum())))
        return lines


def _types(records: Batch) -> Counter[str]:
    """How many records there are of each type: the part tells it, but for `other`."""
    counts = np.bincount(records.tags, minlength=len(PARTS)).tolist()
    by_type = Counter({type_key: counts[number] for number, type_key in _TYPE_OF_NUMBER.items() if counts[number]})
    if counts[OTHER_NUMBER]:
        by_type.update(types_of(records.lines.take(records.tags == OTHER_NUMBER)))
    return by_type


def _alone(records: Batch, place: int) -> Batch:
    """One record in a text of its own, so that the others' need not stay in memory."""
    record = records.take(slice(place, place + 1))
    return record._replace(lines=Lines.of([*record.lines]))


def _chained(held: Batch, batch: Batch) -> Batch:
    return Batch(
        chained(held.lines, batch.lines),
        np.concatenate((held.ranks, batch.ranks)),
        np.concatenate((held.tags, batch.tags)),
    )


def _same_document(records: Batch) -> Flags:
    """For each record but the last, whether the next one has the same key."""
    same: Flags = np.diff(documents(records.ranks)) == 0
    unsettled = ~settled(records.ranks)
    for place in np.flatnonzero(same & (unsettled[:-1] | unsettled[1:])).tolist():
        same[place] = columns(records.lines.line(place)).key == columns(records.lines.line(place + 1)).key
    return same


def _same_revisions(records: Batch) -> int:
    """How many records have the key and the revision of the one before them."""
    equal = np.flatnonzero(np.diff(records.ranks) == 0)
    surely = settled(records.ranks[equal])
    doubtful = equal[~surely].tolist()
    return int(surely.sum()) + sum(
        columns(records.lines.line(place))[1:3] == columns(records.lines.line(place + 1))[1:3] for place in doubtful
    )
