"""Estimate how long the rest of a run takes, from the durations of an earlier one. Arithmetic only.

Without an earlier run, the proportions between steps come from `TYPICAL`, and their absolute durations from the steps
that this run has finished: there is no estimate before the first one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from oldump.run.history import CompletedRun

Seconds = Mapping[str, Mapping[str, float]]
"""The seconds of each step of each stage."""

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
"""Measured on 300,000 synth rows and two cores on 24 November 2026. Only the proportions matter."""
_MIN_SHARE = 0.01
"""Below this share of a step that is done, the share says nothing about the step's duration."""


@dataclass(frozen=True)
class Forecast:
    """The expected durations of steps."""

    steps: Seconds
    origin: str | None = None
    """The date of the run that the durations come from; None for typical durations, of which only proportions count."""

    def seconds_of(self, stage: str) -> float | None:
        """Return the expected duration of a stage; None if it is unknown."""
        if self.origin is None or stage not in self.steps:
            return None
        return sum(self.steps[stage].values())

    def total_seconds(self, stages: Iterable[str]) -> float | None:
        """Return the expected duration of the stages for which it is known; None if it is known for none."""
        known = [seconds for stage in stages if (seconds := self.seconds_of(stage)) is not None]
        return sum(known) if known else None


def forecast_from(
    completed: Iterable[CompletedRun], kind: str, source_bytes: int | None = None, text_bytes: int | None = None
) -> Forecast:
    """Return a forecast from the last completed run, preferably one with this kind of source.

    Durations are scaled by the size of the input where it is known for both runs: text_bytes of the extracted rows, or
    source_bytes of the file.
    """
    runs = list(completed)
    candidates = [run for run in runs if run.kind == kind] or runs
    if not candidates:
        return Forecast(TYPICAL)
    run = candidates[-1]
    ratio = _size_ratio(run, kind, source_bytes, text_bytes)
    steps = {name: stage.steps or {"": stage.seconds} for name, stage in run.stages.items()}
    scaled = {name: {step: seconds * ratio for step, seconds in each.items()} for name, each in steps.items()}
    return Forecast(scaled, run.date)


def _size_ratio(run: CompletedRun, kind: str, source_bytes: int | None, text_bytes: int | None) -> float:
    """Return the input size relative to that of the earlier run; 1 if it is unknown."""
    if text_bytes and run.text_bytes:
        return text_bytes / run.text_bytes
    if run.kind == kind and source_bytes and run.source_bytes:
        return source_bytes / run.source_bytes
    return 1.0


@dataclass(frozen=True)
class RunPosition:
    """How far a run has come."""

    seconds: Seconds
    """The time spent on each step so far."""
    stage: str
    """The stage in progress."""
    step: str
    """The step in progress."""
    share: float | None
    """The share of the step that is done, 0 to 1; None if unknown."""
    committed: Collection[str]
    to_come: Collection[str]
    """The stages after the one in progress."""

    @property
    def step_seconds(self) -> float:
        """The time spent on the step in progress."""
        return self.seconds.get(self.stage, {}).get(self.step, 0.0)

    @property
    def whole_step_seconds(self) -> float | None:
        """The duration of the whole step, extrapolated from its share; None if the share is unknown or too small."""
        return self.step_seconds / self.share if self.share and self.share >= _MIN_SHARE else None


class Estimate(NamedTuple):
    """What is done and what remains; None where it is unknown."""

    stage_share: float | None
    run_share: float | None
    seconds: float | None
    """The duration of the rest of the run."""


def estimate(forecast: Forecast, position: RunPosition) -> Estimate:
    """Return the shares of the stage and of the run that are done, measured in time, and the duration of the rest."""
    pace = 1.0 if forecast.origin else _pace(forecast, position)
    stage_left = _stage_seconds_left(forecast, position, pace)
    if stage_left is None or pace is None:
        return Estimate(None, None, None)
    expected = [sum(forecast.steps.get(stage, {}).values()) for stage in position.to_come]
    left = stage_left + pace * sum(expected)
    stage_done = sum(position.seconds.get(position.stage, {}).values())
    done = stage_done + sum(sum(position.seconds.get(stage, {}).values()) for stage in position.committed)
    return Estimate(_share(stage_done, stage_left), _share(done, left), left)


def _share(done: float, left: float) -> float | None:
    return done / (done + left) if done + left > 0 else None


def _pace(forecast: Forecast, position: RunPosition) -> float | None:
    """Return how long a forecast second takes in this run, from its steps so far; None if no step is comparable."""
    actual = expected = 0.0
    for stage, steps in position.seconds.items():
        for step, seconds in steps.items():
            is_current = (stage, step) == (position.stage, position.step)
            whole = position.whole_step_seconds if is_current else seconds
            if whole is not None and step in forecast.steps.get(stage, {}):
                actual += whole
                expected += forecast.steps[stage][step]
    return actual / expected if expected else None


def _stage_seconds_left(forecast: Forecast, position: RunPosition, pace: float | None) -> float | None:
    """Return how long the rest of the stage takes; None if it is unknown."""
    steps = dict(forecast.steps.get(position.stage, {}))
    expected = steps.get(position.step)
    if (whole := position.whole_step_seconds) is not None:
        step_left = whole - position.step_seconds
    elif expected is not None and pace is not None:
        step_left = max(0.0, pace * expected - position.step_seconds)
    else:
        return None
    if pace is None:
        return step_left
    names = list(steps)
    later = names[names.index(position.step) + 1 :] if position.step in names else []
    return step_left + pace * sum(steps[name] for name in later)
