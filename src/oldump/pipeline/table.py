"""The table of stages: what each reads and writes, and in which order. Nothing else knows it.

A stage reads only what earlier stages committed. When all are committed the run is complete, and published; then what
is asked for besides takes it elsewhere. `runner` goes through the table; `refusals` says when it must not.

A stage that not every run has is imported when it is run: to import all of them takes a tenth of a second.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

from oldump.engine.budget import workers_within
from oldump.engine.checkpoint import Checkpoint
from oldump.errors import ArchiveUnreachable, ConfigurationError, OldumpError
from oldump.outside import postgres
from oldump.pipeline.preflight import Check, folder_check
from oldump.pipeline.sources import DATABASES, connection_of, file_of, is_database
from oldump.records.record import PARTS
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact, Journal
from oldump.run.progress import Progress
from oldump.run.report import Report
from oldump.settings import Settings, flag_of
from oldump.stages import extract, splice, tables
from oldump.stages.dumps import stage as dumps
from oldump.stages.dumps.job import DumpsJob

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
    leading: postgres.SnapshotConnection | None = None
    """The connection that holds the snapshot of the stage's database."""
    require: Callable[[], None] = lambda: None
    """Asks whether the run is still ours; raises if it is not."""
    override_gate: str | None = None
    """Why the run may be published whatever the gate finds; None: it may not."""
    reporting: Report | None = None
    """What keeps the run's status."""

    @property
    def snapshot(self) -> postgres.SnapshotConnection:
        """The same, for a stage that has a database."""
        if self.leading is None:
            raise AssertionError("a stage that reads no database asks for a snapshot")
        return self.leading

    @property
    def report(self) -> Report:
        """The same, where stages are run."""
        if self.reporting is None:
            raise AssertionError("a stage is run of which no status is kept")
        return self.reporting

    def checkpoint(self, stage: str) -> Checkpoint:
        """Where a stage notes how far it has got: for these inputs, settings and version of oldump alone."""
        makers = [each.name for each in STAGES if set(each.writes) & set(STAGE_OF[stage].reads)]
        inputs = [artifact for name in makers if name in self.journal.stages for artifact in self.made_by(name)]
        made_from = {
            "version": version("oldump"),
            "begun": self.journal.begun,
            "inputs": {artifact.name: artifact.sha256 for artifact in inputs},
        }
        return Checkpoint(self.folder.checkpoint(stage), made_from, self.settings.checkpoint)

    def made_by(self, stage: str) -> list[Artifact]:
        """The artifacts of an earlier stage."""
        return self.journal.stages[stage].artifacts

    @property
    def published(self) -> list[Artifact]:
        """What is made and is published, in the order of the stages."""
        made = [self.made_by(stage.name) for stage in STAGES if stage.name in self.journal.stages]
        return [artifact for artifacts in made for artifact in artifacts if artifact.item]


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
    is_judge: bool = False
    """Whether it looks at the whole run: it waits, rather than fails, until what it reads is committed."""
    checks_items: bool = False
    """Whether it reads the items as they will be published: sums and manifest are written before it."""


class Delivery(NamedTuple):
    """A row behind the stages: takes what is published elsewhere, as often as it is asked for, if it is not there."""

    name: str
    """That of the setting too that asks for it."""
    writes: tuple[str, ...]
    run: Callable[[Context], dict[str, Any]]
    """Gives counts."""
    check: Callable[[Context], Check]
    """What would be in its way, looked at before the long work."""


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
    job = DumpsJob.within(context.settings, context.folder, data, context.checkpoint("dumps"))
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
    return Outcome([splice.splice(parts, context.folder, context.checkpoint("splice"), context.progress)], {})


def _deworks(context: Context) -> Outcome:
    from oldump.stages.deworks import stage as deworks  # noqa: PLC0415 - see above: not every run has it

    folder = context.folder
    _, *parts = context.made_by("dumps")
    paths = {name: folder.artifact(part.name, part.item) for name, part in zip(PARTS, parts, strict=True)}
    items = folder.ia_metadata if "ia-metadata" in context.journal.stages else None
    if items is None:
        log.warning("deworks: without the archive's items; no edition will have its boxid and collections")
    counts, artifact = deworks.make_artifact(
        paths, items, folder, context.settings, context.checkpoint("deworks"), context.progress
    )
    log.info("deworks: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
    return Outcome([artifact], counts)


def _gate(context: Context) -> Outcome:
    from oldump.stages.gate import stage as gate  # noqa: PLC0415 - see above: not every run has it

    stages, folder = context.journal.stages, context.folder
    counts = {"deworks": stages["deworks"].counts} if "deworks" in stages else {}
    result = gate.assess(context.published, counts, folder, context.settings, context.progress)
    gate.require_open(result, folder, context.override_gate)
    return Outcome([], result.as_json(context.override_gate))


_PUBLISHED = (*(table.name for table in tables.TABLES if table.is_published), "cdump", *PARTS, "dump", "deworks")


def _verify(context: Context) -> Outcome:
    from oldump.stages.verify import stage as verify  # noqa: PLC0415 - see above: not every run has it

    settings, item = context.settings, context.folder.dump_item
    workers = workers_within(settings.memory, settings.workers)
    result = verify.verify(item, workers, settings.memory, context.progress)
    verify.require_publishable(result, item, context.folder.log)
    return Outcome([], {"files": result.files, "records": result.records, "text_bytes": result.text_bytes})


STAGES = (
    # What is quickly copied comes first, so that what is wrong with it is known before the long work.
    *(_table_stage(table) for table in tables.TABLES if table.database != "source"),
    *(_table_stage(table) for table in tables.TABLES if table.database == "source"),
    Stage("extract", (DATABASES["source"],), ("data",), _extract, "source"),
    Stage("dumps", ("data",), ("cdump", *PARTS), _dumps),
    Stage("splice", PARTS, ("dump",), _splice),
    Stage(
        "deworks",
        ("authors", "editions", "redirects", "works", "ia-metadata"),
        ("deworks",),
        _deworks,
        is_optional=True,
    ),
    Stage("gate", _PUBLISHED, ("figures",), _gate, is_judge=True),
    Stage("verify", (*_PUBLISHED, "figures"), (), _verify, is_judge=True, checks_items=True),
)


def _archive(context: Context) -> dict[str, Any]:
    from oldump.stages.archive import stage as archive  # noqa: PLC0415 - see above: not every run has it
    from oldump.stages.archive.site import site_of  # noqa: PLC0415 - see above: not every run has it

    settings = context.settings
    archived = archive.archive(
        context.folder, site_of(settings.ia_config), settings, context.progress, require=context.require
    )
    return {"files": len(archived.files), "sent_files": archived.sent_files, "sent_bytes": archived.sent_bytes}


def _archive_check(context: Context) -> Check:
    from oldump.stages.archive import stage as archive  # noqa: PLC0415 - see above: not every run has it
    from oldump.stages.archive.site import site_of  # noqa: PLC0415 - see above: not every run has it

    settings = context.settings
    short = settings.model_copy(update={"archive_patience_seconds": min(30.0, settings.archive_patience_seconds)})
    try:
        username = archive.preflight(site_of(settings.ia_config), short)
    except ArchiveUnreachable as error:  # the upload is hours away
        return Check.warned("archive", error.message, "See that it is there when the dumps are made.")
    except OldumpError as error:
        return Check.failed("archive", error)
    return Check.passed("archive", f"archive.org: {username} may write to {settings.archive_collection}")


def _sitemaps(context: Context) -> dict[str, Any]:
    from oldump.stages.sitemaps import stage as sitemaps  # noqa: PLC0415 - see above: not every run has it

    settings, folder = context.settings, context.folder
    assert settings.sitemaps is not None  # noqa: S101 - or they are not asked for
    counts = sitemaps.make_sitemaps(
        [folder.part("authors"), folder.part("works")], settings.sitemaps, settings, context.progress
    )
    log.info("sitemaps: %s", counts)
    return asdict(counts)


def _sitemaps_check(context: Context) -> Check:
    assert context.settings.sitemaps is not None  # noqa: S101 - or they are not asked for
    return folder_check("sitemaps", context.settings.sitemaps)


DELIVERIES = (
    Delivery("archive", ("receipt", "latest.json"), _archive, _archive_check),
    Delivery("sitemaps", ("sitemaps",), _sitemaps, _sitemaps_check),
)


STAGE_OF = {stage.name: stage for stage in STAGES}


class Choice(NamedTuple):
    """Which stages a run is to run, which it is to consist of when it is complete, and what follows then."""

    stages: list[Stage]
    needed: list[str]
    deliveries: list[Delivery]


def selected(only: list[str], skip: list[str], settings: Settings) -> Choice:
    """The stages to run. Raises ConfigurationError on a name that is no stage."""
    names = [*(stage.name for stage in STAGES), *(delivery.name for delivery in DELIVERIES)]
    for name in (*only, *skip):
        if name not in names:
            raise ConfigurationError(f"{name!r} is not a stage. There are: {', '.join(names)}.")
    applicable = [stage for stage in STAGES if applies(stage, settings)]
    asked_for = [delivery for delivery in DELIVERIES if getattr(settings, delivery.name)]
    _require_applicable(set(only) - {stage.name for stage in applicable} - {delivery.name for delivery in asked_for})
    chosen = {name for name in names if (not only or name in only) and name not in skip}
    stages = [stage for stage in applicable if stage.name in chosen]
    deliveries = [delivery for delivery in asked_for if delivery.name in chosen]
    if not stages and not deliveries:
        raise ConfigurationError("--only and --skip leave no stage", "Give fewer of them.")
    needed = [stage.name for stage in applicable if not (stage.is_optional and stage.name in skip)]
    return Choice(stages, needed, deliveries)


def _require_applicable(lacking: set[str]) -> None:
    """Refuse --only of what the run does not consist of."""
    for delivery in DELIVERIES:
        if delivery.name in lacking:
            raise ConfigurationError(f"{delivery.name} is not asked for", f"Give {flag_of(delivery.name)} too.")
    if lacking:
        raise ConfigurationError(
            f"{', '.join(sorted(lacking))}: a run from a file has no such stage",
            "Give --source a connection to the database, or leave --only away.",
        )


def applies(stage: Stage, settings: Settings) -> bool:
    """Whether a run consists of the stage: one from a file needs no database, one from the database all of them."""
    if stage.database is None or is_database(settings.source):
        return True
    return connection_of(stage.database, settings) is not None


def made_from(stage: Stage) -> set[str]:
    """The stages that read, directly or not, what the stage writes."""
    readers = {other.name for other in STAGES if set(other.reads) & set(stage.writes)}
    return readers.union(*(made_from(other) for other in STAGES if other.name in readers))


def query_of(stage: Stage, day: date) -> postgres.Query:
    """What a stage asks of its database."""
    return extract.QUERY if stage.name == "extract" else tables.TABLE_OF[stage.name].query_until(day)
