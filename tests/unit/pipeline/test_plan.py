"""The plan: what would happen to each stage and delivery, and how long it would take."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from oldump.errors import ConfigurationError
from oldump.pipeline.choice import choose
from oldump.pipeline.plan import plan_of
from oldump.pipeline.stage_times import format_forecast, with_forecast
from oldump.run.forecast import Forecast
from oldump.settings import Settings
from unit.pipeline.runs import DAY, commit, settings_in, state_in


def planned(settings: Settings, *, skip: tuple[str, ...] = (), overwrite: bool = False) -> dict[str, str]:
    """Return what would happen to each stage and delivery."""
    plan = plan_of(settings, DAY, choose([], list(skip), settings), overwrite=overwrite)
    return {row[0]: row[3] for row in plan.table}


def test_a_stage_is_committed_skipped_not_needed_or_to_be_run(tmp_path: Path) -> None:
    """A delivery is not requested, or to be run."""
    commit(state_in(tmp_path), "dumps")
    plan = planned(settings_in(tmp_path, sitemaps=tmp_path / "sitemaps"), skip=("deworks",))
    assert plan["dumps"] == "committed (1 s)"
    assert plan["splice"] == "to be run"
    assert plan["deworks"] == "skipped"
    assert plan["ratings"] == "not needed: the source is a file"
    assert plan["archive"] == "not requested: --archive"
    assert plan["sitemaps"] == "to be run"


def test_a_database_stage_needs_its_connection() -> None:
    """The plan names the flag."""
    assert planned(Settings.of(source="dbname=ol"))["covers_metadata"] == "needs --coverstore"


def test_overwriting_runs_every_stage(tmp_path: Path) -> None:
    """Also those that are committed; a choice that --overwrite refuses is refused here too."""
    commit(state_in(tmp_path), "dumps")
    settings = settings_in(tmp_path)
    assert planned(settings, overwrite=True)["dumps"] == "to be run"
    with pytest.raises(ConfigurationError, match="--overwrite reruns all stages"):
        plan_of(settings, DAY, choose(["dumps"], [], settings), overwrite=True)


def test_a_plan_changes_nothing(tmp_path: Path) -> None:
    """It does not even create the folder of the run."""
    settings = settings_in(tmp_path)
    planned(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["data.txt"]


def test_without_an_earlier_run_there_is_no_forecast(tmp_path: Path) -> None:
    """The table has no column for it either."""
    settings = settings_in(tmp_path)
    plan = plan_of(settings, DAY, choose([], [], settings))
    assert plan.forecast is None
    assert plan.table[0] == ("stage", "reads", "writes", f"for {DAY}")


def test_a_forecast_has_a_duration_and_an_end() -> None:
    """And the date of the run that it is based on."""
    forecast = Forecast({"dumps": {"scatter": 3_000.0, "gather": 600.0}}, "2022-06-30")
    assert format_forecast(forecast, ["dumps"], datetime(2022, 8, 1, tzinfo=UTC)) == (
        "about 1 h 00 min (from the run of 2022-06-30); started now, it ends about 2022-08-01 01:00 UTC"
    )
    assert with_forecast([("stage",), ("dumps",), ("gate",)], forecast, ["dumps"]) == [
        ("stage", "forecast"),
        ("dumps", "1 h 00 min"),
        ("gate", ""),
    ]
