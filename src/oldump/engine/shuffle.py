"""Scatter and gather: sorting more records than fit in memory, on every core.

*Scatter*: workers read tasks into batches and spill them: each record goes to the bucket that its rank belongs to,
in frames, sorted, compressed with zstd, in large sequential writes.
*Gather*: workers take one bucket each, in order, sort it in memory, and arrange it into streams of lines, say one per
output file. The leader, from the lengths of the lines alone, decides where segments end; so the borders of segments,
and with them every byte, depend on the lines alone, not on workers, memory or chance. The workers then compress
(compress) their segments, and the leader writes them in order.

A bucket is a range of ranks. How wide is settled while spilling, from the records themselves (_bucket_borders): however
scattered the ranks are, a flush writes few frames. So the leader's table of them and the number of reads stay in
bounds. Small neighbours are gathered as one bucket. One that exceeds its share of the memory is sorted as runs, which
are merged and gathered slice by slice. The contract with a caller is small: a rank that is a monotone prefix of the
order, an exact order for equal ranks, and an arrange step. Nothing here knows what a record is.

Both can come to *rest*: no task is under way, and all that was done is written. Then a caller can keep what is needed
to go on from there in another process, with another number of workers and another budget: the tasks that are left, the
table of frames, and how far each stream has got.
"""

import heapq
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Protocol, Self

import numpy as np

from oldump.engine.blocks import TEXT_PER_GZIP_BYTE
from oldump.engine.checkpoint import NO_REST, Rest
from oldump.engine.lines import Chosen, Lines
from oldump.engine.room import Room
from oldump.engine.segments import Compress, Position, Segment, SegmentWriter, cuts
from oldump.engine.workers import Crew, Perform, Said, Task
from oldump.errors import StorageError, storage_errors
from oldump.run.steps import STEPS

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore] # from Python 3.14 on
except ImportError:
    from backports import zstd

_ZSTD_OPTIONS = {
    zstd.CompressionParameter.compression_level: 1,
    zstd.CompressionParameter.hash_log: 12,  # a table in the nearest cache: an eighth faster, a twentieth more bytes
    zstd.CompressionParameter.checksum_flag: 1,  # else a flipped bit in text that is stored as it is goes unnoticed
}
FRAME_BYTES = 4 << 20
"""The most text in a frame of a spill, unless one line alone is longer."""
RUN_FRAME_BYTES = 1 << 18
"""The same for the runs of an overfull bucket, of which many are open at once."""
_PIECE_BYTES = 1 << 17
"""Text that is compressed or decompressed at a time: little enough to stay in a near cache meanwhile."""
_LENGTH = np.dtype(np.uint32)
"""Of a line in a frame: blocks.LONGEST_LINE_BYTES is far below what it can say."""
_HEAD_BYTES = 8 + 1 + _LENGTH.itemsize
"""Of a record in the head of a frame: its rank, its tag, and the length of its line."""
_LEAST_FRAME_BYTES = 1 << 16
"""The least text in a frame of a full flush, on average. Smaller ones cost more to find than to read."""

Lengths = np.ndarray[tuple[int], np.dtype[np.int64]]
Ranks = np.ndarray[tuple[int], np.dtype[np.uint64]]
Tags = np.ndarray[tuple[int], np.dtype[np.uint8]]
Exact = Callable[[bytes], Any]
"""A line's place among lines of the same rank, as something to sort by."""


class Batch(NamedTuple):
    """Lines with what they are sorted and told apart by; the three run parallel."""

    lines: Lines
    ranks: Ranks
    tags: Tags

    @classmethod
    def of(cls, lines: list[bytes], ranks: list[int]) -> Self:
        """These lines (without newlines), which are not told apart."""
        return cls(Lines.of(lines), np.array(ranks, np.uint64), np.zeros(len(lines), np.uint8))

    def take(self, chosen: Chosen) -> "Batch":
        """Some of the lines, in the order in which they are chosen."""
        return Batch(self.lines.take(chosen), self.ranks[chosen], self.tags[chosen])


FRAME = np.dtype(
    [
        ("first", np.uint64),  # the bucket's first possible rank
        ("shift", np.uint8),  # the bucket is one value of rank >> shift
        ("spill", np.uint16),  # the number of the worker that wrote it
        ("offset", np.uint64),
        ("size_bytes", np.uint32),
        ("text_bytes", np.uint32),
    ]
)
"""Where a part of a bucket lies in a spill: a row of a table, since the leader holds millions of them."""
Frames = np.ndarray[tuple[int], np.dtype[np.void]]
NO_FRAMES = np.empty(0, FRAME)


def frames_of(content: bytes) -> Frames:
    """The table that was kept as these bytes."""
    return np.frombuffer(content, FRAME)


@dataclass(frozen=True)
class Budget:
    """What one worker may hold at a time, in bytes of text, and how fine buckets are."""

    spill_bytes: int
    """Text collected before it is spilled."""
    bucket_bytes: int
    """Text sorted in memory as a whole; of a larger bucket, runs are merged."""
    bucket_shift: int
    """A bucket is one value of `rank >> bucket_shift`, unless that makes too many of them."""
    flush_buckets: int = 1 << 10
    """The most buckets that a flush is cut into; up to twice as many where ranks differ much in density."""


# Measured on whole runs of 300,000 rows with 256M and 512M: the most resident memory of each process, and how that of a
# worker grows with the text that it may hold: by 1.1 in a scatter, by 1.6 in a gather, runs and slices included.
_LEADER_BYTES = 92 << 20
"""What the leader takes: the interpreter, shared blocks, open segments, results on their way."""
_WORKER_BYTES = 68 << 20
"""What a worker takes besides its records, at the least: the interpreter and numpy, a block and what becomes of it."""
_HELD_PER_TEXT = 1.8
"""Bytes of memory for a byte of text that is collected or sorted; where lines are short, their places weigh."""
HELD_PER_TEXT_OF_OBJECTS = 4.0
"""The same where a stage makes objects of lines."""
_LEAST_TEXT_BYTES = 4 << 20
_MOST_SPILL_BYTES = 512 << 20
_FINEST_BUCKET_BYTES = 16 << 20
_REGION_SHIFT = 60
"""Ranks with the same upper bits are a region. Each is cut as finely as its own text allows."""
_REGIONS = 1 << (64 - _REGION_SHIFT)
_TABLE_SHARE = 8
"""The table of frames takes at most about one part in so many of the memory."""
_TABLE_BYTES_PER_FRAME = FRAME.itemsize + 8
"""In the table, and in its order."""


def workers_within(memory_bytes: int, workers: int) -> int:
    """As many workers as the memory allows, at least one."""
    each = _WORKER_BYTES + int(_HELD_PER_TEXT * _LEAST_TEXT_BYTES)
    return max(1, min(workers, (memory_bytes - _LEADER_BYTES) // each))


def budget_within(
    memory_bytes: int,
    workers: int,
    size_bytes: int,
    text_per_key: int,
    key_shift: int,
    held_per_text: float = _HELD_PER_TEXT,
) -> Budget:
    """What each worker may hold, and buckets that are fine enough to occupy all workers and to fit in memory.

    size_bytes: of the compressed input, 0 if unknown; text_per_key: text of all lines whose ranks are equal but for
    the lowest key_shift bits, on average. Both only tune how fine buckets and how large frames are.
    """
    workers = workers_within(memory_bytes, workers)
    text_bytes = size_bytes * TEXT_PER_GZIP_BYTE
    most_table_bytes = memory_bytes // _TABLE_SHARE
    frame_bytes = max(_LEAST_FRAME_BYTES, text_bytes * _TABLE_BYTES_PER_FRAME // most_table_bytes)
    table_bytes = text_bytes // frame_bytes * _TABLE_BYTES_PER_FRAME
    each = (memory_bytes - _LEADER_BYTES - table_bytes) / workers - _WORKER_BYTES
    share = max(_LEAST_TEXT_BYTES, int(each / held_per_text))
    target = min(share // 3, max(_FINEST_BUCKET_BYTES, text_bytes // (64 * workers)))
    keys = max(1, target // text_per_key)
    spill_bytes = min(share, _MOST_SPILL_BYTES)
    return Budget(spill_bytes, share, key_shift + keys.bit_length() - 1, max(1, spill_bytes // frame_bytes))


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


class Arrange(Protocol):
    """What becomes of a bucket's sorted lines. One is made for each bucket, and called for each slice of it in turn."""

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:
        """The next lines of each stream."""

    def tally(self) -> object:
        """What the leader is to know of the bucket, at its end."""


class Sink(Protocol):
    """Where a stream's segments go, in order."""

    def append(self, segment: Segment) -> object:
        """Take the next one."""


# ---------------------------------------------------------------------------------------------------------- scatter


class Spill:
    """A worker's spill: records wait here until there are many, then go to disk, sorted into their buckets."""

    def __init__(self, folder: Path, number: int, budget: Budget) -> None:
        """Begin the file of this number; nothing is written before there is something to write."""
        self._path = _spill_path(folder, number)
        self._number = number
        self._budget = budget
        self._text = Room(budget.spill_bytes).of(budget.spill_bytes)
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
            writer = _FrameWriter(stream, FRAME_BYTES)
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
    return {_spill_path(folder, int(n)): int(ends[frames["spill"] == n].max()) for n in np.unique(frames["spill"])}


def cut_spills(folder: Path, sizes: Mapping[Path, int]) -> None:
    """Cut off what was spilled behind these sizes. Raises StorageError."""
    for path in folder.glob("spill-*"):
        with storage_errors(path):
            os.truncate(path, sizes.get(path, 0))


def _spill_path(folder: Path, number: int) -> Path:
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
    for start, end in _equal_stretches(ranks >> np.uint64(_REGION_SHIFT)):
        region = ranks[start:end]
        in_proportion = budget.flush_buckets * int(lengths[start:end].sum()) // text_bytes
        most = max(1, budget.flush_buckets // _REGIONS, in_proportion)
        shift = max(budget.bucket_shift, _least_shift(region, most))
        for first, last in _equal_stretches(region >> np.uint64(shift)):
            yield start + first, start + last, shift


def _equal_stretches(values: Ranks) -> Iterator[tuple[int, int]]:
    """Where equal neighbours start and end."""
    return pairwise([0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)])


def _least_shift(ranks: Ranks, most: int) -> int:
    """The least s with which sorted ranks have at most so many values of rank >> s."""
    changes = ranks[1:] ^ ranks[:-1]  # a change of bit s and up makes another value
    if len(changes) < most:
        return 0
    return int(np.partition(changes, -most)[-most]).bit_length()


class _FrameWriter:
    """Appends batches to a spill in frames: zstd of a head, and of the lines behind it.

    The head: the number of records (8 bytes), their ranks, their tags, and the lengths of their lines.
    """

    def __init__(self, stream: BinaryIO, frame_bytes: int) -> None:
        """Take where to, and about the most text of a frame."""
        self._stream = stream
        self._frame_bytes = frame_bytes
        self._compressor = zstd.ZstdCompressor(options=_ZSTD_OPTIONS)

    def write(self, batch: Batch) -> Iterator[tuple[int, int, int]]:
        """Write the batch; of each frame its offset, size and text, in bytes. Draw them all."""
        for start, end in _pieces(batch.lines.lengths, self._frame_bytes):
            offset = self._stream.tell()
            part = batch.take(slice(start, end))
            text_bytes = part.lines.text_bytes
            with STEPS.at("spill", text_bytes):
                self._write_frame(part)
            yield offset, self._stream.tell() - offset, text_bytes

    def _write_frame(self, batch: Batch) -> None:
        lines, ranks, tags = batch
        count = len(lines).to_bytes(8, "little")
        head = b"".join((count, ranks.tobytes(), tags.tobytes(), lines.lengths.astype(_LENGTH).tobytes()))
        self._stream.write(self._compressor.compress(head))
        for start, end in _pieces(lines.lengths, _PIECE_BYTES):
            self._stream.write(self._compressor.compress(lines.take(slice(start, end)).joined()))
        self._stream.write(self._compressor.flush(zstd.ZstdCompressor.FLUSH_FRAME))


def _pieces(lengths: Lengths, piece_bytes: int) -> Iterator[tuple[int, int]]:
    """Where to cut so that no piece but one of a single line is longer than about piece_bytes."""
    borders = np.flatnonzero(np.diff(np.cumsum(lengths) // piece_bytes)) + 1
    return pairwise([0, *borders.tolist(), len(lengths)])


def _read_frame(path: Path, frame: np.void) -> Batch:
    """What is in the frame. Raises StorageError."""
    text = memoryview(bytearray(int(frame["text_bytes"])))
    lengths, ranks, tags = _read_into(text, path, frame)
    return Batch(Lines.within(text, lengths), ranks, tags)


def _read_into(text: memoryview, path: Path, frame: np.void) -> tuple[Lengths, Ranks, Tags]:
    """Read the lines of the frame into the text, which is just as long, and the rest of it. Raises StorageError."""
    offset = int(frame["offset"])
    with storage_errors(path), path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(int(frame["size_bytes"]))
    try:
        return _FrameReader(data).read_into(text)
    except (zstd.ZstdError, _NotAFrameError) as error:
        raise StorageError(
            f"{path}: the spill is damaged at byte {offset:,} ({error}). Check the disk and run again."
        ) from error


class _NotAFrameError(Exception):
    """The frame is not what was written."""


class _FrameReader:
    """Reads a frame piece by piece: what is still in the processor's cache is quickly laid where it belongs."""

    def __init__(self, data: bytes) -> None:
        """Take the frame."""
        self._data = data
        self._decompressor = zstd.ZstdDecompressor()

    def read_into(self, text: memoryview) -> tuple[Lengths, Ranks, Tags]:
        """Read the lines into the text; their lengths, ranks and tags. Raises ZstdError, _NotAFrameError."""
        count = int.from_bytes(self._taken(8), "little")
        if count > len(text):  # each line has a newline, at the least
            raise _NotAFrameError("more lines than text")
        head = self._taken(count * _HEAD_BYTES)
        ranks = np.frombuffer(head, np.uint64, count)
        tags = np.frombuffer(head, np.uint8, count, 8 * count)
        lengths = np.frombuffer(head, _LENGTH, count, 9 * count).astype(np.int64)
        for start in range(0, len(text), _PIECE_BYTES):
            piece = text[start : start + _PIECE_BYTES]
            piece[:] = self._taken(len(piece))
        if self._more(1) or lengths.sum() != len(text) or not self._decompressor.eof:
            raise _NotAFrameError("another length")
        return lengths, ranks, tags

    def _taken(self, size_bytes: int) -> bytes:
        """Just so many bytes."""
        taken = self._more(size_bytes)
        while len(taken) < size_bytes:
            more = self._more(size_bytes - len(taken))
            if not more:
                raise _NotAFrameError("cut off")
            taken += more
        return taken

    def _more(self, size_bytes: int) -> bytes:
        """At most so many bytes; none if there are no more."""
        if self._decompressor.eof:
            return b""
        data, self._data = self._data, b""
        more: bytes = self._decompressor.decompress(data, size_bytes)
        return more


Read = Callable[[Any], Generator[Batch, None, Any]]
"""What a worker makes of a task's content: it yields batches for the spill, and returns a summary for the leader."""


def scatterer(read: Read, folder: Path, budget: Budget) -> Callable[[int], Perform]:
    """What the workers of a Crew perform: tasks are read and spilled; FLUSH spills the rest.

    A task's result is its summary (None for FLUSH) and the frames that were written meanwhile.
    """

    def begin(number: int) -> Perform:
        spill = Spill(folder, number, budget)

        def perform(content: object) -> Task:
            yield from ()  # a task without conversation
            if isinstance(content, str) and content == FLUSH:
                frames = spill.flush()
                spill.secure()
                return None, frames
            return _spilled(read(content), spill)

        return perform

    return begin


def _spilled(reading: Generator[Batch, None, Any], spill: Spill) -> tuple[Any, Frames]:
    """All that is read goes to the spill; the summary, and the frames that were written meanwhile."""
    frames: list[Frames] = [NO_FRAMES]
    while True:
        try:
            batch = next(reading)
        except StopIteration as end:
            return end.value, np.concatenate(frames)
        frames.append(spill.add(batch))


FLUSH = "flush"


class Scattering:
    """The leader's side of a scatter: it hands out the tasks and keeps the table of frames."""

    def __init__(self, crew: Crew, frames: Frames = NO_FRAMES) -> None:
        """Take a crew that performs `scatterer`, and the frames that were written before."""
        self._crew = crew
        self._frames: list[Frames] = [frames]

    def run(
        self,
        tasks: Iterable[tuple[str, Any]],
        arrivals: Connection | None = None,
        rest: Rest = NO_REST,
        first: int = 0,
    ) -> Iterator[tuple[int, Any]]:
        """Scatter the tasks; each one's number, counted from first, and summary, as it comes.

        At its end, and at a rest, all is on the disk. arrivals: see Crew.run.

        Raises StorageError, StorageFull, WorkerError, and what tasks raise.
        """
        for leg in _legs(tasks, rest):
            for number, (summary, frames), _ in self._crew.run(leg, arrivals=arrivals):
                self._add(frames)
                yield first + number, summary
            first += leg.begun
            for _, frames in self._crew.each("writing the last of the spill", FLUSH):
                self._add(frames)
            leg.end()

    def _add(self, frames: Frames) -> None:
        if len(frames):
            self._frames.append(frames.astype(FRAME))  # each array that comes from a worker has a type of its own

    def frames(self) -> Frames:
        """The table of frames that were written so far."""
        self._frames = [np.concatenate(self._frames)]
        return self._frames[0]


class _Leg(Iterator[tuple[str, Any]]):
    """Tasks up to a rest: at least one, unless there is none any more."""

    def __init__(self, tasks: Iterator[tuple[str, Any]], rest: Rest) -> None:
        self._tasks = tasks
        self._rest = rest
        self.begun = 0
        self.is_last = False

    def __next__(self) -> tuple[str, Any]:
        if self.begun and self._rest.is_due():
            raise StopIteration
        try:
            task = next(self._tasks)
        except StopIteration:
            self.is_last = True
            raise
        self.begun += 1
        return task

    def end(self) -> None:
        """Rest, if that is why the leg ended."""
        if not self.is_last:
            self._rest.take()


def _legs(tasks: Iterable[tuple[str, Any]], rest: Rest) -> Iterator[_Leg]:
    """All tasks, in legs. Draw each to its end before the next."""
    remaining = iter(tasks)
    while True:
        leg = _Leg(remaining, rest)
        yield leg
        if leg.is_last:
            return


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
        most_bytes = min(_FINEST_BUCKET_BYTES, budget.bucket_bytes // 3)
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


# ----------------------------------------------------------------------------------------------------------- gather


class Arranged(NamedTuple):
    """A worker's first word on a slice: the lengths of each stream's lines. The answer is where to cut them."""

    lengths: dict[str, Lengths]
    last: bool
    """Whether the bucket ends here."""


class Tails(NamedTuple):
    """The second: the text behind the last cut of each stream. The answer is the text to put before the first."""

    texts: dict[str, bytes]


class Compressed(NamedTuple):
    """The third: the segments. The answer says nothing; the worker goes on."""

    segments: dict[str, list[Segment]]


def gatherer(
    exact: Exact,
    arrange: Callable[[], Arrange],
    compress: Compress,
    folder: Path,
    budget: Budget,
) -> Callable[[int], Perform]:
    """What the workers of a Crew perform in a gather: see Gathering, which leads them."""

    def begin(number: int) -> Perform:
        runs, room = folder / f"runs-{number}", Room()

        def perform(frames: Frames) -> Task:
            arranging = arrange()
            for batch, last in slices(frames, exact, runs, budget, room):
                with STEPS.at("arrange", batch.lines.text_bytes):
                    streams = arranging(batch, last=last)
                del batch
                yield from conversation(streams, compress, last=last)
            return arranging.tally()

        return perform

    return begin


def conversation(streams: dict[str, Lines], compress: Compress, *, last: bool) -> Generator[Any, Any, None]:
    """The conversation about one slice: its lines are cut as the leader says, compressed and sent."""
    streams = {name: lines for name, lines in streams.items() if len(lines)}
    borders = yield Arranged({name: lines.lengths for name, lines in streams.items()}, last)
    last_border = {name: max(borders[name], default=0) for name in streams}
    heads = yield Tails({name: lines.take(slice(last_border[name], None)).joined() for name, lines in streams.items()})
    yield Compressed(
        {
            name: [_compressed(text, compress) for text in _segment_texts(lines, borders[name], heads[name]) if text]
            for name, lines in streams.items()
        }
    )


def _segment_texts(lines: Lines, borders: list[int], head: bytes) -> Iterator[bytes]:
    """The texts that end at these borders; the head goes before the first."""
    for start, end in pairwise([0, *borders]):
        chosen = lines.take(slice(start, end))
        with STEPS.at("join", chosen.text_bytes):
            text = chosen.joined(head)
        yield text
        head = b""


def _compressed(text: bytes, compress: Compress) -> Segment:
    with STEPS.at("compress", len(text)):
        return compress(text)


def slices(frames: Frames, exact: Exact, runs: Path, budget: Budget, room: Room) -> Iterator[tuple[Batch, bool]]:
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


def _read_spilled(folder: Path, frames: Frames, room: Room) -> Batch:
    """What is in these frames, in one text, which is in the room."""
    text = room.of(int(frames["text_bytes"].sum()))
    end = 0
    columns: list[tuple[Lengths, Ranks, Tags]] = []
    for frame in frames:
        start, end = end, end + int(frame["text_bytes"])
        columns.append(_read_into(text[start:end], _spill_path(folder, int(frame["spill"])), frame))
    lengths, ranks, tags = map(np.concatenate, zip(*columns, strict=True))
    return Batch(Lines.within(text, lengths), ranks, tags)


def in_order(batch: Batch, exact: Exact) -> Batch:
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


def _merged_slices(frames: Frames, exact: Exact, runs: Path, budget: Budget, room: Room) -> Iterator[Batch]:
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
        writer = _FrameWriter(stream, RUN_FRAME_BYTES)
        for batch in batches:
            frames += ((0, 0, 0, *where) for where in writer.write(batch))
    return _Run(path, np.array(frames, FRAME))


def _merged(runs: list[_Run], exact: Exact, slice_bytes: int) -> Iterator[Batch]:
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


def _items(run: _Run, exact: Exact) -> Iterator[_Item]:
    for frame in run.frames:
        batch = _read_frame(run.path, frame)
        for line, rank, tag in zip(batch.lines, batch.ranks.tolist(), batch.tags.tolist(), strict=True):
            yield _Item(rank, exact(line), line, tag)


def _batch_of_items(items: list[_Item]) -> Batch:
    return Batch(
        Lines.of([item.line for item in items]),
        np.array([item.rank for item in items], np.uint64),
        np.array([item.tag for item in items], np.uint8),
    )


class Stream:
    """One stream as its leader sees it: the open segment's text, and the sink."""

    def __init__(self, sink: Sink, opened: bytes = b"") -> None:
        """Take where segments go, and the text behind the last of them."""
        self.sink = sink
        self._open = [opened] if opened else []
        self._open_bytes = len(opened)

    @property
    def open_text(self) -> bytes:
        """The text behind the last segment."""
        return b"".join(self._open)

    def cut(self, lengths: Lengths) -> list[int]:
        """Where segments end among further lines of these lengths."""
        return cuts(lengths, self._open_bytes)

    def replace_open(self, tail: bytes, *, was_cut: bool) -> bytes:
        """The open text, which goes before the first cut if there is one; the tail is open after it."""
        head = self.open_text if was_cut else b""
        if was_cut:
            self._open, self._open_bytes = [], 0
        self._open.append(tail)
        self._open_bytes += len(tail)
        return head


class StreamSoFar(NamedTuple):
    """How far a stream into a file has got."""

    position: Position
    open_text: bytes


class FileStream(Stream):
    """A stream into a seekable file, for `with`."""

    def __init__(self, path: Path, reached: StreamSoFar | None = None) -> None:
        """Begin the file, or go on with it. Raises StorageError."""
        self.writer = SegmentWriter(path, reached.position) if reached else SegmentWriter(path)
        super().__init__(self.writer, reached.open_text if reached else b"")

    def reached(self) -> StreamSoFar:
        """Where one can go on if the rest is lost. Raises StorageError, StorageFull."""
        return StreamSoFar(self.writer.reached(), self.open_text)

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not committed, unless one can go on with it."""
        self.writer.__exit__(kind, error, trace)


class Gathering:
    """The leader's side of a gather: it hears the workers out and keeps streams and buckets in order."""

    def __init__(self, crew: Crew, streams: Mapping[str, Stream], compress: Compress) -> None:
        """Take a crew that performs `gatherer`, and the streams."""
        self._crew = crew
        self._compress = compress
        self._streams = streams
        self._cutting = 0
        """The bucket whose lengths are heard next."""
        self._writing = 0
        """The bucket whose segments are written next."""
        self._waiting: dict[int, Arranged] = {}
        self._borders: dict[str, list[int]] = {}
        self._last = False
        self._compressed: dict[int, list[Compressed]] = defaultdict(list)
        self._tallies: dict[int, object] = {}

    def run(self, buckets: Iterable[tuple[str, object]], rest: Rest = NO_REST) -> Iterator[object]:
        """Gather the buckets, in order; the tally of each when its segments are written. Behind the last, streams end.

        buckets: (description for errors, what the crew performs). At a rest, all that was drawn of them is written, but
        for the open texts of the streams.

        Raises StorageError, StorageFull, WorkerError, and what sinks and tasks raise.
        """
        for leg in _legs(buckets, rest):
            self._cutting = self._writing = 0
            for said in self._crew.run(leg):
                self._hear(said)
                while self._writing in self._tallies:
                    self._write(self._compressed.pop(self._writing, []))
                    yield self._tallies.pop(self._writing)
                    self._writing += 1
                self._write(self._compressed.pop(self._writing, []))
            leg.end()
        for stream in self._streams.values():
            if text := stream.open_text:
                stream.sink.append(self._compress(text))

    def _hear(self, said: Said) -> None:
        number, message, finished = said
        if finished:
            self._tallies[number] = message
        elif isinstance(message, Arranged):
            self._waiting[number] = message
            self._answer_lengths()
        elif isinstance(message, Tails):
            self._answer_tails(number, message)
        elif isinstance(message, Compressed):
            self._compressed[number].append(message)
            self._crew.answer(number, None)

    def _answer_lengths(self) -> None:
        """Cut the slice whose turn it is, if its worker has got so far."""
        arranged = self._waiting.pop(self._cutting, None)
        if arranged is not None:
            self._last = arranged.last
            self._borders = {name: self._streams[name].cut(lengths) for name, lengths in arranged.lengths.items()}
            self._crew.answer(self._cutting, self._borders)

    def _answer_tails(self, number: int, tails: Tails) -> None:
        heads = {
            name: self._streams[name].replace_open(tail, was_cut=bool(self._borders[name]))
            for name, tail in tails.texts.items()
        }
        self._crew.answer(number, heads)
        if self._last:
            self._cutting += 1
        self._answer_lengths()

    def _write(self, compressed: list[Compressed]) -> None:
        for name, segments in ((n, s) for each in compressed for n, s in each.segments.items()):
            for segment in segments:
                with STEPS.at("write", segment.text_bytes):
                    self._streams[name].sink.append(segment)
