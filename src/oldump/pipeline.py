"""The table of stages, and the runner over it. Nothing else knows the order.

A stage reads only what earlier stages committed, and commits its own artifacts in the journal; so a run goes on where
the one before it stopped. When all are committed, sums and manifest are written, and the items get their final names.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

import tenacity

from oldump.engine.commit import TEMPORARY_SUFFIX, sync_folder, write_whole
from oldump.engine.segments import index_path
from oldump.engine.shuffle import workers_within
from oldump.errors import (
    ConfigurationError,
    SnapshotLost,
    SourceUnreachable,
    StorageError,
    storage_errors,
)
from oldump.outside import postgres
from oldump.preflight import Check, Reading, Verdict, Work, checks, lock_check, size_bytes
from oldump.publication import publish, remove_strangers
from oldump.records.record import PARTS
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact, Committed, Journal, sha256_of, still_has_its_digest
from oldump.run.lock import locked
from oldump.run.log import logged
from oldump.run.manifest import MANIFEST, SUMS, manifest_of, sums_of
from oldump.run.progress import Progress, Silence
from oldump.settings import Settings, flag_of
from oldump.sources import DATABASES, beginning, connection_of, file_of, is_database, is_file
from oldump.stages import extract, splice, tables
from oldump.stages.deworks import stage as deworks
from oldump.stages.dumps import stage as dumps

log = logging.getLogger("oldump")


class Outcome(NamedTuple):
    """What a stage made."""

    artifacts: list[Artifact]
    counts: dict[str, Any]


@dataclass(frozen=True)
class Context:
    """What a stage works with."""

    settings: Settings
    folder: RunFolder
    journal: Journal
    progress: Progress
    leading: postgres.Leading | None = None
    """The connection that holds the snapshot of the stage's database."""

    @property
    def snapshot(self) -> postgres.Leading:
        """The same, for a stage that has a database."""
        if self.leading is None:
            raise AssertionError("a stage that reads no database asks for a snapshot")
        return self.leading

    def made_by(self, stage: str) -> list[Artifact]:
        """The artifacts of an earlier stage."""
        return self.journal.stages[stage].artifacts


class Stage(NamedTuple):
    """A row of the table."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    run: Callable[[Context], Outcome]
    database: str | None = None
    """The setting that says which database it reads. The stages of a database stand together and share a snapshot."""
    is_optional: bool = False
    """Whether a run is complete without it, if it is skipped by name."""


def _extract(context: Context) -> Outcome:
    settings = context.settings
    jobs = workers_within(settings.memory, settings.jobs)
    if jobs < settings.jobs:
        log.warning("extract: %d jobs instead of %d: more do not fit into the memory", jobs, settings.jobs)
    rows, artifact = extract.extract(
        context.snapshot, context.folder, jobs, context.progress, partial(log.warning, "extract: %s")
    )
    return Outcome([artifact], {**asdict(context.snapshot.snapshot), "rows": rows})


def _table_stage(table: tables.Table) -> Stage:
    """The stage that makes a table dump."""

    def run(context: Context) -> Outcome:
        artifact, failures = tables.make_table(
            table, context.snapshot, context.folder, context.settings, context.progress
        )
        for failure in failures:
            log.warning("%s: a connection failed and was replaced: %s", table.name, failure)
        if not artifact.records:
            log.warning("%s: no rows. Is it the right database?", table.name)
        return Outcome([artifact], {**asdict(context.snapshot.snapshot), "rows": artifact.records})

    return Stage(table.name, (DATABASES[table.database],), (table.name,), run, table.database, is_optional=True)


def _dumps(context: Context) -> Outcome:
    data = context.folder.data if is_database(context.settings.source) else file_of(context.settings.source)
    job = dumps.Job.within(context.settings, context.folder, data)
    if job.workers < context.settings.workers:
        log.warning(
            "dumps: %d workers instead of %d: more do not fit into the memory", job.workers, context.settings.workers
        )
    extracted = context.journal.stages.get("extract")
    rows_expected = extracted.counts["rows"] if extracted else None
    counts, artifacts = dumps.make_dumps(data, context.folder, job, context.progress, rows_expected)
    log.info("dumps: %s", counts)
    if counts.rejects:
        log.warning("dumps: the rejected rows are in %s", context.folder.rejects)
    return Outcome(artifacts, counts.as_json())


def _splice(context: Context) -> Outcome:
    _, *parts = context.made_by("dumps")
    return Outcome([splice.splice(parts, context.folder, context.progress)], {})


def _deworks(context: Context) -> Outcome:
    folder = context.folder
    _, *parts = context.made_by("dumps")
    paths = {name: folder.artifact(part.name, part.item) for name, part in zip(PARTS, parts, strict=True)}
    items = folder.ia_metadata if "ia-metadata" in context.journal.stages else None
    if items is None:
        log.warning("deworks: without the archive's items; no edition will have its boxid and collections")
    counts, artifact = deworks.make_artifact(paths, items, folder, context.settings, context.progress)
    log.info("deworks: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
    return Outcome([artifact], counts)


STAGES = (
    # What is quickly copied comes first, so that what is wrong with it is known before the long work.
    *(_table_stage(table) for table in tables.TABLES if table.database != "source"),
    *(_table_stage(table) for table in tables.TABLES if table.database == "source"),
    Stage("extract", (DATABASES["source"],), ("data",), _extract, "source"),
    Stage("dumps", ("data",), ("cdump", *PARTS), _dumps),
    Stage("splice", PARTS, ("dump",), _splice),
    Stage("deworks", (*deworks.READS, "ia-metadata"), ("deworks",), _deworks, is_optional=True),
)


class Choice(NamedTuple):
    """Which stages a run is to run, and which it is to consist of when it is complete."""

    stages: list[Stage]
    needed: list[str]


def selected(only: list[str], skip: list[str], settings: Settings) -> Choice:
    """The stages to run. Raises ConfigurationError on a name that is no stage."""
    names = [stage.name for stage in STAGES]
    for name in (*only, *skip):
        if name not in names:
            raise ConfigurationError(f"{name!r} is not a stage. There are: {', '.join(names)}.")
    applicable = [stage for stage in STAGES if _applies(stage, settings)]
    lacking = set(only) - {stage.name for stage in applicable}
    if lacking:
        raise ConfigurationError(
            f"{', '.join(sorted(lacking))}: a run from a file has no such stage",
            "Give --source a connection to the database, or leave --only away.",
        )
    stages = [stage for stage in applicable if (not only or stage.name in only) and stage.name not in skip]
    if not stages:
        raise ConfigurationError("--only and --skip leave no stage", "Give fewer of them.")
    return Choice(stages, [stage.name for stage in applicable if not (stage.is_optional and stage.name in skip)])


def _applies(stage: Stage, settings: Settings) -> bool:
    """Whether a run consists of the stage: one from a file needs no database, one from the database all of them."""
    if stage.database is None or is_database(settings.source):
        return True
    return connection_of(stage.database, settings) is not None


def planned(settings: Settings, day: date, choice: Choice, *, overwrite: bool = False) -> list[tuple[str, ...]]:
    """The table of stages, a heading first: name, what it reads and writes, and what would become of it."""
    _require_whole(choice, overwrite=overwrite)
    journal = Journal(RunFolder(settings.out, day).journal)
    lines: list[tuple[str, ...]] = [("stage", "reads", "writes", f"for {day}")]
    for stage in STAGES:
        committed = journal.stages.get(stage.name)
        if committed and not overwrite:
            state = f"committed ({committed.seconds:,.0f} s)"
        elif not _applies(stage, settings):
            state = "not needed: from a file"
        elif stage not in choice.stages:
            state = "not run" if stage.name in choice.needed else "skipped"
        elif stage.database and connection_of(stage.database, settings) is None:
            state = f"lacks {flag_of(stage.database)}"
        else:
            state = "to be run"
        lines.append((stage.name, ", ".join(stage.reads), ", ".join(stage.writes), state))
    return lines


def doctor(settings: Settings, day: date, choice: Choice) -> list[Check]:
    """All checks for the chosen stages. What is committed, by the journal alone, needs no room on the disk.

    Raises OldumpError if the journal cannot be read.
    """
    folder = RunFolder(settings.out, day)
    context = Context(settings, folder, Journal(folder.journal), Silence())
    lacking = [stage for stage in choice.stages if stage.name not in context.journal.stages]
    return [lock_check(folder), *checks(_work(choice.stages, lacking, context))]


def run(settings: Settings, day: date, choice: Choice, progress: Progress, *, overwrite: bool = False) -> Path | None:
    """Run the stages that are not committed yet, and complete the run if then all are.

    The folder of the dump, None if the run is not complete.

    Raises OldumpError as in errors.py.
    """
    folder = RunFolder(settings.out, day)
    _require_whole(choice, overwrite=overwrite)
    with storage_errors(folder.private):
        folder.private.mkdir(parents=True, exist_ok=True)
        folder.private.chmod(0o700)  # the whole table is in there
    with locked(folder.lock), logged(folder.log):
        context = Context(settings, folder, Journal(folder.journal), progress)
        if context.journal.published and not overwrite:
            _require_same_beginning(context)
            _require_as_chosen(choice, context)
            _require_intact(context)
            log.info("complete before, nothing to do: %s", folder.dump_item)
            return folder.dump_item
        _require_leave_to_begin(context, overwrite=overwrite)
        _tidy(folder)
        to_do = choice.stages if overwrite else _to_do(choice, context)
        _require_fitting_choice(to_do, choice, context, anew=overwrite)
        _require_fit(_work(to_do, to_do, context, anew=overwrite))
        _begin(context, overwrite=overwrite)
        try:
            for database, stages in groupby(to_do, attrgetter("database")):
                _run_together(database, list(stages), context)
        finally:
            _tidy(folder)
        return folder.dump_item if _complete(choice, context) else None


def _require_whole(choice: Choice, *, overwrite: bool) -> None:
    """Refuse to begin anew with a part of the stages."""
    if overwrite and [stage.name for stage in choice.stages] != choice.needed:
        raise ConfigurationError(
            "--overwrite begins anew, with all stages: give it without --only, and --skip only what a run may lack."
        )


def _require_leave_to_begin(context: Context, *, overwrite: bool) -> None:
    """Refuse what would mix two runs, or replace what another one made."""
    if not _begins_anew(context, overwrite=overwrite):
        _require_same_beginning(context)
        overwrite = context.journal.overwrite
    _require_no_item_of_others(context, overwrite=overwrite)


def _begins_anew(context: Context, *, overwrite: bool) -> bool:
    return overwrite or not (context.journal.stages or context.journal.overwrite)


def _begin(context: Context, *, overwrite: bool) -> None:
    """Take up the run where it stopped, or begin it anew."""
    journal, folder = context.journal, context.folder
    if _begins_anew(context, overwrite=overwrite):
        journal.begin(beginning(context.settings), overwrite=overwrite)
        with storage_errors(folder.private):
            sync_folder(folder.private)
            sync_folder(folder.out)
    if not journal.stages:  # whatever a run made that was stopped, here or in its first stage, is worthless
        with storage_errors(folder.making):
            shutil.rmtree(folder.making, ignore_errors=True)
            for item in folder.items:
                folder.made(item).mkdir(parents=True)


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


def _require_same_beginning(context: Context) -> None:
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


def _require_as_chosen(choice: Choice, context: Context) -> None:
    """Refuse to call a run complete that lacks what is asked for now; what is published is not added to."""
    lacking = [name for name in choice.needed if name not in context.journal.stages]
    if lacking:
        raise ConfigurationError(
            f"{context.folder.private}: this run was completed without {', '.join(lacking)}. "
            f"Give {' '.join(f'--skip {name}' for name in lacking)}, or --overwrite to make all anew."
        )


def _require_intact(context: Context) -> None:
    """Refuse to call a run complete whose published files are not as they were committed; never mend them in place."""
    for artifact in context.journal.artifacts():
        if artifact.item:
            path = context.folder.artifact(artifact.name, artifact.item)
            if not still_has_its_digest(path, artifact):
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


def _tidy(folder: RunFolder) -> None:
    """Remove what a stage that was broken off may have left."""
    for path in _leftovers(folder):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder.spill, ignore_errors=True)


def _leftovers(folder: RunFolder) -> set[Path]:
    """What a stage that was broken off may have left: spill and temporary files."""
    temporary = f"*{TEMPORARY_SUFFIX}"
    return {*folder.spill.glob("*"), *folder.private.glob(temporary), *folder.making.glob(f"*/{temporary}")}


def _to_do(choice: Choice, context: Context) -> list[Stage]:
    """The chosen stages that are not committed or whose files have changed, and those that must be done with them.

    A database is read at one moment: all that was copied of it is copied anew. What was made of that is made anew too.
    """
    lacking = {stage.name for stage in choice.stages if not _is_done(stage, context)}
    databases = {stage.database for stage in choice.stages if stage.name in lacking} - {None}
    begun = [stage for stage in choice.stages if stage.name in lacking or stage.database in databases]
    again = {stage.name for stage in begun}.union(*map(_made_from, begun))
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
        left_bytes=sum(map(size_bytes, _leftovers(folder).union(worthless))),
        memory_bytes=settings.memory,
        level=settings.level,
    )


def _readings(stages: list[Stage], context: Context) -> Iterator[Reading]:
    """What the stages read, database by database."""
    for database, group in groupby(stages, attrgetter("database")):
        if database is not None:
            queries = {stage.name: query_of(stage, context.folder.date) for stage in group}
            yield Reading(DATABASES[database], database, connection_of(database, context.settings), queries)


def query_of(stage: Stage, day: date) -> postgres.Query:
    """What a stage asks of its database."""
    return extract.QUERY if stage.name == "extract" else tables.TABLE_OF[stage.name].query_until(day)


def _require_fit(work: Work) -> None:
    """Refuse to begin what is known to fail. Raises what the first failed check says; logs the others."""
    if not work.writes:
        return
    failures = []
    for check in checks(work):
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


def _run_together(database: str | None, stages: list[Stage], context: Context) -> None:
    """Run the stages, which share a database or have none."""
    if database is not None:
        _perform_in_one_snapshot(database, stages, context)
        return
    for stage in stages:
        _perform(stage, context)


def _require_fitting_choice(to_do: list[Stage], choice: Choice, context: Context, *, anew: bool) -> None:
    """Refuse a choice with which artifacts would not belong together, before anything is done."""
    if anew or not to_do:
        to_do_names: set[str] = set()
    else:
        to_do_names = {stage.name for stage in to_do}
        _require_items_in_the_making(context)
        for database, stages in groupby(to_do, attrgetter("database")):
            if database is not None:
                _require_together(database, list(stages), choice, context)
    if not anew:
        _require_others_intact(to_do_names, choice, context)


def _require_items_in_the_making(context: Context) -> None:
    """Refuse to write among what is published already."""
    folder = context.folder
    renamed = [item for item in folder.items if folder.published(item).exists() and not folder.made(item).exists()]
    if renamed and context.journal.stages:
        raise ConfigurationError(
            f"{folder.private}: this run was stopped while it was published",
            "Give the command that it was begun with, or --overwrite to make all anew.",
        )


def _require_others_intact(to_do: set[str], choice: Choice, context: Context) -> None:
    """Refuse to make something of a file that is not as it was committed, or to publish it.

    What is chosen was looked at, and is made anew if need be; this looks at what --only and --skip leave out.
    """
    committed = context.journal.stages
    completes = set(choice.needed) <= set(committed) | to_do
    read = {name for stage in STAGES if stage.name in to_do for name in stage.reads}
    for stage in STAGES:
        if stage in choice.stages or stage.name not in committed or stage.name not in choice.needed:
            continue
        is_published = any(artifact.item for artifact in committed[stage.name].artifacts)
        if (read & set(stage.writes) or (completes and is_published)) and not _is_done(stage, context):
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
def _led(conninfo: str, read: list[str], *, again: bool) -> Iterator[postgres.Leading]:
    """A new snapshot. Raises SourceError; SnapshotLost where another one may help.

    That is if there was one before, since the server may be on its way back; and if whoever reads in it finds no server
    and it is gone itself.
    """
    try:
        leading = postgres.Leading(conninfo, read)
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
    _require_inputs(stage, context)
    log.info("%s: begins", stage.name)
    began = time.monotonic()
    artifacts, counts = stage.run(context)
    seconds = time.monotonic() - began
    context.journal.commit(
        Committed(stage.name, artifacts, counts, round(seconds, 3)),
        _made_from(stage) | _of_other_snapshots(stage, counts, context.journal),
    )
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


def _made_from(stage: Stage) -> set[str]:
    """The stages that read, directly or not, what the stage writes."""
    readers = {other.name for other in STAGES if set(other.reads) & set(stage.writes)}
    return readers.union(*(_made_from(other) for other in STAGES if other.name in readers))


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
    return {name for other in others for name in (other.name, *_made_from(other))}


def _is_done(stage: Stage, context: Context) -> bool:
    committed = context.journal.stages.get(stage.name)
    return committed is not None and _stands(committed, context.folder)


def _stands(committed: Committed, folder: RunFolder) -> bool:
    for artifact in committed.artifacts:
        path = folder.artifact(artifact.name, artifact.item)
        if not still_has_its_digest(path, artifact) or not index_path(path).is_file():
            log.warning("%s: is not as it was committed; %s is run anew", path, committed.stage)
            return False
    return True


def _require_inputs(stage: Stage, context: Context) -> None:
    for other in STAGES[: STAGES.index(stage)]:
        if not _applies(other, context.settings) or other.is_optional:
            continue
        if set(other.writes) & set(stage.reads) and other.name not in context.journal.stages:
            raise ConfigurationError(
                f"{stage.name} reads what {other.name} writes, and {other.name} is not committed. Run it first: "
                f"--only {other.name}, or leave --only and --skip away."
            )


def _complete(choice: Choice, context: Context) -> bool:
    """Write sums and manifest and give the items their final names, if every stage is committed; whether it is."""
    journal, folder = context.journal, context.folder
    missing = [name for name in choice.needed if name not in journal.stages]
    if missing:
        log.info("not complete: %s still to be run", ", ".join(missing))
        return False
    left_out = set(journal.stages) - set(choice.needed)
    if left_out:  # made before, and skipped by name now
        journal.forget(left_out)
    artifacts = [
        artifact for stage in STAGES if stage.name in journal.stages for artifact in context.made_by(stage.name)
    ]
    published = [artifact for artifact in artifacts if artifact.item]
    remove_strangers(folder, published)
    _write_sums_and_manifest(context, published)
    publish(folder)
    names = {artifact.name for artifact in artifacts}
    others = [path for item in folder.items for path in folder.published(item).iterdir() if path.name not in names]
    journal.publish({f"{path.parent.name}/{path.name}": sha256_of(path) for path in others})
    log.info("complete: %s", folder.dump_item)
    return True


def _write_sums_and_manifest(context: Context, artifacts: list[Artifact]) -> None:
    journal, folder = context.journal, context.folder
    indexes = [index_path(folder.artifact(artifact.name, artifact.item)) for artifact in artifacts]
    for algorithm, name in SUMS.items():
        write_whole(folder.dump_item / name, sums_of(algorithm, artifacts, folder.dump_item, indexes))
    skipped = [stage.name for stage in STAGES if stage.is_optional and stage.name not in journal.stages]
    made = journal.stages.get("deworks")
    counts = {"rows": journal.stages["dumps"].counts, "deworks": made.counts if made else None}
    manifest = manifest_of(folder.date, _sources(journal), counts, artifacts, skipped)
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
