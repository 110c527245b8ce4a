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
"""Ranks with the same upper bits form a region. Each region is cut as finely as its own text allows."""
_REGIONS = 1 << (64 - _REGION_SHIFT)


@contextmanager
def spill_folder(name: str, parent: Path | None) -> Iterator[Path]:
    """Create a folder for intermediate files and remove it at the end of the block. Raises StorageError.

    parent: the folder to create it in; None: the system's folder for temporary files.
    """
    with storage_errors(parent or Path(tempfile.gettempdir())):
        folder = Path(tempfile.mkdtemp(prefix=f"oldump-{name}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Spill:
    """A worker's spill file, and the buffer that collects records before they are written, sorted into buckets."""

    def __init__(self, folder: Path, number: int, budget: Budget) -> None:
        """number: of the worker. The file is created when the first records are written."""
        self._path = spill_path(folder, number)
        self._number = number
        self._budget = budget
        self._text = Buffer(budget.spill_bytes).view(budget.spill_bytes)
        """The texts of the collected lines, concatenated."""
        self._text_bytes = 0
        self._collected: list[Batch] = []
        """Batches whose lines are in the text."""

    def add(self, batch: Batch) -> Frames:
        """Collect a batch; return the frames that were written because the buffer was full.

        The batch's text is copied whole, unless most of it is outside the lines. Raises StorageError, StorageFull.
        """
        if not len(batch.lines):
            return NO_FRAMES
        batch = _compacted(batch)
        frames = NO_FRAMES
        added_bytes = len(batch.lines.text)
        if self._text_bytes + added_bytes > len(self._text):
            frames = self.flush()
        if added_bytes > len(self._text):
            return np.concatenate((frames, self._write(batch)))
        self._collect(batch)
        return np.concatenate((frames, self.flush())) if self._text_bytes == len(self._text) else frames

    def _collect(self, batch: Batch) -> None:
        lines = batch.lines
        start, self._text_bytes = self._text_bytes, self._text_bytes + len(lines.text)
        self._text[start : self._text_bytes] = lines.text
        self._collected.append(batch._replace(lines=Lines(self._text, lines.starts + start, lines.ends + start)))

    def flush(self) -> Frames:
        """Write the collected records; return their frames."""
        collected, self._collected, self._text_bytes = self._collected, [], 0
        if not collected:
            return NO_FRAMES
        columns = zip(*((lines.starts, lines.ends, ranks, tags) for lines, ranks, tags in collected), strict=True)
        starts, ends, ranks, tags = map(np.concatenate, columns)
        return self._write(Batch(Lines(self._text, starts, ends), ranks, tags))

    def _write(self, batch: Batch) -> Frames:
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

    def sync(self) -> None:
        """Sync the file to the disk. Raises StorageError, StorageFull."""
        if self._path.exists():
            with storage_errors(self._path), self._path.open("rb") as stream:
                os.fsync(stream.fileno())


def _compacted(batch: Batch) -> Batch:
    """Copy the lines to a text of their own if less than half of the batch's text is in them."""
    lines = batch.lines
    if 2 * lines.text_bytes >= len(lines.text):
        return batch
    return batch._replace(lines=Lines.within(lines.joined(), lines.lengths))


def spill_sizes(folder: Path, frames: Frames) -> dict[Path, int]:
    """Return the spill files that hold these frames, and the least size of each in bytes."""
    ends = frames["offset"] + frames["size_bytes"]
    return {spill_path(folder, int(n)): int(ends[frames["spill"] == n].max()) for n in np.unique(frames["spill"])}


def truncate_spills(folder: Path, sizes: Mapping[Path, int]) -> None:
    """Truncate the spill files to these sizes. Raises StorageError."""
    for path in folder.glob("spill-*"):
        with storage_errors(path):
            os.truncate(path, sizes.get(path, 0))


def spill_path(folder: Path, number: int) -> Path:
    """Return the path of the spill file of this worker."""
    return folder / f"spill-{number}"


def _bucket_borders(ranks: Ranks, lengths: Lengths, budget: Budget) -> Iterator[tuple[int, int, int]]:
    """Yield the start, the end and the shift of each bucket of a flush. ranks: sorted; lengths: of the lines, in bytes.

    If the budget's shift would make too many buckets, it is raised. So a flush has few frames, however many keys there
    are and however far apart. Each flush decides for itself: since buckets are aligned powers of two, those of two
    flushes are either disjoint or nested, and merging all that overlap gives the widest. The limit counts buckets,
    however full the flush is; otherwise a small last flush would make buckets that span whole collections. The limit
    is divided among the regions by their text; otherwise a few scattered keys would widen the buckets of dense ones.
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
    """Return the least s for which sorted ranks have at most `most` values of rank >> s."""
    changes = ranks[1:] ^ ranks[:-1]  # values of rank >> s differ where bit s or a higher one changes
    if len(changes) < most:
        return 0
    return int(np.partition(changes, -most)[-most]).bit_length()
