"""The command sort: sort records by key and revision.

Memory:     --memory, whatever the input's size
"""

from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from oldump.engine.blocks import SLOTS_AHEAD, BlockTasks, Content, SharedMemory, Source
from oldump.engine.buckets import Buckets
from oldump.engine.budget import Budget, budget_within, workers_within
from oldump.engine.frames import Batch, Frames
from oldump.engine.gather import Gathering, Stream, gather_worker
from oldump.engine.scatter import Scattering, scatter_worker
from oldump.engine.segment_writer import TextWriter
from oldump.engine.segments import uncompressed
from oldump.engine.spill_files import spill_folder
from oldump.engine.text_lines import Lines
from oldump.engine.workers import Crew, TaskOrder
from oldump.errors import VerificationError
from oldump.kernel.rows import COMPILED, RecordReader
from oldump.records.keys import REVISION_BITS
from oldump.records.record import record_order, record_rank
from oldump.records.rows import TABLES
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.dumps.job import TEXT_PER_KEY
from oldump.stages.dumps.record_input import no_records, not_a_record, require_complete

_STREAM = "records"
_ranks = RecordReader(TABLES).ranks


def write_sorted(
    path: Path | None, output: BinaryIO, spill_parent: Path | None, settings: Settings, progress: Progress
) -> int:
    """Write the records in order, and return their number.

    path: None for standard input; spill_parent: the folder for temporary files, None for the system's.
    Raises SourceError, RecordError, StorageError, WorkerError.
    """
    workers = workers_within(settings.memory, settings.workers)
    source = Source(path, SharedMemory(workers + SLOTS_AHEAD))
    budget = budget_within(settings.memory, settings.workers, source.size_bytes or 0, TEXT_PER_KEY, REVISION_BITS)
    with spill_folder("sort", spill_parent) as folder:
        progress.begin("sort", "scatter")
        read, frames = _scatter(source, workers, folder, budget, progress)
        if not read:
            raise no_records(source.name)
        buckets = Buckets(frames, budget)
        del frames
        written = 0
        progress.begin("sort", "gather")
        with Crew(workers, gather_worker(record_order, _Unchanged, uncompressed, folder, budget)) as crew:
            for records in Gathering(crew, {_STREAM: Stream(TextWriter(output))}, uncompressed).run(buckets):
                assert isinstance(records, int)  # noqa: S101 - what _Unchanged.tally returns
                written += records
                progress.update(written, written / read)
        if written != read:
            raise VerificationError(
                f"{source.name}: {read:,} records were scattered, {written:,} gathered",
                "This is a bug; please report it.",
            )
        progress.end("sort")
        return read


def _scatter(source: Source, workers: int, folder: Path, budget: Budget, progress: Progress) -> tuple[int, Frames]:
    """Spill the source's records; return their number and their frames."""
    lines = _LineCount(source.name)
    tasks = BlockTasks(source)
    with Crew(workers, scatter_worker(partial(_read_records, source), folder, budget)) as crew:
        scattering = Scattering(crew)
        for number, checked in scattering.run(tasks, source.arrivals):
            share = tasks.finish(number)
            lines.add(number, checked)
            progress.update(lines.total, share)
        return lines.total, scattering.frames()


class _CheckedBlock(NamedTuple):
    """The number of lines in a block, which its worker sends to the leader."""

    lines: int
    first_bad: int | None
    """The index of the first line that is not a record."""


def _read_records(source: Source, content: Content) -> Generator[Batch, None, _CheckedBlock]:
    """Read and rank the records of a block: the workers' task."""
    text = source.text(content)
    require_complete(text, source.name)
    lines = Lines.of_text(text)
    ranks = _ranks(text) if COMPILED else np.zeros(len(lines), np.uint64)
    for index in np.flatnonzero(ranks == 0).tolist():
        try:
            ranks[index] = record_rank(lines.line(index))
        except ValueError:
            return _CheckedBlock(len(lines), index)
    yield Batch(lines, ranks, np.zeros(len(lines), np.uint8))
    return _CheckedBlock(len(lines), None)


class _LineCount:
    """Counts the lines of blocks that arrive in any order, so that an error has the line's number in the file."""

    def __init__(self, source_name: str) -> None:
        self.total = 0
        self._source_name = source_name
        self._order = TaskOrder[_CheckedBlock]()

    def add(self, number: int, checked: _CheckedBlock) -> None:
        """Count the block with this number. Raises RecordError."""
        self._order.put(number, checked)
        while (following := self._order.take()) is not None:
            if following.first_bad is not None:
                raise not_a_record(self._source_name, self.total + following.first_bad + 1)
            self.total += following.lines
            self._order.advance()


class _Unchanged:
    """Passes a bucket's sorted lines on as the only stream, and counts them."""

    def __init__(self) -> None:
        self._lines = 0

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:  # noqa: ARG002 - the protocol's
        self._lines += len(batch.lines)
        return {_STREAM: batch.lines}

    def tally(self) -> int:
        return self._lines
