"""Progress of a run: a live display on a terminal, otherwise a log line every 30 seconds.

`rich`, which is slow to import, is imported only for the live display.
"""

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from oldump.run.formatting import format_amount, format_seconds
from oldump.run.progress import unit_of

if TYPE_CHECKING:
    from oldump.terminal.display import LiveProgress

LOG_SECONDS = 30

log = logging.getLogger("oldump")


class LoggedProgress:
    """Logs progress every 30 seconds."""

    def __init__(self) -> None:
        """Start without a step."""
        self._step, self._unit = "", "rows"
        self._began = self._logged = time.monotonic()

    def begin(self, stage: str, step: str) -> None:
        """Start the clock for a step."""
        self._step, self._unit = f"{stage}: {step}", unit_of(step)
        self._began = self._logged = time.monotonic()

    def update(self, rows: int, done: float | None) -> None:
        """Log the progress if 30 seconds have passed."""
        now = time.monotonic()
        if now < self._logged + LOG_SECONDS:
            return
        self._logged = now
        seconds = now - self._began
        share = "" if done is None else f", {done:.1%} done"
        left = f", about {format_seconds(seconds / done - seconds)} left" if done else ""
        amount, rate = format_amount(rows, self._unit), format_amount(rows / seconds, self._unit)
        log.info("%s: %s, %s/s%s%s", self._step, amount, rate, share, left)

    def end(self, stage: str) -> None:
        """Do nothing: the stage logs its own result."""

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""


def progress_display(*, live: bool = True) -> "LiveProgress | LoggedProgress":
    """Return a live display if standard error is a terminal and `live` is true, otherwise one that logs."""
    if not (live and sys.stderr.isatty()):
        return LoggedProgress()
    from oldump.terminal.display import live_progress  # noqa: PLC0415 - rich is slow to import

    return live_progress()
