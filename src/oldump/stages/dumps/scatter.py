"""First half of the dumps stage: convert rows to records and spill them to buckets."""

from collections.abc import Generator, Iterator
from datetime import date

import msgspec

from oldump.engine.blocks import START, Block, Content, SharedMemory, Source, SourcePosition
from oldump.engine.frames import NO_FRAMES, Batch, Frames, frames_of
from oldump.engine.scatter import Scattering, scatter_worker
from oldump.engine.text_lines import Lines
from oldump.engine.workers import Crew
from oldump.records.privacy import first_text_after
from oldump.records.rows import ConvertedRows
from oldump.run.progress import Progress
from oldump.run.steps import STEPS
from oldump.stages.dumps.account import Account, AccountState, BlockSummary
from oldump.stages.dumps.job import DumpsJob
from oldump.stages.dumps.rejects import RejectsState


class ScatterState(msgspec.Struct, tag=True):
    """A checkpoint during the scatter."""

    place: SourcePosition
    """How far the source was read."""
    frames: bytes
    account: AccountState
    rejects: RejectsState


class _RowReader:
    """The workers' task: convert a block of rows to records."""

    def __init__(self, source: Source, day: date | None) -> None:
        self._source = source
        self._cutoff = first_text_after(day)

    def __call__(self, content: Content) -> Generator[Batch, None, BlockSummary]:
        text = self._source.text(content)
        with STEPS.at("rows to records", len(text)):
            rows = ConvertedRows(text, self._cutoff)
        yield Batch(Lines(rows.text, rows.starts, rows.ends), rows.ranks, rows.part_numbers)
        return BlockSummary.of(rows)


def scatter(
    source: Source,
    shared: SharedMemory,
    job: DumpsJob,
    account: Account,
    resume_from: ScatterState | None,
    progress: Progress,
) -> Frames:
    """Convert and spill the rows that were not read before the checkpoint; return the frames of all records.

    Raises SourceError, TooManyRejects, StorageError, WorkerError.
    """
    place, frames = (resume_from.place, frames_of(resume_from.frames)) if resume_from else (START, NO_FRAMES)
    begun: dict[int, Block] = {}

    def tasks() -> Iterator[tuple[str, Content]]:
        nonlocal place
        for number, block in enumerate(source.blocks(), start=place.blocks):
            begun[number] = block
            place = place.behind(block)
            yield f"{source.name}, up to byte {block.position_bytes:,}", block.content

    with Crew(job.workers, scatter_worker(_RowReader(source, job.day), job.spill, job.budget)) as crew:
        scattering = Scattering(crew, frames)
        rest = job.checkpoint.resting(
            lambda: ScatterState(place, scattering.frames().tobytes(), account.state(), account.rejects.state())
        )
        for number, summary in scattering.run(tasks(), source.arrivals, rest, first=place.blocks):
            block = begun.pop(number)
            shared.free(block.content)
            account.add(number, summary)
            progress.update(account.counts.rows, source.share_read(block))
        return scattering.frames()
