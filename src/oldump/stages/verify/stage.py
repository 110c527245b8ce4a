"""Verify: check everything that a run made, from the files alone.

Reads:      cdump, parts, dump, deworks, table dumps; their indexes, manifest.json, SHA256SUMS, MD5SUMS
Writes:     nothing
Guarantees: whatever contradicts the format, the manifest or another file is a finding, with file, line and key
Memory:     a few segments for each worker and a Bloom filter of at most 64 MiB, whatever the size of the files
On failure: nothing has changed; rerun
"""

import logging
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from oldump.engine.segments import INDEX_SUFFIX, index_path
from oldump.engine.workers import Crew
from oldump.errors import ConfigurationError, VerificationError, storage_errors
from oldump.records.record import PARTS
from oldump.run.progress import Progress
from oldump.stages.verify.cross_checks import CheckedFile, CrossChecks
from oldump.stages.verify.deworks import DeworksChecker
from oldump.stages.verify.file_check import FileCheck
from oldump.stages.verify.findings import FindingKind, Findings, VerifyFinding
from oldump.stages.verify.gzip_file import SegmentReader, SerialReader, is_whole
from oldump.stages.verify.hashes import BloomFilter
from oldump.stages.verify.index import IndexTotals, read_index_totals
from oldump.stages.verify.manifest import (
    artifact_findings,
    file_findings,
    names_of,
    read_manifest,
    sums_findings,
    warning_findings,
    withheld_keys,
)
from oldump.stages.verify.privacy import first_day_after
from oldump.stages.verify.records import CDUMP, WARNING, RecordsChecker
from oldump.stages.verify.segments import Checker, SegmentWorker, checked_segments
from oldump.stages.verify.sums import FileSums, sums_of_file
from oldump.stages.verify.tables import TableChecker
from oldump.stages.verify.totals import FileTotals

log = logging.getLogger("oldump")


class VerifyResult(NamedTuple):
    """The findings of a verification, and the amount of data read."""

    findings: Findings
    files: int
    records: int
    text_bytes: int
    """The size of all texts."""
    warnings: dict[str, int]
    """The number of records in the cdump for each kind of warning."""

    @property
    def summary(self) -> str:
        """The result in one line."""
        found = f"{self.findings.summary} found" if self.findings else "nothing found"
        return f"{found}: {self.files:,} files, {self.records:,} records, {self.text_bytes:,} bytes of text"


def require_publishable(result: VerifyResult, item: Path, log_file: Path) -> None:
    """Log the result of a run's verification. Raises VerificationError if the run must not be published."""
    log.info("verify: %s", result.summary)
    for what, records in result.warnings.items():
        log.warning("verify: %s: %s records. It is published.", what, f"{records:,}")
    if not result.findings:
        return
    for row in result.findings.table:
        log.warning("verify: %s", "  ".join(row))
    raise VerificationError(
        f"{item}: not published: {result.summary} (listed in {log_file})",
        "Delete a file that the findings name and rerun: its stage and those that depend on it run again. To publish "
        "without a document, rerun with --withhold KEY=REASON.",
    )


def require_clean(result: VerifyResult, folder: Path) -> None:
    """Raise VerificationError if a finished dump has findings."""
    if result.findings:
        raise VerificationError(
            f"{folder}: {result.summary}", "Do not publish it. docs/checks.md explains each kind of finding."
        )


def item_in(folder: Path) -> Path:
    """Return the dump's item: the folder itself, or the only one in it. Raises ConfigurationError."""
    if (folder / "manifest.json").exists() or folder.name.startswith("ol_dump_"):
        return folder
    items = sorted(path for path in folder.glob("ol_dump_*") if path.is_dir())
    if len(items) != 1:
        names = ", ".join(item.name for item in items) or "none"
        raise ConfigurationError(
            f"{folder}: expected one folder ol_dump_DATE, found {names}", "Name the folder of one dump."
        )
    return items[0]


def verify(folder: Path, workers: int, memory_bytes: int, progress: Progress, *, quick: bool = False) -> VerifyResult:
    """Verify the item in this folder and the cdump's item next to it. memory_bytes: the memory of all processes.

    quick: check only names, sums, headers, trailers and indexes, and decompress nothing.
    Raises SourceMissing and SourceDamaged if there is no manifest, StorageError if a file cannot be read, WorkerError.
    """
    manifest = read_manifest(folder)
    verification = _Verification(folder, manifest, progress)
    verification.findings.update(file_findings(manifest, folder))
    checkers = _checkers(manifest, verification.paths, memory_bytes)
    if quick:
        for checker in checkers:
            verification.check_structure(checker)
    else:
        worker = SegmentWorker(checkers)
        with Crew(workers, lambda _: worker) as crew:
            for number, checker in enumerate(checkers):
                verification.check_file(crew, number, checker)
        cross_checks = CrossChecks(verification.checked, manifest)
        verification.findings.update(cross_checks.findings())
        for checker in checkers:
            if isinstance(checker, DeworksChecker):
                verification.findings.update(cross_checks.suspect_findings(checker.suspects))
        verification.findings.update(warning_findings(manifest, verification.warnings))
    verification.findings.update(sums_findings(folder, verification.sums))
    totals = [checked.totals for checked in verification.checked.values()]
    return VerifyResult(
        verification.findings,
        len(totals),
        sum(each.records for each in totals),
        sum(each.text_bytes for each in totals),
        verification.warnings,
    )


def _paths(folder: Path, manifest: dict[str, Any]) -> dict[str, Path]:
    """Return the listed files that exist, by name. Parts come before the files made from them."""
    day = date.fromisoformat(manifest["date"])
    names = names_of(day)
    tables = [name for name in names if name not in {*PARTS, "cdump", "dump", "deworks"}]
    paths = {}
    for name in (*PARTS, *tables, "cdump", "dump", "deworks"):
        path = (folder.parent / f"ol_cdump_{day}" if name == "cdump" else folder) / names[name]
        if names[name] in manifest["artifacts"] and path.is_file():
            paths[name] = path
    return paths


def _checkers(manifest: dict[str, Any], paths: dict[str, Path], memory_bytes: int) -> list[Checker]:
    """Return the checker of each file, by its kind."""
    last_day = first_day_after(date.fromisoformat(manifest["date"]))
    authors, withheld = BloomFilter(memory_bytes), withheld_keys(manifest)
    checkers: list[Checker] = []
    for name, path in paths.items():
        if name == "deworks":
            checkers.append(DeworksChecker(path.name, authors))
        elif name in {"cdump", "dump", *PARTS}:
            checkers.append(RecordsChecker(name, path.name, last_day, authors, withheld))
        else:
            checkers.append(TableChecker(name, path.name, last_day))
    return checkers


class _Verification:
    """Checks the files of a run one after another and collects the findings."""

    def __init__(self, folder: Path, manifest: dict[str, Any], progress: Progress) -> None:
        self._folder, self._artifacts, self._progress = folder, manifest["artifacts"], progress
        self.paths = _paths(folder, manifest)
        self.findings = Findings()
        self.checked: dict[str, CheckedFile] = {}
        self.sums: dict[str, FileSums] = {}
        """The sums, by path relative to the folder."""

    @property
    def warnings(self) -> dict[str, int]:
        """The number of records in the cdump for each kind of warning."""
        counts = self.checked[CDUMP].totals.counts if CDUMP in self.checked else {}
        return {name.removeprefix(WARNING): counts[name] for name in sorted(counts) if name.startswith(WARNING)}

    def check_structure(self, checker: Checker) -> None:
        """Check a file's sums, and its header, trailer and manifest against its index, without decompressing it."""
        self._progress.begin("verify", checker.name)
        path = self.paths[checker.name]
        sums = sums_of_file(path)
        index = self._read_index(path)
        totals = FileTotals()
        if index is not None:
            totals = FileTotals(index.records, index.text_bytes, index.crc32, index.segments)
            with storage_errors(path), path.open("rb") as stream:
                reader = SegmentReader(path, stream)
                for _ in reader:
                    pass
            for problem in reader.problems(index.crc32, index.text_bytes):
                self.findings.add(VerifyFinding(FindingKind.GZIP, path.name, problem))
            found = sums._asdict() | {name: getattr(index, name) for name in ("text_bytes", "records", "segments")}
            self._compare_artifact(path, found, only_found=True)
        self._keep(checker, sums, totals)

    def check_file(self, crew: Crew, number: int, checker: Checker) -> None:
        """Check the complete content of a file. number: the position of its checker."""
        self._progress.begin("verify", checker.name)
        path = self.paths[checker.name]
        has_index = self._read_index(path) is not None
        check, sums = self._read(crew, number, checker, by_index=has_index)
        if has_index and check.totals.has_damage and is_whole(path):
            what = "its segments are not those of the file, which is undamaged"
            self.findings.add(VerifyFinding(FindingKind.INDEX, path.name + INDEX_SUFFIX, what))
            has_index = False
            check, sums = self._read(crew, number, checker, by_index=False)
        self.findings.merge(check.findings)
        if not check.totals.has_damage:
            found = {"item": path.parent.name, **sums._asdict(), **check.manifest_members(has_index=has_index)}
            self._compare_artifact(path, found, only_found=not has_index)
        self._keep(checker, sums, check.totals)

    def _read(self, crew: Crew, number: int, checker: Checker, *, by_index: bool) -> tuple[FileCheck, FileSums]:
        """Read and check a file, by its index or serially."""
        path, check = self.paths[checker.name], FileCheck(checker)
        with storage_errors(path), path.open("rb") as stream:
            size_bytes = max(1, path.stat().st_size)
            reader = SegmentReader(path, stream) if by_index else SerialReader(path, stream)
            for entry, segment in checked_segments(crew, number, path, reader):
                check.add(entry, segment)
                self._progress.update(check.totals.records, min(reader.position_bytes / size_bytes, 1.0))
        for problem in reader.problems(check.totals.crc32, check.totals.text_bytes):
            check.add_damage(problem)
        return check, reader.sums()

    def _read_index(self, path: Path) -> IndexTotals | None:
        """Return the totals of the index of a file, or None if it has no index or an invalid one."""
        if not index_path(path).is_file():
            return None
        index = read_index_totals(path)
        self.sums[self._relative(index_path(path))] = index.sums
        if index.problem is None:
            return index
        self.findings.add(VerifyFinding(FindingKind.INDEX, path.name + INDEX_SUFFIX, index.problem, index.line))
        return None

    def _compare_artifact(self, path: Path, found: dict[str, Any], *, only_found: bool) -> None:
        """Compare the manifest with the values found. only_found: ignore members without a found value."""
        artifact = self._artifacts[path.name]
        if only_found:
            artifact = {name: value for name, value in artifact.items() if name in found}
        self.findings.update(artifact_findings(path.name, artifact, found))

    def _keep(self, checker: Checker, sums: FileSums, totals: FileTotals) -> None:
        path = self.paths[checker.name]
        self.sums[self._relative(path)] = sums
        self.checked[checker.name] = CheckedFile(path, totals)

    def _relative(self, path: Path) -> str:
        return path.name if path.parent == self._folder else f"../{path.parent.name}/{path.name}"
