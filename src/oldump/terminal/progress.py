"""How progress is shown: a live display on a terminal, otherwise a log line every 30 seconds.

Does not: import what draws on a terminal where there is none: that takes long.
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
    """Tells the log, every 30 seconds."""

    def __init__(self) -> None:
        """Begin with nothing to tell."""
        self._what, self._unit = "", "rows"
        self._began = self._told = time.monotonic()

    def begin(self, stage: str, step: str) -> None:
        """Note the step."""
        self._what, self._unit = f"{stage}: {step}", unit_of(step)
        self._began = self._told = time.monotonic()

    def update(self, rows: int, done: float | None) -> None:
        """Tell, if it is time to."""
        now = time.monotonic()
        if now < self._told + LOG_SECONDS:
            return
        self._told = now
        seconds = now - self._began
        share = "" if done is None else f", {done:.1%} done"
        left = f", about {format_seconds(seconds / done - seconds)} left" if done else ""
        amount, rate = format_amount(rows, self._unit), format_amount(rows / seconds, self._unit)
        log.info("%s: %s, %s/s%s%s", self._what, amount, rate, share, left)

    def end(self, stage: str) -> None:
        """The stage's own log lines say it."""

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to undo."""


def progress_display(*, live: bool = True) -> "LiveProgress | LoggedProgress":
    """The display that suits standard error. live: whether a live display may take the terminal."""
    if not (live and sys.stderr.isatty()):
        return LoggedProgress()
    from oldump.terminal.display import live_progress  # noqa: PLC0415 - rich takes long to import

    return live_progress()
