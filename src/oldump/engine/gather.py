"""Gather: sort the spilled buckets on every core and write them as streams of segments.

A worker takes one bucket at a time, sorts it in memory and arranges it into streams of lines, one per output file, say.
From the lengths of the lines alone, the leader decides where segments end, so every byte of the output depends on the
lines alone and not on the number of workers, the memory or the timing. The workers compress their segments, and the
leader writes them in order.

At a pause (see checkpoint), no bucket is in progress and every segment is written. What is left of the buckets and the
positions of the streams are enough to resume in another process, with other workers and another budget.

Does not: know what a record is. The caller gives a rank that is a monotone prefix of the order, a sort key for lines of
equal rank, and an arrange step.
"""

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
from oldump.engine.workers import Crew, Task, TaskFunction, TaskMessage, TaskOrder
from oldump.run.steps import STEPS


class Arrange(Protocol):
    """Arranges the sorted lines of one bucket into streams; called for each slice of the bucket in turn."""

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:
        """Return the next lines of each stream. last: whether the bucket ends with this slice."""

    def tally(self) -> object:
        """Return the totals of the bucket for the leader, after its last slice."""


class Sink(Protocol):
    """Receives the segments of a stream, in order."""

    def append(self, segment: Segment) -> object:
        """Write the next segment."""


class SliceLengths(NamedTuple):
    """First message about a slice: the lengths of each stream's lines. The answer is the borders of the segments."""

    lengths: dict[str, Lengths]
    last: bool
    """Whether the bucket ends with this slice."""


class SliceTails(NamedTuple):
    """Second message: the text after the last border of each stream. The answer is the text before the first line."""

    texts: dict[str, bytes]


class SliceSegments(NamedTuple):
    """Third message: the compressed segments. The answer is None."""

    segments: dict[str, list[Segment]]


def gather_worker(
    sort_key: SortKey,
    arrange: Callable[[], Arrange],
    compress: Compress,
    folder: Path,
    budget: Budget,
) -> Callable[[int], TaskFunction]:
    """Return the function that makes the task function of each worker of a gather; Gathering is the leader's side."""

    def begin(number: int) -> TaskFunction:
        runs, buffer = folder / f"runs-{number}", Buffer()

        def perform(frames: Frames) -> Task:
            arranger = arrange()
            for batch, last in slices(frames, sort_key, runs, budget, buffer):
                with STEPS.at("arrange", batch.lines.text_bytes):
                    streams = arranger(batch, last=last)
                del batch
                yield from segment_slice(streams, compress, last=last)
            return arranger.tally()

        return perform

    return begin


def segment_slice(streams: dict[str, Lines], compress: Compress, *, last: bool) -> Generator[Any, Any, None]:
    """Cut the lines of a slice at the borders that the leader determines, compress the segments and send them."""
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
    """Yield the texts that end at these borders, the first one preceded by the head."""
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
    """The leader's view of one stream: the text of the open segment, and the sink."""

    def __init__(self, sink: Sink, opened: bytes = b"") -> None:
        """sink: receives the segments; opened: the text after the last segment, when the stream is resumed."""
        self.sink = sink
        self._open = [opened] if opened else []
        self._open_bytes = len(opened)

    @property
    def open_text(self) -> bytes:
        """The text after the last segment."""
        return b"".join(self._open)

    def cut(self, lengths: Lengths) -> list[int]:
        """Return the borders of segments among further lines of these lengths."""
        return cuts(lengths, self._open_bytes)

    def replace_open(self, tail: bytes, *, was_cut: bool) -> bytes:
        """Add the tail to the open text. If the slice was cut, the tail replaces it; return the old text."""
        head = self.open_text if was_cut else b""
        if was_cut:
            self._open, self._open_bytes = [], 0
        self._open.append(tail)
        self._open_bytes += len(tail)
        return head


class StreamPosition(NamedTuple):
    """Position of a stream in its file, from which it can be resumed."""

    position: Position
    open_text: bytes


class FileStream(Stream):
    """A stream into a seekable file, to be used in `with`."""

    def __init__(self, path: Path, reached: StreamPosition | None = None) -> None:
        """Create the file, or resume it. Raises StorageError."""
        self.writer = SegmentWriter(path, reached.position) if reached else SegmentWriter(path)
        super().__init__(self.writer, reached.open_text if reached else b"")

    def reached(self) -> StreamPosition:
        """Sync the file and return the position from which it can be resumed. Raises StorageError, StorageFull."""
        return StreamPosition(self.writer.reached(), self.open_text)

    def __enter__(self) -> Self:
        """Return the stream."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the file if it is neither committed nor resumable."""
        self.writer.__exit__(kind, error, trace)


class Gathering:
    """The leader's side of a gather: answers the workers' messages and keeps streams and buckets in order."""

    def __init__(self, crew: Crew, streams: Mapping[str, Stream], compress: Compress) -> None:
        """crew: its workers run `gather_worker`."""
        self._crew = crew
        self._compress = compress
        self._streams = streams
        self._lengths = TaskOrder[SliceLengths]()
        """Slices that wait to be cut. The current bucket is the one that is cut next."""
        self._borders: dict[str, list[int]] = {}
        self._last = False
        self._results = TaskOrder[TaskMessage]()
        """Segments and tallies that wait to be written. The current bucket is the one that is written next."""

    def run(self, buckets: Iterable[tuple[str, object]], pause: Pause = NO_PAUSE) -> Iterator[object]:
        """Gather the buckets in order, yielding the tally of each when its segments are written; then end the streams.

        buckets: (description for errors, content of the task). At a pause, every bucket drawn is written, except for
        the open texts of the streams. Raises StorageError, StorageFull, WorkerError, and the errors of sinks and tasks.
        """
        for leg in legs(buckets, pause):
            self._lengths, self._results = TaskOrder(), TaskOrder()
            for message in self._crew.run(leg):
                self._receive(message)
                while (following := self._results.take()) is not None:
                    if following.finished:
                        self._results.advance()
                        yield following.message
                    else:
                        self._write(following.message)
            leg.end()
        for stream in self._streams.values():
            if text := stream.open_text:
                stream.sink.append(self._compress(text))

    def _receive(self, message: TaskMessage) -> None:
        number, content, finished = message
        if finished:
            self._results.put(number, message)
        elif isinstance(content, SliceLengths):
            self._lengths.put(number, content)
            self._answer_lengths()
        elif isinstance(content, SliceTails):
            self._answer_tails(number, content)
        elif isinstance(content, SliceSegments):
            self._results.put(number, message)
            self._crew.answer(number, None)

    def _answer_lengths(self) -> None:
        """Cut the slice that is next in order, if its lengths have arrived."""
        lengths = self._lengths.take()
        if lengths is not None:
            self._last = lengths.last
            self._borders = {name: self._streams[name].cut(each) for name, each in lengths.lengths.items()}
            self._crew.answer(self._lengths.current, self._borders)

    def _answer_tails(self, number: int, tails: SliceTails) -> None:
        heads = {
            name: self._streams[name].replace_open(tail, was_cut=bool(self._borders[name]))
            for name, tail in tails.texts.items()
        }
        self._crew.answer(number, heads)
        if self._last:
            self._lengths.advance()
        self._answer_lengths()

    def _write(self, compressed: SliceSegments) -> None:
        for name, segments in compressed.segments.items():
            for segment in segments:
                with STEPS.at("write", segment.text_bytes):
                    self._streams[name].sink.append(segment)
