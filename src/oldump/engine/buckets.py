"""Buckets: the spilled records of a range of ranks, read back in order.

Adjacent small buckets are read as one. A bucket that exceeds its worker's share of the memory is sorted as runs, which
are merged slice by slice.
"""

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, count
from pathlib import Path
from typing import Any

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
from oldump.kernel.arrays import Places
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
        order[start:end] = _by_sort_key(batch.lines, order[start:end], sort_key)
    return batch.take(order)


_SORT_KEY_BYTES = 1 << 10
"""Memory of a sort key besides the line's text."""
_MOST_SORT_KEYS_BYTES = 4 << 20
"""The most memory of the sort keys that are held at a time, unless there are two longer ones."""


def _by_sort_key(lines: Lines, places: Places, sort_key: SortKey) -> Places:
    """Return the places sorted by the sort keys of their lines.

    Only the keys of one part, or of one line of each part, are held at a time: they take more memory than the lines.
    """

    def key(place: int) -> Any:  # noqa: ANN401 - a sort key is of any type
        return sort_key(lines.line(place))

    held_bytes = lines.lengths[places] + _SORT_KEY_BYTES
    parts = [places[start:end].tolist() for start, end in _groups(held_bytes.tolist(), _MOST_SORT_KEYS_BYTES)]
    sorted_parts = [np.array(sorted(part, key=key), np.int64) for part in parts]
    at_once = max(2, _MOST_SORT_KEYS_BYTES // int(held_bytes.max()))
    while len(sorted_parts) > 1:
        merges = [sorted_parts[at : at + at_once] for at in range(0, len(sorted_parts), at_once)]
        sorted_parts = [np.fromiter(heapq.merge(*each, key=key), np.int64) for each in merges]
    return sorted_parts[0]


def _equal_runs(ranks: Ranks) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each run of at least two equal ranks."""
    ties = np.flatnonzero(ranks[1:] == ranks[:-1])
    first_of_run = ties[np.diff(ties, prepend=-2) != 1]
    last_of_run = ties[np.diff(ties, append=len(ranks) + 1) != 1] + 1
    return zip(first_of_run.tolist(), (last_of_run + 1).tolist(), strict=True)


# An oversized bucket: runs that fit in memory, then merges of as many runs as may be open at once.


_RUNS = 4
"""A run is 1/_RUNS of bucket_bytes, since a long line can make it much longer."""
_SLICES = 8
"""A slice of an oversized bucket is 1/_SLICES of bucket_bytes, since it is copied."""
_HELD_PER_FRAME = 3
"""Frames' worth of memory for each run that is merged: its frame, and copies of what is taken from it."""

_NO_RECORDS = Batch.of([], [])


class _Run:
    """A sorted run in a file, of which one frame is read at a time."""

    def __init__(self, path: Path, frames: Frames) -> None:
        self._path = path
        self._frames = iter(frames)
        self.open_bytes = _HELD_PER_FRAME * int(frames["text_bytes"].max())
        """Memory that the run takes while it is merged."""
        self.batch = _NO_RECORDS
        """The records of the current frame that have not been taken."""

    def is_open(self) -> bool:
        """Read the next frame if all of the current one was taken; return False, and remove the file, at the end."""
        if not len(self.batch.lines):
            self.batch = _NO_RECORDS  # free the frame before the next one is read
            frame = next(self._frames, None)
            if frame is None:
                self._path.unlink(missing_ok=True)
                return False
            self.batch = read_frame(self._path, frame)
        return True

    def taken(self, rank: np.uint64, key: Any, sort_key: SortKey) -> Batch:  # noqa: ANN401 - of any type
        """Remove and return the records of the current frame up to this rank and sort key."""
        lines, ranks, _ = batch = self.batch
        start, end = (int(np.searchsorted(ranks, rank, side)) for side in ("left", "right"))
        end = bisect_right(range(end), key, start, key=lambda place: sort_key(lines.line(place)))
        self.batch = batch.take(slice(end, None))
        return batch.take(slice(end))


def _merged_slices(frames: Frames, sort_key: SortKey, runs: Path, budget: Budget, buffer: Buffer) -> Iterator[Batch]:
    """Yield the records of an oversized bucket in order, in slices that fit in memory."""
    paths = (Path(f"{runs}-{number}") for number in count())
    written = [
        _write_run(next(paths), [in_order(_read_spilled(runs.parent, frames[start:end], buffer), sort_key)])
        for start, end in _groups(frames["text_bytes"].tolist(), budget.bucket_bytes // _RUNS)
    ]
    buffer.release()
    while (fitting := _fitting(written, budget.bucket_bytes)) < len(written):
        merging, written = written[:fitting], written[fitting:]
        written.append(_write_run(next(paths), _merged(merging, sort_key, RUN_FRAME_BYTES)))
    yield from _merged(written, sort_key, budget.bucket_bytes // _SLICES)


def _fitting(runs: list[_Run], memory_bytes: int) -> int:
    """Return how many of the runs, at least two, can be merged at once in this memory."""
    return max(2, bisect_right([*accumulate(run.open_bytes for run in runs)], memory_bytes))


def _write_run(path: Path, batches: Iterable[Batch]) -> _Run:
    frames: list[tuple[int, ...]] = []
    with storage_errors(path), path.open("wb") as stream:
        writer = FrameWriter(stream, RUN_FRAME_BYTES)
        for batch in batches:
            frames += ((0, 0, 0, *where) for where in writer.write(batch))
    return _Run(path, np.array(frames, FRAME))


def _merged(runs: list[_Run], sort_key: SortKey, slice_bytes: int) -> Iterator[Batch]:
    """Yield the records of the runs in order, in slices of about this size."""
    held: list[Batch] = []
    for piece in _merged_pieces(runs, sort_key):
        held.append(piece)
        if sum(each.lines.text_bytes for each in held) >= slice_bytes:
            held = [_concatenated(held)]
            yield held.pop()
    if held:
        yield _concatenated(held)


def _merged_pieces(runs: list[_Run], sort_key: SortKey) -> Iterator[Batch]:
    """Yield the records of the runs in order, in pieces.

    A piece ends with the first of the last records of the current frames: no later frame has a record before it.
    """
    while runs := [run for run in runs if run.is_open()]:
        rank = min(run.batch.ranks[-1] for run in runs)
        key = min(sort_key(run.batch.lines.line(-1)) for run in runs if run.batch.ranks[-1] == rank)
        yield in_order(_concatenated([run.taken(rank, key, sort_key) for run in runs]), sort_key)


def _concatenated(batches: list[Batch]) -> Batch:
    """Return one batch of all records, whose text is a copy if there are several."""
    batches = [batch for batch in batches if len(batch.lines)]
    if len(batches) == 1:
        return batches[0]
    text = b"".join(batch.lines.joined() for batch in batches)
    lengths, ranks, tags = (
        np.concatenate(column)
        for column in zip(*((batch.lines.lengths, batch.ranks, batch.tags) for batch in batches), strict=True)
    )
    return Batch(Lines.within(text, lengths), ranks, tags)
