"""The settings, the checkpoint and the result of one execution of the deworks stage."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec

from oldump.engine.budget import HELD_PER_TEXT_OF_OBJECTS, Budget, budget_within, workers_within
from oldump.engine.checkpoint import NO_PAUSE, Checkpoint, Pause
from oldump.engine.gather import StreamPosition
from oldump.settings import Settings
from oldump.stages.deworks.assembly import DeworksTally
from oldump.stages.deworks.inputs import Input
from oldump.stages.deworks.join import ReadCounts

_TEXT_PER_KEY = 1_500
"""Average bytes of all contributions to a line. It only tunes the size of buckets."""
_KEY_SHIFT = 18
"""Ranks that differ only in this many low bits belong to the same line."""


@dataclass(frozen=True)
class DeworksJob:
    """The resources and the checkpoint of the stage."""

    workers: int
    budget: Budget
    spill: Path
    """The folder for spill files."""
    checkpoint: Checkpoint | None = None
    """None: the output is a pipe, so the stage cannot resume."""

    @classmethod
    def within(cls, settings: Settings, inputs: list[Input], spill: Path, checkpoint: Checkpoint | None = None) -> Self:
        """Return the job for these settings and inputs."""
        size_bytes = sum(path.stat().st_size for path, *_ in inputs if path.is_file())
        budget = budget_within(
            settings.memory, settings.workers, size_bytes, _TEXT_PER_KEY, _KEY_SHIFT, HELD_PER_TEXT_OF_OBJECTS
        )
        return cls(workers_within(settings.memory, settings.workers), budget, spill, checkpoint)

    def pause(self, state: Callable[[], "DeworksState"]) -> Pause:
        """Return the pauses at which a pass saves its state."""
        return self.checkpoint.pause(state) if self.checkpoint else NO_PAUSE


class DeworksState(msgspec.Struct):
    """A checkpoint of the stage. Fields of a pass that has not begun are empty, and so are those of a finished one."""

    read: ReadCounts
    tasks: int
    """How many tasks of the scatter are done."""
    frames: bytes
    """The frames of contributions; during the scatter, also those of join lines."""
    joins: bytes | None = None
    """The frames of the joins that remain; None during the scatter."""
    tally: DeworksTally = msgspec.field(default_factory=DeworksTally)
    stream: StreamPosition | None = None
    """None until the gather begins."""


class DeworksResult(NamedTuple):
    """What was read and what was made."""

    tally: DeworksTally
    read: ReadCounts

    def as_json(self, *, with_items: bool) -> dict[str, Any]:
        """Return the counts as the journal and the manifest store them."""
        return {
            "lines": self.tally.lines,
            "works": self.tally.works,
            "works_missing": self.tally.works_missing,
            "editions": self.tally.editions,
            "editions_without_work": self.tally.editions_without_work,
            "items": self.read.items if with_items else None,
        }
