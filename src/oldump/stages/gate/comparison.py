"""Compare the parts of a run with those of an earlier one: which records changed, and which members have values.

The parts of both runs have the same order. So all keys are divided into ranges at the first keys of segments, and a
worker reads the records of a range from every file. Thus a key that moved to another part, such as a redirect, is
found. Memory: a range for each worker, whatever the size of the parts.

Does not: decide whether the counts are acceptable; see rules.
"""

import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from oldump.engine.segments import IndexEntry, read_index, read_segment
from oldump.engine.workers import Crew, Task
from oldump.errors import SourceError, storage_errors
from oldump.records.fill import FIELDS, filled
from oldump.records.keys import order_key
from oldump.records.record import columns, revision_of

RANGE_BYTES = 16 << 20
"""Text of the segments that start in a range, of all files together, unless a single segment has more."""


class IndexedPart(NamedTuple):
    """A part of a run, with its index."""

    name: str
    path: Path
    entries: list[IndexEntry]
    is_earlier: bool = False
    """Whether it belongs to the earlier run."""

    @classmethod
    def at(cls, name: str, path: Path, *, is_earlier: bool = False) -> "IndexedPart":
        """Return the part in a file. Raises SourceMissing, SourceDamaged."""
        return cls(name, path, read_index(path), is_earlier)


class KeyRange(NamedTuple):
    """The keys from `first` to before `end` (None: no limit), and the segments of each part that may have some."""

    first: bytes | None
    end: bytes | None
    segments: list[list[IndexEntry]]


@dataclass
class Changes:
    """Numbers of records by how they changed since an earlier run."""

    same: int = 0
    """Records that are equal byte for byte."""
    changed: int = 0
    """Keys with a different record of the same or a later revision."""
    older: int = 0
    """Keys with a record of an earlier revision."""
    new: int = 0
    """Keys that the earlier run does not have."""
    gone: int = 0
    """Keys that only the earlier run has."""

    def add(self, other: "Changes") -> None:
        """Add the numbers of another range."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)


@dataclass
class PartsComparison:
    """The counts of one range, or of all ranges together."""

    records: int = 0
    filled: dict[str, Counter[str]] = field(default_factory=lambda: {part: Counter() for part in FIELDS})
    """By part and member, the number of documents in which it has a value."""
    changes: Changes = field(default_factory=Changes)
    damage: str = ""
    """Why a file of the earlier run cannot be read; then `changes` means nothing."""

    def add(self, other: "PartsComparison") -> None:
        """Add the numbers of another range."""
        self.records += other.records
        for part, counts in other.filled.items():
            self.filled[part].update(counts)
        self.changes.add(other.changes)
        self.damage = self.damage or other.damage


def compare_parts(
    parts: list[IndexedPart], workers: int, update: Callable[[int], None], range_bytes: int = RANGE_BYTES
) -> PartsComparison:
    """Compare all parts. update: receives the number of the run's records that were read.

    Without parts of an earlier run, all records are new. Raises SourceDamaged, StorageError, WorkerError.
    """
    total = PartsComparison()
    tasks = (
        (f"records from {each.first!r}" if each.first else "the first records", each)
        for each in key_ranges(parts, range_bytes)
    )
    with Crew(workers, lambda _: partial(_perform, parts)) as crew:
        for said in crew.run(tasks):
            total.add(said.message)
            update(total.records)
    return total


def key_ranges(parts: list[IndexedPart], range_bytes: int) -> Iterator[KeyRange]:
    """Yield ranges that together contain all keys of the parts."""
    taken = [0] * len(parts)
    """For each part, the number of segments that start before the current key."""
    first, starts, held_bytes = None, [0] * len(parts), 0
    for _, place, entry in heapq.merge(*[_keyed(place, part) for place, part in enumerate(parts)]):
        if held_bytes and held_bytes + entry.text_bytes > range_bytes and entry.first_key != first:
            yield KeyRange(first, entry.first_key, _cut(parts, starts, taken))
            first, starts, held_bytes = entry.first_key, _starts(parts, taken, entry.first_key), 0
        taken[place] += 1
        held_bytes += entry.text_bytes
    if held_bytes:
        yield KeyRange(first, None, _cut(parts, starts, taken))


def _keyed(place: int, part: IndexedPart) -> Iterator[tuple[object, int, IndexEntry]]:
    return ((order_key(entry.first_key), place, entry) for entry in part.entries)


def _starts(parts: list[IndexedPart], taken: list[int], first: bytes) -> list[int]:
    """Return each part's first segment of a range: the one that may contain the range's first key."""
    return [
        place if place < len(part.entries) and part.entries[place].first_key == first else max(0, place - 1)
        for part, place in zip(parts, taken, strict=True)
    ]


def _cut(parts: list[IndexedPart], starts: list[int], ends: list[int]) -> list[list[IndexEntry]]:
    return [part.entries[start:end] for part, start, end in zip(parts, starts, ends, strict=True)]


def _perform(parts: list[IndexedPart], each: object) -> Task:
    yield from ()  # the task has no intermediate messages
    assert isinstance(each, KeyRange)  # noqa: S101 - what compare_parts sends
    return compare_range(parts, each)


def compare_range(parts: list[IndexedPart], each: KeyRange) -> PartsComparison:
    """Compare a range, in a worker. Raises SourceDamaged, StorageError if the run's own parts are unreadable."""
    result = PartsComparison()
    earlier: set[bytes] = set()
    try:
        for _, records in _records(parts, each, are_earlier=True):
            earlier.update(records)
    except SourceError as error:
        result.damage = error.message
    except OSError as error:
        result.damage = f"{error.filename}: cannot be read ({error.strerror})"
    differing: list[bytes] = []
    for part, records in _records(parts, each, are_earlier=False):
        result.records += len(records)
        differing += [record for record in records if record not in earlier]
        earlier.difference_update(records)
        if part.name in FIELDS:
            result.filled[part.name].update(filled(part.name, [columns(record).text for record in records]))
    result.changes = _changes(earlier, differing)
    result.changes.same = result.records - len(differing)
    return result


def _records(
    parts: list[IndexedPart], each: KeyRange, *, are_earlier: bool
) -> Iterator[tuple[IndexedPart, list[bytes]]]:
    """Yield the records of a range, segment by segment."""
    for part, entries in zip(parts, each.segments, strict=True):
        if part.is_earlier == are_earlier:
            for entry in entries:
                if are_earlier:
                    text = read_segment(part.path, entry)
                else:
                    with storage_errors(part.path):
                        text = read_segment(part.path, entry)
                yield part, _within(text.split(b"\n")[:-1], each)


def _within(records: list[bytes], each: KeyRange) -> list[bytes]:
    """Return the records, out of sorted ones, whose keys are in the range."""
    start = 0 if each.first is None else _place(records, each.first)
    end = len(records) if each.end is None else _place(records, each.end)
    return records[start:end]


def _place(records: list[bytes], key: bytes) -> int:
    return bisect_left(records, order_key(key), key=lambda record: order_key(record.split(b"\t", 2)[1]))


def _changes(before: set[bytes], now: list[bytes]) -> Changes:
    """Count the records that differ."""
    revisions = dict(_key_and_revision(record) for record in before)
    changes = Changes()
    for record in now:
        key, revision = _key_and_revision(record)
        was = revisions.pop(key, None)
        if was is None:
            changes.new += 1
        elif was != revision and revision_of(revision) < revision_of(was):
            changes.older += 1
        else:
            changes.changed += 1
    changes.gone = len(revisions)
    return changes


def _key_and_revision(record: bytes) -> tuple[bytes, bytes]:
    _, key, revision, _ = record.split(b"\t", 3)
    return key, revision
