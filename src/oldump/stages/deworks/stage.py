"""Denormalized works: a line a work, with its editions, authors, archive items and duplicates.

Reads:      authors, editions, redirects, works; ia-metadata, if there is one
Writes:     deworks
Promises:   every work and every edition in exactly one line; the same bytes for any number of workers and any memory
Memory:     the budget, whatever the input's size; one line must fit
On failure: nothing under the final name; run again and the stage begins anew
"""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from oldump.engine.blocks import Block, Content, SharedMemory, Source
from oldump.engine.segments import Segment, SegmentWriter, TextWriter, segment_of, uncompressed
from oldump.engine.shuffle import (
    FRAME,
    Batch,
    Budget,
    Frames,
    Gathering,
    Scattering,
    Sink,
    buckets_of,
    budget_within,
    gatherer,
    scatterer,
    slices,
    spill_folder,
    workers_within,
)
from oldump.engine.workers import Crew
from oldump.errors import RecordError, SourceEmpty, VerificationError, storage_errors
from oldump.records.document import Rejected
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.deworks.denormal import STREAM, Denormal, Tally
from oldump.stages.deworks.join import Answers, Counts, Links, of_items, redirect_of
from oldump.stages.deworks.lines import JOINS_END, Lines, in_join, in_work
from oldump.stages.deworks.redirects import Redirects

COLUMNS = ("key", "json")
READS = ("authors", "editions", "redirects", "works")
"""The parts that are read."""
_KEY_COLUMN = 0
_TEXT_PER_KEY = 1_500
"""All that is brought to a work, on average; it only tunes how fine buckets are."""
_KEY_SHIFT = 18
"""Ranks that are equal but for so many bits are of one line."""
_RECORDS = "is no record: five columns, the last of them a JSON object"
_ITEMS = "has not three columns, as ia-metadata writes them"


@dataclass(frozen=True)
class Job:
    """With how much the stage works."""

    workers: int
    budget: Budget
    spill: Path

    @classmethod
    def within(cls, settings: Settings, inputs: list["Input"], spill: Path) -> "Job":
        """The job as the settings ask for it."""
        size_bytes = sum(path.stat().st_size for path, _ in inputs if path.is_file())
        return cls(
            workers_within(settings.memory, settings.workers),
            budget_within(settings.memory, settings.workers, size_bytes, _TEXT_PER_KEY, _KEY_SHIFT),
            spill,
        )


class Made(NamedTuple):
    """What was made of how much."""

    tally: Tally
    read: Counts

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


def make_artifact(
    parts: dict[str, Path], items: Path | None, folder: RunFolder, settings: Settings, progress: Progress
) -> tuple[dict[str, Any], Artifact]:
    """Make deworks of these parts, by name; counts, and the artifact. items: ia-metadata, None to do without.

    Raises OldumpError as in errors.py.
    """
    inputs = [Input(parts[name]) for name in READS]
    if items is not None:
        inputs.append(Input(items, is_items=True))
    job = Job.within(settings, inputs, folder.spill)
    compress = partial(segment_of, first_key_at=_KEY_COLUMN, level=settings.level)
    with SegmentWriter(folder.part("deworks")) as writer:
        made = make_deworks(inputs, [parts["redirects"]], writer, job, compress, progress)
        if writer.records != made.tally.lines:
            raise VerificationError(
                f"deworks: {made.tally.lines:,} lines were put together, {writer.records:,} were written",
                "This is a bug; please report it.",
            )
        artifact = Artifact(
            **asdict(writer.commit()),
            item=folder.items[1],
            last_key=made.tally.last_key.decode() or None,
            digest=f"{made.tally.digest:016x}",
            columns=list(COLUMNS),
        )
    return made.as_json(with_items=items is not None), artifact


def write_deworks(
    dump: Path, items: Path, output: BinaryIO, spill_parent: Path | None, settings: Settings, progress: Progress
) -> Made:
    """Write the lines of deworks of a dump, as text. Raises OldumpError as in errors.py."""
    inputs = [Input(dump), Input(items, is_items=True)]
    with spill_folder("deworks", spill_parent) as spill:
        job = Job.within(settings, inputs, spill)
        made = make_deworks(inputs, [dump], TextWriter(output), job, uncompressed, progress)
    progress.end("deworks")
    if not made.tally.lines:
        raise SourceEmpty(f"{dump}: holds neither works nor editions", "Is it a dump?")
    return made


def make_deworks(
    inputs: list[Input], redirects_in: list[Path], sink: Sink, job: Job, compress: Compress, progress: Progress
) -> Made:
    """Write deworks to the sink. redirects_in: the inputs that have redirects.

    Raises SourceError, RecordError, StorageError, VerificationError, WorkerError.
    """
    with storage_errors(job.spill):
        shutil.rmtree(job.spill, ignore_errors=True)
        job.spill.mkdir(parents=True)
    try:
        progress.begin("deworks", "redirects")
        redirects = Redirects(job.spill / "redirects.sqlite", _redirects(redirects_in))
        progress.begin("deworks", "scatter")
        brought = _Brought(job)
        read = brought.read(inputs, redirects, progress)
        progress.begin("deworks", "join")
        brought.join(progress)
        progress.begin("deworks", "gather")
        tally = brought.gather(sink, compress, read, progress)
    finally:
        shutil.rmtree(job.spill, ignore_errors=True)
    if (tally.works, tally.editions) != (read.works, read.editions):
        raise VerificationError(
            f"{read.works:,} works and {read.editions:,} editions were read, "
            f"{tally.works:,} and {tally.editions:,} stand in deworks",
            "This is a bug; please report it.",
        )
    return Made(tally, read)


def _redirects(paths: list[Path]) -> Iterator[tuple[bytes, str]]:
    """The redirects among the records of these files: key and location."""
    for path in paths:
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


class _Brought:
    """The three passes over what goes into lines of deworks."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._frames: Frames = np.empty(0, FRAME)

    def read(self, inputs: list[Input], redirects: Redirects, progress: Progress) -> Counts:
        """Scatter what all inputs bring to joins and lines; how much was read."""
        shared = SharedMemory(self._job.workers + 4)
        reading = _Reading(inputs, redirects, shared)
        read = Counts()
        with Crew(self._job.workers, scatterer(reading, self._job.spill, self._job.budget)) as crew:
            scattering = Scattering(crew)
            for number, counts in scattering.run(reading.tasks()):
                shared.free(reading.blocks.pop(number).content)
                read = Counts(*map(sum, zip(read, counts, strict=True)))
                progress.update(read.works + read.editions, reading.share_read)
            self._frames = scattering.frames()
        reading.require_unchanged()
        return read

    def join(self, progress: Progress) -> None:
        """Scatter the answers of all joins to the lines that asked."""
        are_joins = self._frames["first"] < JOINS_END
        joins, self._frames = self._frames[are_joins], self._frames[~are_joins]
        buckets = list(buckets_of(joins, self._job.budget))
        answering = _Answering(self._job)
        with Crew(self._job.workers, scatterer(answering, self._job.spill, self._job.budget)) as crew:
            scattering = Scattering(crew)
            for done, _ in enumerate(scattering.run(buckets), start=1):
                progress.update(done, done / len(buckets))
            self._frames = np.concatenate([self._frames, scattering.frames()])

    def gather(self, sink: Sink, compress: Compress, read: Counts, progress: Progress) -> Tally:
        """Put the lines together and write them."""
        job, total = self._job, Tally()
        buckets = buckets_of(self._frames, job.budget)
        self._frames = np.empty(0, FRAME)
        with Crew(job.workers, gatherer(in_work, Denormal, compress, job.spill, job.budget)) as crew:
            for tally in Gathering(crew, {STREAM: sink}, compress).run(buckets):
                assert isinstance(tally, Tally)  # noqa: S101 - what Denormal.tally gives
                total.add(tally)
                progress.update(total.lines, (total.works + total.editions) / max(1, read.works + read.editions))
        return total


class _Reading:
    """The workers' side of the first pass, and its tasks."""

    def __init__(self, inputs: list[Input], redirects: Redirects, shared: SharedMemory) -> None:
        self._sources = [(Source(path, shared), is_items) for path, is_items in inputs]
        self._links = Links(redirects)
        self.blocks: dict[int, Block] = {}
        """Those that are being read, by the numbers of their tasks."""
        self._begun_bytes = 0
        self._size_bytes = sum(source.size_bytes or 0 for source, _ in self._sources)

    @property
    def share_read(self) -> float:
        """How much of all inputs has been handed out, 0 to 1."""
        return self._begun_bytes / max(1, self._size_bytes)

    def tasks(self) -> Iterator[tuple[str, tuple[int, int, Content]]]:
        """Each block: the number of its source, its own, and its content."""
        number, before_bytes = 0, 0
        for place, (source, _) in enumerate(self._sources):
            for block in source.blocks():
                self.blocks[number] = block
                self._begun_bytes = before_bytes + block.position_bytes
                yield f"{source.name}, up to byte {block.position_bytes:,}", (place, number, block.content)
                number += 1
            before_bytes += source.size_bytes or 0

    def require_unchanged(self) -> None:
        """Raise SourceDamaged if an input was written to meanwhile."""
        for source, _ in self._sources:
            source.require_unchanged()

    def __call__(self, content: tuple[int, int, Content]) -> Generator[Batch, None, Counts]:
        place, number, block = content
        source, is_items = self._sources[place]
        texts = source.text(block).split(b"\n")
        if texts[-1] == b"":
            texts.pop()
        lines = Lines()
        with _record_errors(source.name, _ITEMS if is_items else _RECORDS):
            counts = of_items(texts, number, lines) if is_items else self._links.of_records(texts, lines)
        yield lines.batch()
        return counts


class _Answering:
    """The workers' side of the second pass."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __call__(self, frames: Frames) -> Generator[Batch, None, None]:
        answers = Answers()
        runs = self._job.spill / f"joins-{os.getpid()}"
        for batch, _ in slices(frames, in_join, runs, self._job.budget):
            yield from answers(batch)
