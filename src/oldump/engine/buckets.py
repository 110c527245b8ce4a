"""Buckets."""

import heapq
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from oldump.engine.budget import FINEST_BUCKET_BYTES, Budget
from oldump.engine.buffer import Buffer
from oldump.engine.frames import (
    FRAME,
    RUN_FRAME_BYTES,
    Batch,
    Frames,
    FrameWriter,
    Lengths,
    Ranks,
    SortKey,
    Tags,
    read_frame,
    read_frame_into,
)
from oldump.engine.spill_files import spill_path
from oldump.engine.text_lines import Lines
from oldump.errors import storage_errors
from oldump.run.steps import STEPS


class Buckets(Iterator[tuple[str, Frames]]):
    """The tasks of a gather: each bucket, described, in order, with its frames as they follow each other in the files.

    Small neighbours make one bucket together: each is a conversation, which costs about a millisecond. Make it before
    the gather's crew is forked, whose workers would keep alive what is freed here.
    """

    def __init__(self, frames: Frames, budget: Budget) -> None:
        """Take the table of frames, which is the caller's no more."""
        self._frames = frames
        self._order = np.argsort(frames["first"], kind="stable")
        starts, text_bytes = _apart(frames, self._order)
        most_bytes = min(FINEST_BUCKET_BYTES, budget.bucket_bytes // 3)
        self._borders = [*(starts[place] for place, _ in _stretches(text_bytes, most_bytes)), len(frames)]
        self._drawn = 0

    def __len__(self) -> int:
        """How many are left."""
        return len(self._borders) - 1 - self._drawn

    def __next__(self) -> tuple[str, Frames]:
        """The next bucket."""
        if not len(self):
            raise StopIteration
        start, end = self._borders[self._drawn : self._drawn + 2]
        self._drawn += 1
        places = self._order[start:end]
        return f"bucket {int(self._frames['first'][places[0]]):#x}", self._frames[np.sort(places)]

    def left(self) -> Frames:
        """The frames of the buckets that are left."""
        return self._frames[np.sort(self._order[self._borders[self._drawn] :])]


def _apart(frames: Frames, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> tuple[list[int], list[int]]:
    """Where buckets start in this order of the frames, and the text of each."""
    if not len(order):
        return [], []
    first = frames["first"][order]
    last = first + ((np.uint64(1) << frames["shift"][order].astype(np.uint64)) - np.uint64(1))
    starts = np.flatnonzero(first[1:] > np.maximum.accumulate(last)[:-1]) + 1
    starts = np.concatenate([[0], starts])
    return starts.tolist(), np.add.reduceat(frames["text_bytes"][order].astype(np.int64), starts).tolist()


def _stretches(text_bytes: list[int], most_bytes: int) -> Iterator[tuple[int, int]]:
    """Where stretches of at most so much text start and end, or of a single larger item."""
    start, held_bytes = 0, 0
    for place, each in enumerate(text_bytes):
        if place > start and held_bytes + each > most_bytes:
            yield start, place
            start, held_bytes = place, 0
        held_bytes += each
    if start < len(text_bytes):
        yield start, len(text_bytes)


def slices(frames: Frames, exact: SortKey, runs: Path, budget: Budget, room: Buffer) -> Iterator[tuple[Batch, bool]]:
    """A bucket's records in order: as a whole, or slice by slice when it is overfull; with whether it ends there.

    room: holds a slice's text, until the next one is drawn.
    """
    text_bytes = int(frames["text_bytes"].sum())
    if text_bytes <= budget.bucket_bytes:
        with STEPS.at("read back", text_bytes):
            batch = _read_spilled(runs.parent, frames, room)
        with STEPS.at("sort", text_bytes):
            batch = in_order(batch, exact)
        yield batch, True
        return
    try:
        merged = _merged_slices(frames, exact, runs, budget, room)
        held = next(merged)
        for batch in merged:
            yield held, False
            held = batch
        yield held, True
    finally:
        for path in runs.parent.glob(runs.name + "-*"):
            path.unlink()


def _read_spilled(folder: Path, frames: Frames, room: Buffer) -> Batch:
    """What is in these frames, in one text, which is in the room."""
    text = room.of(int(frames["text_bytes"].sum()))
    end = 0
    columns: list[tuple[Lengths, Ranks, Tags]] = []
    for frame in frames:
        start, end = end, end + int(frame["text_bytes"])
        columns.append(read_frame_into(text[start:end], spill_path(folder, int(frame["spill"])), frame))
    lengths, ranks, tags = map(np.concatenate, zip(*columns, strict=True))
    return Batch(Lines.within(text, lengths), ranks, tags)


def in_order(batch: Batch, exact: SortKey) -> Batch:
    """The batch, sorted: by rank, and lines of the same rank by `exact`."""
    order = np.argsort(batch.ranks, kind="stable")
    for start, end in _equal_runs(batch.ranks[order]):
        tied = order[start:end].tolist()
        keys = {place: exact(batch.lines.line(place)) for place in tied}
        order[start:end] = sorted(tied, key=keys.__getitem__)
    return batch.take(order)


def _equal_runs(ranks: Ranks) -> Iterator[tuple[int, int]]:
    """Where runs of several equal neighbours start and end."""
    ties = np.flatnonzero(ranks[1:] == ranks[:-1])
    first_of_run = ties[np.diff(ties, prepend=-2) != 1]
    last_of_run = ties[np.diff(ties, append=len(ranks) + 1) != 1] + 1
    return zip(first_of_run.tolist(), (last_of_run + 1).tolist(), strict=True)


# An overfull bucket: runs that fit in memory, then merges, each of as many runs as may be open at once.


_RUNS = 4
"""Runs are so large a part of what is sorted as a whole, since their room is kept while they are merged."""
_SLICES = 8
"""An overfull bucket is gathered in slices of so large a part of what is sorted as a whole: its lines are objects."""


class _Item(NamedTuple):
    rank: int
    place: Any
    line: bytes
    tag: int


class _Run(NamedTuple):
    path: Path
    frames: Frames


def _merged_slices(frames: Frames, exact: SortKey, runs: Path, budget: Budget, room: Buffer) -> Iterator[Batch]:
    """The records of an overfull bucket in order, in slices that fit in memory."""
    numbers = iter(range(1 << 62))
    fan_in = max(2, budget.bucket_bytes // (4 * RUN_FRAME_BYTES))
    written = [
        _write_run(
            Path(f"{runs}-{next(numbers)}"),
            [in_order(_read_spilled(runs.parent, frames[start:end], room), exact)],
        )
        for start, end in _stretches(frames["text_bytes"].tolist(), budget.bucket_bytes // _RUNS)
    ]
    while len(written) > fan_in:
        merging, written = written[:fan_in], written[fan_in:]
        written.append(_write_run(Path(f"{runs}-{next(numbers)}"), _merged(merging, exact, RUN_FRAME_BYTES)))
        for run in merging:
            run.path.unlink()
    yield from _merged(written, exact, budget.bucket_bytes // _SLICES)


def _write_run(path: Path, batches: Iterable[Batch]) -> _Run:
    frames: list[tuple[int, ...]] = []
    with storage_errors(path), path.open("wb") as stream:
        writer = FrameWriter(stream, RUN_FRAME_BYTES)
        for batch in batches:
            frames += ((0, 0, 0, *where) for where in writer.write(batch))
    return _Run(path, np.array(frames, FRAME))


def _merged(runs: list[_Run], exact: SortKey, slice_bytes: int) -> Iterator[Batch]:
    items = heapq.merge(*(_items(run, exact) for run in runs), key=lambda item: item[:2])
    held: list[_Item] = []
    held_bytes = 0
    for item in items:
        held.append(item)
        held_bytes += len(item.line) + 1
        if held_bytes >= slice_bytes:
            yield _batch_of_items(held)
            held, held_bytes = [], 0
    if held:
        yield _batch_of_items(held)


def _items(run: _Run, exact: SortKey) -> Iterator[_Item]:
    for frame in run.frames:
        batch = read_frame(run.path, frame)
        for line, rank, tag in zip(batch.lines, batch.ranks.tolist(), batch.tags.tolist(), strict=True):
            yield _Item(rank, exact(line), line, tag)


def _batch_of_items(items: list[_Item]) -> Batch:
    return Batch(
        Lines.of([item.line for item in items]),
        np.array([item.rank for item in items], np.uint64),
        np.array([item.tag for item in items], np.uint8),
    )
