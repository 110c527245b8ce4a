"""What is known about a run from outside: its condition, and a summary of its files.

Does not: read files (monitoring.runs does) or format text for people (monitoring.text does).
"""

from dataclasses import asdict, dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from oldump.run.status import ReportedState, StageStatus, Status


class RunCondition(StrEnum):
    """The condition of a run: the state in its status file, or one that only an outside observer can determine."""

    RUNNING = ReportedState.RUNNING.value
    COMPLETE = ReportedState.COMPLETE.value
    FAILED = ReportedState.FAILED.value
    STOPPED = ReportedState.STOPPED.value
    DEAD = "dead"
    """Its process ended without updating the status: by kill -9, or with the machine."""
    SILENT = "silent"
    """Its process may be alive but does not update the status."""
    MISSING = "missing"
    """No run exists for the date."""
    UNREADABLE = "not readable"
    """This user may not read the run's folder."""


@dataclass(frozen=True)
class RunSummary:
    """A run as seen from outside."""

    date: date
    condition: RunCondition
    status: Status | None = None
    stages: list[StageStatus] = field(default_factory=list)
    seconds: float | None = None
    """Working time of all processes together."""
    records: int | None = None
    """Records in the cdump, once it is committed."""
    size_bytes: int | None = None
    """Total size of the committed artifacts that are published."""
    problem: str | None = None
    late: str | None = None
    """Why the run is late; None if it is not."""
    archived: str | None = None
    """When the upload of what is published now was verified; None if it was not."""
    is_done: bool = False
    """Whether the run is complete and, where that is expected, archived."""

    @property
    def label(self) -> str:
        """The condition for people: `archived` for a complete run that was uploaded."""
        return "archived" if self.archived and self.condition is RunCondition.COMPLETE else self.condition.value

    @property
    def is_running(self) -> bool:
        """Whether the status may still change."""
        return self.condition in {RunCondition.RUNNING, RunCondition.SILENT}

    @property
    def problems(self) -> str:
        """All problems in one text; empty if there are none."""
        return "; ".join(filter(None, (self.late, self.problem)))

    @property
    def latest_message(self) -> str:
        """The problems, or else the last warning of a run in progress; empty if there are none."""
        warnings = self.status.warnings if self.status and self.condition is RunCondition.RUNNING else []
        return self.problems or (warnings[-1] if warnings else "")

    def as_json(self) -> dict[str, Any]:
        """Return the summary as `oldump status --json` prints it, with the status file's members under `status`."""
        status = asdict(self.status) if self.status else None
        names = ("seconds", "records", "size_bytes", "problem", "late", "archived")
        members = {name: getattr(self, name) for name in names}
        stages = [asdict(stage) for stage in self.stages]
        return {"date": str(self.date), "state": self.condition.value, **members, "stages": stages, "status": status}
