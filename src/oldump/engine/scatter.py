"""Scatter."""

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
"""What a worker makes of a task's content: it yields batches for the spill, and returns a summary for the leader."""


def scatter_worker(read: Read, folder: Path, budget: Budget) -> Callable[[int], TaskFunction]:
    """What the workers of a Crew perform: tasks are read and spilled; FLUSH spills the rest.

    A task's result is its summary (None for FLUSH) and the frames that were written meanwhile.
    """

    def begin(number: int) -> TaskFunction:
        spill = Spill(folder, number, budget)

        def perform(content: object) -> Task:
            yield from ()  # a task without conversation
            if isinstance(content, str) and content == FLUSH:
                frames = spill.flush()
                spill.secure()
                return None, frames
            return _spilled(read(content), spill)

        return perform

    return begin


def _spilled(reading: Generator[Batch, None, Any], spill: Spill) -> tuple[Any, Frames]:
    """All that is read goes to the spill; the summary, and the frames that were written meanwhile."""
    frames: list[Frames] = [NO_FRAMES]
    while True:
        try:
            batch = next(reading)
        except StopIteration as end:
            return end.value, np.concatenate(frames)
        frames.append(spill.add(batch))


FLUSH = "flush"


class Scattering:
    """The leader's side of a scatter: it hands out the tasks and keeps the table of frames."""

    def __init__(self, crew: Crew, frames: Frames = NO_FRAMES) -> None:
        """Take a crew that performs `scatter_worker`, and the frames that were written before."""
        self._crew = crew
        self._frames: list[Frames] = [frames]

    def run(
        self,
        tasks: Iterable[tuple[str, Any]],
        arrivals: Connection | None = None,
        rest: Pause = NO_PAUSE,
        first: int = 0,
    ) -> Iterator[tuple[int, Any]]:
        """Scatter the tasks; each one's number, counted from first, and summary, as it comes.

        At its end, and at a rest, all is on the disk. arrivals: see Crew.run.

        Raises StorageError, StorageFull, WorkerError, and what tasks raise.
        """
        for leg in legs(tasks, rest):
            for number, (summary, frames), _ in self._crew.run(leg, arrivals=arrivals):
                self._add(frames)
                yield first + number, summary
            first += leg.begun
            for _, frames in self._crew.each("writing the last of the spill", FLUSH):
                self._add(frames)
            leg.end()

    def _add(self, frames: Frames) -> None:
        if len(frames):
            self._frames.append(frames.astype(FRAME))  # each array that comes from a worker has a type of its own

    def frames(self) -> Frames:
        """The table of frames that were written so far."""
        self._frames = [np.concatenate(self._frames)]
        return self._frames[0]
