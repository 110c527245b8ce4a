"""How long the rest of a run will take, from what an earlier one took: pure arithmetic on seconds.

Without an earlier run, how long steps take beside each other is reckoned from `TYPICAL`, and how long they take at all
from the steps that this run has behind it: then nothing is known until it has some.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from oldump.run.history import Past

Seconds = Mapping[str, Mapping[str, float]]
"""Of each step of each stage."""

TYPICAL: Seconds = {
    "extract": {"copy": 9.0},
    "dumps": {"scatter": 6.0, "gather": 4.0},
    "splice": {"copy": 0.3},
    "deworks": {"redirects": 0.2, "scatter": 3.0, "join": 2.5, "gather": 3.0},
    "gate": {"compare": 2.0},
    "verify": {
        "authors": 0.4,
        "deletes": 0.1,
        "editions": 2.5,
        "lists": 0.1,
        "other": 0.1,
        "redirects": 0.1,
        "works": 1.5,
        "cdump": 9.0,
        "dump": 0.5,
        "deworks": 3.0,
    },
}
"""Measured on 300,000 synth rows and two cores, on 24 November 2026, in seconds that mean nothing by themselves."""
_LEAST_SHARE = 0.01
"""Of a step that has hardly begun nothing is reckoned from its share."""


@dataclass(frozen=True)
class Forecast:
    """What steps are expected to take."""

    steps: Seconds
    origin: str | None = None
    """The date of the run that it is from; None: typical, and only in proportion."""

    def seconds_of(self, stage: str) -> float | None:
        """What the stage is expected to take; None if nobody knows."""
        if self.origin is None or stage not in self.steps:
            return None
        return sum(self.steps[stage].values())

    def seconds_of_all(self, stages: Iterable[str]) -> float | None:
        """The same of several; of what nobody knows, nothing is counted. None if nothing is known of any."""
        known = [seconds for stage in stages if (seconds := self.seconds_of(stage)) is not None]
        return sum(known) if known else None


def forecast_from(
    pasts: Iterable[Past], kind: str, source_bytes: int | None = None, text_bytes: int | None = None
) -> Forecast:
    """What the last completed run lets expect, of those with this kind of source if there are any.

    In proportion to the size where both are known: text_bytes of the extracted rows, or source_bytes of the file.
    """
    runs = list(pasts)
    fitting = [past for past in runs if past.kind == kind] or runs
    if not fitting:
        return Forecast(TYPICAL)
    past = fitting[-1]
    ratio = _ratio(past, kind, source_bytes, text_bytes)
    steps = {name: stage.steps or {"": stage.seconds} for name, stage in past.stages.items()}
    scaled = {name: {step: seconds * ratio for step, seconds in each.items()} for name, each in steps.items()}
    return Forecast(scaled, past.date)


def _ratio(past: Past, kind: str, source_bytes: int | None, text_bytes: int | None) -> float:
    """The size beside that of the earlier run; 1 if that is not known."""
    if text_bytes and past.text_bytes:
        return text_bytes / past.text_bytes
    if past.kind == kind and source_bytes and past.source_bytes:
        return source_bytes / past.source_bytes
    return 1.0


@dataclass(frozen=True)
class Standing:
    """How far a run is."""

    seconds: Seconds
    """That steps took so far."""
    stage: str
    step: str
    share: float | None
    """Of the step."""
    committed: Collection[str]
    to_come: Collection[str]
    """The stages behind this one."""

    @property
    def step_seconds(self) -> float:
        """That the step took so far."""
        return self.seconds.get(self.stage, {}).get(self.step, 0.0)

    @property
    def whole_step_seconds(self) -> float | None:
        """That the step will have taken, to judge by its share alone; None if that says nothing."""
        return self.step_seconds / self.share if self.share and self.share >= _LEAST_SHARE else None


class Outlook(NamedTuple):
    """What is to come."""

    stage_share: float | None
    run_share: float | None
    seconds: float | None
    """That the rest of the run will take."""


def outlook(forecast: Forecast, standing: Standing) -> Outlook:
    """How much of the stage and of the run is done, in time, and how long the rest will take; None: nobody knows."""
    pace = 1.0 if forecast.origin else _pace(forecast, standing)
    stage_left = _left_of_stage(forecast, standing, pace)
    if stage_left is None or pace is None:
        return Outlook(None, None, None)
    expected = [sum(forecast.steps.get(stage, {}).values()) for stage in standing.to_come]
    left = stage_left + pace * sum(expected)
    stage_done = sum(standing.seconds.get(standing.stage, {}).values())
    done = stage_done + sum(sum(standing.seconds.get(stage, {}).values()) for stage in standing.committed)
    return Outlook(_share(stage_done, stage_left), _share(done, left), left)


def _share(done: float, left: float) -> float | None:
    return done / (done + left) if done + left > 0 else None


def _pace(forecast: Forecast, standing: Standing) -> float | None:
    """What a second of the forecast is in this run, from all steps of which that is known; None if there are none."""
    took = expected = 0.0
    for stage, steps in standing.seconds.items():
        for step, seconds in steps.items():
            is_current = (stage, step) == (standing.stage, standing.step)
            whole = standing.whole_step_seconds if is_current else seconds
            if whole is not None and step in forecast.steps.get(stage, {}):
                took += whole
                expected += forecast.steps[stage][step]
    return took / expected if expected else None


def _left_of_stage(forecast: Forecast, standing: Standing, pace: float | None) -> float | None:
    """Seconds that the stage will still take; None if nobody knows."""
    steps = dict(forecast.steps.get(standing.stage, {}))
    expected = steps.get(standing.step)
    if (whole := standing.whole_step_seconds) is not None:
        step_left = whole - standing.step_seconds
    elif expected is not None and pace is not None:
        step_left = max(0.0, pace * expected - standing.step_seconds)
    else:
        return None
    if pace is None:
        return step_left
    names = list(steps)
    behind = names[names.index(standing.step) + 1 :] if standing.step in names else []
    return step_left + pace * sum(steps[name] for name in behind)


def shown_seconds(seconds: float | None) -> str:
    """For people, such as 25 h 01 min; empty if nobody knows."""
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
