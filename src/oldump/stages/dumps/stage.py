"""Latest and complete dumps: rows in, cdump and parts out.

Reads:      data    COPY text of table `data`, any order; plain or gzip
Writes:     cdump, one part per type; rejects.txt.gz beside the journal
Promises:   the record contract; nothing that records.privacy withholds; last_modified within the cutoff;
            rows in = records out + drops + rejects
Memory:     the budget, whatever the input's size
On failure: nothing half-written stays under its final name; run again and the stage begins anew
"""

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Self

from oldump.engine.blocks import Block, Content, SharedMemory, Source
from oldump.engine.segments import Segment, SegmentWriter, index_path, segment_of
from oldump.engine.shuffle import (
    Batch,
    Budget,
    Frames,
    Gathering,
    Scattering,
    budget_within,
    gatherer,
    scatterer,
    workers_within,
)
from oldump.engine.workers import Crew
from oldump.errors import SourceEmpty, VerificationError, storage_errors
from oldump.records import rows
from oldump.records.keys import REVISION_BITS
from oldump.records.privacy import first_text_after
from oldump.records.record import PARTS, record_order
from oldump.records.tally import Tally
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.dumps.account import Account, Counts, Rejects, Summary
from oldump.stages.dumps.latest import CDUMP, Latest, Tallies

KEY_COLUMN = 1
TEXT_PER_KEY = 2_900
"""Text of all revisions of an edition, on average: 2.8 revisions of about 1 KB. It only tunes how fine buckets are."""


@dataclass(frozen=True)
class Job:
    """What the stage is to do, and with how much."""

    day: date | None
    workers: int
    budget: Budget
    level: int
    max_rejects: int
    spill: Path

    @classmethod
    def within(cls, settings: Settings, folder: RunFolder, source: Path | None) -> Self:
        """The job as the settings ask for it."""
        size_bytes = source.stat().st_size if source and source.is_file() else 0
        return cls(
            day=folder.date,
            workers=workers_within(settings.memory, settings.workers),
            budget=budget_within(settings.memory, settings.workers, size_bytes, TEXT_PER_KEY, REVISION_BITS),
            level=settings.level,
            max_rejects=settings.max_rejects,
            spill=folder.spill,
        )


def make_dumps(
    source_path: Path | None, folder: RunFolder, job: Job, progress: Progress, rows_expected: int | None = None
) -> tuple[Counts, list[Artifact]]:
    """Make cdump and parts from the rows of a source, of which it is known perhaps how many there are.

    Raises OldumpError as in errors.py.
    """
    shared = SharedMemory(job.workers + 4)
    source = Source(source_path, shared)
    with storage_errors(job.spill):
        shutil.rmtree(job.spill, ignore_errors=True)
        job.spill.mkdir(parents=True)
    try:
        for path in (folder.rejects, index_path(folder.rejects)):
            path.unlink(missing_ok=True)  # an earlier try's
        progress.begin("dumps", "scatter")
        with Rejects(folder.rejects, source.name, job.max_rejects) as rejects:
            counts, buckets = scatter(source, shared, job, rejects, progress)
            source.require_unchanged()
            rejects.commit()
        if rows_expected not in {None, counts.rows}:
            raise VerificationError(
                f"{source.name}: {rows_expected:,} rows were extracted, {counts.rows:,} are in the file. It was "
                "changed since: remove it and run again."
            )
        _require_records(counts, source, folder)
        progress.begin("dumps", "gather")
        return counts, _gather(buckets, counts, folder, job, progress)
    finally:
        shutil.rmtree(job.spill, ignore_errors=True)


class _Reader:
    """The workers' side: blocks become records."""

    def __init__(self, source: Source, day: date | None) -> None:
        self._source = source
        self._cutoff = first_text_after(day)

    def __call__(self, content: Content) -> Generator[Batch, None, Summary]:
        batch = rows.Batch(self._source.text(content), self._cutoff)
        yield Batch(batch.records, batch.ranks, batch.part_numbers)
        return Summary.of(batch)


def scatter(
    source: Source, shared: SharedMemory, job: "Job", rejects: Rejects, progress: Progress
) -> tuple[Counts, Iterator[tuple[str, Frames]]]:
    """Spill the records of all rows; what became of the rows, and the buckets to gather.

    Raises SourceError, TooManyRejects, StorageError, WorkerError.
    """
    account = Account(source.name, rejects)
    positions: dict[int, Block] = {}

    def tasks() -> Iterator[tuple[str, Content]]:
        for number, block in enumerate(source.blocks()):
            positions[number] = block
            yield f"{source.name}, up to byte {block.position_bytes:,}", block.content

    read = _Reader(source, job.day)
    with Crew(job.workers, scatterer(read, job.spill, job.budget)) as crew:
        scattering = Scattering(crew)
        for number, summary in scattering.run(tasks(), source.arrivals):
            block = positions.pop(number)
            shared.free(block.content)
            account.hear(number, summary)
            progress.update(account.counts.rows, source.share_read(block))
    return account.counts, scattering.buckets(job.budget)


def _require_records(counts: Counts, source: Source, folder: RunFolder) -> None:
    if not counts.rows:
        raise SourceEmpty(f"{source.name}: holds no rows. Did the export fail? Nothing was made.")
    if not counts.records:
        raise SourceEmpty(
            f"{source.name}: no row became a record ({counts}). {counts.doubt} Rejects are in {folder.rejects}."
        )
    if counts.rows != counts.records + counts.drops.total() + counts.rejects.total():
        raise VerificationError(f"{counts.rows:,} rows do not add up: {counts}. This is a bug; please report it.")


def _gather(
    buckets: Iterator[tuple[str, Frames]], counts: Counts, folder: RunFolder, job: Job, progress: Progress
) -> list[Artifact]:
    paths = {CDUMP: folder.cdump, **{part: folder.part(part) for part in PARTS}}
    compress = compressor(job.level)
    tallies = {name: Tally() for name in paths}
    last_keys: dict[str, str] = {}
    with ExitStack() as stack:
        for path in paths.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        writers = {name: stack.enter_context(SegmentWriter(path)) for name, path in paths.items()}
        crew = stack.enter_context(Crew(job.workers, gatherer(record_order, Latest, compress, job.spill, job.budget)))
        gathering = Gathering(crew, writers, compress)
        for tally in gathering.run(buckets):
            assert isinstance(tally, Tallies)  # noqa: S101 - what Latest.tally gives
            for name, each in tally.of_stream.items():
                tallies[name].add(each)
            last_keys |= tally.last_keys
            counts.same_revision += tally.same_revision
            progress.update(tallies[CDUMP].records, tallies[CDUMP].records / counts.records)
        for name, writer in writers.items():
            if not writer.records == tallies[name].records:
                raise VerificationError(
                    f"{paths[name].name}: {writer.records:,} records were written, "
                    f"{tallies[name].records:,} arranged. This is a bug; please report it."
                )
        if writers[CDUMP].records != counts.records:
            raise VerificationError(
                f"{paths[CDUMP].name}: {counts.records:,} records were scattered, "
                f"{writers[CDUMP].records:,} gathered. This is a bug; please report it."
            )
        tallies[CDUMP].newest = counts.newest
        return [
            artifact_of(
                writer,
                folder.items[0] if name == CDUMP else folder.items[1],
                tallies[name],
                last_keys.get(name),
            )
            for name, writer in writers.items()
        ]


def compressor(level: int) -> Callable[[bytes], Segment]:
    """What makes a segment of records' text."""
    return lambda text: segment_of(text, KEY_COLUMN, level)


def artifact_of(writer: SegmentWriter, item: str, tally: Tally, last_key: str | None) -> Artifact:
    """Commit the file; what the journal is to say of it."""
    written = writer.commit()
    return Artifact(
        **asdict(written),
        item=item,
        last_key=last_key,
        newest=tally.newest or None,
        digest=f"{tally.digest:016x}",
        by_type=dict(sorted(tally.by_type.items())),
    )
