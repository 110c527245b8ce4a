"""The runner over the table of stages: what is committed is passed over, the rest is run and committed.

A run goes on where the one before it stopped. When all is committed, sums and manifest are written, and the items get
their final names; then they are delivered, where that is asked for.
"""

import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import chain, dropwhile, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import tenacity

from oldump.engine.budget import workers_within
from oldump.engine.commit import sync_folder, write_whole
from oldump.engine.segments import index_path
from oldump.errors import OldumpError, SnapshotLost, SourceUnreachable, attach_log_fields, storage_errors
from oldump.outside import postgres
from oldump.pipeline.disk import Disks, DiskWatch, Watched, leftovers, room_of
from oldump.pipeline.durations import outline_of, remember_run
from oldump.pipeline.guards import (
    begins_anew,
    is_done,
    lacking_inputs,
    require_as_chosen,
    require_fitting_choice,
    require_inputs,
    require_intact,
    require_leave_to_begin,
    require_same_beginning,
    require_stages,
    require_whole,
)
from oldump.pipeline.preflight import Check, Reading, Verdict, Work, checks, lock_check, needed_by, parted, size_bytes
from oldump.pipeline.publication import publish, remove_strangers
from oldump.pipeline.sources import DATABASES, beginning, connection_of, is_file
from oldump.pipeline.table import DELIVERIES, STAGE_OF, STAGES, Choice, Context, Delivery, Stage, made_from, query_of
from oldump.run.folder import CHECKPOINT, RunFolder
from oldump.run.journal import Artifact, Committed, Journal, sha256_of
from oldump.run.lock import locked
from oldump.run.log import logged
from oldump.run.manifest import MANIFEST, SUMS, render_manifest, render_sums
from oldump.run.progress import NoProgress, Progress
from oldump.run.report import Report, reported
from oldump.run.spill import is_there, place_spill, remove_spill
from oldump.run.steps import STEPS
from oldump.settings import Settings
from oldump.stages.archive.files import read_manifest

log = logging.getLogger("oldump")


def doctor(settings: Settings, day: date, choice: Choice) -> list[Check]:
    """All checks for the chosen stages. What is committed, by the journal alone, needs no room on the disk.

    Raises OldumpError if the journal cannot be read.
    """
    folder = RunFolder(settings.out, day)
    context = Context(settings, folder, Journal(folder.journal), NoProgress())
    lacking = [stage for stage in choice.stages if stage.name not in context.journal.stages]
    return [lock_check(folder), *checks(_work(choice.stages, lacking, context)), *_delivery_checks(choice, context)]


def run(
    settings: Settings,
    day: date,
    choice: Choice,
    progress: Progress,
    *,
    overwrite: bool = False,
    override_gate: str | None = None,
) -> Path | None:
    """Run the stages that are not committed yet, and complete the run if then all are.

    The folder of the dump, None if the run is not complete. override_gate: why the gate is to let the run pass.

    Raises OldumpError as in errors.py.
    """
    folder = RunFolder(settings.out, day)
    require_whole(choice, overwrite=overwrite)
    with _at_work(folder, settings, progress, override_gate) as context:
        was_complete = context.journal.published and not overwrite
        if was_complete:
            require_same_beginning(context)
            require_as_chosen(choice, context)
            require_intact(context)
            _take_up_complete(choice, context)
        elif not _make(choice, context, overwrite=overwrite):
            return None
        _deliver(choice, context)
        if choice.deliveries and not was_complete:
            remember_run(context)  # once more: now with what that took
        context.report.mark_complete()
        return folder.dump_item


@contextmanager
def _at_work(
    folder: RunFolder, settings: Settings, progress: Progress, override_gate: str | None = None
) -> Iterator[Context]:
    """What stages and deliveries work with: the run is locked, and its log and its status are kept. Raises RunBusy."""
    with storage_errors(folder.private):
        folder.private.mkdir(parents=True, exist_ok=True)
        folder.private.chmod(0o700)  # the whole table is in there
    with (
        locked(folder.lock) as lock,
        logged(folder.log),
        reported(Report(folder, progress, lambda: lock.is_ours)) as report,
    ):
        if lock.previous_owner:
            log.warning("%s: was left by %s; this process takes over", folder.lock, lock.previous_owner)
        yield Context(
            settings,
            folder,
            Journal(folder.journal, lock.require_held),
            report,
            require=lock.require_held,
            override_gate=override_gate,
            reporting=report,
        )


def _take_up_complete(choice: Choice, context: Context) -> None:
    """Nothing is left to make."""
    log.info("complete before, nothing to make: %s", context.folder.dump_item)
    if choice.deliveries:
        context.report.set_outline(outline_of([], choice, context), context.journal, restarted=False)
    else:
        context.report.mark_already_complete()


def archive(folder: RunFolder, settings: Settings, progress: Progress) -> list[str]:
    """Archive a run that is complete, whoever made it; the items' names. It is seen as in a run.

    Raises OldumpError as in errors.py.
    """
    read_manifest(folder)  # before anything is made in a folder that is no run's
    with _at_work(folder, settings, progress) as context:
        deliveries = [delivery for delivery in DELIVERIES if delivery.name == "archive"]
        choice = Choice([], list(context.journal.stages), deliveries)
        context.report.set_outline(outline_of([], choice, context), context.journal, restarted=False)
        _deliver(choice, context)
        context.report.mark_complete()
    return list(folder.items)


def _make(choice: Choice, context: Context, *, overwrite: bool) -> bool:
    """Run the stages that are not committed yet; whether the run is complete then."""
    folder = context.folder
    require_stages(choice, context)
    require_leave_to_begin(context, overwrite=overwrite)
    to_do = choice.stages if overwrite else _to_do(choice, context)
    require_fitting_choice(to_do, choice, context, anew=overwrite)
    work = _work(to_do, to_do, context, anew=overwrite)
    needed = _require_fit(work, _delivery_checks(choice, context))
    _begin(to_do, choice, context, overwrite=overwrite)
    context = replace(context, progress=Watched(context.progress, _disks(work, to_do, needed), context.require))
    try:
        for database, stages in groupby(to_do, attrgetter("database")):
            _run_together(database, list(stages), choice, context)
    finally:
        if not _checkpoints(folder):
            _tidy(folder)
    return _complete(choice, context)


def _deliver(choice: Choice, context: Context) -> None:
    """Take the complete run where it is asked for; again at each run, since what is there is nobody's promise.

    One that fails is no hindrance for the others. Raises what the first of them raised.
    """
    failures = []
    for delivery in choice.deliveries:
        try:
            _take_elsewhere(delivery, context)
        except OldumpError as error:
            attach_log_fields(
                error, context.report.log_context.fields
            )  # another one is at work when the run is ended by this
            failures.append((delivery.name, error))
    for name, failure in failures[1:]:
        log.warning("%s: failed too: %s", name, failure)
    if failures:
        raise failures[0][1]


def _take_elsewhere(delivery: Delivery, context: Context) -> None:
    log.info("%s: begins", delivery.name)
    context.report.start_stage(delivery.name, resumed=delivery.name not in context.journal.delivered)
    counts = delivery.run(context)
    seconds = context.report.finish_stage(delivery.name)
    if context.journal.published:  # else it is not this folder that the run was made in
        context.journal.deliver(Committed(delivery.name, [], counts, round(seconds, 3)))
    context.progress.end(delivery.name)
    log.info("%s: delivered after %.1f seconds", delivery.name, seconds)


def _delivery_checks(choice: Choice, context: Context) -> Iterator[Check]:
    """Made when they are asked for: they ask others, who may take their time."""
    return (delivery.check(context) for delivery in choice.deliveries)


def _begin(to_do: list[Stage], choice: Choice, context: Context, *, overwrite: bool) -> None:
    """Take up the run where it stopped, or begin it anew."""
    journal, folder = context.journal, context.folder
    source = beginning(context.settings)
    is_another = overwrite or (not journal.stages and journal.begun != source)
    if begins_anew(context, overwrite=overwrite):
        journal.begin(source, overwrite=overwrite)
    context.report.set_outline(outline_of(to_do, choice, context), journal, restarted=is_another)
    for name in journal.stages.keys() - {stage.name for stage in to_do}:  # a run was killed when it had committed it
        shutil.rmtree(folder.checkpoint(name).parent, ignore_errors=True)
    if is_another or not _checkpoints(folder):
        _tidy(folder)
        if not journal.stages:  # whatever a run made that was stopped in its first stage is worthless
            shutil.rmtree(folder.making, ignore_errors=True)
    with storage_errors(folder.making):
        if to_do:  # what is published under these names is not written to
            place_spill(folder, context.settings.tmpdir)
            for item in folder.items:
                folder.made(item).mkdir(parents=True, exist_ok=True)
        sync_folder(folder.private)
        sync_folder(folder.out)


def _checkpoints(folder: RunFolder) -> list[Path]:
    """Of stages that were stopped."""
    return list(folder.spill.glob(f"*/{CHECKPOINT}"))


def _tidy(folder: RunFolder) -> None:
    """Remove what a stage that was broken off may have left."""
    for path in leftovers(folder):
        path.unlink(missing_ok=True)
    remove_spill(folder)


def _disks(work: Work, to_do: list[Stage], needed: Mapping[str, int] | None) -> Disks:
    """A watch over each disk that the run writes to."""
    folder, apart = work.folder, work.spill_is_apart
    beside, spilled = parted(needed) if apart else (needed, None)
    watches = [DiskWatch(folder, partial(_needed_from, to_do, beside), partial(room_of, folder.private))]
    if apart:
        needed_from = partial(_needed_from, to_do, spilled)
        watches.append(DiskWatch(folder, needed_from, partial(room_of, folder.spill), root=folder.spill))
    return Disks(watches)


def _to_do(choice: Choice, context: Context) -> list[Stage]:
    """The chosen stages that are not committed or whose files have changed, and those that must be done with them.

    A database is read at one moment: all that was copied of it is copied anew. What was made of that is made anew too.
    """
    lacking = {stage.name for stage in choice.stages if not is_done(stage, context)}
    if set(context.journal.stages) - set(choice.needed):  # what is left out now was in the items that were checked
        lacking |= {stage.name for stage in choice.stages if stage.checks_items}
    databases = {stage.database for stage in choice.stages if stage.name in lacking} - {None}
    begun = [stage for stage in choice.stages if stage.name in lacking or stage.database in databases]
    again = {stage.name for stage in begun}.union(*map(made_from, begun))
    for stage in choice.stages:
        if stage.name not in again:
            log.info("%s: committed before, nothing to do", stage.name)
    return [stage for stage in choice.stages if stage.name in again]


def _work(read_by: list[Stage], written_by: list[Stage], context: Context, *, anew: bool = False) -> Work:
    """What preflight looks at: what stages read, and what stages are yet to write. anew: what is there is worthless."""
    settings, folder = context.settings, context.folder
    writes = {name for stage in written_by for name in stage.writes}
    reads_rows = any("data" in stage.reads for stage in read_by)
    extracted = None if anew or "data" in writes else context.journal.stages.get("extract")
    worthless = folder.making.glob("*/*") if anew or not context.journal.stages else ()
    return Work(
        folder=folder,
        readings=list(_readings(read_by, context)),
        file=settings.source if reads_rows and is_file(settings.source) else None,
        writes=writes,
        text_bytes=extracted.artifacts[0].text_bytes if extracted else None,
        left_bytes=sum(map(size_bytes, leftovers(folder).union(worthless))),
        memory_bytes=settings.memory,
        level=settings.level,
        jobs=workers_within(settings.memory, settings.jobs),
        spill=folder.spill.resolve() if is_there(folder) and not anew else settings.tmpdir,
    )


def _readings(stages: list[Stage], context: Context) -> Iterator[Reading]:
    """What the stages read, database by database."""
    for database, group in groupby(stages, attrgetter("database")):
        if database is not None:
            queries = {stage.name: query_of(stage, context.folder.date) for stage in group}
            yield Reading(DATABASES[database], database, connection_of(database, context.settings), queries)


def _require_fit(work: Work, others: Iterable[Check]) -> Mapping[str, int] | None:
    """Refuse to begin what is known to fail; what is needed on the disk, in bytes by thing, None if nobody knows.

    Raises what the first failed check says; logs the others.
    """
    failures: list[OldumpError] = []
    needed = None
    for check in chain(checks(work) if work.writes else (), _unless(failures, others)):
        needed = check.needed or needed
        if check.error:
            failures.append(check.error)
        elif check.verdict is Verdict.WARNING:
            log.warning("%s", check)
        else:
            log.info("preflight: %s: %s", check.what, check)
    for error in failures[1:]:
        log.warning("this would fail the run too: %s", error)
    if failures:
        raise failures[0]
    return needed


def _unless(failures: list[OldumpError], others: Iterable[Check]) -> Iterator[Check]:
    """Others, if nothing has failed by then."""
    yield from others if not failures else ()


def _needed_from(to_do: list[Stage], needed: Mapping[str, int] | None, name: str) -> int | None:
    """What the stage of this name and those behind it need on the disk, in bytes; None if nobody knows."""
    if needed is None:
        return None
    left = dropwhile(lambda stage: stage.name != name, to_do)
    return needed_by({written for stage in left for written in stage.writes}, needed)


def _run_together(database: str | None, stages: list[Stage], choice: Choice, context: Context) -> None:
    """Run the stages, which share a database or have none."""
    if database is not None:
        _perform_in_one_snapshot(database, stages, context)
        return
    for stage in stages:
        if stage.is_judge and (lacking := lacking_inputs(stage, context)):
            log.info("%s: waits for %s", stage.name, ", ".join(lacking))
        elif not stage.checks_items or _make_items_whole(choice, context):
            _perform(stage, context)


def _perform_in_one_snapshot(database: str, stages: list[Stage], context: Context) -> None:
    """Run the stages of a database in one snapshot; all of them again in another one if that is lost."""
    conninfo = connection_of(database, context.settings)
    assert conninfo is not None  # noqa: S101 - preflight has looked
    read = [name for stage in stages for name in query_of(stage, context.folder.date).tables]
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(SnapshotLost),
        stop=tenacity.stop_after_attempt(5),
        wait=tenacity.wait_exponential(multiplier=5, max=60),
        before_sleep=_tell_of_lost_snapshot,
        reraise=True,
    ):
        with attempt, _led(conninfo, read, again=attempt.retry_state.attempt_number > 1) as leading:
            for stage in stages:
                _perform(stage, replace(context, leading=leading))


@contextmanager
def _led(conninfo: str, read: list[str], *, again: bool) -> Iterator[postgres.SnapshotConnection]:
    """A new snapshot. Raises SourceError; SnapshotLost where another one may help.

    That is if there was one before, since the server may be on its way back; and if whoever reads in it finds no server
    and it is gone itself.
    """
    try:
        leading = postgres.SnapshotConnection(conninfo, read)
    except SourceUnreachable as error:
        if again:
            raise SnapshotLost(str(error)) from error
        raise
    with leading:
        try:
            yield leading
        except SourceUnreachable:
            leading.require_alive()
            raise


def _tell_of_lost_snapshot(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    seconds = state.next_action.sleep if state.next_action else 0
    log.warning("the snapshot is lost; all of this database is copied anew in %.0f s: %s", seconds, error)


def _perform(stage: Stage, context: Context) -> None:
    """Run the stage and commit it; what was made of its earlier artifacts, or in another snapshot, is worthless."""
    require_inputs(stage, context)
    log.info("%s: begins", stage.name)
    context.report.start_stage(stage.name, resumed=context.folder.checkpoint(stage.name).is_file())
    STEPS.take()  # what other stages have spent
    artifacts, counts = stage.run(context)
    seconds = context.report.finish_stage(stage.name)
    context.journal.commit(
        Committed(stage.name, artifacts, counts, round(seconds, 3), STEPS.take()),
        made_from(stage) | _of_other_snapshots(stage, counts, context.journal),
    )
    shutil.rmtree(context.folder.checkpoint(stage.name).parent, ignore_errors=True)
    context.progress.end(stage.name)
    for artifact in artifacts:
        log.info(
            "%s: %s, %s %s, %s bytes",
            stage.name,
            artifact.name,
            f"{artifact.records:,}",
            "records" if artifact.item and not artifact.columns else "rows",
            f"{artifact.size_bytes:,}",
        )
    log.info("%s: committed after %.1f seconds", stage.name, seconds)


def _of_other_snapshots(stage: Stage, counts: dict[str, Any], journal: Journal) -> set[str]:
    """The committed stages that read the stage's database at another moment, and what was made of them."""
    others = [
        other
        for other in STAGES
        if stage.database
        and other.database == stage.database
        and other.name in journal.stages
        and any(journal.stages[other.name].counts[name] != counts[name] for name in ("snapshot", "started"))
    ]
    return {name for other in others for name in (other.name, *made_from(other))}


def _make_items_whole(choice: Choice, context: Context) -> bool:
    """Write sums and manifest, if all stages but those that check the items are committed; whether they are."""
    journal, folder = context.journal, context.folder
    if any(name not in journal.stages and not STAGE_OF[name].checks_items for name in choice.needed):
        return False
    left_out = set(journal.stages) - set(choice.needed)
    if left_out:  # made before, and skipped by name now
        journal.forget(left_out)
    remove_strangers(folder, context.published)
    _write_sums_and_manifest(context, context.published)
    return True


def _complete(choice: Choice, context: Context) -> bool:
    """Give the items their final names, if every stage is committed; whether it is."""
    journal, folder = context.journal, context.folder
    missing = [name for name in choice.needed if name not in journal.stages]
    if missing:
        log.info("not complete: %s still to be run", ", ".join(missing))
        return False
    context.report.start_activity("publication")
    publish(folder)
    names = {artifact.name for artifact in context.published}
    others = [path for item in folder.items for path in folder.published(item).iterdir() if path.name not in names]
    journal.publish({f"{path.parent.name}/{path.name}": sha256_of(path) for path in others})
    remember_run(context)
    log.info("complete: %s", folder.dump_item)
    return True


def _write_sums_and_manifest(context: Context, artifacts: list[Artifact]) -> None:
    journal, folder = context.journal, context.folder
    indexes = [index_path(folder.artifact(artifact.name, artifact.item)) for artifact in artifacts]
    for algorithm, name in SUMS.items():
        write_whole(folder.dump_item / name, render_sums(algorithm, artifacts, folder.dump_item, indexes))
    skipped = [stage.name for stage in STAGES if stage.is_optional and stage.name not in journal.stages]
    made = journal.stages.get("deworks")
    counts = {
        "rows": journal.stages["dumps"].counts,
        "deworks": made.counts if made else None,
        "gate": journal.stages["gate"].counts,
    }
    manifest = render_manifest(folder.date, _sources(journal), counts, artifacts, skipped)
    write_whole(folder.dump_item / MANIFEST, manifest)


def _sources(journal: Journal) -> dict[str, Any]:
    """What the manifest says of sources: neither hosts and roles nor the moment a file was written."""
    begun = journal.begun or {}
    sources: dict[str, Any] = {name: begun[name] for name in ("kind", "name", "size_bytes") if name in begun}
    for stage in STAGES:
        committed = journal.stages.get(stage.name)
        if committed and stage.name == "extract":
            sources |= committed.counts
        elif committed and stage.database not in {None, "source"}:
            sources[str(stage.database)] = committed.counts
    return sources
