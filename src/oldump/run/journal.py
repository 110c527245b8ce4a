"""The journal of a run: a record of each commit, one line each.

An artifact is valid only if the journal has its digest and the file matches it. The inputs of a stage are looked up
here, never by listing files.

Each line is a JSON object with a member `event`:

- `begun`: the run starts from a source; all earlier lines are void
- `committed`: a stage, with its artifacts and counts, and the stages that it invalidates
- `forgotten`: stages that are left out after all
- `published`: the items have their final names
- `delivered`: the published items were delivered, for example uploaded

An incomplete line, left by a crash, is ignored.
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
    """The item that it belongs to; None for a private file."""
    size_bytes: int
    text_bytes: int
    records: int
    segments: int
    sha256: str
    md5: str
    first_key: str | None
    last_key: str | None = None
    newest: str | None = None
    """The latest `last_modified` of its records."""
    digest: str | None = None
    """The order-independent digest of its records (see records.tally)."""
    by_type: dict[str, int] = field(default_factory=dict)
    columns: list[str] = field(default_factory=list)
    """The column names of a table dump; empty for records."""
    null: str | None = None
    """The text for NULL in a table dump."""


@dataclass(frozen=True)
class Committed:
    """A record of a stage's commit."""

    stage: str
    artifacts: list[Artifact]
    counts: dict[str, Any]
    seconds: float
    steps: Spent = field(default_factory=dict)
    """The CPU time of its steps."""


class Journal:
    """The journal of one run."""

    def __init__(self, path: Path, require: Callable[[], None] = lambda: None) -> None:
        """Read the journal, if it exists. require: called before each write; raises if this process may not write."""
        self._path = path
        self._require = require
        self.begun: dict[str, Any] | None = None
        self.overwrite = False
        """Whether the run may replace published items."""
        self.published = False
        self.others: dict[str, str] = {}
        """The SHA-256 of published files other than artifacts, by item/name."""
        self.stages: dict[str, Committed] = {}
        self.delivered: dict[str, Committed] = {}
        """The deliveries of what is published now; they have no artifacts."""
        with storage_errors(path):
            lines = path.read_bytes().split(b"\n") if path.exists() else []
        for number, line in enumerate(lines, start=1):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            try:
                self._apply(entry)
            except (AttributeError, KeyError, TypeError) as error:
                raise StorageError(
                    f"{path}: line {number} was not written by this version of oldump",
                    "Use the version that wrote it, or remove the file and rerun with --overwrite.",
                ) from error

    def begin(self, source: dict[str, Any], *, overwrite: bool) -> None:
        """Record the source of a new run, and whether it may replace published items. Earlier lines become void."""
        self._append({"event": "begun", "source": source, "overwrite": overwrite})

    def commit(self, committed: Committed, invalidated: Collection[str] = ()) -> None:
        """Record a stage durably. invalidated: stages whose artifacts were made from earlier artifacts of this one."""
        self._append({"event": "committed", **asdict(committed), "invalidated": sorted(invalidated)})

    def forget(self, stages: Collection[str]) -> None:
        """Record that the artifacts of these stages are left out."""
        self._append({"event": "forgotten", "stages": sorted(stages)})

    def publish(self, others: dict[str, str]) -> None:
        """Record that the items are published. others: the SHA-256 of indexes, sums and manifest, by item/name."""
        self._append({"event": "published", "others": others})

    def deliver(self, delivered: Committed) -> None:
        """Record a delivery of the published items."""
        self._append({"event": "delivered", **asdict(delivered)})

    def artifacts(self) -> list[Artifact]:
        """Return all artifacts, in the order of their stages."""
        return [artifact for stage in self.stages.values() for artifact in stage.artifacts]

    def _append(self, entry: dict[str, Any]) -> None:
        self._require()
        entry = {**entry, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        with storage_errors(self._path), self._path.open("ab+") as stream:
            # A crash may have left an incomplete line; do not append to it.
            is_incomplete = stream.tell() > 0 and not ends_with_newline(stream)
            stream.write((b"\n" if is_incomplete else b"") + json.dumps(entry).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._apply(entry)

    def _apply(self, entry: dict[str, Any]) -> None:
        match entry.pop("event"):
            case "begun":
                self.begun, self.overwrite = entry["source"], entry["overwrite"]
                self.stages, self.published, self.others, self.delivered = {}, False, {}, {}
            case "committed":
                for name in (entry["stage"], *_invalidated(entry)):
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


def _invalidated(entry: dict[str, Any]) -> list[str]:
    """Return the stages that a commit invalidates. Earlier versions call the member `worthless`."""
    names: list[str] = entry["invalidated"] if "invalidated" in entry else entry["worthless"]
    return names


def _committed(entry: dict[str, Any]) -> Committed:
    artifacts = [Artifact(**artifact) for artifact in entry["artifacts"]]
    return Committed(entry["stage"], artifacts, entry["counts"], entry["seconds"], entry.get("steps", {}))


def ends_with_newline(stream: BinaryIO) -> bool:
    """Whether a file that is not empty ends with a newline."""
    stream.seek(-1, os.SEEK_END)
    return stream.read(1) == b"\n"


def is_intact(path: Path, artifact: Artifact) -> bool:
    """Whether the file exists and is unchanged since its commit. Raises StorageError if it cannot be read."""
    with storage_errors(path):
        return path.is_file() and path.stat().st_size == artifact.size_bytes and sha256_of(path) == artifact.sha256


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal. Raises StorageError."""
    with storage_errors(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
