"""Guards: each refuses a command that would mix two runs, or replace or publish the wrong files.

A guard raises ConfigurationError or StorageError, or returns None. It gets the facts from `RunState`.

Does not: check anything outside of the output folder (`preflight` does).
"""

from datetime import date
from itertools import groupby
from operator import attrgetter

from oldump.errors import ConfigurationError, StorageError, storage_errors
from oldump.pipeline.choice import Choice
from oldump.pipeline.preflight import UNFINISHED_DAY_HINT
from oldump.pipeline.stage import Stage
from oldump.pipeline.state import RunState
from oldump.run.folder import RunFolder
from oldump.run.measures import nearest_existing
from oldump.run.owner import user_name


def require_finished_day(to_do: list[Stage], day: date, today: date, override_gate: str | None) -> None:
    """Refuse to make dumps for a day that is not over, unless the gate is overridden. today: in UTC."""
    if to_do and day >= today and override_gate is None:
        raise ConfigurationError(
            f"{day} is not over yet (UTC): later edits of that day would be missing", UNFINISHED_DAY_HINT
        )


def require_all_stages(choice: Choice, *, overwrite: bool) -> None:
    """Refuse to overwrite a run with only some of its stages."""
    if overwrite and choice.omits_stages:
        raise ConfigurationError(
            "--overwrite reruns all stages", "Omit --only, and use --skip only for optional stages."
        )


def require_same_user(folder: RunFolder, user_id: int) -> None:
    """Refuse to work as root in a folder of another user, who could not change or remove files created by root."""
    for place in (folder.out, folder.private):
        with storage_errors(place):
            path = nearest_existing(place)
            owner_id = path.stat().st_uid
        if user_id == 0 and owner_id != 0:
            owner = user_name(owner_id)
            raise ConfigurationError(
                f"{path}: belongs to user {owner}, and root must not create files there",
                f"Run the command as that user: `runuser -u {owner} -- oldump …` or `docker exec --user {owner} …`.",
            )


# Complete runs


def require_same_inputs(state: RunState) -> None:
    """Refuse to resume from another source or with another level: the artifacts would be inconsistent."""
    changed = state.changed_inputs()
    if changed:
        details = "; ".join(f"{name} was {then}, is now {now}" for name, (then, now) in changed.items())
        raise ConfigurationError(
            f"{state.folder.private}: this run started with other inputs: {details}",
            "Use the original inputs, or --overwrite to start from scratch.",
        )


def require_same_stages(state: RunState) -> None:
    """Refuse to add stages to a complete run: published items are never extended."""
    missing = state.missing
    if missing:
        raise ConfigurationError(
            f"{state.folder.private}: this run was completed without {', '.join(missing)}",
            f"Use {' '.join(f'--skip {name}' for name in missing)}, or --overwrite to start from scratch.",
        )


def require_unchanged_files(state: RunState) -> None:
    """Refuse to report a run as complete if a published file has changed. Published files are never repaired."""
    path = state.changed_published_file()
    if path:
        raise StorageError(
            f"{path}: changed or missing since the run was completed",
            "Find out why, then use --overwrite to remake the run and replace it once the new one is complete.",
        )


# Incomplete runs


def require_stages(state: RunState) -> None:
    """Refuse to deliver a run that is not complete."""
    if not state.choice.stages:
        names = ", ".join(delivery.name for delivery in state.choice.deliveries)
        raise ConfigurationError(f"{names}: the run in {state.folder.private} is not complete", "Omit --only.")


def require_no_foreign_items(state: RunState, *, overwrite: bool) -> None:
    """Refuse to replace items that another run published, unless --overwrite allows it."""
    items = state.foreign_items
    if items and not overwrite:
        raise ConfigurationError(
            f"{state.folder.out}: {', '.join(items)} already exists and is not from this run",
            "Move it away, or use --overwrite to replace it once the new one is complete.",
        )


def require_consistent_choice(to_do: list[Stage], state: RunState) -> None:
    """Refuse a choice of stages that would produce inconsistent artifacts."""
    if to_do:
        _require_unpublished_items(state)
    for database, stages in groupby(to_do, attrgetter("database")):
        if database is not None:
            _require_one_snapshot(list(stages), state)
    _require_undamaged_inputs(to_do, state)


def _require_unpublished_items(state: RunState) -> None:
    """Refuse to write into items that already have their final names."""
    if state.renamed_items and state.journal.stages:
        raise ConfigurationError(
            f"{state.folder.private}: this run was interrupted while it published",
            "Rerun the original command, or use --overwrite to start from scratch.",
        )


def _require_one_snapshot(stages: list[Stage], state: RunState) -> None:
    """Refuse to read tables of a database in a different snapshot from its committed tables."""
    siblings = state.snapshot_siblings(stages)
    if siblings:
        raise ConfigurationError(
            f"{', '.join(stage.name for stage in stages)} must be read in the same snapshot as {', '.join(siblings)}, "
            "which is committed",
            "Omit --only to copy all of them again.",
        )


def _require_undamaged_inputs(to_do: list[Stage], state: RunState) -> None:
    """Refuse to read or publish changed files of stages that --only and --skip leave out."""
    damaged = state.damaged_inputs(to_do)
    if damaged:
        raise StorageError(
            f"{state.folder.private}: files of {damaged[0]} changed since they were committed",
            "Omit --only and --skip to make them again.",
        )


# Single stages


def require_inputs(stage: Stage, state: RunState) -> None:
    """Refuse to run a stage before the stages whose artifacts it reads."""
    for other in state.missing_inputs(stage):
        raise ConfigurationError(
            f"{stage.name} needs the output of {other}, which is not committed",
            f"Run --only {other} first, or omit --only and --skip.",
        )
