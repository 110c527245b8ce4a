"""The runner: run the stages that are not committed, publish the items, deliver them.

A run resumes where the previous one stopped. From top to bottom: `run` and `archive`, then their steps in order.

Does not: know what is committed or stale (`state`), decide what to refuse (`guards`), or what a stage does (`table`).
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from oldump.engine.commit import make_public, sync_folder
from oldump.errors import OldumpError, attach_log_fields, storage_errors
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.pipeline import guards
from oldump.pipeline.check import CheckStatus
from oldump.pipeline.choice import Choice
from oldump.pipeline.disk_watch import DiskWatch, disk_watches
from oldump.pipeline.preflight import PlannedWork, checks
from oldump.pipeline.publication import complete_items, publish, undo_interrupted_exchange
from oldump.pipeline.snapshots import in_one_snapshot
from oldump.pipeline.sources import connection_of, description_of
from oldump.pipeline.stage import ComputingStage, DatabaseStage, Delivery, DeliveryContext, Outcome, Stage, StageContext
from oldump.pipeline.stage_times import outline_of, remember_run
from oldump.pipeline.state import RunState, leftovers
from oldump.pipeline.table import DELIVERIES
from oldump.pipeline.work import planned_work
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact, Committed, Journal
from oldump.run.lock import locked
from oldump.run.log import logged
from oldump.run.progress import Progress
from oldump.run.report import Report, reported
from oldump.run.spill import place_spill, remove_spill
from oldump.run.steps import STEPS
from oldump.run.watch import WATCH
from oldump.settings import Settings
from oldump.stages.archive.files import read_manifest

log = logging.getLogger("oldump")

Commit = Callable[[Stage, Callable[[StageContext], Outcome]], None]
"""Run a stage's function, and commit the stage."""


@dataclass(frozen=True)
class ActiveRun:
    """A run that this process has locked."""

    state: RunState
    report: Report
    """Keeps the run's status; also the Progress of its stages."""
    require_lock: Callable[[], None]
    """Raise RunBusy or StorageError if another process has taken over the run."""
    override_gate: str | None = None
    """The reason to publish despite the gate's findings."""


def run(
    settings: Settings,
    day: date,
    choice: Choice,
    progress: Progress,
    *,
    overwrite: bool = False,
    override_gate: str | None = None,
) -> Path | None:
    """Run the chosen stages that are not committed; publish and deliver the run if it is complete then.

    Return the folder of the dump, None if the run is not complete. override_gate: the reason to publish despite the
    gate's findings. Raises OldumpError.
    """
    guards.require_all_stages(choice, overwrite=overwrite)
    with _open(settings, RunFolder(settings.out, day), choice, progress, override_gate) as active:
        state = active.state
        undo_interrupted_exchange(state.folder, active.require_lock)
        if state.journal.published and not overwrite:
            _reuse_complete_run(active)
            _deliver(active)
        else:
            to_do = _plan(state, overwrite=overwrite)
            guards.require_finished_day(to_do, day, datetime.now(UTC).date(), override_gate)
            work = planned_work(read_by=to_do, written_by=to_do, state=state, overwrite=overwrite)
            needed_bytes = _preflight(work, state)
            _start(to_do, active, overwrite=overwrite)
            watches = disk_watches(state.folder, to_do, needed_bytes, spill_is_apart=work.spill_is_apart)
            _run_stages(to_do, active, watches)
            if not _publish_if_complete(active):
                return None
            _deliver(active)
            if choice.deliveries:
                remember_run(state, active.report)  # again, now with the times of the deliveries
        active.report.mark_complete()
        return state.folder.dump_item


def archive(folder: RunFolder, settings: Settings, progress: Progress) -> list[str]:
    """Archive a complete run, with lock, log and status as in `run`; return the items' names. Raises OldumpError."""
    read_manifest(folder)  # refuse a folder that is no run's before creating files in it
    deliveries = [delivery for delivery in DELIVERIES if delivery.name == "archive"]
    choice = Choice([], list(Journal(folder.journal).stages), deliveries)
    with _open(settings, folder, choice, progress) as active:
        active.report.set_outline(outline_of([], active.state), active.state.journal, restarted=False)
        _deliver(active)
        active.report.mark_complete()
    return list(folder.items)


@contextmanager
def _open(
    settings: Settings, folder: RunFolder, choice: Choice, progress: Progress, override_gate: str | None = None
) -> Iterator[ActiveRun]:
    """Lock the run, and keep its log and status meanwhile. Raises RunBusy, StorageError."""
    guards.require_same_user(folder, os.geteuid())
    with storage_errors(folder.private):
        make_public(folder.out)
        folder.private.mkdir(mode=0o700, exist_ok=True)
        folder.private.chmod(0o700)  # it holds the whole table
    with (
        locked(folder.lock) as lock,
        logged(folder.log),
        reported(Report(folder, progress, lambda: lock.is_ours)) as report,
    ):
        if lock.previous_owner:
            log.warning("%s: left behind by %s; this process takes over the run", folder.lock, lock.previous_owner)
        yield ActiveRun(RunState(settings, folder, choice, lock.require_held), report, lock.require_held, override_gate)


# ---------------------------------------------------------------------------------------------------- before the work


def _reuse_complete_run(active: ActiveRun) -> None:
    """Make sure that the complete run is the one that the command would make."""
    state, report = active.state, active.report
    guards.require_same_inputs(state)
    guards.require_same_stages(state)
    guards.require_unchanged_files(state)
    log.info("already complete: %s", state.folder.dump_item)
    if state.withholds_others:
        log.warning("withhold has other keys than the complete run; use --overwrite to make the run again with them")
    if state.choice.deliveries:
        report.set_outline(outline_of([], state), state.journal, restarted=False)
    else:
        report.mark_already_complete()


def _plan(state: RunState, *, overwrite: bool) -> list[Stage]:
    """Return the stages to run, unless a guard refuses them."""
    guards.require_stages(state)
    if overwrite:
        return state.choice.stages
    if not state.starts_from_scratch:
        guards.require_same_inputs(state)
    guards.require_no_foreign_items(state, overwrite=state.journal.overwrite)
    to_do = state.to_do()
    for stage in state.choice.stages:
        if stage not in to_do:
            log.info("%s: already committed", stage.name)
    guards.require_consistent_choice(to_do, state)
    return to_do


def _preflight(work: PlannedWork, state: RunState) -> Mapping[str, int] | None:
    """Raise the first failure that preflight finds, and log everything else; return its disk estimate."""
    found = list(checks(work)) if work.writes else []
    if not any(check.error for check in found):  # last: a delivery's check asks another server, which may take long
        found += [delivery.check(state.settings) for delivery in state.choice.deliveries]
    for check in found:
        if check.status is CheckStatus.WARNING:
            log.warning("%s", check)
        elif check.status is CheckStatus.OK:
            log.info("preflight: %s: %s", check.name, check)
    failures = [check.error for check in found if check.error]
    for failure in failures[1:]:
        log.warning("preflight also failed: %s", failure)
    if failures:
        raise failures[0]
    return next((check.needed_bytes for check in found if check.needed_bytes), None)


def _start(to_do: list[Stage], active: ActiveRun, *, overwrite: bool) -> None:
    """Start the run from scratch or resume it: journal, status, and folders without stale files."""
    state, folder, journal = active.state, active.state.folder, active.state.journal
    description = description_of(state.settings)
    is_new = overwrite or (not journal.stages and journal.begun != description)
    if overwrite or state.starts_from_scratch:
        journal.begin(description, overwrite=overwrite)
    active.report.set_outline(outline_of(to_do, state), journal, restarted=is_new)
    for name in journal.stages.keys() - {stage.name for stage in to_do}:  # killed right after it was committed
        _remove_checkpoint(name, folder)
    if is_new or not state.has_checkpoints:
        _remove_leftovers(folder)
        if not journal.stages:  # files of a run that was stopped in its first stage are stale
            shutil.rmtree(folder.making, ignore_errors=True)
    with storage_errors(folder.making):
        if to_do:  # otherwise nothing is written
            place_spill(folder, state.settings.tmpdir)
            for item in folder.items:
                folder.made(item).mkdir(parents=True, exist_ok=True)
        sync_folder(folder.private)
        sync_folder(folder.out)


# --------------------------------------------------------------------------------------------------------- the stages


def _run_stages(to_do: list[Stage], active: ActiveRun, watches: list[DiskWatch]) -> None:
    """Run and commit the stages in order. Between tasks, the lock and the disks are checked."""
    state = active.state
    commit = partial(_run_and_commit, active, watches)
    try:
        with WATCH.over(active.require_lock, *(watch.check for watch in watches)):
            for database, stages in groupby(to_do, attrgetter("database")):
                if database is not None:
                    _copy_database([stage for stage in stages if isinstance(stage, DatabaseStage)], state, commit)
                    continue
                for stage in stages:
                    if isinstance(stage, ComputingStage) and _is_ready(stage, state):
                        if stage.checks_items:
                            complete_items(state)
                        commit(stage, stage.run)
    finally:
        if not state.has_checkpoints:
            _remove_leftovers(state.folder)


def _copy_database(stages: list[DatabaseStage], state: RunState, commit: Commit) -> None:
    """Run the stages of one database in one snapshot."""
    conninfo = connection_of(stages[0].database, state.settings)
    assert conninfo is not None  # noqa: S101 - preflight has raised otherwise
    tables = [name for stage in stages for name in stage.query(state.folder.date).tables]

    def copy(connection: SnapshotConnection) -> None:
        for stage in stages:
            commit(stage, stage.bound_to(connection))

    in_one_snapshot(conninfo, tables, copy)


def _is_ready(stage: ComputingStage, state: RunState) -> bool:
    """Whether a stage that reads files can run now. If it checks the run, log what it waits for."""
    if stage.checks_run and (missing := state.missing_inputs(stage)):
        log.info("%s: waiting for %s", stage.name, ", ".join(missing))
        return False
    return not stage.checks_items or state.items_are_ready


def _run_and_commit(
    active: ActiveRun, watches: list[DiskWatch], stage: Stage, run: Callable[[StageContext], Outcome]
) -> None:
    """Run the stage, and commit its artifacts. Artifacts that become stale are no longer committed."""
    state, report = active.state, active.report
    guards.require_inputs(stage, state)
    for watch in watches:
        watch.start_stage(stage.name)
    WATCH.check_now()
    checkpoint = state.checkpoint(stage)
    log.info("%s: started", stage.name)
    report.start_stage(stage.name, resumed=checkpoint.exists)
    STEPS.take()  # discard the CPU time of earlier stages
    artifacts, counts = run(
        StageContext(
            state.settings,
            state.folder,
            state.journal.stages,
            state.published,
            checkpoint,
            report,
            active.override_gate,
        )
    )
    seconds = report.finish_stage(stage.name)
    committed = Committed(stage.name, artifacts, counts, round(seconds, 3), STEPS.take())
    state.journal.commit(committed, state.stale_after(stage, counts))
    _remove_checkpoint(stage.name, state.folder)
    report.end(stage.name)
    for artifact in artifacts:
        _log_artifact(stage.name, artifact)
    log.info("%s: committed after %.1f seconds", stage.name, seconds)


def _log_artifact(stage: str, artifact: Artifact) -> None:
    unit = "records" if artifact.item and not artifact.columns else "rows"
    log.info("%s: %s, %s %s, %s bytes", stage, artifact.name, f"{artifact.records:,}", unit, f"{artifact.size_bytes:,}")


def _remove_checkpoint(stage: str, folder: RunFolder) -> None:
    shutil.rmtree(folder.checkpoint(stage).parent, ignore_errors=True)


def _remove_leftovers(folder: RunFolder) -> None:
    for path in leftovers(folder):
        path.unlink(missing_ok=True)
    remove_spill(folder)


# ----------------------------------------------------------------------------------------------------- after the work


def _publish_if_complete(active: ActiveRun) -> bool:
    """Publish the run if every needed stage is committed; return whether it is."""
    state = active.state
    missing = state.missing
    if missing:
        log.info("not complete: missing %s", ", ".join(missing))
        return False
    active.report.start_activity("publication")
    publish(state)
    remember_run(state, active.report)
    log.info("complete: %s", state.folder.dump_item)
    return True


def _deliver(active: ActiveRun) -> None:
    """Run every delivery, even if another one fails, and even if it succeeded before: its target may have changed.

    Raises what the first failed delivery raised.
    """
    failures: list[tuple[str, OldumpError]] = []
    for delivery in active.state.choice.deliveries:
        try:
            _deliver_to(delivery, active)
        except OldumpError as error:
            attach_log_fields(error, active.report.log_context.fields)  # before the next delivery replaces them
            failures.append((delivery.name, error))
    for name, failure in failures[1:]:
        log.warning("%s also failed: %s", name, failure)
    if failures:
        raise failures[0][1]


def _deliver_to(delivery: Delivery, active: ActiveRun) -> None:
    state, report = active.state, active.report
    log.info("%s: started", delivery.name)
    report.start_stage(delivery.name, resumed=delivery.name not in state.journal.delivered)
    counts = delivery.run(DeliveryContext(state.settings, state.folder, report, active.require_lock))
    seconds = report.finish_stage(delivery.name)
    if state.journal.published:  # not so if `archive` is given a run that was made elsewhere
        state.journal.deliver(Committed(delivery.name, [], counts, round(seconds, 3)))
    report.end(delivery.name)
    log.info("%s: delivered after %.1f seconds", delivery.name, seconds)
