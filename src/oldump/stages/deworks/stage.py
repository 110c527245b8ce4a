"""Denormalized works: a line a work, with its editions, authors, archive items and duplicates.

Reads:      authors, editions, redirects, works; ia-metadata, if there is one
Writes:     deworks
Promises:   every work and every edition in exactly one line; the same bytes for any number of workers and any memory
Memory:     the budget, whatever the input's size; one line must fit
On failure: nothing under the final name; run again and the stage begins anew
"""

import logging
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from operator import add
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import numpy as np

from oldump.engine.blocks import Block, Content, SharedMemory, Source
from oldump.engine.buckets import Buckets, slices
from oldump.engine.budget import HELD_PER_TEXT_OF_OBJECTS, Budget, budget_within, workers_within
from oldump.engine.buffer import Buffer
from oldump.engine.checkpoint import NO_PAUSE, Checkpoint, Pause
from oldump.engine.frames import Batch, Frames, frames_of
from oldump.engine.gather import FileStream, Gathering, Stream, StreamPosition, gather_worker
from oldump.engine.scatter import Scattering, scatter_worker
from oldump.engine.segment_writer import TextWriter
from oldump.engine.segments import Segment, segment_of, uncompressed
from oldump.engine.spill_files import spill_folder, spill_sizes, truncate_spills
from oldump.engine.workers import Crew
from oldump.errors import RecordError, SourceEmpty, VerificationError
from oldump.records.document import Rejected
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.deworks.assembly import STREAM, Denormal, DeworksTally
from oldump.stages.deworks.intermediate import JOINS_END, IntermediateLines, in_join, in_work
from oldump.stages.deworks.join import Answers, Links, ReadCounts, of_items, redirect_of
from oldump.stages.deworks.redirects import Redirects

log = logging.getLogger("oldump")

COLUMNS = ("key", "json")
READS = ("authors", "editions", "redirects", "works")
"""The parts that are read."""
_KEY_COLUMN = 0
_REDIRECTS = "redirects.sqlite"
_TEXT_PER_KEY = 1_500
"""All that is brought to a work, on average; it only tunes how fine buckets are."""
_BATCH_RECORDS = 256
"""Records whose lines are objects at a time."""
_KEY_SHIFT = 18
"""Ranks that are equal but for so many bits are of one line."""
_RECORDS = "is no record: five columns, the last of them a JSON object"
_ITEMS = "has not three columns, as ia-metadata writes them"


@dataclass(frozen=True)
class DeworksJob:
    """With how much the stage works."""

    workers: int
    budget: Budget
    spill: Path
    checkpoint: Checkpoint | None = None
    """None: what is made goes into a pipe, and cannot be continued."""

    @classmethod
    def within(
        cls, settings: Settings, inputs: list["Input"], spill: Path, checkpoint: Checkpoint | None = None
    ) -> "DeworksJob":
        """The job as the settings ask for it."""
        size_bytes = sum(path.stat().st_size for path, *_ in inputs if path.is_file())
        return cls(
            workers_within(settings.memory, settings.workers),
            budget_within(
                settings.memory, settings.workers, size_bytes, _TEXT_PER_KEY, _KEY_SHIFT, HELD_PER_TEXT_OF_OBJECTS
            ),
            spill,
            checkpoint,
        )

    def resting(self, state: Callable[[], "DeworksState"]) -> Pause:
        """When a pass comes to rest, and what is kept of it then."""
        return self.checkpoint.resting(state) if self.checkpoint else NO_PAUSE


class DeworksState(msgspec.Struct):
    """Where the stage rests. A pass that has not begun has nothing; one that is over has nothing left."""

    read: ReadCounts
    tasks: int
    """Of the scatter that are done."""
    frames: bytes
    """Of what is brought to lines; while the scatter lasts, also to joins."""
    joins: bytes | None = None
    """Of the joins that are left; None: the scatter lasts."""
    tally: DeworksTally = msgspec.field(default_factory=DeworksTally)
    stream: StreamPosition | None = None
    """None: the gather has not begun."""


class DeworksResult(NamedTuple):
    """What was made of how much."""

    tally: DeworksTally
    read: ReadCounts

    def as_json(self, *, with_items: bool) -> dict[str, Any]:
        """The counts, as the journal and the manifest have them."""
        return {
            "lines": self.tally.lines,
            "works": self.tally.works,
            "works_missing": self.tally.works_missing,
            "editions": self.tally.editions,
            "editions_without_work": self.tally.editions_without_work,
            "items": self.read.items if with_items else None,
        }


Compress = Callable[[bytes], Segment]
"""What makes a segment of the text of lines."""


class Input(NamedTuple):
    """A file that is read: records of the dump, or the archive's items."""

    path: Path
    is_items: bool = False
    has_redirects: bool = False


def make_artifact(
    parts: dict[str, Path],
    items: Path | None,
    folder: RunFolder,
    settings: Settings,
    checkpoint: Checkpoint,
    progress: Progress,
) -> tuple[dict[str, Any], Artifact]:
    """Make deworks of these parts, by name; counts, and the artifact. items: ia-metadata, None to do without.

    Its spill stays until the caller has noted that the stage is done. Raises OldumpError as in errors.py.
    """
    inputs = [Input(parts[name], has_redirects=name == "redirects") for name in READS]
    if items is not None:
        inputs.append(Input(items, is_items=True))
    job = DeworksJob.within(settings, inputs, checkpoint.folder, checkpoint)
    compress = partial(segment_of, first_key_at=_KEY_COLUMN, level=settings.level)
    path = folder.part("deworks")
    with checkpoint.kept():
        reached = _resumed(checkpoint, path)
        with FileStream(path, reached.stream if reached else None) as stream:
            made = make_deworks(inputs, stream, job, compress, progress, reached)
            if stream.writer.records != made.tally.lines:
                raise VerificationError(
                    f"deworks: {made.tally.lines:,} lines were put together, {stream.writer.records:,} were written",
                    "This is a bug; please report it.",
                )
            artifact = Artifact(
                **asdict(stream.writer.commit()),
                item=folder.items[1],
                last_key=made.tally.last_key.decode() or None,
                digest=f"{made.tally.digest:016x}",
                columns=list(COLUMNS),
            )
    return made.as_json(with_items=items is not None), artifact


def _resumed(checkpoint: Checkpoint, path: Path) -> DeworksState | None:
    """Where to go on. If that is nowhere, what an earlier try has left is removed."""
    spill = checkpoint.folder

    def files(state: DeworksState) -> dict[Path, int]:
        sizes = spill_sizes(spill, np.concatenate([frames_of(state.frames), frames_of(state.joins or b"")]))
        if state.joins is None:
            sizes[spill / _REDIRECTS] = 1
        return sizes | (state.stream.position.files(path) if state.stream else {})

    reached = checkpoint.resumed(DeworksState, files)
    if reached is None:
        checkpoint.clear()
    else:
        truncate_spills(spill, files(reached))
        log.info("deworks: goes on behind %s works and editions", f"{reached.read.works + reached.read.editions:,}")
    return reached


def write_deworks(
    dump: Path, items: Path, output: BinaryIO, spill_parent: Path | None, settings: Settings, progress: Progress
) -> DeworksResult:
    """Write the lines of deworks of a dump, as text. Raises OldumpError as in errors.py."""
    inputs = [Input(dump, has_redirects=True), Input(items, is_items=True)]
    with spill_folder("deworks", spill_parent) as spill:
        job = DeworksJob.within(settings, inputs, spill)
        made = make_deworks(inputs, Stream(TextWriter(output)), job, uncompressed, progress)
    progress.end("deworks")
    if not made.tally.lines:
        raise SourceEmpty(f"{dump}: holds neither works nor editions", "Is it a dump?")
    return made


def make_deworks(
    inputs: list[Input],
    stream: Stream,
    job: DeworksJob,
    compress: Compress,
    progress: Progress,
    reached: DeworksState | None = None,
) -> DeworksResult:
    """Write deworks to the stream. reached: where to go on.

    Raises SourceError, RecordError, StorageError, VerificationError, WorkerError.
    """
    passes = _Passes(job, reached)
    if not passes.is_read:
        progress.begin("deworks", "redirects")
        redirects = Redirects(job.spill / _REDIRECTS, None if reached else _redirects(inputs))
        progress.begin("deworks", "scatter")
        passes.scatter(inputs, redirects, progress)
    progress.begin("deworks", "join")
    passes.join(progress)
    progress.begin("deworks", "gather")
    made = passes.gather(stream, compress, progress)
    if (made.tally.works, made.tally.editions) != (made.read.works, made.read.editions):
        raise VerificationError(
            f"{made.read.works:,} works and {made.read.editions:,} editions were read, "
            f"{made.tally.works:,} and {made.tally.editions:,} stand in deworks",
            "This is a bug; please report it.",
        )
    return made


def _redirects(inputs: list[Input]) -> Iterator[tuple[bytes, str]]:
    """The redirects among the records of the inputs: key and location."""
    for path in (each.path for each in inputs if each.has_redirects):
        shared = SharedMemory(4)
        source = Source(path, shared)
        for block in source.blocks():
            records = source.text(block.content).removesuffix(b"\n").split(b"\n")
            shared.free(block.content)
            with _record_errors(source.name, _RECORDS):
                redirects = [redirect for redirect in map(redirect_of, records) if redirect is not None]
            yield from redirects
        source.require_unchanged()


@contextmanager
def _record_errors(name: str, wrong: str) -> Iterator[None]:
    """Translate what is said of a line that is not what it should be."""
    try:
        yield
    except (ValueError, Rejected) as error:
        raise RecordError(f"{name}: a line {wrong}", "Is it the right file?") from error


class _Passes:
    """The three passes over what goes into lines of deworks."""

    def __init__(self, job: DeworksJob, reached: DeworksState | None) -> None:
        self._job = job
        self._so_far = reached or DeworksState(ReadCounts(), 0, b"")

    @property
    def is_read(self) -> bool:
        """Whether the first pass is over."""
        return self._so_far.joins is not None

    def scatter(self, inputs: list[Input], redirects: Redirects, progress: Progress) -> None:
        """Scatter what all inputs bring to joins and lines."""
        job, so_far = self._job, self._so_far
        shared = SharedMemory(job.workers + 4)
        reading = _InputReader(inputs, redirects, shared)
        with Crew(job.workers, scatter_worker(reading, job.spill, job.budget)) as crew:
            scattering = Scattering(crew, frames_of(so_far.frames))
            rest = job.resting(lambda: DeworksState(so_far.read, reading.begun, scattering.frames().tobytes()))
            for number, counts in scattering.run(reading.tasks(so_far.tasks), None, rest, first=so_far.tasks):
                shared.free(reading.blocks.pop(number).content)
                so_far.read = ReadCounts(*map(sum, zip(so_far.read, counts, strict=True)))
                progress.update(so_far.read.works + so_far.read.editions, reading.share_read)
            frames = scattering.frames()
        reading.require_unchanged()
        are_joins = frames["first"] < JOINS_END
        so_far.joins, so_far.frames = frames[are_joins].tobytes(), frames[~are_joins].tobytes()

    def join(self, progress: Progress) -> None:
        """Scatter the answers of all joins to the lines that asked."""
        job, so_far = self._job, self._so_far
        buckets = Buckets(frames_of(so_far.joins or b""), job.budget)
        total = len(buckets)
        with Crew(job.workers, scatter_worker(_Answering(job), job.spill, job.budget)) as crew:
            scattering = Scattering(crew, frames_of(so_far.frames))

            def state() -> DeworksState:
                return DeworksState(so_far.read, 0, scattering.frames().tobytes(), buckets.left().tobytes())

            for done, _ in enumerate(scattering.run(buckets, None, job.resting(state)), start=1):
                progress.update(done, done / total)
            so_far.joins, so_far.frames = b"", scattering.frames().tobytes()

    def gather(self, stream: Stream, compress: Compress, progress: Progress) -> DeworksResult:
        """Put the lines together and write them."""
        job, read, total = self._job, self._so_far.read, self._so_far.tally
        buckets = Buckets(frames_of(self._so_far.frames), job.budget)
        self._so_far.frames = b""

        def state() -> DeworksState:
            assert isinstance(stream, FileStream)  # noqa: S101 - what is made elsewhere never rests
            return DeworksState(read, 0, buckets.left().tobytes(), b"", total, stream.reached())

        with Crew(job.workers, gather_worker(in_work, Denormal, compress, job.spill, job.budget)) as crew:
            for tally in Gathering(crew, {STREAM: stream}, compress).run(buckets, job.resting(state)):
                assert isinstance(tally, DeworksTally)  # noqa: S101 - what Denormal.tally gives
                total.add(tally)
                progress.update(total.lines, (total.works + total.editions) / max(1, read.works + read.editions))
        return DeworksResult(total, read)


class _InputReader:
    """The workers' side of the first pass, and its tasks."""

    def __init__(self, inputs: list[Input], redirects: Redirects, shared: SharedMemory) -> None:
        self._sources = [(Source(path, shared), is_items) for path, is_items, _ in inputs]
        self._links = Links(redirects)
        self.blocks: dict[int, Block] = {}
        """Those that are being read, by the numbers of their tasks."""
        self.begun = 0
        """Tasks that were drawn or passed over."""
        self._begun_bytes = 0
        self._size_bytes = sum(source.size_bytes or 0 for source, _ in self._sources)

    @property
    def share_read(self) -> float:
        """How much of all inputs has been handed out, 0 to 1."""
        return self._begun_bytes / max(1, self._size_bytes)

    def tasks(self, done: int) -> Iterator[tuple[str, tuple[int, int, Content]]]:
        """Each block but those that are done: the number of its source, its own, and its content."""
        before_bytes = 0
        for place, (source, _) in enumerate(self._sources):
            for block in source.blocks():
                number, self.begun = self.begun, self.begun + 1
                if number >= done:
                    self.blocks[number] = block
                    self._begun_bytes = before_bytes + block.position_bytes
                    yield f"{source.name}, up to byte {block.position_bytes:,}", (place, number, block.content)
            before_bytes += source.size_bytes or 0

    def require_unchanged(self) -> None:
        """Raise SourceDamaged if an input was written to meanwhile."""
        for source, _ in self._sources:
            source.require_unchanged()

    def __call__(self, content: tuple[int, int, Content]) -> Generator[Batch, None, ReadCounts]:
        place, number, block = content
        source, is_items = self._sources[place]
        texts = source.text(block).split(b"\n")
        if texts[-1] == b"":
            texts.pop()
        lines, counts = IntermediateLines(), ReadCounts()
        with _record_errors(source.name, _ITEMS if is_items else _RECORDS):
            if is_items:
                counts = of_items(texts, number, lines)
            for first in range(0, 0 if is_items else len(texts), _BATCH_RECORDS):
                made = self._links.of_records(texts[first : first + _BATCH_RECORDS], lines)
                counts = ReadCounts(*map(add, counts, made))
                yield lines.batch()
        yield lines.batch()
        return counts


class _Answering:
    """The workers' side of the second pass."""

    def __init__(self, job: DeworksJob) -> None:
        self._job = job
        self._room = Buffer()

    def __call__(self, frames: Frames) -> Generator[Batch, None, None]:
        answers = Answers()
        runs = self._job.spill / f"joins-{os.getpid()}"
        for batch, _ in slices(frames, in_join, runs, self._job.budget, self._room):
            yield from answers(batch)
