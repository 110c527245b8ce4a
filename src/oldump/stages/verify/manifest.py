"""The manifest, the sums files and the names of an item, held against what was found in the files.

Does not: read the artifacts.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from oldump.engine.segments import INDEX_SUFFIX
from oldump.errors import SourceDamaged, SourceMissing, storage_errors
from oldump.records.record import PARTS
from oldump.run.manifest import FORMAT_VERSION, MANIFEST, SUMS
from oldump.stages.verify.files import Sums
from oldump.stages.verify.findings import Finding, Kind

_TABLES = ("reading-log", "ratings", "wikidata", "covers_metadata")


def manifest_in(folder: Path) -> dict[str, Any]:
    """The manifest of an item. Raises SourceMissing, SourceDamaged if it is none that this version can read."""
    path = folder / MANIFEST
    if not path.is_file():
        raise SourceMissing(f"{path}: no such file. Give the folder of a dump, such as ol_dump_2022-07-31.")
    with storage_errors(path):
        text = path.read_bytes()
    try:
        manifest = json.loads(text)
        date.fromisoformat(manifest["date"])
        artifacts = manifest["artifacts"]
        if not all(isinstance(artifact, dict) and "item" in artifact for artifact in artifacts.values()):
            raise ValueError("artifacts without an item")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceDamaged(f"{path}: not a manifest ({error}). Fetch or make it again.") from error
    if manifest.get("format") != FORMAT_VERSION:
        raise SourceDamaged(
            f"{path}: of format {manifest.get('format')!r}; this version of oldump verifies format {FORMAT_VERSION}."
        )
    return dict(manifest)


def names_of(day: date) -> dict[str, str]:
    """The files that a run may have, by what they are: cdump, dump, parts, deworks, table dumps."""
    names = {"cdump": f"ol_cdump_{day}.txt.gz", "dump": f"ol_dump_{day}.txt.gz"}
    return names | {name: f"ol_dump_{name}_{day}.txt.gz" for name in (*PARTS, "deworks", *_TABLES)}


def wrong_names(manifest: dict[str, Any], folder: Path) -> Iterator[Finding]:
    """Files that are missing from the items, or that nothing names."""
    day = date.fromisoformat(manifest["date"])
    skipped = manifest.get("skipped") or []
    names, artifacts = names_of(day), manifest["artifacts"]
    for what, name in names.items():
        optional = what == "deworks" or what in _TABLES
        if name not in artifacts and not (optional and what in skipped):
            yield Finding(Kind.MANIFEST, MANIFEST, f"it has no {name}")
        elif name in artifacts and what in skipped:
            yield Finding(Kind.MANIFEST, MANIFEST, f"{what} is skipped, and there is {name}")
    items = {f"ol_cdump_{day}": folder.parent / f"ol_cdump_{day}", f"ol_dump_{day}": folder}
    for item, place in items.items():
        expected = {name for name, artifact in artifacts.items() if artifact["item"] == item}
        expected |= {name + INDEX_SUFFIX for name in expected}
        if place == folder:
            expected |= {MANIFEST, *SUMS.values()}
        there = {path.name for path in place.iterdir()} if place.is_dir() else set()
        yield from (Finding(Kind.MISSING, name, f"not in {item}") for name in sorted(expected - there))
        yield from (
            Finding(Kind.UNLISTED, name, f"in {item}, and nothing names it") for name in sorted(there - expected)
        )
    for name in artifacts:
        if name not in names.values():
            yield Finding(Kind.MANIFEST, MANIFEST, f"{name} is none of a run's files")


def wrong_sums(folder: Path, found: dict[str, Sums]) -> Iterator[Finding]:
    """What SHA256SUMS and MD5SUMS say wrongly. found: by the path as it is seen from the folder."""
    for algorithm, name in SUMS.items():
        path = folder / name
        if not path.is_file():
            continue
        with storage_errors(path):
            lines = path.read_bytes().decode(errors="backslashreplace").split("\n")
        if lines.pop() != "":
            yield Finding(Kind.SUMS, name, "does not end with a newline")
        named: set[str] = set()
        for number, line in enumerate(lines, start=1):
            digest, separator, place = line.partition("  ")
            if not separator or place not in found or place in named:
                yield Finding(Kind.SUMS, name, "a line for no file, or for one a second time", number, place)
            elif digest != getattr(found[place], algorithm):
                yield Finding(Kind.SUMS, Path(place).name, f"its sum in {name} is another", number)
            named.add(place)
        for place in sorted(set(found) - named):
            yield Finding(Kind.SUMS, name, f"has no line for {place}")


def wrong_members(name: str, artifact: dict[str, Any], found: dict[str, Any]) -> Iterator[Finding]:
    """What the manifest says of an artifact and the file does not. found: what was found, by the member's name."""
    for member, value in found.items():
        if member not in artifact:
            yield Finding(Kind.MANIFEST, name, f"the manifest has no {member}")
        elif artifact[member] != value:
            yield Finding(
                Kind.MANIFEST,
                name,
                f"{member} is {str(artifact[member])[:60]} in the manifest, found {str(value)[:60]}",
            )
    for member in sorted(set(artifact) - set(found) - {"item"}):
        yield Finding(Kind.MANIFEST, name, f"the manifest has a member {member} that the format does not")


def wrong_counts(manifest: dict[str, Any], records: int, same_revision: int) -> Iterator[Finding]:
    """What the manifest's counts of rows contradict. records, same_revision: of the cdump."""
    day, rows = manifest["date"], manifest.get("rows")
    if manifest.get("cutoff") != f"{day}T23:59:59.999999":
        yield Finding(Kind.MANIFEST, MANIFEST, f"the cutoff is {manifest.get('cutoff')}, the date {day}")
    for member in ("tool", "source", "rows", "skipped"):
        if not isinstance(manifest.get(member), list if member == "skipped" else dict):
            yield Finding(Kind.MANIFEST, MANIFEST, f"no member {member}")
    try:
        assert isinstance(rows, dict)  # noqa: S101 - told above, and translated below
        total = rows["records"] + sum(rows["drops"].values()) + sum(rows["rejects"].values())
        if rows["rows"] != total:
            yield Finding(Kind.MANIFEST, MANIFEST, f"{rows['rows']} rows, but records, drops and rejects are {total}")
        if rows["records"] != records:
            yield Finding(Kind.MANIFEST, MANIFEST, f"rows.records is {rows['records']}, the cdump has {records}")
        if rows["same_revision"] != same_revision:
            yield Finding(
                Kind.MANIFEST, MANIFEST, f"rows.same_revision is {rows['same_revision']}, found {same_revision}"
            )
    except (AssertionError, KeyError, TypeError, AttributeError):
        yield Finding(Kind.MANIFEST, MANIFEST, "rows is not what the format says")
