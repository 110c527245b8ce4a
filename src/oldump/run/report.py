"""Tells how a run stands: listens to its progress and keeps `status.json` up to date, from a thread of its own.

Whatever the run is at, a sort, a sync, a database that does not answer, the file is renewed every few seconds. Nothing
here can fail a run: a status that cannot be written is left as it was.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from oldump.errors import OldumpError, Stopped, attach_log_fields, exit_code_of
from oldump.run.folder import RunFolder
from oldump.run.forecast import TYPICAL, Forecast, Outlook, Standing, outlook
from oldump.run.journal import Journal
from oldump.run.measures import free_bytes, memory_bytes, size_bytes
from oldump.run.owner import Owner
from oldump.run.periodic import PeriodicThread
from oldump.run.progress import Progress
from oldump.run.status import StageStatus, State, Status, put

log = logging.getLogger("oldump")

BEAT_SECONDS = 2.0
"""Between two statuses: no reader finds one that is older than 5 s, also on a busy machine."""
_RECENT_SECONDS = 30.0
_WARNINGS = 10


class Clock(NamedTuple):
    """What time is told by."""

    seconds: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass
class _Clocked:
    """What a stage took so far, in this process and in those before it."""

    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    rows: int | None = None


class _Step(NamedTuple):
    """What is at work."""

    stage: str | None
    name: str
    began: float
    seconds_before: float


@dataclass(frozen=True)
class Outline:
    """What a run consists of."""

    to_do: list[str]
    left_out: Collection[str]
    """Stages that this command does not run, and are not committed."""
    stages: list[str]
    """All, in their order."""
    forecast: Forecast


class _Warnings(logging.Handler):
    """Keeps the last warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last: deque[str] = deque(maxlen=_WARNINGS)

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self.last.append(_printable(record.getMessage()))


class _Marks(logging.Filter):
    """Lets every log line know of which run and stage it is."""

    def __init__(self, day: str) -> None:
        super().__init__()
        self.day = day
        self.stage: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        record.__dict__.update(self.known)
        return True

    @property
    def known(self) -> dict[str, str | None]:
        return {"run_date": self.day, "stage": self.stage}


class Report:
    """A Progress that keeps the status of a run, and passes on what it hears."""

    def __init__(
        self,
        folder: RunFolder,
        progress: Progress,
        is_ours: Callable[[], bool] = lambda: True,
        clock: Clock = Clock(),  # noqa: B008 - it is frozen
    ) -> None:
        """is_ours: whether this process may still write the run's status."""
        self.heart = PeriodicThread("status", BEAT_SECONDS, self.write)
        self.warnings = _Warnings()
        self.marks = _Marks(str(folder.date))
        self._folder, self._progress, self._is_ours, self._clock = folder, progress, is_ours, clock
        self._before = _read(folder.status)
        self._owner = asdict(Owner.ours())
        self._resumed = self._now()
        self._began = clock.seconds()
        self._state = State.RUNNING
        self._error: str | None = None
        self._exit_code: int | None = None
        self._outline = Outline([], (), [], Forecast(TYPICAL))
        self._journal: Journal | None = None
        self._clocked: dict[str, _Clocked] = {}
        self._entered: tuple[str, float] | None = None
        self._step = _Step(None, "preflight", self._began, 0.0)
        self._rows = 0
        self._share: float | None = None
        self._samples: deque[tuple[float, int]] = deque()
        self._most_memory = 0
        self._take_over()

    # What it hears

    def begin(self, stage: str, step: str) -> None:
        """A step of a stage begins."""
        self._finish_step()
        before = self._clocked.setdefault(stage, _Clocked()).steps.get(step, 0.0)
        self._rows, self._share = 0, None
        self._samples = deque()
        self._step = _Step(stage, step, self._clock.seconds(), before)
        self._progress.begin(stage, step)

    def update(self, rows: int, done: float | None) -> None:
        """So many rows so far, and this share of the step."""
        self._rows, self._share = rows, done
        self._progress.update(rows, done)

    def end(self, stage: str) -> None:
        """The stage is over."""
        self._finish_step()
        self._progress.end(stage)

    def between(self, what: str) -> None:
        """Something is done that is no step of a stage."""
        self._finish_step()
        self._rows, self._share = 0, None
        self._samples = deque()
        self._step = _Step(None, what, self._clock.seconds(), 0.0)

    def outline(self, outline: Outline, journal: Journal, *, anew: bool) -> None:
        """What the run consists of. anew: what processes before this one did has come to nothing."""
        self._outline, self._journal = outline, journal
        if anew:
            self._before, self._clocked, self._most_memory = None, {}, 0

    def enter(self, stage: str, *, goes_on: bool) -> None:
        """A stage begins. goes_on: from where another process has got to, rather than from its beginning."""
        if not (goes_on and self._before and self._before.version == version("oldump")):
            self._clocked[stage] = _Clocked()
        self._clocked.setdefault(stage, _Clocked())
        self.marks.stage = stage
        self._entered = (stage, self._clock.seconds())

    def leave(self, stage: str) -> float:
        """A stage has ended: the seconds that it took, with all its parts."""
        self._finish_step()
        clocked = self._clocked[stage]
        clocked.seconds = self._seconds_of(stage)
        self._entered = None
        self.between("commit")
        return clocked.seconds

    def complete(self) -> None:
        """The run is complete."""
        self._state = State.COMPLETE

    def was_complete(self) -> None:
        """The run was complete before: how that ended stays to be seen."""
        if self._before and self._before.state is State.COMPLETE:
            self._is_ours = lambda: False
            with suppress(OSError):
                put(self._folder.status, self._before.written())
        self.complete()

    def ended_by(self, error: BaseException) -> None:
        """What ended this process."""
        is_stop = isinstance(error, Stopped) or not isinstance(error, Exception)
        self._state = State.STOPPED if is_stop else State.FAILED
        is_foreseen = isinstance(error, OldumpError | Stopped)
        self._error = _printable(str(error) if is_foreseen else f"{type(error).__name__}: {error}")
        self._exit_code = exit_code_of(error)
        attach_log_fields(error, self.marks.known)

    def ended(self) -> None:
        """This process works on the run no more."""
        if self._state is State.RUNNING:
            self._state = State.STOPPED
        with suppress(Exception):  # whatever it is, it must not hide how the run ended
            self.write()

    # What it tells

    @property
    def began(self) -> str:
        """When the run was begun, in UTC."""
        return self._before.began if self._before else self._resumed

    @property
    def seconds(self) -> float:
        """That processes have worked on the run."""
        return self._clock.seconds() - self._began + (self._before.seconds if self._before else 0.0)

    def steps_of(self, stage: str) -> dict[str, float]:
        """The seconds of each step of a stage, with all its parts."""
        return {name: round(seconds, 3) for name, seconds in self._clocked.get(stage, _Clocked()).steps.items()}

    def rows_of(self, stage: str) -> int | None:
        """The rows of a stage's last step; None if nobody knows."""
        return self._clocked.get(stage, _Clocked()).rows

    def write(self) -> None:
        """Write the status, if the run is still ours. Raises OSError."""
        if self._is_ours():
            put(self._folder.status, self.status().written())

    def status(self) -> Status:
        """How the run stands now."""
        step, now = self._step, self._clock.seconds()
        in_step = now - step.began + step.seconds_before
        ahead = self._outlook(step)
        memory = memory_bytes()
        self._most_memory = max(self._most_memory, memory or 0)
        is_running = self._state is State.RUNNING
        eta = None if ahead.seconds is None else self._clock.now() + timedelta(seconds=ahead.seconds)
        return Status(
            date=str(self._folder.date),
            state=self._state,
            owner=self._owner,
            began=self.began,
            resumed=self._resumed,
            updated=self._now(),
            seconds=round(self.seconds, 1),
            version=version("oldump"),
            log=str(self._folder.log),
            stage=step.stage,
            step=step.name if is_running or step.stage else None,
            rows=self._rows,
            rows_per_second=self._recent(now),
            mean_rows_per_second=_rate(self._rows, in_step),
            step_share=self._share,
            stage_share=ahead.stage_share,
            run_share=1.0 if self._state is State.COMPLETE else ahead.run_share,
            eta=eta.isoformat(timespec="seconds") if eta and is_running else None,
            forecast_from=self._outline.forecast.origin,
            memory_bytes=memory,
            most_memory_bytes=self._most_memory or None,
            spill_bytes=size_bytes(self._folder.spill),
            free_bytes=free_bytes(self._folder.private),
            stages=self._stages(),
            warnings=list(self.warnings.last),
            error=self._error,
            exit_code=None if is_running else self._exit_code or 0,
        )

    def _take_over(self) -> None:
        """Begin with what stages took that other processes had begun, and with the most memory that those had."""
        self._most_memory = (self._before and self._before.most_memory_bytes) or 0
        for stage in self._before.stages if self._before else ():
            if stage.seconds is not None:
                self._clocked[stage.name] = _Clocked(stage.seconds, dict(stage.steps), stage.rows)

    def _finish_step(self) -> None:
        step = self._step
        if step.stage is not None:
            clocked = self._clocked.setdefault(step.stage, _Clocked())
            clocked.steps[step.name] = step.seconds_before + self._clock.seconds() - step.began
            clocked.rows = self._rows

    def _seconds_of(self, stage: str) -> float:
        """That a stage took, with what it is at now."""
        entered = self._entered
        now = self._clock.seconds() - entered[1] if entered and entered[0] == stage else 0.0
        return self._clocked[stage].seconds + now

    def _now(self) -> str:
        return self._clock.now().isoformat(timespec="seconds")

    def _recent(self, now: float) -> float | None:
        """Rows a second, over the last half minute of the step."""
        samples = self._samples
        samples.append((now, self._rows))
        while now - samples[0][0] > _RECENT_SECONDS:
            samples.popleft()
        return _rate(self._rows - samples[0][1], now - samples[0][0])

    def _steps(self, step: _Step) -> dict[str, dict[str, float]]:
        """The seconds of all steps, with what is at work."""
        steps = {name: dict(clocked.steps) for name, clocked in list(self._clocked.items())}
        if step.stage is not None:
            seconds = self._clock.seconds() - step.began + step.seconds_before
            steps.setdefault(step.stage, {})[step.name] = seconds
        return steps

    def _outlook(self, step: _Step) -> Outlook:
        """What is to come, as far as that can be known."""
        if step.stage is None or step.stage not in self._outline.to_do:
            return Outlook(None, None, None)
        to_do, committed = self._outline.to_do, self._committed()
        to_come = [name for name in to_do if name not in committed and name != step.stage]
        standing = Standing(self._steps(step), step.stage, step.name, self._share, committed, to_come)
        return outlook(self._outline.forecast, standing)

    def _committed(self) -> dict[str, float]:
        """The seconds of what is committed."""
        stages = self._journal.stages | self._journal.delivered if self._journal else {}
        return {name: committed.seconds for name, committed in stages.items()}

    def _stages(self) -> list[StageStatus]:
        if not self._outline.stages:  # it is not known yet what is to be done
            before = self._before.stages if self._before else []
            return [stage if stage.state == "committed" else replace(stage, state="waiting") for stage in before]
        committed, steps, at_work = self._committed(), self._steps(self._step), self._entered
        return [
            self._stage(name, committed.get(name), steps.get(name, {}), at_work[0] if at_work else None)
            for name in self._outline.stages
        ]

    def _stage(self, name: str, took: float | None, steps: dict[str, float], at_work: str | None) -> StageStatus:
        clocked = self._clocked.get(name)
        rows = clocked.rows if clocked else None
        if name == at_work:
            state, took, rows = self._state.value, self._seconds_of(name), self._rows
        elif took is not None:
            state = "committed"
        else:
            state = "left out" if name in self._outline.left_out else "waiting"
            took = clocked.seconds if clocked and clocked.seconds else None
        forecast = self._outline.forecast.seconds_of(name)
        rounded = {step: round(seconds, 3) for step, seconds in steps.items()}
        return StageStatus(name, state, _rounded(took), _rounded(forecast), rows, rounded)


@contextmanager
def reported(report: Report) -> Iterator[Report]:
    """Keep the status up to date meanwhile, and say at the end how it ended."""
    log.addHandler(report.warnings)
    log.addFilter(report.marks)
    with suppress(OSError):
        report.write()
    report.heart.begin()
    try:
        yield report
    except BaseException as error:
        report.ended_by(error)
        raise
    finally:
        report.heart.end()
        report.ended()
        log.removeHandler(report.warnings)
        log.removeFilter(report.marks)


def _read(path: Path) -> Status | None:
    with suppress(OSError):
        return Status.at(path)
    return None


def _printable(text: str) -> str:
    """The text without what no UTF-8 is: a message may quote a path that is none."""
    return text.encode(errors="backslashreplace").decode()


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _rate(rows: int, seconds: float) -> float | None:
    return round(rows / seconds, 1) if rows > 0 and seconds > 0 else None
