"""The settings of one execution of the dumps stage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Self

from oldump.engine.budget import Budget, budget_within, workers_within
from oldump.engine.checkpoint import Checkpoint
from oldump.records.keys import REVISION_BITS
from oldump.run.folder import RunFolder
from oldump.settings import Settings

TEXT_PER_KEY = 2_900
"""Average bytes of all revisions of an edition: 2.8 revisions of about 1 KB. It only tunes the size of buckets."""


@dataclass(frozen=True)
class DumpsJob:
    """The cutoff, the resources and the checkpoint of the stage."""

    day: date | None
    workers: int
    budget: Budget
    level: int
    max_rejects: int
    checkpoint: Checkpoint
    withheld: Mapping[str, str] = field(default_factory=dict)
    """The reasons of the operator, by the key that is withheld."""

    @property
    def spill(self) -> Path:
        """The folder for spill files."""
        return self.checkpoint.folder

    @classmethod
    def within(cls, settings: Settings, folder: RunFolder, source: Path | None, checkpoint: Checkpoint) -> Self:
        """Return the job for these settings."""
        size_bytes = source.stat().st_size if source and source.is_file() else 0
        return cls(
            day=folder.date,
            workers=workers_within(settings.memory, settings.workers),
            budget=budget_within(settings.memory, settings.workers, size_bytes, TEXT_PER_KEY, REVISION_BITS),
            level=settings.level,
            max_rejects=settings.max_rejects,
            checkpoint=checkpoint,
            withheld=settings.withhold,
        )
