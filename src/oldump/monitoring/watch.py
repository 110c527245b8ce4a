"""Read the runs in an output folder once, or follow one until it ends."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from oldump.errors import ConfigurationError
from oldump.monitoring.health import Expectation, assess_run, assess_runs
from oldump.monitoring.summary import RunCondition, RunSummary
from oldump.run.folder import RunFolder

_POLL_SECONDS = 1.0


@dataclass
class RunWatcher:
    """Reads the runs in a folder, or a single one."""

    out: Path
    expected: Expectation
    day: date | None = None
    """The date of the single run; None for all runs."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep

    def read(self) -> list[RunSummary]:
        """Return the current summaries. Raises ConfigurationError if the run does not exist or is unreadable."""
        if self.day is None:
            return assess_runs(self.out, self.clock(), self.expected)
        run = assess_run(RunFolder(self.out, self.day), self.clock(), self.expected)
        if run.condition is RunCondition.MISSING and not run.late:
            raise ConfigurationError(
                f"{self.out}: there is no run for {self.day}", "Run `oldump status` to list the runs."
            )
        return [run]

    def select_running(self) -> bool:
        """Select the newest run in progress, unless a date is set. Return whether a run is selected."""
        if self.day is None:
            self.day = next((run.date for run in self.read() if run.is_running), None)
        return self.day is not None

    def changes(self) -> Iterator[list[RunSummary]]:
        """Yield the selected run's summary whenever it changes, until the run ends."""
        previous: list[RunSummary] = []
        while True:
            runs = self.read()
            if runs != previous:
                yield runs
            if not runs[0].is_running:
                return
            previous = runs
            self.sleep(_POLL_SECONDS)
