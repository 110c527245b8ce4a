"""Determine the condition of runs from their files.

Sources are each run's `status.json`, journal, lock and receipt, the manifest of what is published, and `latest.json`.
The status may be missing (a run of an earlier version), damaged, or left by a process that was killed; the other files
then decide. Operators may delete the private folder of an archived run.

Does not: change files, take a lock, or decide whether a run is late (monitoring.health does).
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

from oldump.errors import ConfigurationError, OldumpError
from oldump.monitoring.summary import RunCondition, RunSummary
from oldump.pipeline.stage_times import records_of
from oldump.run.folder import RunFolder
from oldump.run.formatting import format_seconds
from oldump.run.history import CompletedRun, completed_runs
from oldump.run.journal import Artifact, Journal
from oldump.run.manifest import MANIFEST, Manifest
from oldump.run.owner import Owner
from oldump.run.status import ReportedState, StageStatus, Status
from oldump.stages.archive.pointer import pointed, receipt_of

SILENT_SECONDS = 60.0
"""A running process rewrites its status every 2 s; one that is older than this is no longer updated."""
_FOLDER_NAME = re.compile(r"(?:run-|ol_dump_)(\d{4}-\d{2}-\d{2})", re.ASCII)


def run_dates(out: Path) -> set[date]:
    """Return the dates of all runs in the output folder. Raises ConfigurationError if the folder is unreadable."""
    try:
        names = [path.name for path in out.iterdir() if path.is_dir()]
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise ConfigurationError(
            f"{out}: {error.strerror}", "Set --out to the folder that contains the runs."
        ) from error
    return set(filter(None, map(_date_in, names)))


def _date_in(folder_name: str) -> date | None:
    match = _FOLDER_NAME.fullmatch(folder_name)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def summarize_run(folder: RunFolder, now: datetime) -> RunSummary:
    """Return the summary of one run, without whether it is late or done."""
    summary = _from_private_folder(folder, now) if folder.private.is_dir() else _from_published_files(folder)
    archived = _archived_at(folder) if summary.condition is RunCondition.COMPLETE else None
    return replace(summary, archived=archived)


def _archived_at(folder: RunFolder) -> str | None:
    """Return when the upload was verified, if its receipt or latest.json covers all that is published now.

    After --overwrite they may still describe the files of the earlier run. If only latest.json of the next archived run
    is left, return when that one was verified.
    """
    with suppress(OldumpError):
        receipt, latest = receipt_of(folder), pointed(folder.out)
        if receipt is None and latest and latest.previous == folder.date:
            return latest.archived
        if receipt is None and latest and latest.day == folder.date:
            receipt = latest
        if receipt:
            uploaded = {f"{file.item}/{file.name}": file.sha256 for file in receipt.files}
            return receipt.archived if _published_sums(folder).items() <= uploaded.items() else None
    return None


def _published_sums(folder: RunFolder) -> dict[str, str]:
    """Return the SHA-256 of published files by item/name: from the journal, or else those in the manifest."""
    journal, manifest = Journal(folder.journal), folder.published(folder.items[1]) / MANIFEST
    artifacts = journal.artifacts()
    if not artifacts and manifest.exists():
        artifacts = Manifest.read_file(manifest).artifacts
    return {f"{each.item}/{each.name}": each.sha256 for each in artifacts if each.item} | journal.others


def _from_private_folder(folder: RunFolder, now: datetime) -> RunSummary:
    unreadable = RunSummary(
        folder.date, RunCondition.UNREADABLE, problem=f"{folder.private}: only its owner can read it"
    )
    try:
        status = Status.read_file(folder.status)
        journal = Journal(folder.journal)
    except PermissionError:
        return unreadable
    except OSError as error:
        problem = f"{folder.status}: {error.strerror}; remove it, and the next run writes a new one"
        return RunSummary(folder.date, RunCondition.FAILED, problem=problem)
    except OldumpError as error:
        if isinstance(error.__cause__, PermissionError):
            return unreadable
        return RunSummary(folder.date, RunCondition.FAILED, problem=str(error))
    summary = _without_status(folder, journal) if status is None else _with_status(folder.date, status, journal, now)
    artifacts = [artifact for artifact in journal.artifacts() if artifact.item]
    return replace(summary, records=records_of(artifacts) or None, size_bytes=_total_bytes(artifacts))


def _from_published_files(folder: RunFolder) -> RunSummary:
    """Summarize a run without a private folder: from its manifest and the history."""
    dump = folder.published(folder.items[1])
    try:
        manifest = Manifest.read_file(dump / MANIFEST)
    except OldumpError as error:
        if dump.exists():
            return RunSummary(folder.date, RunCondition.FAILED, problem=str(error))
        is_uploaded = _archived_at(folder) is not None  # and then removed here
        return RunSummary(folder.date, RunCondition.COMPLETE if is_uploaded else RunCondition.MISSING)
    completed = _history_entry(folder)
    return RunSummary(
        folder.date,
        RunCondition.COMPLETE,
        stages=_stages_of(completed) if completed else [],
        seconds=completed.seconds if completed else None,
        records=records_of(manifest.artifacts),
        size_bytes=_total_bytes(manifest.artifacts),
    )


def _history_entry(folder: RunFolder) -> CompletedRun | None:
    runs = [run for run in completed_runs(folder.history) if run.date == str(folder.date)]
    return runs[-1] if runs else None


def _stages_of(run: CompletedRun) -> list[StageStatus]:
    return [
        StageStatus(name, "committed", stage.seconds, None, stage.rows, dict(stage.steps))
        for name, stage in run.stages.items()
    ]


def _total_bytes(artifacts: Iterable[Artifact]) -> int | None:
    return sum(artifact.size_bytes for artifact in artifacts) or None


def _with_status(day: date, status: Status, journal: Journal, now: datetime) -> RunSummary:
    condition, problem = RunCondition(status.state.value), status.error
    if status.state is ReportedState.RUNNING:
        condition, problem = _condition_of_running(status, now)
    elif problem and status.exit_code is not None:
        problem = f"exit code {status.exit_code}: {problem}"
    if journal.published and condition not in {RunCondition.COMPLETE, RunCondition.RUNNING, RunCondition.SILENT}:
        # The run is complete; a later command for its date ended early and changed nothing.
        problem = f"a later command did not finish: {problem or condition.value}"
        condition = RunCondition.COMPLETE
    return RunSummary(day, condition, status, status.stages, status.seconds, problem=problem)


def _condition_of_running(status: Status, now: datetime) -> tuple[RunCondition, str | None]:
    """Check whether a run whose status says `running` does run; return its condition and problem."""
    owner, age = status.owner_process, _age_seconds(status, now)
    is_alive = owner.is_alive if owner else None
    activity = ": ".join(filter(None, (status.stage, status.step))) or "no stage"
    if is_alive is False or (is_alive is None and age > SILENT_SECONDS):
        process = str(owner) if owner else "its process"
        problem = f"{process} ended without reporting, last status {status.updated} in {activity}; rerun to resume"
        return RunCondition.DEAD, problem
    if age > SILENT_SECONDS:
        return RunCondition.SILENT, f"no status update for {format_seconds(age)}, last activity {activity}"
    return RunCondition.RUNNING, None


def _age_seconds(status: Status, now: datetime) -> float:
    try:
        return (now - datetime.fromisoformat(status.updated)).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def _without_status(folder: RunFolder, journal: Journal) -> RunSummary:
    """Summarize a run whose status is missing or damaged: from its lock and its journal."""
    stages = [
        StageStatus(name, "committed", committed.seconds, None, None) for name, committed in journal.stages.items()
    ]
    seconds = sum(committed.seconds for committed in journal.stages.values()) or None
    owner = _lock_owner(folder.lock)
    if owner and owner.is_alive is not False:
        problem = f"{folder.status} is missing or damaged; {owner} holds the lock"
        return RunSummary(folder.date, RunCondition.RUNNING, stages=stages, problem=problem)
    if journal.published:
        return RunSummary(folder.date, RunCondition.COMPLETE, stages=stages, seconds=seconds)
    if owner:
        condition, problem = RunCondition.DEAD, f"{owner} ended without reporting"
    else:
        condition, problem = RunCondition.STOPPED, f"see {folder.log}"
    return RunSummary(folder.date, condition, stages=stages, seconds=seconds, problem=problem)


def _lock_owner(lock: Path) -> Owner | None:
    try:
        return Owner.parse(lock.read_bytes())
    except OSError:
        return None
