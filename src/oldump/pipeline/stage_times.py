"""How long stages took, for the history, and how long they will take, from the history.

Does not: compute the forecast (`run.forecast` does), or measure time (`run.report` does).
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from oldump.errors import SourceMissing, StorageError
from oldump.pipeline.choice import applies
from oldump.pipeline.sources import is_database, is_file, status_of
from oldump.pipeline.stage import Stage
from oldump.pipeline.state import RunState
from oldump.pipeline.table import STAGES
from oldump.run.folder import RunFolder
from oldump.run.forecast import Forecast, forecast_from
from oldump.run.formatting import format_seconds
from oldump.run.history import CompletedRun, CompletedStage, append_run, completed_runs
from oldump.run.journal import Artifact, Journal
from oldump.run.report import Outline, Report
from oldump.settings import Settings
from oldump.stages.dumps.latest import CDUMP

log = logging.getLogger("oldump")


def forecast_of(settings: Settings, folder: RunFolder, journal: Journal) -> Forecast:
    """Return a forecast for this run, from the last completed run."""
    extracted = journal.stages.get("extract")
    return forecast_from(
        completed_runs(folder.history),
        _kind(settings.source),
        _source_bytes(settings.source),
        extracted.artifacts[0].text_bytes if extracted else None,
    )


def _source_bytes(source: str) -> int | None:
    """Return the size of a source that is a file, None if it is none or is missing."""
    with suppress(SourceMissing):
        return status_of(source).st_size if is_file(source) else None
    return None


def _kind(source: str) -> str:
    """Return the kind of a source, as the journal names it."""
    if source == "-":
        return "standard input"
    return "database" if is_database(source) else "file"


def outline_of(to_do: list[Stage], state: RunState) -> Outline:
    """Return the stages and deliveries of a run, for its status."""
    deliveries = [delivery.name for delivery in state.choice.deliveries]
    names = [stage.name for stage in to_do] + deliveries
    applicable = [
        stage.name for stage in STAGES if applies(stage, state.settings) and stage.name in state.choice.needed
    ]
    all_names = applicable + deliveries
    committed = set(state.journal.stages) - set(names)
    left_out = set(all_names) - set(names) - committed
    return Outline(names, left_out, all_names, forecast_of(state.settings, state.folder, state.journal))


def remember_run(state: RunState, report: Report) -> None:
    """Add a completed run to the history. If that fails, log a warning: the run is complete nevertheless."""
    try:
        append_run(state.folder.history, past_of(state, report))
    except StorageError as error:
        log.warning("cannot add this run to the history: %s", error)


def past_of(state: RunState, report: Report) -> CompletedRun:
    """Return the history's entry for a completed run."""
    journal, begun = state.journal, state.journal.begun or {}
    extracted = journal.stages.get("extract")
    stages = {
        name: CompletedStage(committed.seconds, report.rows_of(name), report.step_seconds(name))
        for name, committed in (journal.stages | journal.delivered).items()
    }
    artifacts = [artifact for artifact in journal.artifacts() if artifact.item]
    return CompletedRun(
        date=str(state.folder.date),
        began=report.began,
        completed=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(report.seconds, 1),
        kind=str(begun.get("kind")),
        source_bytes=begun.get("size_bytes"),
        text_bytes=extracted.artifacts[0].text_bytes if extracted else None,
        rows=journal.stages["dumps"].counts["rows"],
        records=records_of(artifacts),
        size_bytes=sum(artifact.size_bytes for artifact in artifacts),
        workers=state.settings.workers,
        stages=stages,
    )


def records_of(artifacts: Iterable[Artifact]) -> int:
    """Return the number of records in the cdump, 0 if it is not among the artifacts."""
    return sum(artifact.records for artifact in artifacts if artifact.name.startswith(f"ol_{CDUMP}_"))


def with_forecast(lines: list[tuple[str, ...]], forecast: Forecast, to_do: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the table of stages with one more column: the forecast of each stage that will run."""
    names = set(to_do)
    heading, *rows = lines
    cells = [format_seconds(forecast.seconds_of(row[0])) if row[0] in names else "" for row in rows]
    return [(*heading, "forecast"), *((*row, cell) for row, cell in zip(rows, cells, strict=True))]


def format_forecast(forecast: Forecast, to_do: Iterable[str], now: datetime) -> str | None:
    """Return how long all stages will take, and when they end if they start now; None if unknown."""
    seconds = forecast.total_seconds(to_do)
    if seconds is None:
        return None
    end = (now + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M")
    return f"about {format_seconds(seconds)} (from the run of {forecast.origin}); started now, it ends about {end} UTC"
