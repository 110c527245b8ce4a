"""What a run would do: the table of stages with what would become of each, and how long that would take.

Does not: look at anything but settings, journal and history; preflight does.
"""

from datetime import UTC, date, datetime
from typing import NamedTuple

from oldump.pipeline.durations import forecast_of, told_forecast, with_forecast
from oldump.pipeline.guards import require_whole
from oldump.pipeline.sources import connection_of
from oldump.pipeline.table import DELIVERIES, STAGES, Choice, applies
from oldump.run.folder import RunFolder
from oldump.run.journal import Journal
from oldump.settings import Settings, flag_of


class Plan(NamedTuple):
    """What a run would do."""

    table: list[tuple[str, ...]]
    """The stages, a heading first: name, what it reads and writes, what would become of it, and for how long."""
    told: str | None
    """How long all of it would take; None if nobody knows."""


def planned(settings: Settings, day: date, choice: Choice, *, overwrite: bool = False) -> Plan:
    """What a run would do, by the journal alone, and how long it would take if an earlier run says so."""
    folder = RunFolder(settings.out, day)
    journal = Journal(folder.journal)
    table = _table_of_stages(settings, day, choice, journal, overwrite=overwrite)
    to_do = [row[0] for row in table if row[3] == _TO_BE_RUN]
    forecast = forecast_of(settings, folder, journal)
    told = told_forecast(forecast, to_do, datetime.now(UTC))
    return Plan(with_forecast(table, forecast, to_do) if told else table, told)


_TO_BE_RUN = "to be run"


def _table_of_stages(
    settings: Settings, day: date, choice: Choice, journal: Journal, *, overwrite: bool
) -> list[tuple[str, ...]]:
    require_whole(choice, overwrite=overwrite)
    lines: list[tuple[str, ...]] = [("stage", "reads", "writes", f"for {day}")]
    for stage in STAGES:
        committed = journal.stages.get(stage.name)
        if committed and not overwrite:
            state = f"committed ({committed.seconds:,.0f} s)"
        elif not applies(stage, settings):
            state = "not needed: from a file"
        elif stage not in choice.stages:
            state = "not run" if stage.name in choice.needed else "skipped"
        elif stage.database and connection_of(stage.database, settings) is None:
            state = f"lacks {flag_of(stage.database)}"
        else:
            state = _TO_BE_RUN
        reads = "all that is published" if stage.is_judge else ", ".join(stage.reads)
        lines.append((stage.name, reads, ", ".join(stage.writes), state))
    for delivery in DELIVERIES:
        delivered = journal.delivered.get(delivery.name)
        if delivery not in choice.deliveries:
            state = "skipped" if getattr(settings, delivery.name) else f"not asked for: {flag_of(delivery.name)}"
        elif delivered and not overwrite:
            state = f"delivered ({delivered.seconds:,.0f} s), to be compared"
        else:
            state = _TO_BE_RUN
        lines.append((delivery.name, "all that is published", ", ".join(delivery.writes), state))
    return lines
