"""The manifest of a run: its artifacts, their source, and checksums.

manifest.json is written last and makes the run complete. Apart from the description of the source, it is the same for
all runs over the same rows. docs/format.md describes every member.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Self

from oldump.errors import StorageError, storage_errors
from oldump.run.journal import Artifact

FORMAT_VERSION = 1
SUMS = {"sha256": "SHA256SUMS", "md5": "MD5SUMS"}
MANIFEST = "manifest.json"


def render_manifest(
    day: date, source: dict[str, Any], counts: dict[str, Any], artifacts: Iterable[Artifact], skipped: list[str]
) -> bytes:
    """Return the text of manifest.json. counts: the counts of the stages; skipped: the stages that are left out."""
    manifest = {
        "format": FORMAT_VERSION,
        "date": day.isoformat(),
        "cutoff": f"{day.isoformat()}T23:59:59.999999",
        "tool": {"name": "oldump", "version": version("oldump")},
        "source": source,
        **counts,
        "skipped": skipped,
        "artifacts": {
            artifact.name: {name: value for name, value in asdict(artifact).items() if name != "name"}
            for artifact in artifacts
            if artifact.item is not None
        },
    }
    return json.dumps(manifest, indent=2, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


class Manifest(NamedTuple):
    """The manifest of a complete run."""

    date: date
    artifacts: list[Artifact]
    counts: dict[str, Any]
    """All other members, unchanged."""

    @classmethod
    def read_file(cls, path: Path) -> Self:
        """Read a manifest. Raises StorageError if the file is unreadable or has another format."""
        with storage_errors(path):
            text = path.read_bytes()
        try:
            counts = json.loads(text)
            if counts["format"] != FORMAT_VERSION:
                raise ValueError(f"its format is {counts['format']!r}, not {FORMAT_VERSION}")
            known = {each.name for each in fields(Artifact)}
            artifacts = [
                Artifact(name=name, **{member: value for member, value in members.items() if member in known})
                for name, members in counts.pop("artifacts").items()
            ]
            return cls(date.fromisoformat(counts["date"]), artifacts, counts)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise StorageError(
                f"{path}: not a manifest of this version of oldump ({error!r})",
                "Use the version that wrote it.",
            ) from error


def render_sums(algorithm: str, artifacts: Iterable[Artifact], folder: Path, others: Iterable[Path]) -> bytes:
    """Return a checksum file for `sha256sum -c` or `md5sum -c` in the folder.

    The checksums of artifacts are known; those of the other files are computed here.
    Raises StorageError.
    """
    lines = [
        f"{getattr(artifact, algorithm)}  {_relative_path(folder, artifact)}" for artifact in artifacts if artifact.item
    ]
    for path in others:
        with storage_errors(path), path.open("rb") as stream:
            digest = hashlib.file_digest(stream, algorithm).hexdigest()
        lines.append(f"{digest}  {path.name if path.parent == folder else f'../{path.parent.name}/{path.name}'}")
    return "\n".join(lines).encode() + b"\n"


def _relative_path(folder: Path, artifact: Artifact) -> str:
    return artifact.name if artifact.item == folder.name else f"../{artifact.item}/{artifact.name}"
