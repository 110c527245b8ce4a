"""The status file of a run, `status.json`.

It is replaced every few seconds while a process works on the run, and once when the process ends. It is meant for
people and monitors. A resumed run reads from it only the time spent by earlier processes.

Does not: determine the status (run.report does) or decide whether a run is healthy (monitoring.health does).
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
"""Differs from the suffix of incomplete artifacts, which a resumed run removes."""


class ReportedState(StrEnum):
    """The state of a run that its status file reports."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    STOPPED = "stopped"
    """Stopped by a signal, or after the last stage that --only or --skip selected."""


@dataclass(frozen=True)
class StageStatus:
    """The status of a stage."""

    name: str
    state: str
    """committed; running, or failed or stopped with its run; waiting; left out, if this command does not run it."""
    seconds: float | None = None
    """Working time so far, of all processes together; None if unknown."""
    forecast_seconds: float | None = None
    """The expected duration."""
    rows: int | None = None
    """The number of rows or records in its last step."""
    steps: dict[str, float] = field(default_factory=dict)
    """The seconds of each step."""


@dataclass(frozen=True)
class Status:
    """The status of a run at the time of writing. Times are in UTC, shares from 0 to 1; None means unknown."""

    date: str
    state: ReportedState
    owner: dict[str, Any]
    """The process that works, or worked, on the run: the members of run.owner.Owner."""
    began: str
    """When the run first started."""
    resumed: str
    """When this process started or resumed the run."""
    updated: str
    seconds: float
    """Working time of all processes together."""
    version: str
    """The version of oldump."""
    log: str
    stage: str | None = None
    step: str | None = None
    rows: int = 0
    """The number of rows in the step so far."""
    rows_per_second: float | None = None
    """The rate over the last 30 seconds."""
    mean_rows_per_second: float | None = None
    """The rate over the whole step."""
    step_share: float | None = None
    stage_share: float | None = None
    run_share: float | None = None
    eta: str | None = None
    """When the run is expected to end."""
    forecast_from: str | None = None
    """The date of the completed run that shares and eta are based on; None for typical durations."""
    memory_bytes: int | None = None
    """The memory of all processes together; shared pages count for each."""
    most_memory_bytes: int | None = None
    """The peak of memory_bytes."""
    spill_bytes: int | None = None
    free_bytes: int | None = None
    """Free space on the disk."""
    stages: list[StageStatus] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """The last warnings in the log."""
    error: str | None = None
    exit_code: int | None = None
    """The exit code of the process that ended."""
    format: int = FORMAT_VERSION

    @classmethod
    def parse(cls, text: bytes) -> Self | None:
        """Return the status in the text, or None if it is damaged or has another format version."""
        try:
            status = msgspec.json.decode(text, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return status if status.format == FORMAT_VERSION else None

    @classmethod
    def read_file(cls, path: Path) -> Self | None:
        """Return the status in a file, or None if it is missing or damaged. Raises OSError if it is unreadable."""
        with suppress(FileNotFoundError):
            return cls.parse(path.read_bytes())
        return None

    def to_json(self) -> bytes:
        """Return the status as JSON, for `parse`."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"

    @property
    def owner_process(self) -> Owner | None:
        """The process that works, or worked, on the run; None if `owner` is damaged."""
        return Owner.parse(json.dumps(self.owner).encode())

    @property
    def stages_by_name(self) -> dict[str, StageStatus]:
        """The stages by name."""
        return {stage.name: stage for stage in self.stages}


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file atomically, without making the change durable. Raises OSError.

    Durability is not needed: after a power failure no process is running, whatever the file says.
    """
    temporary = path.with_name(path.name + _TEMPORARY_SUFFIX)
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise
