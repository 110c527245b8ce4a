"""Find the last complete run, with which a run is compared.

Does not: compare them.
"""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from oldump.errors import StorageError, storage_errors
from oldump.records.record import PARTS
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact, is_intact
from oldump.run.manifest import MANIFEST, Manifest
from oldump.stages.gate.comparison import IndexedPart
from oldump.stages.gate.rules import CDUMP, DUMP, Figures

Warn = Callable[[str], object]
"""Receives a warning for the operator."""


class EarlierRun(NamedTuple):
    """A complete run and its figures."""

    folder: Path
    """The dump's item, with its manifest."""
    figures: Figures

    @property
    def day(self) -> date:
        """The run's date."""
        return self.figures.day

    def parts(self) -> list[IndexedPart]:
        """Return its parts. Raises SourceError or StorageError if they do not match the manifest."""
        found = []
        for name in PARTS:
            artifact = self.figures.artifacts[name]
            path = self.folder / artifact.name
            if not is_intact(path, artifact):
                raise StorageError(f"{path}: missing, or differs from the manifest")
            found.append(IndexedPart.at(name, path, is_earlier=True))
        return found


def last_complete(folder: RunFolder, warn: Warn) -> EarlierRun | None:
    """Return the newest complete run before this one's date, or else the one of this date that it will replace.

    None if there is neither. warn: receives a warning for each manifest that cannot be read. Raises StorageError if the
    output folder cannot be read.
    """
    days = [day for day in _days(folder.out) if day <= folder.date]
    for day in sorted(days, key=lambda day: (day == folder.date, -day.toordinal())):
        item = RunFolder(folder.out, day).items[1]
        try:
            return _read(folder.out / item, day)
        except StorageError as error:
            warn(f"{error}; the run is not compared with it")
    return None


def _days(out: Path) -> list[date]:
    """Return the dates of the dumps that have a manifest."""
    found = []
    with storage_errors(out):
        for path in out.glob(f"ol_dump_*/{MANIFEST}"):
            match = re.fullmatch(r"ol_dump_([0-9]{4}-[0-9]{2}-[0-9]{2})", path.parent.name)
            try:
                found += [date.fromisoformat(match[1])] if match else []
            except ValueError:
                continue  # not a run's folder
    return found


def _read(item: Path, day: date) -> EarlierRun:
    path = item / MANIFEST
    manifest = Manifest.read_file(path)
    figures = figures_of(day, manifest.artifacts, manifest.counts)
    missing = {CDUMP, DUMP, *PARTS} - figures.artifacts.keys()
    if manifest.date != day or missing:
        raise StorageError(f"{path}: the manifest of {manifest.date}, missing: {', '.join(sorted(missing)) or 'none'}")
    return EarlierRun(item, figures)


def figures_of(day: date, artifacts: list[Artifact], counts: dict[str, Any]) -> Figures:
    """Return the figures of a run. counts: the manifest's `gate`, `deworks` and `rows`, and `read_at`, if known."""
    return Figures(
        day,
        {name_of(artifact, day): artifact for artifact in artifacts},
        (counts.get("gate") or {}).get("filled"),
        (counts.get("deworks") or {}).get("items"),
        counts.get("read_at"),
        (counts.get("rows") or {}).get("same_revision"),
    )


def name_of(artifact: Artifact, day: date) -> str:
    """Return the name of a published artifact in the table of stages, such as cdump, works or ratings."""
    return artifact.name.removeprefix("ol_").removesuffix(f"_{day}.txt.gz").removeprefix("dump_")
