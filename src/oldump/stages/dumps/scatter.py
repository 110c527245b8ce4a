"""First half of the dumps stage: convert rows to records and spill them to buckets."""

from collections.abc import Generator

import msgspec

from oldump.engine.blocks import BlockTasks, Content, Source, SourcePosition
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

    def __init__(self, source: Source, job: DumpsJob) -> None:
        self._source = source
        self._cutoff, self._withheld = first_text_after(job.day), job.withheld.keys()

    def __call__(self, content: Content) -> Generator[Batch, None, BlockSummary]:
        text = self._source.text(content)
        with STEPS.at("rows to records", len(text)):
            rows = ConvertedRows(text, self._cutoff, self._withheld)
        yield Batch(Lines(rows.text, rows.starts, rows.ends), rows.ranks, rows.part_numbers)
        return BlockSummary.of(rows)


def scatter(
    source: Source,
    job: DumpsJob,
    account: Account,
    resume_from: ScatterState | None,
    progress: Progress,
) -> Frames:
    """Convert and spill the rows that were not read before the checkpoint; return the frames of all records.

    Raises SourceError, TooManyRejects, StorageError, WorkerError.
    """
    frames = frames_of(resume_from.frames) if resume_from else NO_FRAMES
    tasks = BlockTasks(source)
    with Crew(job.workers, scatter_worker(_RowReader(source, job), job.spill, job.budget)) as crew:
        scattering = Scattering(crew, frames)
        pause = job.checkpoint.pause(
            lambda: ScatterState(
                tasks.position, scattering.frames().tobytes(), account.state(), account.rejects.state()
            )
        )
        for number, summary in scattering.run(tasks, source.arrivals, pause, first=source.start.blocks):
            share = tasks.finish(number)
            account.add(number, summary)
            progress.update(account.counts.rows, share)
        return scattering.frames()
