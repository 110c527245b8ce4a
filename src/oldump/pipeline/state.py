"""The state of a run: what its journal and its files say about the chosen stages, and what must be run.

Does not: change, write, or refuse anything.
"""

import logging
from collections.abc import Callable
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import Any

from oldump.engine.checkpoint import Checkpoint
from oldump.engine.commit import TEMPORARY_SUFFIX
from oldump.engine.segments import index_path
from oldump.errors import storage_errors
from oldump.pipeline.choice import Choice, applies
from oldump.pipeline.sources import description_of
from oldump.pipeline.stage import Stage
from oldump.pipeline.table import STAGE_OF, STAGES, dependents_of
from oldump.run.folder import CHECKPOINT, RunFolder
from oldump.run.journal import Artifact, Journal, is_intact, sha256_of
from oldump.settings import Settings

log = logging.getLogger("oldump")


class RunState:
    """Queries on the state of one run, with respect to a choice of stages."""

    def __init__(
        self, settings: Settings, folder: RunFolder, choice: Choice, require_lock: Callable[[], None] = lambda: None
    ) -> None:
        """Read the journal. require_lock: called before each line that is written. Raises StorageError."""
        self.require_lock = require_lock
        self.settings = settings
        self.folder = folder
        self.choice = choice
        self.journal = Journal(folder.journal, require_lock)

    # The run

    @property
    def starts_from_scratch(self) -> bool:
        """Whether there is nothing to resume."""
        return not (self.journal.stages or self.journal.overwrite)

    def changed_inputs(self) -> dict[str, tuple[Any, Any]]:
        """Return the inputs that differ from those that the run started with, as (then, now).

        A database of which nothing is committed may change.
        """
        started_with = self.journal.begun or {}
        return {
            name: (started_with.get(name), now)
            for name, now in description_of(self.settings).items()
            if started_with.get(name) != now and not self._is_unread_database(name)
        }

    def _is_unread_database(self, name: str) -> bool:
        """Whether the input is a database other than the source, and no stage that reads it is committed."""
        readers = {stage.name for stage in STAGES if stage.database == name}
        return name != "source" and bool(readers) and readers.isdisjoint(self.journal.stages)

    @property
    def missing(self) -> list[str]:
        """The needed stages that are not committed."""
        return [name for name in self.choice.needed if name not in self.journal.stages]

    @property
    def items_are_ready(self) -> bool:
        """Whether every needed stage is committed, apart from those that check the items."""
        return all(STAGE_OF[name].checks_items for name in self.missing)

    @property
    def surplus(self) -> set[str]:
        """The committed stages that are skipped now."""
        return set(self.journal.stages) - set(self.choice.needed)

    # The items

    @property
    def published(self) -> list[Artifact]:
        """The committed artifacts that are, or will be, published, in the order of the table."""
        committed = [self.journal.stages[stage.name] for stage in STAGES if stage.name in self.journal.stages]
        return [artifact for stage in committed for artifact in stage.artifacts if artifact.item]

    @property
    def renamed_items(self) -> list[str]:
        """Items that have their final name already."""
        folder = self.folder
        return [item for item in folder.items if folder.published(item).exists() and not folder.made(item).exists()]

    @property
    def foreign_items(self) -> list[str]:
        """Items with a final name that another run published."""
        # A run that was killed while publishing has renamed its items: then none is left under `making`.
        renamed = self.renamed_items if self.journal.stages else []
        return [item for item in self.folder.items if self.folder.published(item).exists() and item not in renamed]

    def changed_published_file(self) -> Path | None:
        """Return the first published file that differs from what was committed."""
        for artifact in self.published:
            path = self.folder.artifact(artifact.name, artifact.item)
            if not is_intact(path, artifact):
                return path
        for name, sha256 in self.journal.others.items():
            path = self.folder.out / name
            with storage_errors(path):
                if not path.is_file() or sha256_of(path) != sha256:
                    return path
        return None

    # The stages

    @property
    def withholds_others(self) -> bool:
        """Whether the stage dumps was committed with other withheld keys than the settings have."""
        committed = self.journal.stages.get("dumps")
        return committed is not None and committed.counts.get("withheld", {}) != self.settings.withhold

    def is_done(self, stage: Stage) -> bool:
        """Whether the stage is committed and its files are unchanged. Logs the first file that is not."""
        committed = self.journal.stages.get(stage.name)
        for artifact in committed.artifacts if committed else ():
            path = self.folder.artifact(artifact.name, artifact.item)
            if not is_intact(path, artifact) or not index_path(path).is_file():
                log.warning("%s: changed or missing since %s committed it", path, stage.name)
                return False
        if stage.name == "dumps" and committed and self.withholds_others:
            log.info("dumps: committed with other withheld keys")
            return False
        return committed is not None

    def to_do(self) -> list[Stage]:
        """Return the chosen stages that must be run: those not done, and those that depend on them.

        All stages of a database are rerun together, since they must read the same snapshot.
        """
        choice = self.choice
        due = {stage.name for stage in choice.stages if not self.is_done(stage)}
        if self.surplus:  # the items that were checked had more files
            due |= {stage.name for stage in choice.stages if stage.checks_items}
        databases = {stage.database for stage in choice.stages if stage.name in due} - {None}
        rerun = [stage for stage in choice.stages if stage.name in due or stage.database in databases]
        names = {stage.name for stage in rerun}.union(*map(dependents_of, rerun))
        return [stage for stage in choice.stages if stage.name in names]

    def missing_inputs(self, stage: Stage) -> list[str]:
        """Return the stages whose artifacts this stage reads and that are not committed."""
        return [
            other.name
            for other in takewhile(lambda other: other.name != stage.name, STAGES)
            if applies(other, self.settings)
            and not other.is_optional
            and set(other.writes) & set(stage.reads)
            and other.name not in self.journal.stages
        ]

    def snapshot_siblings(self, stages: list[Stage]) -> list[str]:
        """Return the committed stages of the same database that are needed, and are not among the given ones."""
        return [
            other.name
            for other in STAGES
            if other.database == stages[0].database
            and other not in stages
            and other.name in self.choice.needed
            and other.name in self.journal.stages
        ]

    def damaged_inputs(self, to_do: list[Stage]) -> list[str]:
        """Return the stages left out by --only or --skip whose changed files would be read or published."""
        choice, committed = self.choice, self.journal.stages
        completes = set(choice.needed) <= {*committed, *(stage.name for stage in to_do)}
        read = {name for stage in to_do for name in stage.reads}
        damaged = []
        for stage in STAGES:
            if stage in choice.stages or stage.name not in committed:
                continue
            has_published = any(artifact.item for artifact in committed[stage.name].artifacts)
            is_published = completes and has_published and stage.name in choice.needed
            if (read & set(stage.writes) or is_published) and not self.is_done(stage):
                damaged.append(stage.name)
        return damaged

    def stale_after(self, stage: Stage, counts: dict[str, Any]) -> set[str]:
        """Return the stages whose artifacts become stale when the stage is committed with these counts.

        These are the ones made from its earlier artifacts, and those from another snapshot of its database.
        """
        stale = dependents_of(stage)
        for other in STAGES:
            committed = self.journal.stages.get(other.name)
            if (
                stage.database
                and other.database == stage.database
                and committed
                and any(committed.counts[name] != counts[name] for name in ("snapshot", "started"))
            ):
                stale |= {other.name, *dependents_of(other)}
        return stale

    # Interrupted work

    def checkpoint(self, stage: Stage) -> Checkpoint:
        """Return the stage's checkpoint. It is valid for these inputs, settings and this version of oldump only."""
        makers = [other.name for other in STAGES if set(other.writes) & set(stage.reads)]
        inputs = [
            artifact
            for name in makers
            if name in self.journal.stages
            for artifact in self.journal.stages[name].artifacts
        ]
        made_from = {
            "version": version("oldump"),
            "begun": self.journal.begun,
            "withhold": self.settings.withhold,
            "inputs": {artifact.name: artifact.sha256 for artifact in inputs},
        }
        return Checkpoint(self.folder.checkpoint(stage.name), made_from, self.settings.checkpoint)

    @property
    def has_checkpoints(self) -> bool:
        """Whether a stopped stage can be resumed."""
        return any(self.folder.spill.glob(f"*/{CHECKPOINT}"))


def leftovers(folder: RunFolder) -> set[Path]:
    """Return the files that an interrupted stage may have left: spill and temporary files."""
    temporary = f"*{TEMPORARY_SUFFIX}"
    return {
        *(path for path in folder.spill.rglob("*") if path.is_file()),
        *folder.private.glob(temporary),
        *folder.making.glob(f"*/{temporary}"),
    }
