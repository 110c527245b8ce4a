"""Keep `status.json` up to date: a progress observer that writes the status from a thread of its own.

The file is rewritten every few seconds whatever the run is doing: sorting, syncing, or waiting for a database. A report
cannot abort a run: if the status cannot be written, the previous one stays.

Does not: measure times (run.stopwatch does) or show progress.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from oldump.errors import OldumpError, Stopped, attach_log_fields, exit_code_of
from oldump.run.folder import RunFolder
from oldump.run.forecast import TYPICAL, Estimate, Forecast, RunPosition, estimate
from oldump.run.formatting import printable
from oldump.run.journal import Journal
from oldump.run.log import LastWarnings, LogContext
from oldump.run.measures import disk_space, memory_bytes, size_bytes
from oldump.run.owner import Owner
from oldump.run.periodic import PeriodicThread
from oldump.run.progress import Progress
from oldump.run.status import ReportedState, StageStatus, Status, write_atomically
from oldump.run.stopwatch import RecentRate, RunClock, Stopwatch, rate

log = logging.getLogger("oldump")

INTERVAL_SECONDS = 2.0
"""The time between two statuses. Even on a busy machine no reader finds one older than 5 s."""
_RECENT_SECONDS = 30.0
_WARNINGS = 10


@dataclass(frozen=True)
class Outline:
    """The stages of a run."""

    to_do: list[str]
    left_out: Collection[str]
    """Stages that are neither committed nor run by this command."""
    stages: list[str]
    """All stages, in order."""
    forecast: Forecast


class Report:
    """Observes the progress of a run, writes its status, and forwards the progress to another observer."""

    def __init__(
        self,
        folder: RunFolder,
        progress: Progress,
        may_write: Callable[[], bool] = lambda: True,
        clock: RunClock = RunClock(),  # noqa: B008 - it is immutable
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        """Continue the report of earlier processes, if there is one.

        may_write: whether this process still owns the run's status.
        """
        self.writer = PeriodicThread("status", interval_seconds, self.write)
        self.warnings = LastWarnings(_WARNINGS)
        self.log_context = LogContext(str(folder.date))
        self._folder, self._progress, self._may_write, self._clock = folder, progress, may_write, clock
        self._earlier = _read(folder.status)
        self._owner = asdict(Owner.current())
        self._resumed = clock.timestamp()
        self._state = ReportedState.RUNNING
        self._error: str | None = None
        self._exit_code: int | None = None
        self._outline = Outline([], (), [], Forecast(TYPICAL))
        self._journal: Journal | None = None
        earlier = self._earlier
        self._stopwatch = Stopwatch(clock, earlier.seconds, earlier.stages) if earlier else Stopwatch(clock)
        self._peak_memory_bytes = (earlier and earlier.most_memory_bytes) or 0
        self._rows = 0
        self._share: float | None = None
        self._recent_rate = RecentRate(_RECENT_SECONDS)

    # Observing

    def begin(self, stage: str, step: str) -> None:
        """Start a step of a stage."""
        self._finish_step()
        self._stopwatch.start_step(stage, step)
        self._progress.begin(stage, step)

    def update(self, rows: int, done: float | None) -> None:
        """Record the rows so far and the share of the step that is done."""
        self._rows, self._share = rows, done
        self._progress.update(rows, done)

    def end(self, stage: str) -> None:
        """End the last step of a stage."""
        self._stopwatch.finish_step(self._rows)
        self._progress.end(stage)

    def start_activity(self, name: str) -> None:
        """Start something that belongs to no stage, such as the publication."""
        self._finish_step()
        self._stopwatch.start_activity(name)

    def set_outline(self, outline: Outline, journal: Journal, *, restarted: bool) -> None:
        """Set the stages of the run. restarted: discard what earlier processes reported."""
        self._outline, self._journal = outline, journal
        if restarted:
            self._earlier, self._peak_memory_bytes = None, 0
            self._stopwatch.discard_earlier()

    def start_stage(self, stage: str, *, resumed: bool) -> None:
        """Start a stage. resumed: it continues from a checkpoint of an earlier process."""
        is_continued = resumed and self._earlier is not None and self._earlier.version == version("oldump")
        self._stopwatch.start_stage(stage, resumed=is_continued)
        self.log_context.stage = stage

    def finish_stage(self, stage: str) -> float:
        """Finish a stage; return the seconds that all processes together spent on it."""
        self._stopwatch.finish_step(self._rows)
        seconds = self._stopwatch.finish_stage(stage)
        self.start_activity("commit")
        return seconds

    def mark_complete(self) -> None:
        """Set the state to complete."""
        self._state = ReportedState.COMPLETE

    def mark_already_complete(self) -> None:
        """Set the state to complete, and keep the status of the process that completed the run."""
        if self._earlier and self._earlier.state is ReportedState.COMPLETE:
            self._may_write = lambda: False
            with suppress(OSError):
                write_atomically(self._folder.status, self._earlier.to_json())
        self.mark_complete()

    def record_error(self, error: BaseException) -> None:
        """Set the state to failed, or stopped, by the exception that ends this process."""
        is_stop = isinstance(error, Stopped) or not isinstance(error, Exception)
        self._state = ReportedState.STOPPED if is_stop else ReportedState.FAILED
        is_expected = isinstance(error, OldumpError | Stopped)
        self._error = printable(str(error) if is_expected else f"{type(error).__name__}: {error}")
        self._exit_code = exit_code_of(error)
        attach_log_fields(error, self.log_context.fields)

    def close(self) -> None:
        """Write the final status. Never raises: an error here must not hide how the run ended."""
        if self._state is ReportedState.RUNNING:
            self._state = ReportedState.STOPPED
        with suppress(Exception):
            self.write()

    # Reporting

    @property
    def began(self) -> str:
        """When the run was started, in UTC."""
        return self._earlier.began if self._earlier else self._resumed

    @property
    def seconds(self) -> float:
        """The seconds that all processes together have spent on the run."""
        return self._stopwatch.seconds

    def step_seconds(self, stage: str) -> dict[str, float]:
        """Return the seconds that all processes together spent on each step of a stage."""
        return _rounded_steps(self._stopwatch.finished(stage).steps)

    def rows_of(self, stage: str) -> int | None:
        """Return the rows of a stage's last step; None if they are unknown."""
        return self._stopwatch.finished(stage).rows

    def write(self) -> None:
        """Write the status, if this process still owns it. Raises OSError."""
        if self._may_write():
            write_atomically(self._folder.status, self.status().to_json())

    def status(self) -> Status:
        """Return the current status."""
        step, ahead, memory = self._stopwatch.step, self._estimate(), memory_bytes()
        space = disk_space(self._folder.private)
        self._peak_memory_bytes = max(self._peak_memory_bytes, memory or 0)
        is_running = self._state is ReportedState.RUNNING
        eta = None if ahead.seconds is None else self._clock.now() + timedelta(seconds=ahead.seconds)
        return Status(
            date=str(self._folder.date),
            state=self._state,
            owner=self._owner,
            began=self.began,
            resumed=self._resumed,
            updated=self._clock.timestamp(),
            seconds=round(self.seconds, 1),
            version=version("oldump"),
            log=str(self._folder.log),
            stage=step.stage,
            step=step.name if is_running or step.stage else None,
            rows=self._rows,
            rows_per_second=self._recent_rate.sample(self._clock.seconds(), self._rows),
            mean_rows_per_second=rate(self._rows, self._stopwatch.step_seconds),
            step_share=self._share,
            stage_share=ahead.stage_share,
            run_share=1.0 if self._state is ReportedState.COMPLETE else ahead.run_share,
            eta=eta.isoformat(timespec="seconds") if eta and is_running else None,
            forecast_from=self._outline.forecast.origin,
            memory_bytes=memory,
            most_memory_bytes=self._peak_memory_bytes or None,
            spill_bytes=size_bytes(self._folder.spill.rglob("*")),
            free_bytes=space.free_bytes if space else None,
            stages=self._stages(),
            warnings=self.warnings.messages,
            error=self._error,
            exit_code=None if is_running else self._exit_code or 0,
        )

    def _finish_step(self) -> None:
        """Finish the step in progress, and count the next one from zero."""
        self._stopwatch.finish_step(self._rows)
        self._rows, self._share = 0, None
        self._recent_rate.reset()

    def _estimate(self) -> Estimate:
        step, to_do = self._stopwatch.step, self._outline.to_do
        if step.stage is None or step.stage not in to_do:
            return Estimate(None, None, None)
        committed = self._committed_seconds()
        to_come = [name for name in to_do if name not in committed and name != step.stage]
        steps = self._stopwatch.all_steps()
        position = RunPosition(steps, step.stage, step.name, self._share, committed, to_come)
        return estimate(self._outline.forecast, position)

    def _committed_seconds(self) -> dict[str, float]:
        stages = self._journal.stages | self._journal.delivered if self._journal else {}
        return {name: committed.seconds for name, committed in stages.items()}

    def _stages(self) -> list[StageStatus]:
        if not self._outline.stages:  # the outline is not set yet: repeat what the earlier process reported
            earlier = self._earlier.stages if self._earlier else []
            return [stage if stage.state == "committed" else replace(stage, state="waiting") for stage in earlier]
        committed, steps = self._committed_seconds(), self._stopwatch.all_steps()
        return [self._stage(name, committed.get(name), steps.get(name, {})) for name in self._outline.stages]

    def _stage(self, name: str, committed_seconds: float | None, steps: dict[str, float]) -> StageStatus:
        finished = self._stopwatch.finished(name)
        seconds, rows = committed_seconds, finished.rows
        if name == self._stopwatch.current_stage:
            state, seconds, rows = self._state.value, self._stopwatch.stage_seconds(name), self._rows
        elif seconds is not None:
            state = "committed"
        else:
            state = "left out" if name in self._outline.left_out else "waiting"
            seconds = finished.seconds or None
        forecast = self._outline.forecast.seconds_of(name)
        return StageStatus(name, state, _rounded(seconds), _rounded(forecast), rows, _rounded_steps(steps))


@contextmanager
def reported(report: Report) -> Iterator[Report]:
    """Keep the status up to date during the block, and write at its end how the run ended."""
    log.addHandler(report.warnings)
    log.addFilter(report.log_context)
    with suppress(OSError):
        report.write()
    report.writer.start()
    try:
        yield report
    except BaseException as error:
        report.record_error(error)
        raise
    finally:
        report.writer.stop()
        report.close()
        log.removeHandler(report.warnings)
        log.removeFilter(report.log_context)


def _read(path: Path) -> Status | None:
    with suppress(OSError):
        return Status.read_file(path)
    return None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _rounded_steps(steps: dict[str, float]) -> dict[str, float]:
    return {name: round(seconds, 3) for name, seconds in steps.items()}
