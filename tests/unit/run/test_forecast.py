"""Forecasts, with numbers that can be checked by hand."""

from dataclasses import replace
from typing import Any

import pytest

from oldump.run.forecast import TYPICAL, Estimate, Forecast, RunPosition, estimate, forecast_from
from oldump.run.formatting import format_seconds
from unit.run.examples import FORECAST, JULY, JUNE, STEPS


def position(**more: Any) -> RunPosition:
    """Return a position: a third of the scatter took 30 s instead of 20; nothing else is done."""
    seconds = {"dumps": {"scatter": 30.0}}
    at = RunPosition(seconds, "dumps", "scatter", 1 / 3, set(), ["splice", "verify"])
    return replace(at, **more)


def test_a_forecast_comes_from_the_last_run_with_that_kind_of_source() -> None:
    """Otherwise from the last run of any kind. Without a run it is typical, and absolute durations are unknown."""
    database = replace(JULY, kind="database")
    assert forecast_from([JUNE, database], "file").origin == JUNE.date
    assert forecast_from([JUNE, database], "database").origin == JULY.date
    assert forecast_from([JUNE], "database").origin == JUNE.date
    typical = forecast_from([], "file")
    assert (typical.origin, typical.steps) == (None, TYPICAL)
    assert typical.seconds_of("dumps") is None
    assert typical.total_seconds(["dumps"]) is None


def test_a_forecast_is_scaled_by_input_size_if_both_are_known() -> None:
    """By the text of extracted rows, or by the size of the file; otherwise not at all."""
    extracted = replace(JUNE, kind="database", source_bytes=None, text_bytes=2_000)
    assert forecast_from([JUNE], "file", 1_500).seconds_of("dumps") == 90.0
    assert forecast_from([extracted], "database", None, 1_000).seconds_of("dumps") == 30.0
    assert forecast_from([extracted], "database").seconds_of("dumps") == 60.0
    assert forecast_from([extracted], "file", 1_500).seconds_of("dumps") == 60.0


def test_a_stage_without_steps_is_forecast_as_a_whole() -> None:
    """A run that was resumed without a status has no steps."""
    forecast = forecast_from([JUNE], "file")
    assert forecast.seconds_of("splice") == 1.0
    assert forecast.seconds_of("deworks") is None
    assert forecast.total_seconds(["dumps", "splice", "deworks"]) == 61.0


def test_the_rest_is_this_step_by_its_share_and_the_others_by_the_forecast() -> None:
    """60 s of the step remain, 40 of the stage, and 100 of the other stages."""
    assert estimate(FORECAST, position()) == Estimate(30 / 130, 30 / 230, 200.0)


def test_a_step_of_unknown_share_takes_as_long_as_forecast() -> None:
    """If it takes longer, nothing of it remains. A step without a forecast has no estimate."""
    assert estimate(FORECAST, position(share=None)).seconds == 30 + 40 + 100
    late = position(share=0.001, seconds={"dumps": {"scatter": 300.0}})
    assert estimate(FORECAST, late).seconds == 140.0
    assert estimate(FORECAST, position(share=None, stage="deworks")) == Estimate(None, None, None)


def test_what_is_committed_counts_as_done() -> None:
    """With its actual duration."""
    at = RunPosition(
        {"dumps": {"scatter": 50.0, "gather": 50.0}, "splice": {"copy": 5.0}},
        "splice",
        "copy",
        0.5,
        {"dumps"},
        ["verify"],
    )
    assert estimate(FORECAST, at) == Estimate(0.5, 105 / 200, 95.0)


def test_without_an_earlier_run_the_pace_comes_from_this_one() -> None:
    """The scatter takes 90 s instead of 60 units, so all else takes 1.5 times as long. Before that nothing is known."""
    assert estimate(Forecast(STEPS), position()).seconds == pytest.approx(60 + 1.5 * (40 + 100))
    assert estimate(Forecast(STEPS), position(share=None)) == Estimate(None, None, None)
    at = RunPosition({"dumps": {"scatter": 120.0, "gather": 80.0}}, "splice", "copy", None, {"dumps"}, ["verify"])
    assert estimate(Forecast(STEPS), at).seconds == pytest.approx(2.0 * 100)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "0 s"), (59.9, "59 s"), (60, "1 min 00 s"), (3_600, "1 h 00 min"), (90_061, "25 h 01 min")],
)
def test_durations_do_not_wrap_after_a_day(seconds: float | None, text: str) -> None:
    """As they did in the old tool, which took the seconds field of a timedelta."""
    assert format_seconds(seconds) == text
