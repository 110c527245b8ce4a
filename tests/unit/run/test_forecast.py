"""Forecasts: arithmetic on seconds, with numbers that can be checked by hand."""

from dataclasses import replace
from typing import Any

import pytest

from oldump.run.forecast import TYPICAL, Forecast, Outlook, Standing, forecast_from, outlook, shown_seconds
from unit.run.test_history import JULY, JUNE

STEPS = {"dumps": {"scatter": 60.0, "gather": 40.0}, "splice": {"copy": 10.0}, "verify": {"cdump": 90.0}}
FORECAST = Forecast(STEPS, "2022-06-30")


def standing(**more: Any) -> Standing:
    """A third of the scatter is done in 30 s, which were to be 20; nothing else is."""
    seconds = {"dumps": {"scatter": 30.0}}
    at = Standing(seconds, "dumps", "scatter", 1 / 3, set(), ["splice", "verify"])
    return replace(at, **more)


def test_a_forecast_is_what_the_last_run_of_its_kind_took() -> None:
    """Of another kind if there is no such; typical without any, and then it says nothing of seconds."""
    database = replace(JULY, kind="database")
    assert forecast_from([JUNE, database], "file").origin == JUNE.date
    assert forecast_from([JUNE, database], "database").origin == JULY.date
    assert forecast_from([JUNE], "database").origin == JUNE.date
    typical = forecast_from([], "file")
    assert (typical.origin, typical.steps) == (None, TYPICAL)
    assert typical.seconds_of("dumps") is None
    assert typical.seconds_of_all(["dumps"]) is None


def test_a_forecast_is_scaled_by_size_where_both_are_known() -> None:
    """Text of extracted rows, or the size of the file; else it is as it was."""
    extracted = replace(JUNE, kind="database", source_bytes=None, text_bytes=2_000)
    assert forecast_from([JUNE], "file", 1_500).seconds_of("dumps") == 90.0
    assert forecast_from([extracted], "database", None, 1_000).seconds_of("dumps") == 30.0
    assert forecast_from([extracted], "database").seconds_of("dumps") == 60.0
    assert forecast_from([extracted], "file", 1_500).seconds_of("dumps") == 60.0


def test_a_stage_without_steps_is_forecast_as_a_whole() -> None:
    """A run that was continued without a status knows no more."""
    forecast = forecast_from([JUNE], "file")
    assert forecast.seconds_of("splice") == 1.0
    assert forecast.seconds_of("deworks") is None
    assert forecast.seconds_of_all(["dumps", "splice", "deworks"]) == 61.0


def test_the_rest_is_this_step_by_its_share_and_the_others_as_before() -> None:
    """60 s of the step are left, then 40 of the stage, then 100 of the others."""
    assert outlook(FORECAST, standing()) == Outlook(30 / 130, 30 / 230, 200.0)


def test_a_step_of_unknown_share_takes_as_long_as_before() -> None:
    """If it takes longer, it is about to end; one that nobody knows leaves all open."""
    assert outlook(FORECAST, standing(share=None)).seconds == 30 + 40 + 100
    late = standing(share=0.001, seconds={"dumps": {"scatter": 300.0}})
    assert outlook(FORECAST, late).seconds == 140.0
    assert outlook(FORECAST, standing(share=None, stage="deworks")) == Outlook(None, None, None)


def test_what_is_committed_counts_as_done() -> None:
    """With the seconds that it took."""
    at = Standing(
        {"dumps": {"scatter": 50.0, "gather": 50.0}, "splice": {"copy": 5.0}},
        "splice",
        "copy",
        0.5,
        {"dumps"},
        ["verify"],
    )
    assert outlook(FORECAST, at) == Outlook(0.5, 105 / 200, 95.0)


def test_without_an_earlier_run_the_pace_is_this_ones() -> None:
    """The scatter will have taken 90 s instead of 60 units: all else takes half as long again. Before, nobody knows."""
    assert outlook(Forecast(STEPS), standing()).seconds == pytest.approx(60 + 1.5 * (40 + 100))
    assert outlook(Forecast(STEPS), standing(share=None)) == Outlook(None, None, None)
    at = Standing({"dumps": {"scatter": 120.0, "gather": 80.0}}, "splice", "copy", None, {"dumps"}, ["verify"])
    assert outlook(Forecast(STEPS), at).seconds == pytest.approx(2.0 * 100)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, ""), (0, "0 s"), (59.9, "59 s"), (60, "1 min 00 s"), (3_600, "1 h 00 min"), (90_061, "25 h 01 min")],
)
def test_durations_do_not_wrap_after_a_day(seconds: float | None, text: str) -> None:
    """As they did in the old tool, which took the seconds field of a timedelta."""
    assert shown_seconds(seconds) == text
