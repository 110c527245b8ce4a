"""The types of the table of stages: its rows, and what their functions receive and return."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

from oldump.engine.checkpoint import Checkpoint
from oldump.outside.postgres.queries import Query
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.pipeline.check import Check
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact, Committed
from oldump.run.progress import Progress
from oldump.settings import Settings


class Outcome(NamedTuple):
    """What a stage made."""

    artifacts: list[Artifact]
    counts: dict[str, Any]


@dataclass(frozen=True)
class StageContext:
    """What a stage's function receives."""

    settings: Settings
    folder: RunFolder
    committed: Mapping[str, Committed]
    """The stages that are committed, by name."""
    published: list[Artifact]
    """Their artifacts that will be published, in the order of the table."""
    checkpoint: Checkpoint
    progress: Progress
    override_gate: str | None = None
    """The reason to publish despite the gate's findings."""


@dataclass(frozen=True)
class _Row:
    """The columns that all stages have."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class ComputingStage(_Row):
    """A stage that reads files."""

    run: Callable[[StageContext], Outcome]
    is_optional: bool = False
    """Whether a run that skips it can be complete."""
    checks_run: bool = False
    """Whether it reads everything that is published. While something is missing, it waits instead of failing."""
    checks_items: bool = False
    """Whether it reads the items with their sums and manifest, which are therefore written before it."""
    database: None = field(default=None, init=False)


@dataclass(frozen=True)
class DatabaseStage(_Row):
    """A stage that copies from a database. Stages of one database are adjacent and share a snapshot."""

    run: Callable[[StageContext, SnapshotConnection], Outcome]
    database: str
    """The setting that holds the connection."""
    query: Callable[[date], Query]
    """The query for a run's date."""
    is_optional: bool = False
    checks_run: bool = field(default=False, init=False)
    checks_items: bool = field(default=False, init=False)

    def bound_to(self, connection: SnapshotConnection) -> Callable[[StageContext], Outcome]:
        """Return the stage's function with its connection."""
        return lambda context: self.run(context, connection)


Stage = ComputingStage | DatabaseStage


@dataclass(frozen=True)
class DeliveryContext:
    """What a delivery's function receives."""

    settings: Settings
    folder: RunFolder
    progress: Progress
    require_lock: Callable[[], None]
    """Raise RunBusy or StorageError if another process has taken over the run."""


class Delivery(NamedTuple):
    """Takes a complete run elsewhere. Unlike a stage, it is repeated by every run that requests it."""

    name: str
    """Also the name of the setting that requests it."""
    writes: tuple[str, ...]
    run: Callable[[DeliveryContext], dict[str, Any]]
    """Return counts."""
    check: Callable[[Settings], Check]
    """Check, before the long work, that the delivery can succeed."""
