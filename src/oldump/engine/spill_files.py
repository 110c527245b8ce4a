"""Spill files: each worker collects batches in memory and appends them to its file, sorted into buckets."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from oldump.engine.budget import Budget
from oldump.engine.buffer import Buffer
from oldump.engine.frames import (
    FRAME,
    FRAME_BYTES,
    NO_FRAMES,
    Batch,
    Frames,
    FrameWriter,
    Lengths,
    Ranks,
    equal_stretches,
)
from oldump.engine.text_lines import Lines
from oldump.errors import storage_errors
from oldump.run.steps import STEPS

_REGION_SHIFT = 60
"""Ranks with the same upper bits are a region. Each is cut as finely as its own text allows."""
_REGIONS = 1 << (64 - _REGION_SHIFT)


@contextmanager
def spill_folder(name: str, parent: Path | None) -> Iterator[Path]:
    """A new folder for intermediate files, gone afterwards. parent: where; None: where the system has such.

    Raises StorageError.
    """
    with storage_errors(parent or Path(tempfile.gettempdir())):
        folder = Path(tempfile.mkdtemp(prefix=f"oldump-{name}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Spill:
    """A worker's spill: records wait here until there are many, then go to disk, sorted into their buckets."""

    def __init__(self, folder: Path, number: int, budget: Budget) -> None:
        """Begin the file of this number; nothing is written before there is something to write."""
        self._path = spill_path(folder, number)
        self._number = number
        self._budget = budget
        self._text = Buffer(budget.spill_bytes).of(budget.spill_bytes)
        """Where the lines' texts wait, one behind another."""
        self._text_bytes = 0
        self._held: list[Batch] = []
        """Their lines lie in the text."""

    def add(self, batch: Batch) -> Frames:
        """Take lines; the frames that were written because there were enough. Raises StorageError, StorageFull.

        The text is taken with what lies between the lines, unless that is most of it.
        """
        if not len(batch.lines):
            return NO_FRAMES
        batch = _without_gaps(batch)
        frames = NO_FRAMES
        added_bytes = len(batch.lines.text)
        if self._text_bytes + added_bytes > len(self._text):
            frames = self.flush()
        if added_bytes > len(self._text):
            return np.concatenate((frames, self._written(batch)))
        self._hold(batch)
        return np.concatenate((frames, self.flush())) if self._text_bytes == len(self._text) else frames

    def _hold(self, batch: Batch) -> None:
        lines = batch.lines
        start, self._text_bytes = self._text_bytes, self._text_bytes + len(lines.text)
        self._text[start : self._text_bytes] = lines.text
        self._held.append(batch._replace(lines=Lines(self._text, lines.starts + start, lines.ends + start)))

    def flush(self) -> Frames:
        """Write what is left; its frames."""
        held, self._held, self._text_bytes = self._held, [], 0
        if not held:
            return NO_FRAMES
        columns = zip(*((lines.starts, lines.ends, ranks, tags) for lines, ranks, tags in held), strict=True)
        starts, ends, ranks, tags = map(np.concatenate, columns)
        return self._written(Batch(Lines(self._text, starts, ends), ranks, tags))

    def _written(self, batch: Batch) -> Frames:
        with STEPS.at("scatter", batch.lines.text_bytes):
            batch = batch.take(np.argsort(batch.ranks, kind="stable"))
        frames: list[tuple[int, ...]] = []
        with storage_errors(self._path), self._path.open("ab") as stream:
            writer = FrameWriter(stream, FRAME_BYTES)
            for start, end, shift in _bucket_borders(batch.ranks, batch.lines.lengths, self._budget):
                first = int(batch.ranks[start]) >> shift << shift
                bucket = batch.take(slice(start, end))
                frames += ((first, shift, self._number, *where) for where in writer.write(bucket))
        return np.array(frames, FRAME)

    def secure(self) -> None:
        """Bring all that was written to the disk. Raises StorageError, StorageFull."""
        if self._path.exists():
            with storage_errors(self._path), self._path.open("rb") as stream:
                os.fsync(stream.fileno())


def _without_gaps(batch: Batch) -> Batch:
    """The batch in a text of its own, if most of its text lies between the lines: in one of old rows, say."""
    lines = batch.lines
    if 2 * lines.text_bytes >= len(lines.text):
        return batch
    return batch._replace(lines=Lines.within(lines.joined(), lines.lengths))


def spill_sizes(folder: Path, frames: Frames) -> dict[Path, int]:
    """The spills that hold these frames, and the bytes that each has at least."""
    ends = frames["offset"] + frames["size_bytes"]
    return {spill_path(folder, int(n)): int(ends[frames["spill"] == n].max()) for n in np.unique(frames["spill"])}


def truncate_spills(folder: Path, sizes: Mapping[Path, int]) -> None:
    """Cut off what was spilled behind these sizes. Raises StorageError."""
    for path in folder.glob("spill-*"):
        with storage_errors(path):
            os.truncate(path, sizes.get(path, 0))


def spill_path(folder: Path, number: int) -> Path:
    """Return the path of the spill file of this worker."""
    return folder / f"spill-{number}"


def _bucket_borders(ranks: Ranks, lengths: Lengths, budget: Budget) -> Iterator[tuple[int, int, int]]:
    """Where a flush's buckets start and end, and their shifts. ranks: sorted; lengths: of their lines, in bytes.

    Where the budget's shift would make too many buckets, it is raised. So the frames of a flush are few, and large if
    it is full, be there ever so many keys or room between them. Every flush decides for itself; since buckets are
    aligned powers of two, those of two flushes are either disjoint or one within the other, and joining all that touch
    gives just the widest. The limit counts buckets and does not look at how full the flush is: else a small last flush
    would make buckets that span whole collections. It holds for each region in proportion to its text: else a few
    scattered keys would widen the buckets of the dense ones.
    """
    text_bytes = int(lengths.sum())
    for start, end in equal_stretches(ranks >> np.uint64(_REGION_SHIFT)):
        region = ranks[start:end]
        in_proportion = budget.flush_buckets * int(lengths[start:end].sum()) // text_bytes
        most = max(1, budget.flush_buckets // _REGIONS, in_proportion)
        shift = max(budget.bucket_shift, _least_shift(region, most))
        for first, last in equal_stretches(region >> np.uint64(shift)):
            yield start + first, start + last, shift


def _least_shift(ranks: Ranks, most: int) -> int:
    """The least s with which sorted ranks have at most so many values of rank >> s."""
    changes = ranks[1:] ^ ranks[:-1]  # a change of bit s and up makes another value
    if len(changes) < most:
        return 0
    return int(np.partition(changes, -most)[-most]).bit_length()
