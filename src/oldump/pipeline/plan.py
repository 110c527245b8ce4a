"""`oldump plan` and `--dry-run`: what a run would do with each stage, and how long that would take.

Does not: look at anything but settings, journal and history (`preflight` does).
"""

from datetime import UTC, date, datetime
from typing import NamedTuple

from oldump.pipeline.choice import Choice, applies
from oldump.pipeline.guards import require_all_stages
from oldump.pipeline.sources import connection_of
from oldump.pipeline.stage import Delivery, Stage
from oldump.pipeline.stage_times import forecast_of, format_forecast, with_forecast
from oldump.pipeline.table import DELIVERIES, STAGES
from oldump.run.folder import RunFolder
from oldump.run.journal import Journal
from oldump.settings import Settings, flag_of

_TO_BE_RUN = "to be run"
_EVERYTHING_PUBLISHED = "everything published"


class Plan(NamedTuple):
    """What a run would do."""

    table: list[tuple[str, ...]]
    """A heading, then a row per stage: name, what it reads, what it writes, what would happen, and the forecast."""
    forecast: str | None
    """How long all of it would take; None if unknown."""


def plan_of(settings: Settings, day: date, choice: Choice, *, overwrite: bool = False) -> Plan:
    """Return what a run would do. Only the journal is consulted: files are not compared with their digests.

    Raises ConfigurationError, StorageError.
    """
    require_all_stages(choice, overwrite=overwrite)
    folder = RunFolder(settings.out, day)
    journal = Journal(folder.journal)
    table: list[tuple[str, ...]] = [("stage", "reads", "writes", f"for {day}")]
    for stage in STAGES:
        reads = _EVERYTHING_PUBLISHED if stage.checks_run else ", ".join(stage.reads)
        planned = _plan_of_stage(stage, settings, choice, journal, overwrite=overwrite)
        table.append((stage.name, reads, ", ".join(stage.writes), planned))
    for delivery in DELIVERIES:
        planned = _plan_of_delivery(delivery, settings, choice, journal, overwrite=overwrite)
        table.append((delivery.name, _EVERYTHING_PUBLISHED, ", ".join(delivery.writes), planned))
    to_do = [row[0] for row in table if row[3] == _TO_BE_RUN]
    forecast = forecast_of(settings, folder, journal)
    text = format_forecast(forecast, to_do, datetime.now(UTC))
    return Plan(with_forecast(table, forecast, to_do) if text else table, text)


def _plan_of_stage(stage: Stage, settings: Settings, choice: Choice, journal: Journal, *, overwrite: bool) -> str:
    committed = journal.stages.get(stage.name)
    if committed and not overwrite:
        return f"committed ({committed.seconds:,.0f} s)"
    if not applies(stage, settings):
        return "not needed: the source is a file"
    if stage not in choice.stages:
        return "not run" if stage.name in choice.needed else "skipped"
    if stage.database and connection_of(stage.database, settings) is None:
        return f"needs {flag_of(stage.database)}"
    return _TO_BE_RUN


def _plan_of_delivery(
    delivery: Delivery, settings: Settings, choice: Choice, journal: Journal, *, overwrite: bool
) -> str:
    if delivery not in choice.deliveries:
        return "skipped" if getattr(settings, delivery.name) else f"not requested: {flag_of(delivery.name)}"
    delivered = journal.delivered.get(delivery.name)
    if delivered and not overwrite:
        return f"delivered ({delivered.seconds:,.0f} s), will be compared"
    return _TO_BE_RUN
