"""How long a run took, for the history; and how long one will take, from there.

Does not: reckon (run.forecast does), or keep a clock (run.report does).
"""

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from oldump.errors import SourceMissing, StorageError
from oldump.pipeline.sources import is_database, is_file, status_of
from oldump.pipeline.table import STAGES, Choice, Context, Stage, applies
from oldump.run.folder import RunFolder
from oldump.run.forecast import Forecast, forecast_from
from oldump.run.formatting import format_seconds
from oldump.run.history import CompletedRun, CompletedStage, append_run, completed_runs
from oldump.run.journal import Artifact, Journal
from oldump.run.report import Outline
from oldump.settings import Settings
from oldump.stages.dumps.latest import CDUMP

log = logging.getLogger("oldump")


def forecast_of(settings: Settings, folder: RunFolder, journal: Journal) -> Forecast:
    """What the last completed run lets expect of this one."""
    extracted = journal.stages.get("extract")
    return forecast_from(
        completed_runs(folder.history),
        _kind(settings.source),
        _source_bytes(settings.source),
        extracted.artifacts[0].text_bytes if extracted else None,
    )


def _source_bytes(source: str) -> int | None:
    """Of a file that is there."""
    with suppress(SourceMissing):
        return status_of(source).st_size if is_file(source) else None
    return None


def _kind(source: str) -> str:
    """As the journal calls it."""
    if source == "-":
        return "standard input"
    return "database" if is_database(source) else "file"


def outline_of(to_do: list[Stage], choice: Choice, context: Context) -> Outline:
    """What the run consists of, for its status."""
    deliveries = [delivery.name for delivery in choice.deliveries]
    names = [stage.name for stage in to_do] + deliveries
    applicable = [stage.name for stage in STAGES if applies(stage, context.settings) and stage.name in choice.needed]
    all_names = applicable + deliveries
    committed = set(context.journal.stages) - set(names)
    left_out = set(all_names) - set(names) - committed
    return Outline(names, left_out, all_names, forecast_of(context.settings, context.folder, context.journal))


def remember_run(context: Context) -> None:
    """Put down how long the run took. Where that cannot be written, the run is complete all the same."""
    try:
        append_run(context.folder.history, past_of(context))
    except StorageError as error:
        log.warning("how long this run took is not kept: %s", error)


def past_of(context: Context) -> CompletedRun:
    """What the history is to say of this run, which is complete."""
    journal, report, begun = context.journal, context.report, context.journal.begun or {}
    extracted = journal.stages.get("extract")
    stages = {
        name: CompletedStage(committed.seconds, report.rows_of(name), report.step_seconds(name))
        for name, committed in (journal.stages | journal.delivered).items()
    }
    artifacts = [artifact for artifact in journal.artifacts() if artifact.item]
    return CompletedRun(
        date=str(context.folder.date),
        began=report.began,
        completed=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(report.seconds, 1),
        kind=str(begun.get("kind")),
        source_bytes=begun.get("size_bytes"),
        text_bytes=extracted.artifacts[0].text_bytes if extracted else None,
        rows=journal.stages["dumps"].counts["rows"],
        records=records_of(artifacts),
        size_bytes=sum(artifact.size_bytes for artifact in artifacts),
        workers=context.settings.workers,
        stages=stages,
    )


def records_of(artifacts: Iterable[Artifact]) -> int:
    """The records of the cdump, 0 if it is not among them."""
    return sum(artifact.records for artifact in artifacts if artifact.name.startswith(f"ol_{CDUMP}_"))


def with_forecast(lines: list[tuple[str, ...]], forecast: Forecast, to_do: Iterable[str]) -> list[tuple[str, ...]]:
    """The table of stages with a column more: how long each stage that is to be run will take."""
    names = set(to_do)
    heading, *rows = lines
    cells = [format_seconds(forecast.seconds_of(row[0])) if row[0] in names else "" for row in rows]
    return [(*heading, "forecast"), *((*row, cell) for row, cell in zip(rows, cells, strict=True))]


def told_forecast(forecast: Forecast, to_do: Iterable[str], now: datetime) -> str | None:
    """How long all of it will take, and until when if it began now; None if nobody knows."""
    seconds = forecast.total_seconds(to_do)
    if seconds is None:
        return None
    end = (now + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M")
    return f"about {format_seconds(seconds)}, from {forecast.origin}; begun now, it would end about {end} UTC"
