"""The three passes of deworks: scatter the inputs, resolve the joins, gather the lines."""

import os
from collections.abc import Generator

from oldump.engine.blocks import SLOTS_AHEAD, SharedMemory
from oldump.engine.buckets import Buckets, slices
from oldump.engine.buffer import Buffer
from oldump.engine.frames import Batch, Frames, frames_of
from oldump.engine.gather import FileStream, Gathering, Stream, gather_worker
from oldump.engine.scatter import Scattering, scatter_worker
from oldump.engine.segments import Compress
from oldump.engine.workers import Crew
from oldump.run.progress import Progress
from oldump.stages.deworks.assembly import STREAM, Assembler, DeworksTally
from oldump.stages.deworks.inputs import Input, InputReader
from oldump.stages.deworks.intermediate import JOINS_END, contribution_order, join_order
from oldump.stages.deworks.job import DeworksJob, DeworksResult, DeworksState
from oldump.stages.deworks.join import JoinResolver, ReadCounts
from oldump.stages.deworks.redirects import Redirects


class Passes:
    """The passes, from the beginning or from a checkpoint."""

    def __init__(self, job: DeworksJob, resume_from: DeworksState | None) -> None:
        self._job = job
        self._state = resume_from or DeworksState(ReadCounts(), 0, b"")

    @property
    def is_scattered(self) -> bool:
        """Whether the first pass is finished."""
        return self._state.joins is not None

    def scatter(self, inputs: list[Input], redirects: Redirects, progress: Progress) -> None:
        """Spill the join lines and contributions of all inputs."""
        job, state = self._job, self._state
        shared = SharedMemory(job.workers + SLOTS_AHEAD)
        reader = InputReader(inputs, redirects, shared)
        with Crew(job.workers, scatter_worker(reader, job.spill, job.budget)) as crew:
            scattering = Scattering(crew, frames_of(state.frames))
            pause = job.pause(lambda: DeworksState(state.read, reader.begun, scattering.frames().tobytes()))
            for number, counts in scattering.run(reader.tasks(state.tasks), None, pause, first=state.tasks):
                shared.free(reader.blocks.pop(number).content)
                state.read = ReadCounts(*map(sum, zip(state.read, counts, strict=True)))
                progress.update(state.read.works + state.read.editions, reader.share_read)
            frames = scattering.frames()
        reader.require_unchanged()
        are_joins = frames["first"] < JOINS_END
        state.joins, state.frames = frames[are_joins].tobytes(), frames[~are_joins].tobytes()

    def join(self, progress: Progress) -> None:
        """Resolve all joins and spill the contributions that they give."""
        job, state = self._job, self._state
        buckets = Buckets(frames_of(state.joins or b""), job.budget)
        total = len(buckets)
        with Crew(job.workers, scatter_worker(_JoinTask(job), job.spill, job.budget)) as crew:
            scattering = Scattering(crew, frames_of(state.frames))

            def current() -> DeworksState:
                return DeworksState(state.read, 0, scattering.frames().tobytes(), buckets.left().tobytes())

            for done, _ in enumerate(scattering.run(buckets, None, job.pause(current)), start=1):
                progress.update(done, done / total)
            state.joins, state.frames = b"", scattering.frames().tobytes()

    def gather(self, stream: Stream, compress: Compress, progress: Progress) -> DeworksResult:
        """Assemble the lines and write them."""
        job, read, tally = self._job, self._state.read, self._state.tally
        buckets = Buckets(frames_of(self._state.frames), job.budget)
        self._state.frames = b""

        def current() -> DeworksState:
            assert isinstance(stream, FileStream)  # noqa: S101 - a pipe has no checkpoint
            return DeworksState(read, 0, buckets.left().tobytes(), b"", tally, stream.reached())

        worker = gather_worker(contribution_order, Assembler, compress, job.spill, job.budget)
        with Crew(job.workers, worker) as crew:
            for bucket_tally in Gathering(crew, {STREAM: stream}, compress).run(buckets, job.pause(current)):
                assert isinstance(bucket_tally, DeworksTally)  # noqa: S101 - what Assembler.tally returns
                tally.add(bucket_tally)
                progress.update(tally.lines, (tally.works + tally.editions) / max(1, read.works + read.editions))
        return DeworksResult(tally, read)


class _JoinTask:
    """The workers' task in the second pass: resolve a bucket of joins."""

    def __init__(self, job: DeworksJob) -> None:
        self._job = job
        self._buffer = Buffer()

    def __call__(self, frames: Frames) -> Generator[Batch, None, None]:
        resolver = JoinResolver()
        runs = self._job.spill / f"joins-{os.getpid()}"
        for batch, _ in slices(frames, join_order, runs, self._job.budget, self._buffer):
            yield from resolver(batch)
