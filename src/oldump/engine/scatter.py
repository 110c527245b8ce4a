"""Scatter: read tasks on every core and spill their records into buckets.

Workers read tasks into batches and collect them; each record goes to the bucket of its rank, in sorted frames,
compressed with zstd, in large sequential writes (see spill_files). The leader keeps the table of frames, from which
gather reads the buckets.

At a pause (see checkpoint), no task is in progress and everything that was spilled is on the disk. The remaining tasks
and the table of frames are enough to resume in another process, with other workers and another budget.

Does not: know what a record is.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from oldump.engine.budget import Budget
from oldump.engine.checkpoint import NO_PAUSE, Pause, legs
from oldump.engine.frames import FRAME, NO_FRAMES, Batch, Frames
from oldump.engine.spill_files import Spill
from oldump.engine.workers import Crew, Task, TaskFunction

Read = Callable[[Any], Generator[Batch, None, Any]]
"""Reads the content of a task: yields batches for the spill and returns a summary for the leader."""


def scatter_worker(read: Read, folder: Path, budget: Budget) -> Callable[[int], TaskFunction]:
    """Return the function that makes the task function of each worker of a scatter; the task FLUSH spills the rest.

    The result of a task is its summary (None for FLUSH) and the frames that were written during it.
    """

    def begin(number: int) -> TaskFunction:
        spill = Spill(folder, number, budget)

        def perform(content: object) -> Task:
            yield from ()  # a generator that sends no messages, only its result
            if isinstance(content, str) and content == FLUSH:
                frames = spill.flush()
                spill.sync()
                return None, frames
            return _spilled(read(content), spill)

        return perform

    return begin


def _spilled(reading: Generator[Batch, None, Any], spill: Spill) -> tuple[Any, Frames]:
    """Spill all batches of a task; return its summary and the frames that were written."""
    frames: list[Frames] = [NO_FRAMES]
    while True:
        try:
            batch = next(reading)
        except StopIteration as end:
            return end.value, np.concatenate(frames)
        frames.append(spill.add(batch))


FLUSH = "flush"


class Scattering:
    """The leader's side of a scatter: dispatches the tasks and keeps the table of frames."""

    def __init__(self, crew: Crew, frames: Frames = NO_FRAMES) -> None:
        """crew: workers that run `scatter_worker`; frames: those already written, if the scatter is resumed."""
        self._crew = crew
        self._frames: list[Frames] = [frames]

    def run(
        self,
        tasks: Iterable[tuple[str, Any]],
        arrivals: Connection | None = None,
        pause: Pause = NO_PAUSE,
        first: int = 0,
    ) -> Iterator[tuple[int, Any]]:
        """Scatter the tasks; yield the number, counted from first, and the summary of each as it finishes.

        At a pause and at the end, everything is on the disk. arrivals: see Crew.run.
        Raises StorageError, StorageFull, WorkerError, and the errors of tasks.
        """
        for leg in legs(tasks, pause):
            for number, (summary, frames), _ in self._crew.run(leg, arrivals=arrivals):
                self._add(frames)
                yield first + number, summary
            first += leg.begun
            for _, frames in self._crew.each("writing the last of the spill", FLUSH):
                self._add(frames)
            leg.end()

    def _add(self, frames: Frames) -> None:
        if len(frames):
            self._frames.append(frames.astype(FRAME))  # share one dtype object: each unpickled array has its own

    def frames(self) -> Frames:
        """The table of the frames that have been written."""
        self._frames = [np.concatenate(self._frames)]
        return self._frames[0]
