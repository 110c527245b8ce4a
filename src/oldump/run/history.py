"""The durations of completed runs: `history.jsonl` in the output folder, one line per run, the newest last.

A run that is uploaded after its completion has a second line. Forecasts are based on this file. Lines that are
damaged or have another format are ignored.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

import msgspec

from oldump.errors import storage_errors
from oldump.run.journal import ends_with_newline

FORMAT_VERSION = 1


@dataclass(frozen=True)
class CompletedStage:
    """How long a stage of a completed run took."""

    seconds: float
    rows: int | None = None
    steps: dict[str, float] = field(default_factory=dict)
    """The seconds of each step, in order."""


@dataclass(frozen=True)
class CompletedRun:
    """How long a completed run took, and its size."""

    date: str
    began: str
    """When the run was started, in UTC. A run that is started again from scratch has another line."""
    completed: str
    seconds: float
    """Working time of all processes together."""
    kind: str
    """The kind of the source: database, file or standard input."""
    source_bytes: int | None
    """The size of a source that is a file."""
    text_bytes: int | None
    """The size of the rows that were extracted from a database."""
    rows: int
    records: int
    """The records in the cdump."""
    size_bytes: int
    """The size of all published artifacts."""
    workers: int
    stages: dict[str, CompletedStage]
    format: int = FORMAT_VERSION

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """Return the run that a line describes, None if the line is damaged or has another format."""
        try:
            run = msgspec.json.decode(line, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return run if run.format == FORMAT_VERSION else None


def completed_runs(path: Path) -> list[CompletedRun]:
    """Return all runs in the file, in order of completion; none if the file cannot be read."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return []
    return [run for line in lines if (run := CompletedRun.parse(line))]


def append_run(path: Path, completed: CompletedRun) -> None:
    """Append a run durably, unless the file has it with the same stages. Raises StorageError, StorageFull.

    A run that was uploaded since has one more stage and gets another line. Readers use the last line.
    """
    identity = (completed.date, completed.began, *completed.stages)
    if any((run.date, run.began, *run.stages) == identity for run in completed_runs(path)):
        return
    line = json.dumps(asdict(completed)).encode() + b"\n"
    with storage_errors(path), path.open("ab+") as stream:
        if stream.tell() and not ends_with_newline(stream):
            line = b"\n" + line  # a crash left an incomplete line; do not append to it
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
