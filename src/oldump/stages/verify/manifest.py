"""Comparison of an item's manifest, sums files and file names with what was found in the files.

Does not: read the artifacts.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from oldump.engine.segments import INDEX_SUFFIX
from oldump.errors import SourceDamaged, SourceMissing, storage_errors
from oldump.records.keys import modern
from oldump.records.record import PARTS, column
from oldump.run.manifest import FORMAT_VERSION, MANIFEST, SUMS
from oldump.stages.verify.findings import FindingKind, VerifyFinding
from oldump.stages.verify.sums import FileSums
from oldump.stages.verify.totals import FileTotals

_TABLES = ("reading-log", "ratings", "wikidata", "covers_metadata")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an item. Raises SourceMissing, SourceDamaged, StorageError."""
    path = folder / MANIFEST
    if not path.is_file():
        raise SourceMissing(f"{path}: no such file. Name the folder of a dump, such as ol_dump_2022-07-31.")
    with storage_errors(path):
        text = path.read_bytes()
    try:
        manifest = json.loads(text)
        date.fromisoformat(manifest["date"])
        artifacts = manifest["artifacts"]
        if not all(isinstance(artifact, dict) and "item" in artifact for artifact in artifacts.values()):
            raise ValueError("artifacts without an item")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceDamaged(f"{path}: not a manifest ({error}). Download or make it again.") from error
    if manifest.get("format") != FORMAT_VERSION:
        raise SourceDamaged(
            f"{path}: format {manifest.get('format')!r}; this version of oldump verifies format {FORMAT_VERSION}."
        )
    return dict(manifest)


def names_of(day: date) -> dict[str, str]:
    """Return the names of the files that a run may have: of the cdump, dump, parts, deworks and table dumps."""
    names = {"cdump": f"ol_cdump_{day}.txt.gz", "dump": f"ol_dump_{day}.txt.gz"}
    return names | {name: f"ol_dump_{name}_{day}.txt.gz" for name in (*PARTS, "deworks", *_TABLES)}


def _finding(what: str) -> VerifyFinding:
    return VerifyFinding(FindingKind.MANIFEST, MANIFEST, what)


def file_findings(manifest: dict[str, Any], folder: Path) -> Iterator[VerifyFinding]:
    """Yield files that are missing from the items or not listed, and wrong names in the manifest."""
    day = date.fromisoformat(manifest["date"])
    names, artifacts = names_of(day), manifest["artifacts"]
    yield from _artifact_name_findings(names, artifacts, manifest.get("skipped") or [])
    items = {f"ol_cdump_{day}": folder.parent / f"ol_cdump_{day}", f"ol_dump_{day}": folder}
    for item, place in items.items():
        expected = {name for name, artifact in artifacts.items() if artifact["item"] == item}
        expected |= {name + INDEX_SUFFIX for name in expected}
        if place == folder:
            expected |= {MANIFEST, *SUMS.values()}
        present = {path.name for path in place.iterdir()} if place.is_dir() else set()
        for name in sorted(expected - present):
            yield VerifyFinding(FindingKind.MISSING, name, f"missing from {item}")
        for name in sorted(present - expected):
            yield VerifyFinding(FindingKind.UNLISTED, name, f"in {item}, but not in the manifest")


def _artifact_name_findings(
    names: dict[str, str], artifacts: dict[str, Any], skipped: list[str]
) -> Iterator[VerifyFinding]:
    for stage, name in names.items():
        is_optional = stage == "deworks" or stage in _TABLES
        if name not in artifacts and not (is_optional and stage in skipped):
            yield _finding(f"{name} is not listed")
        elif name in artifacts and stage in skipped:
            yield _finding(f"{stage} is listed as skipped, but so is its file {name}")
    for name in artifacts:
        if name not in names.values():
            yield _finding(f"{name} is not a file of a run")


def sums_findings(folder: Path, found: dict[str, FileSums]) -> Iterator[VerifyFinding]:
    """Yield wrong lines of SHA256SUMS and MD5SUMS. found: by the path relative to the folder."""
    for algorithm, name in SUMS.items():
        path = folder / name
        if not path.is_file():
            continue
        with storage_errors(path):
            lines = path.read_bytes().decode(errors="backslashreplace").split("\n")
        if lines.pop() != "":
            yield VerifyFinding(FindingKind.SUMS, name, "does not end with a newline")
        named: set[str] = set()
        for number, line in enumerate(lines, start=1):
            digest, separator, place = line.partition("  ")
            if not separator or place not in found or place in named:
                yield VerifyFinding(FindingKind.SUMS, name, "an unknown or repeated file", number, place)
            elif digest != getattr(found[place], algorithm):
                what = f"its checksum differs from {name}"
                yield VerifyFinding(FindingKind.SUMS, Path(place).name, what, number)
            named.add(place)
        for place in sorted(set(found) - named):
            yield VerifyFinding(FindingKind.SUMS, name, f"has no line for {place}")


def artifact_findings(name: str, artifact: dict[str, Any], found: dict[str, Any]) -> Iterator[VerifyFinding]:
    """Yield members of an artifact in the manifest that differ from what was found in the file."""
    for member, value in found.items():
        if member not in artifact:
            yield VerifyFinding(FindingKind.MANIFEST, name, f"the manifest has no {member}")
        elif artifact[member] != value:
            what = f"{member} is {str(artifact[member])[:60]} in the manifest, found {str(value)[:60]}"
            yield VerifyFinding(FindingKind.MANIFEST, name, what)
    for member in sorted(set(artifact) - set(found) - {"item"}):
        yield VerifyFinding(FindingKind.MANIFEST, name, f"the manifest has a member {member} that the format has not")


def rows_findings(manifest: dict[str, Any], records: int, same_revision: int) -> Iterator[VerifyFinding]:
    """Yield what is wrong with the manifest's cutoff and row counts. records, same_revision: of the cdump."""
    day, rows = manifest["date"], manifest.get("rows")
    if manifest.get("cutoff") != f"{day}T23:59:59.999999":
        yield _finding(f"the cutoff is {manifest.get('cutoff')}, but the date is {day}")
    for member in ("tool", "source", "rows", "skipped"):
        if not isinstance(manifest.get(member), list if member == "skipped" else dict):
            yield _finding(f"the member {member} is missing or has a wrong type")
    if not isinstance(rows, dict):
        return
    try:
        total = rows["records"] + sum(rows["drops"].values()) + sum(rows["rejects"].values())
        if rows["rows"] != total:
            yield _finding(f"{rows['rows']} rows, but records, drops and rejects add up to {total}")
        if rows["records"] != records:
            yield _finding(f"rows.records is {rows['records']}, but the cdump has {records}")
        if rows["same_revision"] != same_revision:
            yield _finding(f"rows.same_revision is {rows['same_revision']}, found {same_revision}")
        if not rows.get("withheld") and rows["drops"].get("withheld"):
            yield _finding("rows.drops.withheld counts rows, but rows.withheld lists no key")
    except (KeyError, TypeError, AttributeError):
        yield _finding("rows does not have the form that the format requires")


def withheld_keys(manifest: dict[str, Any]) -> frozenset[bytes]:
    """Return the keys that were withheld, as columns. What has not the form of the format is another finding."""
    rows = manifest.get("rows")
    withheld = rows.get("withheld") if isinstance(rows, dict) else None
    return frozenset(column(modern(key)) for key in withheld) if isinstance(withheld, dict) else frozenset()


def warning_findings(manifest: dict[str, Any], warnings: dict[str, int]) -> Iterator[VerifyFinding]:
    """Yield a wrong member `verify`; it is null until a run is verified. warnings: those found."""
    if manifest.get("verify") not in (None, {"warnings": warnings}):
        yield _finding(f"verify is {str(manifest['verify'])[:60]}, found {str(warnings)[:60]}")


def deworks_findings(manifest: dict[str, Any], file: str, totals: FileTotals | None) -> Iterator[VerifyFinding]:
    """Yield what is wrong with the manifest's counts of deworks. totals: of its file; None if it was not read."""
    counts = manifest.get("deworks")
    if (counts is None) != (file not in manifest["artifacts"]):
        yield _finding("deworks is null but its file is listed, or vice versa")
    if totals is None or not isinstance(counts, dict):
        return
    members = ("works", "editions", "works_missing", "editions_without_work")
    for name, value in {"lines": totals.records, **{name: totals.counts[name] for name in members}}.items():
        if counts.get(name) != value:
            yield _finding(f"deworks.{name} is {counts.get(name)}, found {value}")
    if not counts.get("items") and totals.counts["with_item"]:
        yield _finding(f"deworks.items is {counts.get('items')}, but editions have items: {totals.counts['with_item']}")
    if not isinstance(counts.get("items"), int | None):
        yield _finding("deworks.items is not a number")
