"""Latest and complete dumps: rows in, cdump and parts out.

Reads:      data    COPY text of table `data`, any order; plain or gzip
Writes:     cdump, one part per type; rejects.txt.gz beside the journal
Promises:   the record contract; nothing that records.privacy withholds; last_modified within the cutoff;
            rows in = records out + drops + rejects
Memory:     the budget, whatever the input's size
On failure: nothing half-written stays under its final name; run again and the stage begins anew
"""

import logging
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

import msgspec

from oldump.engine.blocks import START, Block, Content, SharedMemory, Source, SourcePosition
from oldump.engine.buckets import Buckets
from oldump.engine.budget import Budget, budget_within, workers_within
from oldump.engine.checkpoint import Checkpoint
from oldump.engine.frames import NO_FRAMES, Batch, Frames, frames_of
from oldump.engine.gather import FileStream, Gathering, StreamPosition, gather_worker
from oldump.engine.scatter import Scattering, scatter_worker
from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import Compress, index_path, segment_of
from oldump.engine.spill_files import spill_sizes, truncate_spills
from oldump.engine.text_lines import Lines
from oldump.engine.workers import Crew
from oldump.errors import SourceEmpty, VerificationError, storage_errors
from oldump.records import rows
from oldump.records.keys import REVISION_BITS
from oldump.records.privacy import first_text_after
from oldump.records.record import PARTS, part_number, record_order
from oldump.records.tally import Tally
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.run.steps import STEPS
from oldump.settings import Settings
from oldump.stages.dumps.account import Account, AccountState, BlockSummary, RejectsState, RejectsWriter, RowCounts
from oldump.stages.dumps.latest import CDUMP, Latest, Tallies

log = logging.getLogger("oldump")

KEY_COLUMN = 1
TEXT_PER_KEY = 2_900
"""Text of all revisions of an edition, on average: 2.8 revisions of about 1 KB. It only tunes how fine buckets are."""


@dataclass(frozen=True)
class DumpsJob:
    """What the stage is to do, and with how much."""

    day: date | None
    workers: int
    budget: Budget
    level: int
    max_rejects: int
    checkpoint: Checkpoint

    @property
    def spill(self) -> Path:
        """Where records wait."""
        return self.checkpoint.folder

    @classmethod
    def within(cls, settings: Settings, folder: RunFolder, source: Path | None, checkpoint: Checkpoint) -> Self:
        """The job as the settings ask for it."""
        size_bytes = source.stat().st_size if source and source.is_file() else 0
        return cls(
            day=folder.date,
            workers=workers_within(settings.memory, settings.workers),
            budget=budget_within(settings.memory, settings.workers, size_bytes, TEXT_PER_KEY, REVISION_BITS),
            level=settings.level,
            max_rejects=settings.max_rejects,
            checkpoint=checkpoint,
        )


class ScatterState(msgspec.Struct, tag=True):
    """Where the scatter rests."""

    place: SourcePosition
    frames: bytes
    account: AccountState
    rejects: RejectsState


class GatherState(msgspec.Struct, tag=True):
    """Where the gather rests."""

    frames: bytes
    """Of the buckets that are left."""
    counts: RowCounts
    tallies: dict[str, Tally]
    last_keys: dict[str, str]
    streams: dict[str, StreamPosition]


def make_dumps(
    source_path: Path | None, folder: RunFolder, job: DumpsJob, progress: Progress, rows_expected: int | None = None
) -> tuple[RowCounts, list[Artifact]]:
    """Make cdump and parts from the rows of a source, of which it is known perhaps how many there are.

    Its spill stays until the caller has noted that the stage is done. Raises OldumpError as in errors.py.
    """
    paths = {CDUMP: folder.cdump, **{part: folder.part(part) for part in PARTS}}
    with job.checkpoint.kept():
        reached = _resumed(job, folder, paths)
        if isinstance(reached, GatherState):
            gather = _Gather(reached.counts, reached)
            frames = frames_of(reached.frames)
        else:
            counts, frames = _scattered(source_path, reached, folder, job, progress, rows_expected)
            gather = _Gather(counts)
        progress.begin("dumps", "gather")
        return gather.counts, gather.run(frames, paths, folder, job, progress)


def _resumed(job: DumpsJob, folder: RunFolder, paths: Mapping[str, Path]) -> ScatterState | GatherState | None:
    """Where to go on. If that is nowhere, what an earlier try has left is removed."""

    def files(state: ScatterState | GatherState) -> dict[Path, int]:
        sizes = spill_sizes(job.spill, frames_of(state.frames))
        if isinstance(state, GatherState):
            for name, stream in state.streams.items():
                sizes |= stream.position.files(paths[name])
        elif state.rejects.position is not None:
            sizes |= state.rejects.position.files(folder.rejects)
        return sizes

    kind: Any = ScatterState | GatherState
    reached: ScatterState | GatherState | None = job.checkpoint.resumed(kind, files)
    if reached is None:
        job.checkpoint.clear()
        with storage_errors(folder.rejects):
            for path in (folder.rejects, index_path(folder.rejects)):
                path.unlink(missing_ok=True)
    elif isinstance(reached, ScatterState):
        truncate_spills(job.spill, files(reached))
        log.info("dumps: goes on behind row %s", f"{reached.account.counts.rows:,}")
    else:
        log.info("dumps: goes on behind record %s of the cdump", f"{reached.tallies[CDUMP].records:,}")
    return reached


def _scattered(
    source_path: Path | None,
    reached: ScatterState | None,
    folder: RunFolder,
    job: DumpsJob,
    progress: Progress,
    rows_expected: int | None,
) -> tuple[RowCounts, Frames]:
    """Scatter all rows of the source, and see whether they can become dumps; counts, and where the records are."""
    shared = SharedMemory(job.workers + 4)
    source = Source(source_path, shared, reached.place if reached else START)
    progress.begin("dumps", "scatter")
    with RejectsWriter(folder.rejects, source.name, job.max_rejects, reached.rejects if reached else None) as rejects:
        account = Account(source.name, rejects, reached.account if reached else None)
        frames = _scatter(source, shared, job, account, reached, progress)
        source.require_unchanged()
        rejects.commit()
    counts = account.counts
    if rows_expected not in {None, counts.rows}:
        raise VerificationError(
            f"{source.name}: {rows_expected:,} rows were extracted, {counts.rows:,} are in the file. It was "
            "changed since: remove it and run again."
        )
    _require_records(counts, source, folder)
    return counts, frames


class _Reader:
    """The workers' side: blocks become records."""

    def __init__(self, source: Source, day: date | None) -> None:
        self._source = source
        self._cutoff = first_text_after(day)

    def __call__(self, content: Content) -> Generator[Batch, None, BlockSummary]:
        text = self._source.text(content)
        with STEPS.at("rows to records", len(text)):
            batch = rows.ConvertedRows(text, self._cutoff)
        yield Batch(Lines(batch.text, batch.starts, batch.ends), batch.ranks, batch.part_numbers)
        return BlockSummary.of(batch)


def _scatter(
    source: Source,
    shared: SharedMemory,
    job: DumpsJob,
    account: Account,
    reached: ScatterState | None,
    progress: Progress,
) -> Frames:
    """Spill the records of all rows that have not been read; where they are, with those that were spilled before.

    Raises SourceError, TooManyRejects, StorageError, WorkerError.
    """
    place, frames = (reached.place, frames_of(reached.frames)) if reached else (START, NO_FRAMES)
    begun: dict[int, Block] = {}

    def tasks() -> Iterator[tuple[str, Content]]:
        nonlocal place
        for number, block in enumerate(source.blocks(), start=place.blocks):
            begun[number] = block
            place = place.behind(block)
            yield f"{source.name}, up to byte {block.position_bytes:,}", block.content

    with Crew(job.workers, scatter_worker(_Reader(source, job.day), job.spill, job.budget)) as crew:
        scattering = Scattering(crew, frames)
        rest = job.checkpoint.resting(
            lambda: ScatterState(place, scattering.frames().tobytes(), account.reached(), account.rejects.reached())
        )
        for number, summary in scattering.run(tasks(), source.arrivals, rest, first=place.blocks):
            block = begun.pop(number)
            shared.free(block.content)
            account.hear(number, summary)
            progress.update(account.counts.rows, source.share_read(block))
        return scattering.frames()


def _require_records(counts: RowCounts, source: Source, folder: RunFolder) -> None:
    if not counts.rows:
        raise SourceEmpty(f"{source.name}: holds no rows. Did the export fail? Nothing was made.")
    if not counts.records:
        raise SourceEmpty(
            f"{source.name}: no row became a record ({counts}). {counts.doubt} RejectsWriter are in {folder.rejects}."
        )
    if counts.rows != counts.records + counts.drops.total() + counts.rejects.total():
        raise VerificationError(f"{counts.rows:,} rows do not add up: {counts}. This is a bug; please report it.")


class _Gather:
    """The second half: sorted records go to cdump and parts."""

    def __init__(self, counts: RowCounts, reached: GatherState | None = None) -> None:
        self.counts = counts
        self._tallies = reached.tallies if reached else {name: Tally() for name in (CDUMP, *PARTS)}
        self._last_keys = reached.last_keys if reached else {}
        self._reached: Mapping[str, StreamPosition] = reached.streams if reached else {}

    def run(
        self, frames: Frames, paths: Mapping[str, Path], folder: RunFolder, job: DumpsJob, progress: Progress
    ) -> list[Artifact]:
        """Gather the buckets that these frames make, and commit the artifacts."""
        buckets = Buckets(frames, job.budget)
        del frames
        compress = compressor(job.level)
        with ExitStack() as stack:
            for path in paths.values():
                path.parent.mkdir(parents=True, exist_ok=True)
            streams = {
                name: stack.enter_context(FileStream(path, self._reached.get(name))) for name, path in paths.items()
            }
            crew = stack.enter_context(
                Crew(job.workers, gather_worker(record_order, Latest, compress, job.spill, job.budget))
            )
            rest = job.checkpoint.resting(lambda: self._state(buckets, streams))
            for tally in Gathering(crew, streams, compress).run(buckets, rest):
                assert isinstance(tally, Tallies)  # noqa: S101 - what Latest.tally gives
                self._count(tally)
                records = self._tallies[CDUMP].records
                progress.update(records, records / self.counts.records)
            self._require_all({name: stream.writer.records for name, stream in streams.items()}, paths)
            self._tallies[CDUMP].newest = self.counts.newest
            items = {name: folder.items[0] if name == CDUMP else folder.items[1] for name in paths}
            return [
                artifact_of(stream.writer, items[name], self._tallies[name], self._last_keys.get(name))
                for name, stream in streams.items()
            ]

    def _state(self, buckets: Buckets, streams: Mapping[str, FileStream]) -> GatherState:
        so_far = {name: stream.reached() for name, stream in streams.items()}
        return GatherState(buckets.left().tobytes(), self.counts, self._tallies, self._last_keys, so_far)

    def _count(self, tally: Tallies) -> None:
        for name, each in tally.of_stream.items():
            self._tallies[name].add(each)
        self._last_keys |= tally.last_keys
        self.counts.same_revision += tally.same_revision

    def _require_all(self, written: Mapping[str, int], paths: Mapping[str, Path]) -> None:
        """Raise VerificationError if records are missing, or there are too many."""
        for name, records in written.items():
            if records != self._tallies[name].records:
                raise VerificationError(
                    f"{paths[name].name}: {records:,} records were written, "
                    f"{self._tallies[name].records:,} arranged. This is a bug; please report it."
                )
        if written[CDUMP] != self.counts.records:
            raise VerificationError(
                f"{paths[CDUMP].name}: {self.counts.records:,} records were scattered, "
                f"{written[CDUMP]:,} gathered. This is a bug; please report it."
            )
        gathered: Counter[str] = Counter()
        for type_key, records in self._tallies[CDUMP].by_type.items():
            gathered[PARTS[part_number(type_key.encode())]] += records
        if +gathered != +self.counts.by_part:
            raise VerificationError(
                f"{paths[CDUMP].name}: records by part: {dict(+self.counts.by_part)} were scattered, "
                f"{dict(+gathered)} gathered. This is a bug; please report it."
            )


def compressor(level: int) -> Compress:
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
