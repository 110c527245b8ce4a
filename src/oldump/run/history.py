"""How long completed runs took: `history.jsonl` in the output folder, a line a run, or two, the newest last.

Forecasts are made from it. A line that a crash cut short, or that is none of ours, is as if it were not there.
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
class PastStage:
    """What a stage of a completed run took."""

    seconds: float
    rows: int | None = None
    steps: dict[str, float] = field(default_factory=dict)
    """The seconds of each step, in their order."""


@dataclass(frozen=True)
class Past:
    """A completed run."""

    date: str
    began: str
    """When it was begun, in UTC: a run that is made anew has another line."""
    completed: str
    seconds: float
    """That processes worked on it."""
    kind: str
    """Of its source: database, file, standard input."""
    source_bytes: int | None
    """Of the source, if it was a file."""
    text_bytes: int | None
    """Of the rows, if they were copied from a database."""
    rows: int
    records: int
    """Of the cdump."""
    size_bytes: int
    """Of all that was published."""
    workers: int
    stages: dict[str, PastStage]
    format: int = FORMAT_VERSION

    @classmethod
    def read(cls, line: bytes) -> Self | None:
        """What the line says; None if it is damaged, or of another format."""
        try:
            past = msgspec.json.decode(line, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        return past if past.format == FORMAT_VERSION else None


def past_runs(path: Path) -> list[Past]:
    """All that can be read, the one that was completed last behind the others; none if the file cannot be read."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return []
    return [past for line in lines if (past := Past.read(line))]


def remember(path: Path, past: Past) -> None:
    """Add a completed run, durably, unless it is there with all its stages. Raises StorageError, StorageFull.

    One that was delivered since gets a line more, which counts: it is the last one.
    """
    if any((each.date, each.began, *each.stages) == (past.date, past.began, *past.stages) for each in past_runs(path)):
        return
    line = json.dumps(asdict(past)).encode() + b"\n"
    with storage_errors(path), path.open("ab+") as stream:
        if stream.tell() and not ends_with_newline(stream):
            line = b"\n" + line  # what a crash cut short must not swallow this one
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
