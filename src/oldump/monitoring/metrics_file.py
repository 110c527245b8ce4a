"""The file of metrics, and what a run says in it.

A failed run leaves what the last complete one said: the file is read back, since that run's own folder may be gone. A
reader sees the old file or the new one.
"""

import json
import logging
import os
from datetime import UTC, date, datetime
from pathlib import Path

from oldump.engine.commit import CommittedFile
from oldump.errors import StorageError, storage_errors
from oldump.outside import metrics
from oldump.outside.metrics import Figures
from oldump.run.journal import Journal

log = logging.getLogger("oldump")


def renew(path: Path, news: Figures) -> None:
    """Replace these figures in the file, and keep the others. Raises StorageError."""
    if path.exists() and not path.is_file():  # a pipe would never be read to its end, and a device be replaced
        raise StorageError(f"{path}: is no plain file", "Name another file for metrics.")
    text = metrics.text_of(_earlier(path) | news)
    with CommittedFile(path) as file:
        with storage_errors(path):
            os.fchmod(file.stream.fileno(), 0o644)  # the collector is another user
        file.write(text)
        file.commit()


def _earlier(path: Path) -> Figures:
    try:
        with storage_errors(path):
            return metrics.figures_in(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        log.warning("%s: is no file of metrics (%s), and is replaced: what it said is lost", path, error)
        return {}


def of_start(now: float) -> Figures:
    """What is new when a run begins. now: seconds since 1970."""
    return {"oldump_last_start_timestamp_seconds": {"": now}}


def of_failure(now: float, exit_code: int) -> Figures:
    """What is new when a run has failed."""
    return {
        "oldump_last_failure_timestamp_seconds": {"": now},
        "oldump_last_failure_exit_code": {"": exit_code},
    }


def most_memory_bytes(status: Path) -> int | None:
    """What the file status.json of a run says of its memory at its peak; None if it says nothing."""
    try:
        told = json.loads(status.read_bytes())["most_memory_bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if isinstance(told, int) else None


def of_success(now: float, journal: Journal, day: date, memory_bytes: int | None = None) -> Figures:
    """What is new when a run is complete, now or before. memory_bytes: at its peak, None if nobody knows."""
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
