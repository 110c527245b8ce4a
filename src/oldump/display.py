"""How progress is shown: a live display on a terminal, otherwise a log line every 30 seconds. And tables.

Does not: write to standard output, where data may go.
"""

import io
import logging
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from oldump.run.progress import shown_bytes, unit_of

LOG_SECONDS = 30
_REFRESH_SECONDS = 0.2

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
        left = f", about {_duration(seconds / done - seconds)} left" if done else ""
        amount, rate = _counted(rows, self._unit), _counted(rows / seconds, self._unit)
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


class LiveProgress:
    """A line for each step of each stage: rows, rate, share done, time left."""

    def __init__(self, console: Console) -> None:
        """Take the terminal."""
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description:16}"),
            BarColumn(bar_width=12),
            TextColumn("{task.percentage:>4.0f} %"),
            TextColumn("{task.fields[rows]:>12}"),
            TextColumn("{task.fields[rate]:>14}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            auto_refresh=False,  # it would need a thread, and workers are forked while the display is on
            redirect_stdout=False,  # that is data's
        )
        self._refreshed = 0.0
        self._task: TaskID | None = None
        self._unit = "rows"
        self._began = 0.0

    def begin(self, stage: str, step: str) -> None:
        """Begin a line."""
        self._finish()
        self._unit = unit_of(step)
        if not self._progress.live.is_started:
            self._progress.start()
        self._task = self._progress.add_task(f"{stage}: {step}", total=None, rows="", rate="")
        self._began = time.monotonic()

    def update(self, rows: int, done: float | None) -> None:
        """Renew the line."""
        if self._task is not None:
            seconds = max(time.monotonic() - self._began, 1e-3)
            total, completed = (None, 0.0) if done is None else (1.0, done)
            self._progress.update(
                self._task,
                total=total,
                completed=completed,
                rows=_counted(rows, self._unit),
                rate=f"{_counted(rows / seconds, self._unit)}/s",
            )
            if time.monotonic() > self._refreshed + _REFRESH_SECONDS:
                self._refreshed = time.monotonic()
                self._progress.refresh()

    def end(self, stage: str) -> None:  # noqa: ARG002 - the protocol's
        """Finish the line."""
        self._finish()

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=1.0, completed=1.0)
            self._progress.refresh()
            self._task = None

    def __enter__(self) -> Self:
        """Nothing to prepare: the display starts with the first step."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the lines as they are."""
        self._progress.stop()


def progress_shown(*, alone: bool = True) -> LiveProgress | LoggedProgress:
    """The display that suits standard error. alone: whether nothing else is expected to write to its terminal."""
    return LiveProgress(Console(stderr=True)) if alone and sys.stderr.isatty() else LoggedProgress()


_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}


def boxed(lines: list[tuple[str, ...]], width: int) -> str:
    """A table for a terminal of this width, its heading first: cells are folded, verdicts coloured."""
    heading, *rows = lines
    table = Table(*heading, show_lines=True)
    for row in rows:
        table.add_row(*(Text(cell, _STYLES.get(cell, "")) for cell in row))  # Text: a bracket is no markup
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip("\n")


def _counted(amount: float, unit: str) -> str:
    return shown_bytes(amount) if unit == "bytes" else f"{amount:,.0f} {unit}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
