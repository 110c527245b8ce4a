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

from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, Self

from oldump.engine.buckets import slices
from oldump.engine.budget import Budget
from oldump.engine.buffer import Buffer
from oldump.engine.checkpoint import NO_PAUSE, Pause, legs
from oldump.engine.frames import Batch, Frames, Lengths, SortKey
from oldump.engine.segment_writer import Position, SegmentWriter
from oldump.engine.segments import Compress, Segment, cuts
from oldump.engine.text_lines import Lines
from oldump.engine.workers import Crew, Task, TaskFunction, TaskMessage
from oldump.run.steps import STEPS


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


class SliceLengths(NamedTuple):
    """A worker's first word on a slice: the lengths of each stream's lines. The answer is where to cut them."""

    lengths: dict[str, Lengths]
    last: bool
    """Whether the bucket ends here."""


class SliceTails(NamedTuple):
    """The second: the text behind the last cut of each stream. The answer is the text to put before the first."""

    texts: dict[str, bytes]


class SliceSegments(NamedTuple):
    """The third: the segments. The answer says nothing; the worker goes on."""

    segments: dict[str, list[Segment]]


def gather_worker(
    exact: SortKey,
    arrange: Callable[[], Arrange],
    compress: Compress,
    folder: Path,
    budget: Budget,
) -> Callable[[int], TaskFunction]:
    """What the workers of a Crew perform in a gather: see Gathering, which leads them."""

    def begin(number: int) -> TaskFunction:
        runs, room = folder / f"runs-{number}", Buffer()

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
    borders = yield SliceLengths({name: lines.lengths for name, lines in streams.items()}, last)
    last_border = {name: max(borders[name], default=0) for name in streams}
    heads = yield SliceTails(
        {name: lines.take(slice(last_border[name], None)).joined() for name, lines in streams.items()}
    )
    yield SliceSegments(
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


class StreamPosition(NamedTuple):
    """How far a stream into a file has got."""

    position: Position
    open_text: bytes


class FileStream(Stream):
    """A stream into a seekable file, for `with`."""

    def __init__(self, path: Path, reached: StreamPosition | None = None) -> None:
        """Begin the file, or go on with it. Raises StorageError."""
        self.writer = SegmentWriter(path, reached.position) if reached else SegmentWriter(path)
        super().__init__(self.writer, reached.open_text if reached else b"")

    def reached(self) -> StreamPosition:
        """Where one can go on if the rest is lost. Raises StorageError, StorageFull."""
        return StreamPosition(self.writer.reached(), self.open_text)

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
        """Take a crew that performs `gather_worker`, and the streams."""
        self._crew = crew
        self._compress = compress
        self._streams = streams
        self._cutting = 0
        """The bucket whose lengths are heard next."""
        self._writing = 0
        """The bucket whose segments are written next."""
        self._waiting: dict[int, SliceLengths] = {}
        self._borders: dict[str, list[int]] = {}
        self._last = False
        self._compressed: dict[int, list[SliceSegments]] = defaultdict(list)
        self._tallies: dict[int, object] = {}

    def run(self, buckets: Iterable[tuple[str, object]], rest: Pause = NO_PAUSE) -> Iterator[object]:
        """Gather the buckets, in order; the tally of each when its segments are written. Behind the last, streams end.

        buckets: (description for errors, what the crew performs). At a rest, all that was drawn of them is written, but
        for the open texts of the streams.

        Raises StorageError, StorageFull, WorkerError, and what sinks and tasks raise.
        """
        for leg in legs(buckets, rest):
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

    def _hear(self, said: TaskMessage) -> None:
        number, message, finished = said
        if finished:
            self._tallies[number] = message
        elif isinstance(message, SliceLengths):
            self._waiting[number] = message
            self._answer_lengths()
        elif isinstance(message, SliceTails):
            self._answer_tails(number, message)
        elif isinstance(message, SliceSegments):
            self._compressed[number].append(message)
            self._crew.answer(number, None)

    def _answer_lengths(self) -> None:
        """Cut the slice whose turn it is, if its worker has got so far."""
        arranged = self._waiting.pop(self._cutting, None)
        if arranged is not None:
            self._last = arranged.last
            self._borders = {name: self._streams[name].cut(lengths) for name, lengths in arranged.lengths.items()}
            self._crew.answer(self._cutting, self._borders)

    def _answer_tails(self, number: int, tails: SliceTails) -> None:
        heads = {
            name: self._streams[name].replace_open(tail, was_cut=bool(self._borders[name]))
            for name, tail in tails.texts.items()
        }
        self._crew.answer(number, heads)
        if self._last:
            self._cutting += 1
        self._answer_lengths()

    def _write(self, compressed: list[SliceSegments]) -> None:
        for name, segments in ((n, s) for each in compressed for n, s in each.segments.items()):
            for segment in segments:
                with STEPS.at("write", segment.text_bytes):
                    self._streams[name].sink.append(segment)
