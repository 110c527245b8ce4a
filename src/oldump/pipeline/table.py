"""The table of stages: their order, and what each reads and writes. The order is defined only here.

A stage reads only artifacts that earlier stages committed. When all stages are committed, the run is complete; then
deliveries send it elsewhere. Below the imports are an adapter from the context to each stage, and then the table.

Stages that few commands run are imported on use, because importing all of them takes a tenth of a second.

Does not: choose the stages to run (`choice`, `state`), refuse a run (`guards`), or run stages (`runner`).
"""

import logging
from dataclasses import asdict
from functools import partial
from typing import Any

from oldump.engine.budget import workers_within
from oldump.errors import ArchiveUnreachable, OldumpError
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.pipeline.check import Check
from oldump.pipeline.preflight import folder_check
from oldump.pipeline.sources import DATABASES, description_of, file_of, is_database
from oldump.pipeline.stage import ComputingStage, DatabaseStage, Delivery, DeliveryContext, Outcome, Stage, StageContext
from oldump.records.record import PARTS
from oldump.settings import Settings
from oldump.stages import extract, splice, tables
from oldump.stages.dumps import stage as dumps
from oldump.stages.dumps.job import DumpsJob

log = logging.getLogger("oldump")


def _extract(context: StageContext, connection: SnapshotConnection) -> Outcome:
    settings = context.settings
    jobs = workers_within(settings.memory, settings.jobs)
    if jobs < settings.jobs:
        log.warning("extract: uses %d of %d jobs, because --memory allows no more", jobs, settings.jobs)
    rows, artifact = extract.extract(
        connection, context.folder, jobs, context.progress, partial(log.warning, "extract: %s")
    )
    return Outcome([artifact], {**asdict(connection.snapshot), "rows": rows})


def _table_stage(table: tables.Table) -> DatabaseStage:
    """Return the stage of a table dump."""

    def run(context: StageContext, connection: SnapshotConnection) -> Outcome:
        artifact, failures = tables.make_table(table, connection, context.folder, context.settings, context.progress)
        for failure in failures:
            log.warning("%s: a connection failed and was replaced: %s", table.name, failure)
        if not artifact.records:
            log.warning("%s: no rows. Check that this is the right database.", table.name)
        return Outcome([artifact], {**asdict(connection.snapshot), "rows": artifact.records})

    return DatabaseStage(
        table.name,
        (DATABASES[table.database],),
        (table.name,),
        run,
        table.database,
        table.query_until,
        is_optional=True,
    )


def _dumps(context: StageContext) -> Outcome:
    settings, folder = context.settings, context.folder
    data = folder.data if is_database(settings.source) else file_of(settings.source)
    job = DumpsJob.within(settings, folder, data, context.checkpoint)
    if job.workers < settings.workers:
        log.warning("dumps: uses %d of %d workers, because --memory allows no more", job.workers, settings.workers)
    extracted = context.committed.get("extract")
    rows_expected = extracted.counts["rows"] if extracted else None
    counts, artifacts = dumps.make_dumps(data, folder, job, context.progress, rows_expected)
    log.info("dumps: %s", counts)
    if counts.rejects:
        log.warning("dumps: rejected rows are in %s", folder.rejects)
    return Outcome(artifacts, {**counts.as_json(), "withheld": settings.withhold})


def _splice(context: StageContext) -> Outcome:
    _, *parts = context.committed["dumps"].artifacts
    return Outcome([splice.splice(parts, context.folder, context.checkpoint, context.progress)], {})


def _deworks(context: StageContext) -> Outcome:
    from oldump.stages.deworks import stage as deworks  # noqa: PLC0415 - slow to import

    folder = context.folder
    _, *parts = context.committed["dumps"].artifacts
    paths = {name: folder.artifact(part.name, part.item) for name, part in zip(PARTS, parts, strict=True)}
    items = folder.ia_metadata if "ia-metadata" in context.committed else None
    if items is None:
        log.warning("deworks: no archive metadata: editions will have neither boxid nor collections")
    counts, artifact = deworks.make_artifact(
        paths, items, folder, context.settings, context.checkpoint, context.progress
    )
    log.info("deworks: %s", ", ".join(f"{name} {count}" for name, count in counts.items()))
    return Outcome([artifact], counts)


def _gate(context: StageContext) -> Outcome:
    from oldump.stages.gate import stage as gate  # noqa: PLC0415 - slow to import

    counts: dict[str, Any] = {"read_at": _read_at(context), "rows": context.committed["dumps"].counts}
    if "deworks" in context.committed:
        counts["deworks"] = context.committed["deworks"].counts
    result = gate.assess(context.published, counts, context.folder, context.settings, context.progress)
    gate.require_open(result, context.folder, context.override_gate)
    return Outcome([], result.as_json(context.override_gate))


def _read_at(context: StageContext) -> str | None:
    """Return when the rows of table `data` were read from the database, or written to the source file."""
    if "extract" in context.committed:
        return str(context.committed["extract"].counts["started"])
    modified: str | None = description_of(context.settings).get("modified")
    return modified


def _verify(context: StageContext) -> Outcome:
    from oldump.stages.verify import stage as verify  # noqa: PLC0415 - slow to import

    settings, item = context.settings, context.folder.dump_item
    workers = workers_within(settings.memory, settings.workers)
    result = verify.verify(item, workers, settings.memory, context.progress)
    verify.require_publishable(result, item, context.folder.log)
    return Outcome([], {name: value for name, value in result._asdict().items() if name != "findings"})


def _archive(context: DeliveryContext) -> dict[str, Any]:
    from oldump.stages.archive import stage as archive  # noqa: PLC0415 - slow to import
    from oldump.stages.archive.site import site_of  # noqa: PLC0415 - slow to import

    settings = context.settings
    archived = archive.archive(
        context.folder, site_of(settings.ia_config), settings, context.progress, require=context.require_lock
    )
    return {"files": len(archived.files), "sent_files": archived.sent_files, "sent_bytes": archived.sent_bytes}


def _archive_check(settings: Settings) -> Check:
    from oldump.stages.archive import stage as archive  # noqa: PLC0415 - slow to import
    from oldump.stages.archive.site import site_of  # noqa: PLC0415 - slow to import

    short = settings.model_copy(update={"archive_patience_seconds": min(30.0, settings.archive_patience_seconds)})
    try:
        username = archive.preflight(site_of(settings.ia_config), short)
    except ArchiveUnreachable as error:  # the upload is hours away
        return Check.warned("archive", error.message, "Make sure that it is reachable when the dumps are complete.")
    except OldumpError as error:
        return Check.failed("archive", error)
    return Check.passed("archive", f"archive.org: {username} may write to {settings.archive_collection}")


def _sitemaps(context: DeliveryContext) -> dict[str, Any]:
    from oldump.stages.sitemaps import stage as sitemaps  # noqa: PLC0415 - slow to import

    settings, folder = context.settings, context.folder
    assert settings.sitemaps is not None  # noqa: S101 - the setting is what requests this delivery
    counts = sitemaps.make_sitemaps(
        [folder.part("authors"), folder.part("works")], settings.sitemaps, settings, context.progress
    )
    log.info("sitemaps: %s", counts)
    return asdict(counts)


def _sitemaps_check(settings: Settings) -> Check:
    assert settings.sitemaps is not None  # noqa: S101 - the setting is what requests this delivery
    return folder_check("sitemaps", settings.sitemaps)


_PUBLISHED = (*(table.name for table in tables.TABLES if table.is_published), "cdump", *PARTS, "dump", "deworks")

STAGES: tuple[Stage, ...] = (
    # Quick copies come first, so that their problems show before the long work.
    *(_table_stage(table) for table in tables.TABLES if table.database != "source"),
    *(_table_stage(table) for table in tables.TABLES if table.database == "source"),
    DatabaseStage("extract", (DATABASES["source"],), ("data",), _extract, "source", lambda _: extract.QUERY),
    ComputingStage("dumps", ("data",), ("cdump", *PARTS), _dumps),
    ComputingStage("splice", PARTS, ("dump",), _splice),
    ComputingStage(
        "deworks",
        ("authors", "editions", "redirects", "works", "ia-metadata"),
        ("deworks",),
        _deworks,
        is_optional=True,
    ),
    # The figures of the gate are counts in the journal, not a file; the manifest, which verify reads, has them.
    ComputingStage("gate", _PUBLISHED, ("figures",), _gate, checks_run=True),
    ComputingStage("verify", (*_PUBLISHED, "figures"), (), _verify, checks_run=True, checks_items=True),
)
STAGE_OF = {stage.name: stage for stage in STAGES}

DELIVERIES = (
    Delivery("archive", ("receipt", "latest.json"), _archive, _archive_check),
    Delivery("sitemaps", ("sitemaps",), _sitemaps, _sitemaps_check),
)


def dependents_of(stage: Stage) -> set[str]:
    """Return the names of the stages that depend, directly or indirectly, on the output of a stage."""
    readers = {other.name for other in STAGES if set(other.reads) & set(stage.writes)}
    return readers.union(*(dependents_of(other) for other in STAGES if other.name in readers))
