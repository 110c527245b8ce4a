"""Latest and complete dumps: rows in, cdump and parts out.

Reads:      data    COPY text of table `data`, any order; plain or gzip
Writes:     cdump, one part per type; rejects.txt.gz beside the journal
Promises:   the record contract; nothing that records.privacy withholds; last_modified within the cutoff;
            rows in = records out + drops + rejects
Memory:     the budget, whatever the input's size
On failure: nothing half-written stays under its final name; run again and the stage begins anew
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np

from oldump.engine.blocks import Block, Content, SharedMemory, Source
from oldump.engine.segments import Segment, SegmentWriter, segment_of
from oldump.engine.shuffle import FLUSH, Batch, Budget, Frame, Gathering, gatherer, scatterer
from oldump.engine.workers import Crew
from oldump.errors import (
    SourceDamaged,
    SourceEmpty,
    TooManyRejects,
    VerificationError,
    storage_errors,
)
from oldump.records import rows
from oldump.records.document import Reject
from oldump.records.keys import Flags, documents, settled
from oldump.records.privacy import Drop, first_text_after
from oldump.records.record import PART_OF_TYPE, PARTS, columns, record_order
from oldump.records.tally import Tally, tally_of
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress

CDUMP = "cdump"
KEY_COLUMN = 1
_TYPE_OF_PART = {part: type_key.decode() for type_key, part in PART_OF_TYPE.items()}


@dataclass
class Counts:
    """Where the rows went."""

    rows: int = 0
    records: int = 0
    drops: Counter[Drop] = field(default_factory=Counter)
    rejects: Counter[Reject] = field(default_factory=Counter)
    same_revision: int = 0
    """Records beside another one of the same key and revision."""


# ---------------------------------------------------------------------------------------------------- rows → spill


class _Summary(NamedTuple):
    """What the leader hears of a block; its records are in the spill."""

    rows: int
    records: int
    drops: Counter[Drop]
    rejects: list[rows.Rejection]
    ended: bool
    text_after_end: bool


class _Reader:
    """The workers' side: blocks become records."""

    def __init__(self, source: Source, day: date | None) -> None:
        self._source = source
        self._cutoff = first_text_after(day)

    def __call__(self, content: Content) -> tuple[_Summary, list[bytes], list[int], list[int]]:
        batch = rows.Batch(self._source.text(content), self._cutoff)
        summary = _Summary(
            batch.rows,
            len(batch.records),
            batch.drops,
            batch.rejects,
            batch.ended,
            batch.text_after_end,
        )
        return summary, batch.records, batch.ranks, batch.part_numbers


class Rejects:
    """Writes rejects.txt.gz, with the line numbers of the rows, and stops when there are too many."""

    def __init__(self, path: Path, source_name: str, most: int) -> None:
        """Take where to write and how many are too many."""
        self._path = path
        self._source_name = source_name
        self._most = most
        self._lines: list[bytes] = []
        self.counts: Counter[Reject] = Counter()

    def add(self, rejects: list[rows.Rejection], rows_before: int) -> None:
        """Note a block's rejects. Raises TooManyRejects, after writing what there is."""
        for row, reason, line in rejects:
            self.counts[reason] += 1
            self._lines.append(b"\t".join((str(rows_before + row + 1).encode(), reason.encode(), line)))
            if self.counts.total() > self._most:
                self.write()
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.counts.most_common())
                raise TooManyRejects(
                    f"{self._source_name}: more than {self._most:,} rows cannot become records ({reasons}). "
                    f"They are in {self._path}, with line number and reason. Mend the source, or raise --max-rejects."
                )

    def write(self) -> None:
        """Write the file, if there are rejects."""
        if not self._lines:
            self._path.unlink(missing_ok=True)
            return
        with SegmentWriter(self._path) as writer:
            writer.append(segment_of(b"\n".join(self._lines) + b"\n", first_key_at=0))
            writer.commit()


class _Scattering:
    """The leader's side: blocks are heard of in any order, and counted in theirs."""

    def __init__(self, source: Source, rejects: Rejects) -> None:
        self.counts = Counts(rejects=rejects.counts)
        self.frames: list[Frame] = []
        self._source = source
        self._rejects = rejects
        self._heard: dict[int, _Summary] = {}
        self._next = 0
        self._ended = False

    def hear(self, number: int, summary: _Summary, frames: list[Frame]) -> None:
        """Take what became of block number."""
        self.frames += frames
        self._heard[number] = summary
        while (following := self._heard.pop(self._next, None)) is not None:
            self._count(following)
            self._next += 1

    def _count(self, summary: _Summary) -> None:
        if summary.text_after_end or (self._ended and summary.rows):
            raise SourceDamaged(
                rf"{self._source.name}: there are rows after the end-of-data marker (\.), behind row "
                f"{self.counts.rows:,}. Is it one table's COPY text? Cut the file there, or make it again."
            )
        self._ended |= summary.ended
        self._rejects.add(summary.rejects, self.counts.rows)
        self.counts.rows += summary.rows
        self.counts.records += summary.records
        self.counts.drops.update(summary.drops)


def scatter(
    source: Source, shared: SharedMemory, job: "Job", rejects: Rejects, progress: Progress
) -> tuple[Counts, dict[int, list[Frame]]]:
    """Spill the records of all rows; what became of the rows, and where each bucket lies.

    Raises SourceError, TooManyRejects, StorageError, WorkerError.
    """
    scattering = _Scattering(source, rejects)
    positions: dict[int, Block] = {}

    def tasks() -> Iterator[tuple[str, Content]]:
        for number, block in enumerate(source.blocks()):
            positions[number] = block
            yield f"{source.name}, up to byte {block.position_bytes:,}", block.content

    read = _Reader(source, job.day)
    with Crew(job.workers, scatterer(read, job.spill, job.budget)) as crew:
        for number, (summary, frames), _ in crew.run(tasks()):
            block = positions.pop(number)
            shared.free(block.content)
            scattering.hear(number, summary, frames)
            progress.update(
                scattering.counts.rows,
                block.position_bytes / source.size_bytes if source.size_bytes else None,
            )
        for _, frames in crew.each("writing the last of the spill", FLUSH):
            scattering.frames += frames
    buckets: dict[int, list[Frame]] = {}
    for frame in sorted(scattering.frames):
        buckets.setdefault(frame.bucket, []).append(frame)
    return scattering.counts, buckets


# ------------------------------------------------------------------------------------------------- spill → dumps


class Tallies(NamedTuple):
    """What the leader hears of a bucket."""

    of_stream: dict[str, Tally]
    same_revision: int
    last_keys: dict[str, str]


class Latest:
    """Arranges a bucket's sorted records: all go to the cdump, the latest of each key to its part."""

    def __init__(self) -> None:
        """Begin a bucket."""
        self._held: Batch | None = None
        """The last record of the slice before, which is the latest of its key if the next one has another."""
        self._tallies = {name: Tally() for name in (CDUMP, *PARTS)}
        self._last_keys: dict[str, str] = {}
        self._same_revision = 0

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, list[bytes]]:
        """The next lines of the cdump and of the parts."""
        streams = {CDUMP: batch.lines}
        records = _chained(self._held, batch)
        same = _same_document(records)
        self._same_revision += _same_revisions(records)
        latest = np.append(~same, last)
        self._held = None if last else Batch(records.lines[-1:], records.ranks[-1:], records.tags[-1:])
        for number, part in enumerate(PARTS):
            places = np.flatnonzero(latest & (records.tags == number)).tolist()
            streams[part] = [records.lines[place] for place in places]
        self._count(streams, batch)
        return streams

    def tally(self) -> Tallies:
        """Counts of what was arranged."""
        return Tallies(self._tallies, self._same_revision, self._last_keys)

    def _count(self, streams: dict[str, list[bytes]], batch: Batch) -> None:
        for name, lines in streams.items():
            if not lines:
                continue
            self._last_keys[name] = columns(lines[-1]).key.decode()
            if name != CDUMP:
                self._tallies[name].add(tally_of(lines, _TYPE_OF_PART.get(name)))
        for number, part in enumerate(PARTS):
            self._tallies[CDUMP].add(
                tally_of(
                    [batch.lines[place] for place in np.flatnonzero(batch.tags == number).tolist()],
                    _TYPE_OF_PART.get(part),
                )
            )


def _chained(held: Batch | None, batch: Batch) -> Batch:
    if held is None:
        return batch
    return Batch(
        held.lines + batch.lines,
        np.concatenate((held.ranks, batch.ranks)),
        np.concatenate((held.tags, batch.tags)),
    )


def _same_document(records: Batch) -> Flags:
    """For each record but the last, whether the next one has the same key."""
    same: Flags = np.diff(documents(records.ranks)) == 0
    unsettled = ~settled(records.ranks)
    for place in np.flatnonzero(same & (unsettled[:-1] | unsettled[1:])).tolist():
        same[place] = columns(records.lines[place]).key == columns(records.lines[place + 1]).key
    return same


def _same_revisions(records: Batch) -> int:
    """How many records have the key and the revision of the one before them."""
    equal = np.flatnonzero(np.diff(records.ranks) == 0)
    surely = settled(records.ranks[equal])
    doubtful = equal[~surely].tolist()
    return int(surely.sum()) + sum(
        columns(records.lines[place])[1:3] == columns(records.lines[place + 1])[1:3] for place in doubtful
    )


# --------------------------------------------------------------------------------------------------------- the stage


@dataclass(frozen=True)
class Job:
    """What the stage is to do, and with how much."""

    day: date | None
    workers: int
    budget: Budget
    level: int
    max_rejects: int
    spill: Path


def make_dumps(
    source_path: Path | None, folder: RunFolder, job: Job, progress: Progress
) -> tuple[Counts, list[Artifact]]:
    """Make cdump and parts from the rows of a source. Raises OldumpError as in errors.py."""
    shared = SharedMemory(job.workers + 4)
    source = Source(source_path, shared)
    with storage_errors(job.spill):
        shutil.rmtree(job.spill, ignore_errors=True)
        job.spill.mkdir(parents=True)
    try:
        rejects = Rejects(folder.rejects, source.name, job.max_rejects)
        progress.begin("dumps", "scatter")
        counts, buckets = scatter(source, shared, job, rejects, progress)
        rejects.write()
        _require_records(counts, source, folder)
        progress.begin("dumps", "gather")
        return counts, _gather(buckets, counts, folder, job, progress)
    finally:
        shutil.rmtree(job.spill, ignore_errors=True)


def _require_records(counts: Counts, source: Source, folder: RunFolder) -> None:
    if not counts.rows:
        raise SourceEmpty(f"{source.name}: holds no rows. Did the export fail? Nothing was made.")
    if not counts.records:
        raise SourceEmpty(
            f"{source.name}: none of its {counts.rows:,} rows became a record. Dropped: {dict(counts.drops)}; "
            f"rejected: {dict(counts.rejects)} (see {folder.rejects}). Is the date right?"
        )
    if counts.rows != counts.records + counts.drops.total() + counts.rejects.total():
        raise VerificationError(f"{counts.rows:,} rows do not add up: {counts}. This is a bug; please report it.")


def _gather(
    buckets: dict[int, list[Frame]], counts: Counts, folder: RunFolder, job: Job, progress: Progress
) -> list[Artifact]:
    paths = {CDUMP: folder.cdump, **{part: folder.part(part) for part in PARTS}}
    press = presser(job.level)
    tallies = {name: Tally() for name in paths}
    last_keys: dict[str, str] = {}
    with ExitStack() as stack:
        for path in paths.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        writers = {name: stack.enter_context(SegmentWriter(path)) for name, path in paths.items()}
        crew = stack.enter_context(Crew(job.workers, gatherer(record_order, Latest, press, job.spill, job.budget)))
        gathering = Gathering(crew, writers, press)
        for tally in gathering.run((f"bucket {bucket:#x}", frames) for bucket, frames in buckets.items()):
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
        return [
            artifact_of(
                writer,
                folder.items[0] if name == CDUMP else folder.items[1],
                tallies[name],
                last_keys.get(name),
            )
            for name, writer in writers.items()
        ]


def presser(level: int) -> Callable[[bytes], Segment]:
    """What makes a segment of records' text."""
    return lambda text: segment_of(text, KEY_COLUMN, level)


def artifact_of(writer: SegmentWriter, item: str, tally: Tally, last_key: str | None) -> Artifact:
    """Commit the file; what the journal is to say of it."""
    written = writer.commit()
    return Artifact(
        name=written.name,
        item=item,
        size_bytes=written.size_bytes,
        sha256=written.sha256,
        md5=written.md5,
        records=written.records,
        text_bytes=written.text_bytes,
        segments=written.segments,
        first_key=written.first_key,
        last_key=last_key,
        newest=tally.newest or None,
        digest=f"{tally.digest:016x}",
        by_type=dict(sorted(tally.by_type.items())),
    )
