"""The table of stages, and the runner over it. Nothing else knows the order.

A stage reads only what earlier stages committed, and commits its own artifacts in the journal; so a run goes on where
the one before it stopped. When all are committed, sums and manifest are written, and the items get their final names.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from oldump.engine.commit import TEMPORARY_SUFFIX, sync_folder, write_whole
from oldump.engine.segments import index_path
from oldump.errors import ConfigurationError, SourceMissing, StorageError, storage_errors
from oldump.outside import postgres
from oldump.records.record import PARTS
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact, Committed, Journal, sha256_of, still_has_its_digest
from oldump.run.lock import locked
from oldump.run.log import LogFormatter
from oldump.run.manifest import MANIFEST, SUMS, manifest_of, sums_of
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages import extract, splice
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

    def made_by(self, stage: str) -> list[Artifact]:
        """The artifacts of an earlier stage."""
        return self.journal.stages[stage].artifacts


class Stage(NamedTuple):
    """A row of the table."""

    name: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    run: Callable[[Context], Outcome]
    only_from_database: bool = False


def _extract(context: Context) -> Outcome:
    settings = context.settings
    counts, artifact = extract.extract(settings.source, context.folder, settings.workers, context.progress)
    return Outcome([artifact], counts)


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


STAGES = (
    Stage("extract", ("database",), ("data",), _extract, only_from_database=True),
    Stage("dumps", ("data",), ("cdump", *PARTS), _dumps),
    Stage("splice", PARTS, ("dump",), _splice),
)


def is_database(source: str) -> bool:
    """Whether the rows come from PostgreSQL, rather than from a file or standard input."""
    is_file = os.path.isfile(source)  # noqa: PTH113 - Path.is_file raises on text that is too long for a name
    return source != "-" and not is_file and (not source or postgres.looks_like_conninfo(source))


def file_of(source: str) -> Path | None:
    """The source's file, None for standard input."""
    return None if source == "-" else Path(source)


def selected(only: list[str], skip: list[str], source: str) -> list[Stage]:
    """The stages to run. Raises ConfigurationError on a name that is no stage."""
    names = [stage.name for stage in STAGES]
    for name in (*only, *skip):
        if name not in names:
            raise ConfigurationError(f"{name!r} is not a stage. There are: {', '.join(names)}.")
    return [
        stage
        for stage in STAGES
        if (not only or stage.name in only)
        and stage.name not in skip
        and (is_database(source) or not stage.only_from_database)
    ]


def planned(settings: Settings, day: date, stages: list[Stage], *, overwrite: bool = False) -> list[tuple[str, ...]]:
    """The table of stages, a heading first: name, what it reads and writes, and what would become of it."""
    journal = Journal(RunFolder(settings.out, day).journal)
    lines: list[tuple[str, ...]] = [("stage", "reads", "writes", f"for {day}")]
    for stage in STAGES:
        committed = journal.stages.get(stage.name)
        if committed and not overwrite:
            state = f"committed ({committed.seconds:,.0f} s)"
        elif stage in stages:
            state = "to be run"
        else:
            state = (
                "not run" if is_database(settings.source) or not stage.only_from_database else "not needed: from a file"
            )
        lines.append((stage.name, ", ".join(stage.reads), ", ".join(stage.writes), state))
    return lines


def run(
    settings: Settings, day: date, stages: list[Stage], progress: Progress, *, overwrite: bool = False
) -> Path | None:
    """Run the stages that are not committed yet, and complete the run if then all are.

    The folder of the dump, None if the run is not complete.

    Raises OldumpError as in errors.py.
    """
    folder = RunFolder(settings.out, day)
    if overwrite and len(stages) < len(_needed(settings)):
        raise ConfigurationError("--overwrite begins anew, with all stages: give it without --only and --skip.")
    if day >= datetime.now(UTC).date():
        log.warning("%s has not ended yet (UTC): what is written later that day will be missing", day)
    with storage_errors(folder.private):
        folder.private.mkdir(parents=True, exist_ok=True)
        folder.private.chmod(0o700)  # the whole table is in there
    with locked(folder.lock), _logged(folder.log):
        context = Context(settings, folder, Journal(folder.journal), progress)
        if context.journal.published and not overwrite:
            _require_same_beginning(context)
            _require_intact(context)
            log.info("complete before, nothing to do: %s", folder.dump_item)
            return folder.dump_item
        _begin(context, overwrite=overwrite)
        anew = False
        try:
            for stage in stages:
                anew = _ensure(stage, context, anew=anew)
        finally:
            _tidy(folder)
        return folder.dump_item if _complete(context) else None


def _begin(context: Context, *, overwrite: bool) -> None:
    """Take up the run where it stopped, or begin it anew."""
    journal, folder = context.journal, context.folder
    if overwrite or not (journal.stages or journal.overwrite):
        _require_no_item_of_others(context, overwrite=overwrite)
        journal.begin(_beginning(context.settings), overwrite=overwrite)
        with storage_errors(folder.private):
            sync_folder(folder.private)
            sync_folder(folder.out)
    else:
        _require_same_beginning(context)
        _require_no_item_of_others(context, overwrite=journal.overwrite)
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
    begun, given = context.journal.begun or {}, _beginning(context.settings)
    differing = [
        f"{name} was {begun.get(name)}, now it is {value}" for name, value in given.items() if begun.get(name) != value
    ]
    if differing:
        raise ConfigurationError(
            f"{context.folder.private}: this run was begun otherwise: {'; '.join(differing)}. "
            "Give what it was begun with, or --overwrite to begin anew."
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
    """Remove what a stage that was broken off may have left: spill and temporary files."""
    shutil.rmtree(folder.spill, ignore_errors=True)
    for path in (*folder.private.glob(f"*{TEMPORARY_SUFFIX}"), *folder.making.glob(f"*/*{TEMPORARY_SUFFIX}")):
        path.unlink(missing_ok=True)


def _beginning(settings: Settings) -> dict[str, Any]:
    """What the journal says a run is made from: enough to notice that it is something else; no password."""
    return {**_described(settings.source), "level": settings.level}


def _described(source: str) -> dict[str, Any]:
    if source == "-":
        return {"kind": "standard input"}
    if is_database(source):
        return {"kind": "database", **postgres.shown(source)}
    try:
        status = Path(source).stat()
    except OSError as error:
        name = "The source" if "@" in source else source  # a mistyped connection may have a password in it
        raise SourceMissing(
            f"{name}: cannot be read ({error.strerror}). Give a file, '-' for standard input, or a PostgreSQL "
            "connection such as postgresql://USER@HOST/DBNAME."
        ) from error
    modified = datetime.fromtimestamp(status.st_mtime_ns / 1e9, UTC).isoformat()
    return {"kind": "file", "name": Path(source).name, "size_bytes": status.st_size, "modified": modified}


def _ensure(stage: Stage, context: Context, *, anew: bool) -> bool:
    """Run the stage unless it is committed; whether it was run, so that those behind it must be."""
    committed = context.journal.stages.get(stage.name)
    if committed and not anew and _stands(committed, context.folder):
        log.info("%s: committed before, nothing to do", stage.name)
        return False
    _require_inputs(stage, context)
    log.info("%s: begins", stage.name)
    began = time.monotonic()
    artifacts, counts = stage.run(context)
    seconds = time.monotonic() - began
    context.journal.commit(Committed(stage.name, artifacts, counts, round(seconds, 3)))
    context.progress.end(stage.name)
    for artifact in artifacts:
        log.info(
            "%s: %s, %s %s, %s bytes",
            stage.name,
            artifact.name,
            f"{artifact.records:,}",
            "records" if artifact.item else "rows",
            f"{artifact.size_bytes:,}",
        )
    log.info("%s: committed after %.1f seconds", stage.name, seconds)
    return True


def _stands(committed: Committed, folder: RunFolder) -> bool:
    for artifact in committed.artifacts:
        path = folder.artifact(artifact.name, artifact.item)
        if not still_has_its_digest(path, artifact) or not index_path(path).is_file():
            log.warning("%s: is not as it was committed; %s is run anew", path, committed.stage)
            return False
    return True


def _require_inputs(stage: Stage, context: Context) -> None:
    for other in STAGES[: STAGES.index(stage)]:
        if other.only_from_database and not is_database(context.settings.source):
            continue
        if set(other.writes) & set(stage.reads) and other.name not in context.journal.stages:
            raise ConfigurationError(
                f"{stage.name} reads what {other.name} writes, and {other.name} is not committed. Run it first: "
                f"--only {other.name}, or leave --only and --skip away."
            )


def _needed(settings: Settings) -> list[str]:
    """The stages that a complete run consists of."""
    return [stage.name for stage in STAGES if is_database(settings.source) or not stage.only_from_database]


def _complete(context: Context) -> bool:
    """Write sums and manifest and give the items their final names, if every stage is committed; whether it is."""
    journal, folder = context.journal, context.folder
    needed = _needed(context.settings)
    missing = [name for name in needed if name not in journal.stages]
    if missing:
        log.info("not complete: %s still to be run", ", ".join(missing))
        return False
    artifacts = [artifact for name in needed for artifact in journal.stages[name].artifacts]
    _write_sums_and_manifest(context, [artifact for artifact in artifacts if artifact.item])
    _publish(folder)
    published = [path for item in folder.items for path in folder.published(item).iterdir()]
    names = {artifact.name for artifact in artifacts}
    journal.publish(
        {f"{path.parent.name}/{path.name}": sha256_of(path) for path in published if path.name not in names}
    )
    log.info("complete: %s", folder.dump_item)
    return True


def _write_sums_and_manifest(context: Context, artifacts: list[Artifact]) -> None:
    journal, folder = context.journal, context.folder
    indexes = [index_path(folder.artifact(artifact.name, artifact.item)) for artifact in artifacts]
    for algorithm, name in SUMS.items():
        write_whole(folder.dump_item / name, sums_of(algorithm, artifacts, folder.dump_item, indexes))
    begun, extracted = journal.begun or {}, journal.stages.get("extract")
    # What is published names neither hosts and roles nor the moment a file was written.
    source: dict[str, Any] = {name: begun[name] for name in ("kind", "name", "size_bytes") if name in begun}
    source |= extracted.counts if extracted else {}
    manifest = manifest_of(folder.date, source, journal.stages["dumps"].counts, artifacts)
    write_whole(folder.dump_item / MANIFEST, manifest)


def _publish(folder: RunFolder) -> None:
    """Rename the items into the output folder; what they replace goes when they are there."""
    replaced = folder.private / "replaced"
    with storage_errors(folder.out):
        replaced.mkdir(exist_ok=True)
        # The dump's item has the manifest, which says that all is there: it goes first and comes last.
        waiting = [item for item in folder.items if folder.made(item).exists()]
        for item in reversed(waiting):
            if folder.published(item).exists():
                shutil.rmtree(replaced / item, ignore_errors=True)
                folder.published(item).rename(replaced / item)
        for item in waiting:
            folder.made(item).rename(folder.published(item))
        sync_folder(folder.out)
        shutil.rmtree(replaced)
        shutil.rmtree(folder.making, ignore_errors=True)  # a run that was stopped behind this has none


class _LogFile(logging.FileHandler):
    """A log that is not worth ending a run for: a full disk is noticed elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing."""


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Log lines go to the run's log file too."""
    with storage_errors(path):
        handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(LogFormatter())
    log.addHandler(handler)
    try:
        yield
    except BaseException as error:
        what = "%s: %s", (type(error).__name__, error)
        handler.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, *what, None))
        raise
    finally:
        log.removeHandler(handler)
        handler.close()
