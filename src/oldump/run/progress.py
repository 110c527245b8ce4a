"""The interface of progress observers: a run reports its progress to one, and nothing below prints."""

from typing import Protocol

_UNITS = {"sending": "bytes", "looking": "files"}


class Progress(Protocol):
    """Observes the progress of a run."""

    def begin(self, stage: str, step: str) -> None:
        """A step of a stage begins."""

    def update(self, rows: int, done: float | None) -> None:
        """Report the rows so far (see `unit_of`) and the share of the step that is done, 0 to 1, None if unknown."""

    def end(self, stage: str) -> None:
        """The last step of the stage has ended."""


class NoProgress:
    """An observer that ignores all progress."""

    def begin(self, stage: str, step: str) -> None:
        """Do nothing."""

    def update(self, rows: int, done: float | None) -> None:
        """Do nothing."""

    def end(self, stage: str) -> None:
        """Do nothing."""


def unit_of(step: str) -> str:
    """Return what `update` counts in a step: rows, or in the steps of an upload bytes or files."""
    return _UNITS.get(step, "rows")
