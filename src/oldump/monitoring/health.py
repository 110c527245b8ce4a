"""Decide which runs are late, and which need attention."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from oldump.errors import RunLate
from oldump.monitoring.runs import run_dates, summarize_run
from oldump.monitoring.summary import RunCondition, RunSummary
from oldump.run.folder import RunFolder

_BAD_CONDITIONS = {RunCondition.DEAD, RunCondition.SILENT, RunCondition.FAILED}


class Expectation(NamedTuple):
    """When the run of the last month is expected to be done."""

    late_days: int
    """The run is late if it is not done this many days after its date."""
    archive: bool = False
    """Whether the run is done only when it is archived."""


def due_date(now: datetime) -> date:
    """Return the date of the run that is due: the last day of the previous month, in UTC."""
    return now.date().replace(day=1) - timedelta(days=1)


def is_overdue(day: date, now: datetime, late_days: int) -> bool:
    """Whether the run for this date should be done at `now`."""
    return now >= datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1 + late_days)


def assess_runs(out: Path, now: datetime, expected: Expectation) -> list[RunSummary]:
    """Return all runs in the output folder and the one that is overdue, newest first. Raises ConfigurationError."""
    dates = run_dates(out)
    due = due_date(now)
    if is_overdue(due, now, expected.late_days):
        dates.add(due)
    return [assess_run(RunFolder(out, day), now, expected) for day in sorted(dates, reverse=True)]


def assess_run(folder: RunFolder, now: datetime, expected: Expectation) -> RunSummary:
    """Return the summary of one run, with whether it is done and why it is late."""
    run = summarize_run(folder, now)
    is_complete = run.condition is RunCondition.COMPLETE
    is_done = is_complete and (run.archived is not None or not expected.archive)
    if is_done or folder.date != due_date(now) or not is_overdue(folder.date, now, expected.late_days):
        return replace(run, is_done=is_done)
    missing = "archived" if is_complete else "complete"
    return replace(run, late=f"late: not {missing} {expected.late_days} days after its date")


def require_healthy(runs: list[RunSummary]) -> None:
    """Raise RunLate if a run needs attention; the message names all such runs.

    A late run always needs attention. One that is dead, silent or failed, or whose upload failed, needs it only until
    a later run is done.
    """
    last_done = max((run.date for run in runs if run.is_done), default=date.min)
    bad = [run for run in runs if run.late or (run.date > last_done and _has_failed(run))]
    if bad:
        message = "; ".join(f"{run.date} is {run.label}: {run.problems}" for run in bad)
        raise RunLate(message, "Run `oldump status DATE` for details.")


def _has_failed(run: RunSummary) -> bool:
    upload_failed = run.condition is RunCondition.COMPLETE and not run.is_done and run.problem is not None
    return run.condition in _BAD_CONDITIONS or upload_failed
