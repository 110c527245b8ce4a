"""When a run must not begin, go on, or call itself complete: what it would mix, replace or publish wrongly.

Does not: look for what is in the way outside of the run's folder; that is preflight's.
"""

import logging
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from oldump.engine.segments import index_path
from oldump.errors import ConfigurationError, StorageError, storage_errors
from oldump.pipeline.sources import beginning
from oldump.pipeline.table import STAGES, Choice, Context, Stage, applies
from oldump.run.folder import RunFolder
from oldump.run.journal import Committed, Journal, is_intact, sha256_of

log = logging.getLogger("oldump")


def require_whole(choice: Choice, *, overwrite: bool) -> None:
    """Refuse to begin anew with a part of the stages."""
    if overwrite and [stage.name for stage in choice.stages] != choice.needed:
        raise ConfigurationError(
            "--overwrite begins anew, with all stages: give it without --only, and --skip only what a run may lack."
        )


def require_stages(choice: Choice, context: Context) -> None:
    """Refuse to deliver, and nothing else, what is not complete."""
    if not choice.stages:
        raise ConfigurationError(
            f"{', '.join(delivery.name for delivery in choice.deliveries)}: takes what is published, and the run in "
            f"{context.folder.private} is not complete",
            "Leave --only away.",
        )


def require_leave_to_begin(context: Context, *, overwrite: bool) -> None:
    """Refuse what would mix two runs, or replace what another one made."""
    if not begins_anew(context, overwrite=overwrite):
        require_same_beginning(context)
        overwrite = context.journal.overwrite
    _require_no_item_of_others(context, overwrite=overwrite)


def begins_anew(context: Context, *, overwrite: bool) -> bool:
    """Whether there is nothing to go on with."""
    return overwrite or not (context.journal.stages or context.journal.overwrite)


def _require_no_item_of_others(context: Context, *, overwrite: bool) -> None:
    """Refuse to replace a published item that this run did not publish, unless it was told to."""
    folder = context.folder
    # A run that was killed while it published has renamed an item: then there is none in the making any more.
    others = [
        item
        for item in folder.items
        if folder.published(item).exists() and (folder.made(item).exists() or not context.journal.stages)
    ]
    if others and not overwrite:
        raise ConfigurationError(
            f"{folder.out}: {', '.join(others)} is already there, and this run did not make it. "
            "Move it away, or give --overwrite to replace it once the new one is complete."
        )


def require_same_beginning(context: Context) -> None:
    """Refuse to go on from another source, or with another level: the artifacts would not belong together."""
    begun, given = context.journal.begun or {}, beginning(context.settings)
    differing = [
        f"{name} was {begun.get(name)}, now it is {value}"
        for name, value in given.items()
        if begun.get(name) != value and not _is_unread(name, context.journal)
    ]
    if differing:
        raise ConfigurationError(
            f"{context.folder.private}: this run was begun otherwise: {'; '.join(differing)}. "
            "Give what it was begun with, or --overwrite to begin anew."
        )


def _is_unread(name: str, journal: Journal) -> bool:
    """Whether this is a database beside the source, of which nothing is committed: it may be another one now."""
    stages = [stage.name for stage in STAGES if stage.database == name != "source"]
    return bool(stages) and not set(stages) & set(journal.stages)


def require_as_chosen(choice: Choice, context: Context) -> None:
    """Refuse to call a run complete that lacks what is asked for now; what is published is not added to."""
    lacking = [name for name in choice.needed if name not in context.journal.stages]
    if lacking:
        raise ConfigurationError(
            f"{context.folder.private}: this run was completed without {', '.join(lacking)}. "
            f"Give {' '.join(f'--skip {name}' for name in lacking)}, or --overwrite to make all anew."
        )


def require_intact(context: Context) -> None:
    """Refuse to call a run complete whose published files are not as they were committed; never mend them in place."""
    for artifact in context.journal.artifacts():
        if artifact.item:
            path = context.folder.artifact(artifact.name, artifact.item)
            if not is_intact(path, artifact):
                raise _changed(path)
    for name, sha256 in context.journal.others.items():
        path = context.folder.out / name
        with storage_errors(path):
            if not path.is_file() or sha256_of(path) != sha256:
                raise _changed(path)


def _changed(path: Path) -> StorageError:
    return StorageError(
        f"{path}: the run is complete, but this file is not as it was committed. Find out what happened to it; "
        "--overwrite makes all anew and replaces the items when that is complete."
    )


def require_fitting_choice(to_do: list[Stage], choice: Choice, context: Context, *, anew: bool) -> None:
    """Refuse a choice with which artifacts would not belong together, before anything is done."""
    if anew:
        return
    if to_do:
        _require_items_in_the_making(context)
    for database, stages in groupby(to_do, attrgetter("database")):
        if database is not None:
            _require_together(database, list(stages), choice, context)
    _require_others_intact(to_do, choice, context)


def _require_items_in_the_making(context: Context) -> None:
    """Refuse to write among what is published already."""
    folder = context.folder
    renamed = [item for item in folder.items if folder.published(item).exists() and not folder.made(item).exists()]
    if renamed and context.journal.stages:
        raise ConfigurationError(
            f"{folder.private}: this run was stopped while it was published",
            "Give the command that it was begun with, or --overwrite to make all anew.",
        )


def _require_others_intact(to_do: list[Stage], choice: Choice, context: Context) -> None:
    """Refuse to make something of a file that is not as it was committed, or to publish it.

    What is chosen was looked at, and is made anew if need be; this looks at what --only and --skip leave out.
    """
    committed = context.journal.stages
    completes = set(choice.needed) <= {*committed, *(stage.name for stage in to_do)}
    read = {name for stage in to_do for name in stage.reads}
    for stage in STAGES:
        if stage in choice.stages or stage.name not in committed:
            continue
        has_published = any(artifact.item for artifact in committed[stage.name].artifacts)
        is_published = completes and has_published and stage.name in choice.needed
        if (read & set(stage.writes) or is_published) and not is_done(stage, context):
            raise StorageError(
                f"{context.folder.private}: what {stage.name} made is not as it was committed",
                "Leave --only and --skip away, and it is made anew with all that was made of it.",
            )


def _require_together(database: str, stages: list[Stage], choice: Choice, context: Context) -> None:
    """Refuse to copy one table in another snapshot than its neighbours are from."""
    apart = [
        stage.name
        for stage in STAGES
        if stage.database == database
        and stage not in stages
        and stage.name in choice.needed
        and stage.name in context.journal.stages
    ]
    if apart:
        raise ConfigurationError(
            f"{', '.join(stage.name for stage in stages)} must be read in the same snapshot as {', '.join(apart)}, "
            "which is committed. Leave --only away, and all of them are copied anew."
        )


def require_inputs(stage: Stage, context: Context) -> None:
    """Refuse to run a stage before those whose artifacts it reads."""
    for other in lacking_inputs(stage, context):
        raise ConfigurationError(
            f"{stage.name} reads what {other} writes, and {other} is not committed. Run it first: "
            f"--only {other}, or leave --only and --skip away."
        )


def lacking_inputs(stage: Stage, context: Context) -> list[str]:
    """The stages that are not committed whose artifacts it reads."""
    return [
        other.name
        for other in STAGES[: STAGES.index(stage)]
        if applies(other, context.settings)
        and not other.is_optional
        and set(other.writes) & set(stage.reads)
        and other.name not in context.journal.stages
    ]


def is_done(stage: Stage, context: Context) -> bool:
    """Whether the stage is committed, and its files are as they were."""
    committed = context.journal.stages.get(stage.name)
    return committed is not None and _stands(committed, context.folder)


def _stands(committed: Committed, folder: RunFolder) -> bool:
    for artifact in committed.artifacts:
        path = folder.artifact(artifact.name, artifact.item)
        if not is_intact(path, artifact) or not index_path(path).is_file():
            log.warning("%s: is not as %s committed it", path, committed.stage)
            return False
    return True
