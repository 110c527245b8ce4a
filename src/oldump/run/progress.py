"""How a run shows that it goes on: an observer that is handed in, so that nothing below prints."""

from typing import Protocol

_COUNTED = {"sending": "bytes", "looking": "files"}


class Progress(Protocol):
    """Told what is being done; shows it, or not."""

    def begin(self, stage: str, step: str) -> None:
        """A step of a stage begins."""

    def update(self, rows: int, done: float | None) -> None:
        """So many rows (see unit_of) so far, and this share of the step (0 to 1; None: not known)."""

    def end(self, stage: str) -> None:
        """The stage is over."""


class Silence:
    """Shows nothing."""

    def begin(self, stage: str, step: str) -> None:
        """Say nothing."""

    def update(self, rows: int, done: float | None) -> None:
        """Say nothing."""

    def end(self, stage: str) -> None:
        """Say nothing."""


def unit_of(step: str) -> str:
    """What `update` counts in a step: rows, but bytes or files in the steps of an upload."""
    return _COUNTED.get(step, "rows")


_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB")


def shown_bytes(size_bytes: float) -> str:
    """A size for people, in powers of 1000, such as 31.0 GB."""
    for unit in _SIZES[:-1]:
        if size_bytes < 999.95:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} {_SIZES[-1]}"


def shown_amount(amount: float, unit: str) -> str:
    """So many of a unit, for people."""
    return shown_bytes(amount) if unit == "bytes" else f"{amount:,.0f} {unit}"
