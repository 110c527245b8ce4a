"""Select the latest record of each document from sorted records, and tally them.

The engine sorts; this module does not.
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
_NEWEST_UNKNOWN = "-"
"""In place of the cdump's latest date, which the scatter already knows; sorts before any date."""
_TYPE_OF_NUMBER = {number: type_key.decode() for type_key, number in PART_NUMBER_OF_TYPE.items()}


class BucketTallies(NamedTuple):
    """The tallies of a bucket, which its worker sends to the leader."""

    of_stream: dict[str, Tally]
    same_revision: int
    last_keys: dict[str, str]


class Latest:
    """Distributes a bucket's sorted records: all go to the cdump, the latest of each key also to its part."""

    def __init__(self) -> None:
        """Start a bucket."""
        self._held: Batch | None = None
        """The last record of the previous slice. It is the latest of its key if the next record has another key."""
        self._tallies = {name: Tally() for name in (CDUMP, *PARTS)}
        self._last_keys: dict[str, str] = {}
        self._same_revision = 0

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:
        """Return the next lines of the cdump and of each part."""
        records = batch if self._held is None else _chained(self._held, batch)
        held_records = len(records.ranks) - len(batch.ranks)
        same = _same_document(records)
        self._same_revision += _same_revisions(records)
        self._held = None if last else _alone(records, len(records.ranks) - 1)
        digests = digests_of(records.lines.text, records.lines.starts, records.lines.ends)
        streams = {CDUMP: self._counted(CDUMP, batch, digests[held_records:], _NEWEST_UNKNOWN)}
        latest = np.append(~same, last)
        for number, part in enumerate(PARTS):
            chosen = latest & (records.tags == number)
            streams[part] = self._counted(part, records.take(chosen), digests[chosen])
        return streams

    def tally(self) -> BucketTallies:
        """Return the bucket's tallies. The tally of the cdump has no latest date."""
        return BucketTallies(self._tallies, self._same_revision, self._last_keys)

    def _counted(self, name: str, records: Batch, digests: Digests, newest: str = "") -> Lines:
        """Count the next lines of a stream and return them. newest: their latest last_modified, if known."""
        lines = records.lines
        if len(lines):
            self._last_keys[name] = columns(lines.line(-1)).key.decode()
            newest = newest or newest_of(lines.text, lines.starts, lines.ends)
            self._tallies[name].add(Tally(len(lines), _types(records), newest, int(digests.sum())))
        return lines


def _types(records: Batch) -> Counter[str]:
    """Return the number of records of each type. Only those in `other` are read: other parts have one type."""
    counts = np.bincount(records.tags, minlength=len(PARTS)).tolist()
    by_type = Counter({type_key: counts[number] for number, type_key in _TYPE_OF_NUMBER.items() if counts[number]})
    if counts[OTHER_NUMBER]:
        by_type.update(types_of(records.lines.take(records.tags == OTHER_NUMBER)))
    return by_type


def _alone(records: Batch, place: int) -> Batch:
    """Return one record with a copy of its text, so that the batch's text can be freed."""
    record = records.take(slice(place, place + 1))
    return record._replace(lines=Lines.of([*record.lines]))


def _chained(held: Batch, batch: Batch) -> Batch:
    return Batch(
        chained(held.lines, batch.lines),
        np.concatenate((held.ranks, batch.ranks)),
        np.concatenate((held.tags, batch.tags)),
    )


def _same_document(records: Batch) -> Flags:
    """Return for each record except the last whether the next one has the same key."""
    same: Flags = np.diff(documents(records.ranks)) == 0
    unsettled = ~settled(records.ranks)
    for place in np.flatnonzero(same & (unsettled[:-1] | unsettled[1:])).tolist():
        same[place] = columns(records.lines.line(place)).key == columns(records.lines.line(place + 1)).key
    return same


def _same_revisions(records: Batch) -> int:
    """Return how many records have the same key and revision as the record before them."""
    equal = np.flatnonzero(np.diff(records.ranks) == 0)
    surely = settled(records.ranks[equal])
    doubtful = equal[~surely].tolist()
    return int(surely.sum()) + sum(
        columns(records.lines.line(place))[1:3] == columns(records.lines.line(place + 1))[1:3] for place in doubtful
    )
