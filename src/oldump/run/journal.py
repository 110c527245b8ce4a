"""The journal of a run: what is committed, line by line.

An artifact counts only if the journal has its digest and the file still has it. Inputs of a stage come from here,
never from looking which files there are.

Each line is a JSON object with a member `event`: `begun` (what the run is made from; all before it is history),
`committed` (a stage with its artifacts and counts), `forgotten` (stages that are left out after all), `published` (the
items have their final names), `delivered` (what is published was taken elsewhere, too). A line that a crash cut short
is as if it were not there.
"""

import hashlib
import json
import os
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from oldump.errors import StorageError, storage_errors
from oldump.run.steps import Spent


@dataclass(frozen=True)
class Artifact:
    """A committed file."""

    name: str
    item: str | None
    """The item that it belongs to; None for what is private."""
    size_bytes: int
    text_bytes: int
    records: int
    segments: int
    sha256: str
    md5: str
    first_key: str | None
    last_key: str | None = None
    newest: str | None = None
    """The latest last_modified."""
    digest: str | None = None
    """Order-independent digest of the records: see oldump.records.tally."""
    by_type: dict[str, int] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    """The names of a table dump's columns; empty for records."""
    null: str | None = None
    """How a table dump writes NULL."""


@dataclass(frozen=True)
class Committed:
    """A stage that is done."""

    stage: str
    artifacts: list[Artifact]
    counts: dict[str, Any]
    seconds: float
    steps: Spent = field(default_factory=dict)
    """Where its CPU time went."""


class Journal:
    """The journal of one run."""

    def __init__(self, path: Path, require: Callable[[], None] = lambda: None) -> None:
        """Read the journal, if there is one. require: is asked before a line is written, and raises if it must not."""
        self._path = path
        self._require = require
        self.begun: dict[str, Any] | None = None
        self.overwrite = False
        """Whether the run may replace published items."""
        self.published = False
        self.others: dict[str, str] = {}
        """SHA-256 of the published files that are no artifacts, by item/name."""
        self.stages: dict[str, Committed] = {}
        self.delivered: dict[str, Committed] = {}
        """What took elsewhere what is published now: without artifacts."""
        with storage_errors(path):
            lines = path.read_bytes().split(b"\n") if path.exists() else []
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            try:
                self._take(entry)
            except (AttributeError, KeyError, TypeError) as error:
                raise StorageError(
                    f"{path}: line {number} is none that this version of oldump writes. Find out who wrote it; "
                    "without the file, --overwrite begins the run anew."
                ) from error

    def begin(self, source: dict[str, Any], *, overwrite: bool) -> None:
        """Note what the run is made from, and whether it may replace an earlier one: whose lines stay, and are over."""
        self._note({"event": "begun", "source": source, "overwrite": overwrite})

    def commit(self, committed: Committed, worthless: Collection[str] = ()) -> None:
        """Note that a stage is done, durably; and which stages' artifacts are worthless now, being made from others."""
        self._note({"event": "committed", **asdict(committed), "worthless": sorted(worthless)})

    def forget(self, stages: Collection[str]) -> None:
        """Note that what these stages made is to be left out."""
        self._note({"event": "forgotten", "stages": sorted(stages)})

    def publish(self, others: dict[str, str]) -> None:
        """Note that the items have their final names. others: SHA-256 of indexes, sums and manifest, by item/name."""
        self._note({"event": "published", "others": others})

    def deliver(self, delivered: Committed) -> None:
        """Note that what is published was taken elsewhere, too."""
        self._note({"event": "delivered", **asdict(delivered)})

    def artifacts(self) -> list[Artifact]:
        """All artifacts, in the order of their stages."""
        return [artifact for stage in self.stages.values() for artifact in stage.artifacts]

    def _note(self, entry: dict[str, Any]) -> None:
        self._require()
        entry = {**entry, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        with storage_errors(self._path), self._path.open("ab+") as stream:
            # A line that a crash cut short must not swallow this one.
            cut_short = stream.tell() > 0 and not ends_with_newline(stream)
            stream.write((b"\n" if cut_short else b"") + json.dumps(entry).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._take(entry)

    def _take(self, entry: dict[str, Any]) -> None:
        match entry.pop("event"):
            case "begun":
                self.begun, self.overwrite = entry["source"], entry["overwrite"]
                self.stages, self.published, self.others, self.delivered = {}, False, {}, {}
            case "committed":
                for name in (entry["stage"], *entry["worthless"]):
                    self.stages.pop(name, None)
                self.published = False
                self.stages[entry["stage"]] = _committed(entry)
            case "forgotten":
                for name in entry["stages"]:
                    self.stages.pop(name, None)
            case "published":
                self.published = True
                self.others, self.delivered = entry["others"], {}
            case "delivered":
                self.delivered[entry["stage"]] = _committed(entry)


def _committed(entry: dict[str, Any]) -> Committed:
    artifacts = [Artifact(**artifact) for artifact in entry["artifacts"]]
    return Committed(entry["stage"], artifacts, entry["counts"], entry["seconds"], entry.get("steps", {}))


def ends_with_newline(stream: BinaryIO) -> bool:
    """Whether the last byte of a file that is not empty is a newline."""
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def still_has_its_digest(path: Path, artifact: Artifact) -> bool:
    """Whether the file is there, as it was committed. Raises StorageError if it cannot be read."""
    with storage_errors(path):
        return path.is_file() and path.stat().st_size == artifact.size_bytes and sha256_of(path) == artifact.sha256


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. Raises StorageError."""
    with storage_errors(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
