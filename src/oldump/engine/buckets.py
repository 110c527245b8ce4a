"""Buckets: the spilled records of a range of ranks, read back in order.

Adjacent small buckets are read as one. A bucket that exceeds its worker's share of the memory is sorted as runs, which
are merged slice by slice.
"""

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
    """The tasks of a gather: the description of each bucket, in order, and its frames in the order of the files.

    Adjacent small buckets become one, since the messages about each take about a millisecond. Create this before the
    gather's crew is forked: forked workers would keep the memory that is freed here.
    """

    def __init__(self, frames: Frames, budget: Budget) -> None:
        """frames: the table; the caller must not keep it."""
        self._frames = frames
        self._order = np.argsort(frames["first"], kind="stable")
        starts, text_bytes = _separate(frames, self._order)
        most_bytes = min(FINEST_BUCKET_BYTES, budget.bucket_bytes // 3)
        self._borders = [*(starts[place] for place, _ in _groups(text_bytes, most_bytes)), len(frames)]
        self._drawn = 0

    def __len__(self) -> int:
        """Return the number of buckets that are left."""
        return len(self._borders) - 1 - self._drawn

    def __next__(self) -> tuple[str, Frames]:
        """Return the description and the frames of the next bucket."""
        if not len(self):
            raise StopIteration
        start, end = self._borders[self._drawn : self._drawn + 2]
        self._drawn += 1
        places = self._order[start:end]
        return f"bucket {int(self._frames['first'][places[0]]):#x}", self._frames[np.sort(places)]

    def left(self) -> Frames:
        """Return the frames of the buckets that are left."""
        return self._frames[np.sort(self._order[self._borders[self._drawn] :])]


def _separate(frames: Frames, order: np.ndarray[tuple[int], np.dtype[np.intp]]) -> tuple[list[int], list[int]]:
    """Return the start of each bucket in this order of the frames, and its text in bytes."""
    if not len(order):
        return [], []
    first = frames["first"][order]
    last = first + ((np.uint64(1) << frames["shift"][order].astype(np.uint64)) - np.uint64(1))
    starts = np.flatnonzero(first[1:] > np.maximum.accumulate(last)[:-1]) + 1
    starts = np.concatenate([[0], starts])
    return starts.tolist(), np.add.reduceat(frames["text_bytes"][order].astype(np.int64), starts).tolist()


def _groups(text_bytes: list[int], most_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the start and end of groups of at most most_bytes of text, or of a single larger item."""
    start, group_bytes = 0, 0
    for place, each in enumerate(text_bytes):
        if place > start and group_bytes + each > most_bytes:
            yield start, place
            start, group_bytes = place, 0
        group_bytes += each
    if start < len(text_bytes):
        yield start, len(text_bytes)


def slices(
    frames: Frames, sort_key: SortKey, runs: Path, budget: Budget, buffer: Buffer
) -> Iterator[tuple[Batch, bool]]:
    """Yield the records of a bucket in order, and whether it ends: as a whole, or in slices if it is oversized.

    buffer: holds the text of a slice until the next one is drawn.
    """
    text_bytes = int(frames["text_bytes"].sum())
    if text_bytes <= budget.bucket_bytes:
        with STEPS.at("read back", text_bytes):
            batch = _read_spilled(runs.parent, frames, buffer)
        with STEPS.at("sort", text_bytes):
            batch = in_order(batch, sort_key)
        yield batch, True
        return
    try:
        merged = _merged_slices(frames, sort_key, runs, budget, buffer)
        current = next(merged)
        for following in merged:
            yield current, False
            current = following
        yield current, True
    finally:
        for path in runs.parent.glob(runs.name + "-*"):
            path.unlink()


def _read_spilled(folder: Path, frames: Frames, buffer: Buffer) -> Batch:
    """Read these frames into one batch, whose text is in the buffer."""
    text = buffer.view(int(frames["text_bytes"].sum()))
    end = 0
    columns: list[tuple[Lengths, Ranks, Tags]] = []
    for frame in frames:
        start, end = end, end + int(frame["text_bytes"])
        columns.append(read_frame_into(text[start:end], spill_path(folder, int(frame["spill"])), frame))
    lengths, ranks, tags = map(np.concatenate, zip(*columns, strict=True))
    return Batch(Lines.within(text, lengths), ranks, tags)


def in_order(batch: Batch, sort_key: SortKey) -> Batch:
    """Return the batch sorted by rank, and lines of equal rank by their sort key."""
    order = np.argsort(batch.ranks, kind="stable")
    for start, end in _equal_runs(batch.ranks[order]):
        tied = order[start:end].tolist()
        keys = {place: sort_key(batch.lines.line(place)) for place in tied}
        order[start:end] = sorted(tied, key=keys.__getitem__)
    return batch.take(order)


def _equal_runs(ranks: Ranks) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each run of at least two equal ranks."""
    ties = np.flatnonzero(ranks[1:] == ranks[:-1])
    first_of_run = ties[np.diff(ties, prepend=-2) != 1]
    last_of_run = ties[np.diff(ties, append=len(ranks) + 1) != 1] + 1
    return zip(first_of_run.tolist(), (last_of_run + 1).tolist(), strict=True)


# An oversized bucket: runs that fit in memory, then merges of as many runs as may be open at once.


_RUNS = 4
"""A run is 1/_RUNS of bucket_bytes, since its buffer is kept while the runs are merged."""
_SLICES = 8
"""A slice of an oversized bucket is 1/_SLICES of bucket_bytes, since its lines are Python objects."""


class _Item(NamedTuple):
    rank: int
    place: Any
    line: bytes
    tag: int


class _Run(NamedTuple):
    path: Path
    frames: Frames


def _merged_slices(frames: Frames, sort_key: SortKey, runs: Path, budget: Budget, buffer: Buffer) -> Iterator[Batch]:
    """Yield the records of an oversized bucket in order, in slices that fit in memory."""
    numbers = iter(range(1 << 62))
    fan_in = max(2, budget.bucket_bytes // (4 * RUN_FRAME_BYTES))
    written = [
        _write_run(
            Path(f"{runs}-{next(numbers)}"),
            [in_order(_read_spilled(runs.parent, frames[start:end], buffer), sort_key)],
        )
        for start, end in _groups(frames["text_bytes"].tolist(), budget.bucket_bytes // _RUNS)
    ]
    while len(written) > fan_in:
        merging, written = written[:fan_in], written[fan_in:]
        written.append(_write_run(Path(f"{runs}-{next(numbers)}"), _merged(merging, sort_key, RUN_FRAME_BYTES)))
        for run in merging:
            run.path.unlink()
    yield from _merged(written, sort_key, budget.bucket_bytes // _SLICES)


def _write_run(path: Path, batches: Iterable[Batch]) -> _Run:
    frames: list[tuple[int, ...]] = []
    with storage_errors(path), path.open("wb") as stream:
        writer = FrameWriter(stream, RUN_FRAME_BYTES)
        for batch in batches:
            frames += ((0, 0, 0, *where) for where in writer.write(batch))
    return _Run(path, np.array(frames, FRAME))


def _merged(runs: list[_Run], sort_key: SortKey, slice_bytes: int) -> Iterator[Batch]:
    items = heapq.merge(*(_items(run, sort_key) for run in runs), key=lambda item: item[:2])
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


def _items(run: _Run, sort_key: SortKey) -> Iterator[_Item]:
    for frame in run.frames:
        batch = read_frame(run.path, frame)
        for line, rank, tag in zip(batch.lines, batch.ranks.tolist(), batch.tags.tolist(), strict=True):
            yield _Item(rank, sort_key(line), line, tag)


def _batch_of_items(items: list[_Item]) -> Batch:
    return Batch(
        Lines.of([item.line for item in items]),
        np.array([item.rank for item in items], np.uint64),
        np.array([item.tag for item in items], np.uint8),
    )
