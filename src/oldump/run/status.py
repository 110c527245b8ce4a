"""How a run stands, as `status.json` says it.

The file is replaced every few seconds while a process works on the run, and once when that ends. It is for people and
monitors: nothing that a run does depends on it, but for how long the parts of a stage took that was stopped.

Does not: find out how the run stands (run.report does), or judge whether that is well (overview does).
"""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import msgspec

from oldump.run.owner import Owner

FORMAT_VERSION = 1
_TEMPORARY_SUFFIX = ".new"
"""Not that of files in the making, which a run that goes on tidies away."""


class State(StrEnum):
    """What a run is at."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    STOPPED = "stopped"
    """By a signal, or at the end of what --only or --skip asked for."""


@dataclass(frozen=True)
class StageStatus:
    """How a stage stands."""

    name: str
    state: str
    """committed; running, or failed or stopped with its run; waiting; left out: not to be run by this command."""
    seconds: float | None = None
    """That it took so far, all its parts together if it was stopped; None: nobody knows."""
    forecast_seconds: float | None = None
    """That it was expected to take."""
    rows: int | None = None
    """Rows or records, of its last step."""
    steps: dict[str, float] = field(default_factory=dict)
    """The seconds of each step."""


@dataclass(frozen=True)
class Status:
    """How a run stood when this was written. Times are in UTC, sizes in bytes, shares from 0 to 1; None: not known."""

    date: str
    state: State
    owner: dict[str, Any]
    """The process that works, or worked, on the run: the members of run.owner.Owner."""
    began: str
    """When the run was begun."""
    resumed: str
    """When this process took it up."""
    updated: str
    seconds: float
    """That processes worked on it, all together."""
    version: str
    """Of oldump."""
    log: str
    stage: str | None = None
    step: str | None = None
    rows: int = 0
    """Of the step."""
    rows_per_second: float | None = None
    """Over the last half minute."""
    mean_rows_per_second: float | None = None
    """Over the step."""
    step_share: float | None = None
    stage_share: float | None = None
    run_share: float | None = None
    eta: str | None = None
    """When the run is expected to end."""
    forecast_from: str | None = None
    """The date of the completed run that shares and eta are reckoned from; None: from typical ones."""
    memory_bytes: int | None = None
    """Of all processes together, pages that they share counted for each."""
    most_memory_bytes: int | None = None
    """The most that was seen of it."""
    spill_bytes: int | None = None
    free_bytes: int | None = None
    """Of the disk."""
    stages: list[StageStatus] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """The last lines of the log that are warnings."""
    error: str | None = None
    exit_code: int | None = None
    """Of the process that ended."""
    format: int = FORMAT_VERSION

    @classmethod
    def read(cls, text: bytes) -> Self | None:
        """What the file says; None if it is damaged, or of another format."""
        try:
            status = msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return status if status.format == FORMAT_VERSION else None

    @classmethod
    def at(cls, path: Path) -> Self | None:
        """The same of a file, None also if it is not there. Raises OSError if it may not be read."""
        with suppress(FileNotFoundError):
            return cls.read(path.read_bytes())
        return None

    def written(self) -> bytes:
        """What `read` reads."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"

    @property
    def of(self) -> Owner | None:
        """Whose it is; None if that cannot be read."""
        return Owner.read(json.dumps(self.owner).encode())

    @property
    def stage_of(self) -> dict[str, StageStatus]:
        """The stages by name."""
        return {stage.name: stage for stage in self.stages}


def put(path: Path, content: bytes) -> None:
    """Replace the file, so that whoever reads it finds the old one or the new one. Raises OSError.

    It is not made durable: after a power cut nobody works on the run, whatever it says.
    """
    temporary = path.with_name(path.name + _TEMPORARY_SUFFIX)
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
