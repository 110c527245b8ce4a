"""The last complete run: the one that a run is compared with."""

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
from oldump.stages.gate.comparison import Part
from oldump.stages.gate.rules import CDUMP, DUMP, Figures

Tell = Callable[[str], object]
"""Takes what the operator should know."""


class Earlier(NamedTuple):
    """A complete run."""

    folder: Path
    """Where the dump lies, with its manifest."""
    figures: Figures

    @property
    def day(self) -> date:
        """The run's date."""
        return self.figures.day

    def parts(self) -> list[Part]:
        """Its parts. Raises SourceError and StorageError where they are not as the manifest has them."""
        found = []
        for name in PARTS:
            artifact = self.figures.artifacts[name]
            path = self.folder / artifact.name
            if not is_intact(path, artifact):
                raise StorageError(f"{path}: is gone, or not as the manifest has it")
            found.append(Part.at(name, path, is_earlier=True))
        return found


def last_complete(folder: RunFolder, tell: Tell) -> Earlier | None:
    """The newest complete run before this one's date; without any, the one of this date that is to be replaced.

    None if there is neither. tell: hears of manifests that cannot be read. Raises StorageError if the output folder
    cannot.
    """
    days = [day for day in _days(folder.out) if day <= folder.date]
    for day in sorted(days, key=lambda day: (day == folder.date, -day.toordinal())):
        item = RunFolder(folder.out, day).items[1]
        try:
            return _read(folder.out / item, day)
        except StorageError as error:
            tell(f"{error}; the run is not compared with it")
    return None


def _days(out: Path) -> list[date]:
    """The dates of the items of dumps that have a manifest."""
    found = []
    with storage_errors(out):
        for path in out.glob(f"ol_dump_*/{MANIFEST}"):
            match = re.fullmatch(r"ol_dump_([0-9]{4}-[0-9]{2}-[0-9]{2})", path.parent.name)
            try:
                found += [date.fromisoformat(match[1])] if match else []
            except ValueError:
                continue  # no date, no run
    return found


def _read(item: Path, day: date) -> Earlier:
    path = item / MANIFEST
    manifest = Manifest.read_file(path)
    figures = figures_of(day, manifest.artifacts, manifest.counts)
    lacking = {CDUMP, DUMP, *PARTS} - figures.artifacts.keys()
    if manifest.date != day or lacking:
        raise StorageError(f"{path}: is the manifest of {manifest.date}, without {', '.join(sorted(lacking)) or '–'}")
    return Earlier(item, figures)


def figures_of(day: date, artifacts: list[Artifact], counts: dict[str, Any]) -> Figures:
    """The figures of a run. counts: `gate` and `deworks` as manifests have them; both may be missing."""
    return Figures(
        day,
        {name_of(artifact, day): artifact for artifact in artifacts},
        (counts.get("gate") or {}).get("filled"),
        (counts.get("deworks") or {}).get("items"),
    )


def name_of(artifact: Artifact, day: date) -> str:
    """What the table of stages calls a published artifact, such as cdump, works or ratings."""
    return artifact.name.removeprefix("ol_").removesuffix(f"_{day}.txt.gz").removeprefix("dump_")
