"""One pass over the parts of a run, beside those of an earlier one: which records changed, which members have values.

The parts of both runs share an order. So all keys are divided into ranges, by the first keys of the segments of all
files, and a worker reads what each file has of a range. A key that moved to another part, say by a redirect, is found
there. Memory: a range for each worker, whatever the size of the parts.

Does not: judge what it counts.
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
"""The text of the segments that begin in a range, at most, of all files together; unless one segment has more."""


class Part(NamedTuple):
    """A file of records in order, with its index."""

    name: str
    path: Path
    entries: list[IndexEntry]
    is_earlier: bool = False
    """Whether it belongs to the run that is compared with."""

    @classmethod
    def at(cls, name: str, path: Path, *, is_earlier: bool = False) -> "Part":
        """The part in a file. Raises SourceMissing, SourceDamaged."""
        return cls(name, path, read_index(path), is_earlier)


class Range(NamedTuple):
    """Keys from the first to before the end, None: without limit; and of each part the segments that may have some."""

    first: bytes | None
    end: bytes | None
    segments: list[list[IndexEntry]]


@dataclass
class Changes:
    """What became of the records of an earlier run. Ranges add up."""

    same: int = 0
    """Records that are, byte for byte, what they were."""
    changed: int = 0
    """Keys that have another record, of the same revision or a later one."""
    older: int = 0
    """Keys that have a record of an earlier revision."""
    new: int = 0
    """Keys that were not there."""
    gone: int = 0
    """Keys that are not there any more."""

    def add(self, other: "Changes") -> None:
        """Count other in."""
        for name, count in asdict(other).items():
            setattr(self, name, getattr(self, name) + count)


@dataclass
class Pass:
    """What one range, or all of them, came to."""

    records: int = 0
    filled: dict[str, Counter[str]] = field(default_factory=lambda: {part: Counter() for part in FIELDS})
    """By part, in how many documents a member has a value."""
    changes: Changes = field(default_factory=Changes)
    damage: str = ""
    """What is wrong with a file of the earlier run; then changes mean nothing."""

    def add(self, other: "Pass") -> None:
        """Count other in."""
        self.records += other.records
        for part, counts in other.filled.items():
            self.filled[part].update(counts)
        self.changes.add(other.changes)
        self.damage = self.damage or other.damage


def compared(parts: list[Part], workers: int, update: Callable[[int], None], range_bytes: int = RANGE_BYTES) -> Pass:
    """Read all parts, with so many workers. update: told how many records of the run have been read.

    Without earlier parts all records are new. Raises SourceDamaged, StorageError, WorkerError.
    """
    total = Pass()
    tasks = (
        (f"the records from {each.first!r} on" if each.first else "the first records", each)
        for each in ranges(parts, range_bytes)
    )
    with Crew(workers, lambda _: partial(_perform, parts)) as crew:
        for said in crew.run(tasks):
            total.add(said.message)
            update(total.records)
    return total


def ranges(parts: list[Part], range_bytes: int) -> Iterator[Range]:
    """All keys of the parts, divided."""
    taken = [0] * len(parts)
    """Of each part, the segments whose first keys are passed."""
    first, starts, held_bytes = None, [0] * len(parts), 0
    for _, place, entry in heapq.merge(*[_keyed(place, part) for place, part in enumerate(parts)]):
        if held_bytes and held_bytes + entry.text_bytes > range_bytes and entry.first_key != first:
            yield Range(first, entry.first_key, _cut(parts, starts, taken))
            first, starts, held_bytes = entry.first_key, _starts(parts, taken, entry.first_key), 0
        taken[place] += 1
        held_bytes += entry.text_bytes
    if held_bytes:
        yield Range(first, None, _cut(parts, starts, taken))


def _keyed(place: int, part: Part) -> Iterator[tuple[object, int, IndexEntry]]:
    return ((order_key(entry.first_key), place, entry) for entry in part.entries)


def _starts(parts: list[Part], taken: list[int], first: bytes) -> list[int]:
    """Where each part's segments of a range begin: with the one that the range's first key would be in."""
    return [
        place if place < len(part.entries) and part.entries[place].first_key == first else max(0, place - 1)
        for part, place in zip(parts, taken, strict=True)
    ]


def _cut(parts: list[Part], starts: list[int], ends: list[int]) -> list[list[IndexEntry]]:
    return [part.entries[start:end] for part, start, end in zip(parts, starts, ends, strict=True)]


# ------------------------------------------------------------------------------------------------- in the workers


def _perform(parts: list[Part], each: object) -> Task:
    yield from ()  # a task without conversation
    assert isinstance(each, Range)  # noqa: S101 - what compared gives
    return read(parts, each)


def read(parts: list[Part], each: Range) -> Pass:
    """What a range comes to. Raises SourceDamaged, StorageError: of the run's own parts."""
    made = Pass()
    earlier: set[bytes] = set()
    try:
        for _, records in _records(parts, each, are_earlier=True):
            earlier.update(records)
    except SourceError as error:
        made.damage = error.message
    except OSError as error:
        made.damage = f"{error.filename}: cannot be read ({error.strerror})"
    differing: list[bytes] = []
    for part, records in _records(parts, each, are_earlier=False):
        made.records += len(records)
        differing += [record for record in records if record not in earlier]
        earlier.difference_update(records)
        if part.name in FIELDS:
            made.filled[part.name].update(filled(part.name, [columns(record).text for record in records]))
    made.changes = _changes(earlier, differing)
    made.changes.same = made.records - len(differing)
    return made


def _records(parts: list[Part], each: Range, *, are_earlier: bool) -> Iterator[tuple[Part, list[bytes]]]:
    """The records of a range, segment by segment."""
    for part, entries in zip(parts, each.segments, strict=True):
        if part.is_earlier == are_earlier:
            for entry in entries:
                if are_earlier:
                    text = read_segment(part.path, entry)
                else:
                    with storage_errors(part.path):
                        text = read_segment(part.path, entry)
                yield part, _within(text.split(b"\n")[:-1], each)


def _within(records: list[bytes], each: Range) -> list[bytes]:
    """Those of sorted records whose keys are in the range."""
    start = 0 if each.first is None else _place(records, each.first)
    end = len(records) if each.end is None else _place(records, each.end)
    return records[start:end]


def _place(records: list[bytes], key: bytes) -> int:
    return bisect_left(records, order_key(key), key=lambda record: order_key(record.split(b"\t", 2)[1]))


def _changes(before: set[bytes], now: list[bytes]) -> Changes:
    """What became of records that differ."""
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
