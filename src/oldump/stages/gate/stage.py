"""The gate: a run is compared with the last complete one before it may be published.

Reads:      all that is published of the run; manifest and parts of the last complete run
Writes:     nothing; its figures and findings are counts in the journal, and stand in the manifest
Promises:   every reason that speaks against publication is told, with its numbers; nothing is changed
Memory:     a range of keys a worker, whatever the size of the parts
On failure: nothing is lost or published; run again, and the gate looks again
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from oldump.engine.budget import workers_within
from oldump.errors import GateClosed, SourceError, StorageError, VerificationError
from oldump.records.record import PARTS
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.gate.comparison import Changes, Part, Pass, compared
from oldump.stages.gate.earlier import Earlier, figures_of, last_complete
from oldump.stages.gate.rules import Finding, findings, warnings

log = logging.getLogger("oldump")


@dataclass
class GateResult:
    """The comparison of a run with the last complete one."""

    earlier: Earlier | None
    """The run that it was compared with."""
    read: Pass
    changes: Changes | None
    """None if they are unknown."""
    findings: list[Finding]
    """Reasons not to publish the run."""
    warnings: list[str] = field(default_factory=list)
    """What the operator should know but does not prevent publication."""

    def as_json(self, override: str | None) -> dict[str, Any]:
        """The counts for the journal and the manifest. override: the operator's reason to publish despite findings."""
        return {
            "compared_with": str(self.earlier.day) if self.earlier else None,
            "filled": {part: dict(sorted(counts.items())) for part, counts in self.read.filled.items()},
            "changes": asdict(self.changes) if self.changes else None,
            "findings": [finding.as_json() for finding in self.findings],
            "warnings": self.warnings,
            "override": override if self.findings else None,
        }


def assess(
    artifacts: list[Artifact], counts: Mapping[str, Any], folder: RunFolder, settings: Settings, progress: Progress
) -> GateResult:
    """Compare a run with the last complete one. counts: the manifest's `deworks`, if the run has it.

    Raises SourceDamaged, StorageError, VerificationError, WorkerError.
    """
    told: list[str] = []
    now = figures_of(folder.date, artifacts, dict(counts))
    earlier = last_complete(folder, told.append)
    paths = {name: folder.artifact(now.artifacts[name].name, now.artifacts[name].item) for name in PARTS}
    parts = [Part.at(name, path) for name, path in paths.items()]
    progress.begin("gate", "compare")
    earlier_parts = _parts_of(earlier, told)
    records = sum(now.artifacts[name].records for name in PARTS)

    def update(done: int) -> None:
        progress.update(done, done / records if records else 1.0)

    read = compared([*parts, *earlier_parts], workers_within(settings.memory, settings.workers), update)
    if read.records != records:
        raise VerificationError(
            f"{folder.making}: {records:,} records in the parts, the gate read {read.records:,}",
            "Give the command again; if it is the same, please report it.",
        )
    if read.damage:
        told.append(f"{read.damage}; which records changed is not known")
    changes = read.changes if earlier_parts and not read.damage else None
    now = figures_of(folder.date, artifacts, {**counts, "gate": {"filled": read.filled}})
    before = earlier.figures if earlier else None
    if before:
        told += warnings(now, before)
        if before.filled is None:
            told.append(f"the manifest of {before.day} does not say which members had values: they are not compared")
    return GateResult(earlier, read, changes, findings(now, before, changes, settings), told)


def require_open(result: GateResult, folder: RunFolder, override: str | None) -> None:
    """Log the result. Raises GateClosed if there are findings and no reason to publish despite them."""
    for message in (*result.warnings, *result.findings):
        log.warning("gate: %s", message)
    compared_with = f"compared with {result.earlier.folder}" if result.earlier else "there is no earlier run"
    if not result.findings:
        log.info("gate: %s, no findings", compared_with)
        return
    if override is not None:
        log.warning("gate: %s, findings overridden: %s", compared_with, override)
        return
    first, *others = result.findings
    more = f" ({len(others)} more in {folder.log})" if others else ""
    raise GateClosed(
        f"{folder.making}: not published ({compared_with}): {first}{more}",
        "If the change is expected, rerun with --override-gate REASON. Otherwise fix the source and rerun with "
        "--overwrite.",
    )


def _parts_of(earlier: Earlier | None, told: list[str]) -> list[Part]:
    """The parts of the earlier run; none where they are not all there, which is told."""
    if earlier is None:
        return []
    try:
        return earlier.parts()
    except (SourceError, StorageError) as error:
        told.append(f"{error.message}; which records changed since {earlier.day} is not known")
        return []
