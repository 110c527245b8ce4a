"""Measure how long the steps and stages of a run take, including the time that earlier processes spent on them.

Does not: write the status (run.report does) or estimate the rest (run.forecast does).
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from oldump.run.status import StageStatus


class RunClock(NamedTuple):
    """The clocks that a run's times come from."""

    seconds: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def timestamp(self) -> str:
        """Return the current time in UTC, in ISO 8601."""
        return self.now().isoformat(timespec="seconds")


@dataclass
class StageTime:
    """The time spent on a stage, by this process and by earlier ones."""

    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    """The seconds of each step."""
    rows: int | None = None
    """The rows of the last step."""


class CurrentStep(NamedTuple):
    """The step in progress."""

    stage: str | None
    """None between stages."""
    name: str
    started: float
    earlier_seconds: float
    """The time that earlier processes spent on it."""


class Stopwatch:
    """Measures steps and stages."""

    def __init__(self, clock: RunClock, earlier_seconds: float = 0.0, earlier: Iterable[StageStatus] = ()) -> None:
        """Start measuring. earlier_seconds, earlier: the times of the processes before this one."""
        self._clock = clock
        self._started = clock.seconds()
        self._earlier_seconds = earlier_seconds
        self._stages = {
            stage.name: StageTime(stage.seconds, dict(stage.steps), stage.rows)
            for stage in earlier
            if stage.seconds is not None
        }
        self._current_stage: tuple[str, float] | None = None
        self.step = CurrentStep(None, "preflight", self._started, 0.0)

    def discard_earlier(self) -> None:
        """Forget the times of earlier processes: the run starts from scratch."""
        self._stages, self._earlier_seconds = {}, 0.0

    def start_stage(self, stage: str, *, resumed: bool) -> None:
        """Start a stage. resumed: keep the time that earlier processes spent on it."""
        if not resumed:
            self._stages[stage] = StageTime()
        self._stages.setdefault(stage, StageTime())
        self._current_stage = (stage, self._clock.seconds())

    def finish_stage(self, stage: str) -> float:
        """Finish the stage; return the seconds spent on it by all processes."""
        time_of_stage = self._stages[stage]
        time_of_stage.seconds = self.stage_seconds(stage)
        self._current_stage = None
        return time_of_stage.seconds

    def start_step(self, stage: str, name: str) -> None:
        """Start a step of a stage."""
        earlier_seconds = self._stages.setdefault(stage, StageTime()).steps.get(name, 0.0)
        self.step = CurrentStep(stage, name, self._clock.seconds(), earlier_seconds)

    def start_activity(self, name: str) -> None:
        """Start something that belongs to no stage."""
        self.step = CurrentStep(None, name, self._clock.seconds(), 0.0)

    def finish_step(self, rows: int) -> None:
        """Record the time and the rows of the step in progress; an activity between stages is not recorded."""
        if self.step.stage is not None:
            stage = self._stages.setdefault(self.step.stage, StageTime())
            stage.steps[self.step.name] = self.step_seconds
            stage.rows = rows

    @property
    def seconds(self) -> float:
        """The seconds that all processes together have spent on the run."""
        return self._clock.seconds() - self._started + self._earlier_seconds

    @property
    def step_seconds(self) -> float:
        """The seconds spent on the step in progress."""
        return self._clock.seconds() - self.step.started + self.step.earlier_seconds

    @property
    def current_stage(self) -> str | None:
        """The stage in progress."""
        return self._current_stage[0] if self._current_stage else None

    def stage_seconds(self, stage: str) -> float:
        """Return the seconds spent on a stage, including those in progress."""
        current = self._current_stage
        in_progress = self._clock.seconds() - current[1] if current and current[0] == stage else 0.0
        return self._stages[stage].seconds + in_progress

    def finished(self, stage: str) -> StageTime:
        """Return the recorded time of a stage, without the step in progress; zero if there is none."""
        return self._stages.get(stage, StageTime())

    def all_steps(self) -> dict[str, dict[str, float]]:
        """Return the seconds of each step of each stage, including the step in progress."""
        # A list, because the thread that runs the stages may add one meanwhile.
        steps = {name: dict(stage.steps) for name, stage in list(self._stages.items())}
        if self.step.stage is not None:
            steps.setdefault(self.step.stage, {})[self.step.name] = self.step_seconds
        return steps


class RecentRate:
    """The rate of a count over the last seconds."""

    def __init__(self, seconds: float) -> None:
        """Measure over this many seconds."""
        self._seconds = seconds
        self._samples: deque[tuple[float, int]] = deque()

    def reset(self) -> None:
        """Forget all samples."""
        self._samples = deque()  # a new one: another thread may be adding a sample

    def sample(self, now: float, count: int) -> float | None:
        """Add a sample; return the rate since the oldest one that is recent enough, None if nothing was counted."""
        samples = self._samples
        samples.append((now, count))
        while now - samples[0][0] > self._seconds:
            samples.popleft()
        return rate(count - samples[0][1], now - samples[0][0])


def rate(count: int, seconds: float) -> float | None:
    """Return the count per second, None if either is not positive."""
    return round(count / seconds, 1) if count > 0 and seconds > 0 else None
