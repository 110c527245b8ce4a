"""Format run summaries as the tables and lines that `oldump status` prints.

Does not: print.
"""

import json
from datetime import date, datetime

from oldump.monitoring.summary import RunCondition, RunSummary
from oldump.run.formatting import format_amount, format_bytes, format_seconds
from oldump.run.progress import unit_of
from oldump.run.status import ReportedState, Status


def runs_table(runs: list[RunSummary]) -> list[tuple[str, ...]]:
    """Return a heading and one row per run."""
    rows: list[tuple[str, ...]] = [("date", "state", "at", "share", "time", "records", "bytes", "problem")]
    for run in runs:
        size = format_bytes(run.size_bytes) if run.size_bytes else ""
        records = f"{run.records:,}" if run.records else ""
        cells = (_activity(run), _share(run), _time(run), records, size, run.latest_message)
        rows.append((str(run.date), run.label, *cells))
    return rows


def _activity(run: RunSummary) -> str:
    """Return the stage in progress, or the step of a run that is between stages."""
    if run.status and run.status.stage and run.condition is not RunCondition.COMPLETE:
        return run.status.stage
    return (run.status.step or "") if run.status and run.is_running else ""


def _share(run: RunSummary) -> str:
    share = run.status.run_share if run.status and run.condition is not RunCondition.COMPLETE else None
    return "" if share is None else f"{share:.0%}"


def _time(run: RunSummary) -> str:
    """Return when a run in progress is expected to end, otherwise how long it took."""
    if run.condition is RunCondition.RUNNING and run.status and run.status.eta:
        return f"ends {_to_the_minute(run.status.eta)}"
    return format_seconds(run.seconds)


def _to_the_minute(moment: str) -> str:
    """Return an ISO 8601 time in UTC as YYYY-MM-DD HH:MM."""
    return moment[:16].replace("T", " ")


def run_facts(run: RunSummary) -> list[tuple[str, str]]:
    """Return the details of one run as names and values."""
    facts = [("run", f"{run.date}, {run.label}")]
    if run.archived:
        facts.append(("archived", f"{_to_the_minute(run.archived)} UTC"))
    if run.problems:
        facts.append(("problem", run.problems))
    if run.status:
        facts += _status_facts(run.status, run)
    elif run.seconds:
        facts.append(("took", format_seconds(run.seconds)))
    if run.records:
        facts.append(("records", f"{run.records:,} in the cdump"))
    if run.size_bytes:
        facts.append(("size", f"{format_bytes(run.size_bytes)}, committed"))
    return facts


def _status_facts(status: Status, run: RunSummary) -> list[tuple[str, str]]:
    facts = [("started", f"{_to_the_minute(status.began)} UTC, {format_seconds(status.seconds)} of work")]
    if run.is_running:
        facts.append(("process", str(status.owner_process or "")))
    if run.condition is not RunCondition.COMPLETE and (status.stage or status.step):
        facts.append(("at", " ".join(filter(None, (status.stage, status.step)))))
        facts.append(("done", _shares(status)))
        facts.append(("counted", _amounts(status)))
    if run.is_running:
        facts.append(("ends", _expected_end(status)))
    facts.append(("machine", _machine(status)))
    facts += [("warning", warning) for warning in status.warnings]
    facts.append(("log", status.log))
    return [(name, value) for name, value in facts if value]


def _expected_end(status: Status) -> str:
    if status.eta is None:
        return "not known yet"
    try:
        seconds = (datetime.fromisoformat(status.eta) - datetime.fromisoformat(status.updated)).total_seconds()
    except (TypeError, ValueError):
        return "not known: the status file is damaged"
    basis = f"based on the run of {status.forecast_from}" if status.forecast_from else "no earlier run to compare with"
    return f"in about {format_seconds(max(0, seconds))}, {_to_the_minute(status.eta)} UTC ({basis})"


def _shares(status: Status) -> str:
    shares = {"step": status.step_share, "stage": status.stage_share, "run": status.run_share}
    return ", ".join(f"{share:.0%} of the {name}" for name, share in shares.items() if share is not None)


def _amounts(status: Status) -> str:
    unit = unit_of(status.step or "")
    rates = {"now": status.rows_per_second, "on average": status.mean_rows_per_second}
    texts = [f"{format_amount(rate, unit)}/s {when}" for when, rate in rates.items() if rate is not None]
    return ", ".join([format_amount(status.rows, unit), *texts]) if status.rows else ""


def _machine(status: Status) -> str:
    """Return the memory and disk space that the run uses; of a run that ended, only what still means something."""
    sizes = {
        "memory": status.memory_bytes,
        "peak memory": status.most_memory_bytes,
        "spill": status.spill_bytes,
        "free disk space": status.free_bytes,
    }
    if status.state is not ReportedState.RUNNING:
        del sizes["memory"], sizes["free disk space"]
    return ", ".join(f"{name} {format_bytes(size)}" for name, size in sizes.items() if size)


def stages_table(run: RunSummary) -> list[tuple[str, ...]]:
    """Return a heading and one row per stage; nothing if no stage is known."""
    rows = [("stage", "state", "time", "forecast", "rows")]
    for stage in run.stages:
        has_ended = stage.state == "running" and run.condition is not RunCondition.RUNNING
        state = _end_state(run.condition) if has_ended else stage.state
        times = format_seconds(stage.seconds), format_seconds(stage.forecast_seconds)
        unit = unit_of(list(stage.steps)[-1]) if stage.steps else "rows"
        rows.append((stage.name, state, *times, f"{stage.rows:,}" if stage.rows and unit == "rows" else ""))
    return list(rows) if run.stages else []


def _end_state(condition: RunCondition) -> str:
    """Return how a stage ended whose status still says `running`.

    In a complete run that is an upload whose process died: the upload is not complete.
    """
    return (RunCondition.DEAD if condition is RunCondition.COMPLETE else condition).value


def run_line(run: RunSummary) -> str:
    """Return a run in one line, for output that is not a terminal."""
    activity = [_activity(run)] if _activity(run) else []
    cells = [str(run.date), run.label, *activity, _share(run), _time(run), run.latest_message]
    return ", ".join(filter(None, cells))


def runs_as_json(runs: list[RunSummary], day: date | None) -> str:
    """Return the run of this day as a JSON object, or all runs as a JSON list."""
    return json.dumps([run.as_json() for run in runs] if day is None else runs[0].as_json(), indent=1)
