"""Update the file of metrics at the start and the end of a run.

A failed run keeps the figures of the last complete one. They are read back from the file, since that run's own folder
may be gone. Readers see either the old file or the new one.
"""

import json
import logging
from datetime import UTC, date, datetime
from pathlib import Path

from oldump.engine.commit import PUBLIC_MODE, write_whole
from oldump.errors import StorageError, storage_errors
from oldump.outside import metrics
from oldump.outside.metrics import Figures
from oldump.run.journal import Journal

log = logging.getLogger("oldump")


def update(path: Path, figures: Figures) -> None:
    """Replace these figures in the file and keep all others. Raises StorageError."""
    if path.exists() and not path.is_file():  # reading a pipe would block forever, and a device would be replaced
        raise StorageError(f"{path}: not a regular file", "Set metrics to another file.")
    text = metrics.text_of(_current_figures(path) | figures)
    write_whole(path, text, PUBLIC_MODE)  # the collector runs as another user


def _current_figures(path: Path) -> Figures:
    try:
        with storage_errors(path):
            return metrics.figures_in(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        log.warning("%s: not a metrics file (%s); replacing it, its figures are lost", path, error)
        return {}


def start_figures(now: float) -> Figures:
    """Return the figures that change when a run starts. now: seconds since 1970."""
    return {"oldump_last_start_timestamp_seconds": {"": now}}


def failure_figures(now: float, exit_code: int) -> Figures:
    """Return the figures that change when a run fails."""
    return {
        "oldump_last_failure_timestamp_seconds": {"": now},
        "oldump_last_failure_exit_code": {"": exit_code},
    }


def peak_memory_bytes(status: Path) -> int | None:
    """Return the peak memory from a run's status.json; None if the file does not have it."""
    try:
        peak = json.loads(status.read_bytes())["most_memory_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return peak if isinstance(peak, int) else None


def success_figures(now: float, journal: Journal, day: date, memory_bytes: int | None = None) -> Figures:
    """Return the figures of a complete run. memory_bytes: its peak memory, None if unknown."""
    artifacts = {
        artifact.name.removesuffix(".txt.gz").removesuffix(f"_{day}"): artifact for artifact in journal.artifacts()
    }
    stages = {name: committed.seconds for name, committed in (journal.stages | journal.delivered).items()}
    counts = journal.stages["dumps"].counts
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    memory: Figures = {"oldump_peak_memory_bytes": {"": memory_bytes}} if memory_bytes else {}
    archived: Figures = {"oldump_last_archived_timestamp_seconds": {"": now}} if "archive" in journal.delivered else {}
    return (
        memory
        | archived
        | {
            "oldump_last_success_timestamp_seconds": {"": now},
            "oldump_dump_date_timestamp_seconds": {"": midnight.timestamp()},
            "oldump_run_duration_seconds": {"": round(sum(stages.values()), 3)},
            "oldump_stage_duration_seconds": stages,
            "oldump_artifact_records": {name: artifact.records for name, artifact in artifacts.items()},
            "oldump_artifact_size_bytes": {name: artifact.size_bytes for name, artifact in artifacts.items()},
            "oldump_dump_records": dict(artifacts["ol_dump"].by_type),
            "oldump_rows": {"": counts["rows"]},
            "oldump_rejects": counts["rejects"],
            "oldump_drops": counts["drops"],
        }
    )
