"""Gate: compare a run with the last complete one before it may be published.

Reads:      all published artifacts of the run; manifest and parts of the last complete run
Writes:     no file; its figures and findings are counts in the journal, and from there in the manifest
Guarantees: every reason not to publish is a finding, with its numbers; nothing is changed
Memory:     a range of keys for each worker, whatever the size of the parts
On failure: nothing is lost or published; a rerun compares again
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
from oldump.stages.gate.comparison import Changes, IndexedPart, PartsComparison, compare_parts
from oldump.stages.gate.earlier import EarlierRun, figures_of, last_complete
from oldump.stages.gate.rules import GateFinding, gate_findings, gate_warnings

log = logging.getLogger("oldump")


@dataclass
class GateResult:
    """The comparison of a run with the last complete one."""

    earlier: EarlierRun | None
    """The run that it was compared with."""
    comparison: PartsComparison
    changes: Changes | None
    """None if they are unknown."""
    findings: list[GateFinding]
    """Reasons not to publish the run."""
    warnings: list[str] = field(default_factory=list)
    """What the operator should know but does not prevent publication."""

    def as_json(self, override: str | None) -> dict[str, Any]:
        """The counts for the journal and the manifest. override: the operator's reason to publish despite findings."""
        return {
            "compared_with": str(self.earlier.day) if self.earlier else None,
            "filled": {part: dict(sorted(counts.items())) for part, counts in self.comparison.filled.items()},
            "changes": asdict(self.changes) if self.changes else None,
            "findings": [finding.as_json() for finding in self.findings],
            "warnings": self.warnings,
            "override": override if self.findings else None,
        }


def assess(
    artifacts: list[Artifact], counts: Mapping[str, Any], folder: RunFolder, settings: Settings, progress: Progress
) -> GateResult:
    """Compare a run with the last complete one. counts: `read_at`, and the manifest's `rows` and, if any, `deworks`.

    Raises SourceDamaged, StorageError, VerificationError, WorkerError.
    """
    messages: list[str] = []
    now = figures_of(folder.date, artifacts, dict(counts))
    earlier = last_complete(folder, messages.append)
    paths = {name: folder.artifact(now.artifacts[name].name, now.artifacts[name].item) for name in PARTS}
    parts = [IndexedPart.at(name, path) for name, path in paths.items()]
    progress.begin("gate", "compare")
    earlier_parts = _parts_of(earlier, messages)
    records = sum(now.artifacts[name].records for name in PARTS)

    def update(done: int) -> None:
        progress.update(done, done / records if records else 1.0)

    comparison = compare_parts([*parts, *earlier_parts], workers_within(settings.memory, settings.workers), update)
    if comparison.records != records:
        raise VerificationError(
            f"{folder.making}: the parts have {records:,} records, but the gate read {comparison.records:,}",
            "Rerun. If it happens again, report a bug.",
        )
    if comparison.damage:
        messages.append(f"{comparison.damage}; changed records are not counted")
    changes = comparison.changes if earlier_parts and not comparison.damage else None
    now = figures_of(folder.date, artifacts, {**counts, "gate": {"filled": comparison.filled}})
    before = earlier.figures if earlier else None
    if before:
        messages += gate_warnings(now, before)
        if before.filled is None:
            messages.append(f"the manifest of {before.day} has no counts of members with values; they are not compared")
    return GateResult(earlier, comparison, changes, gate_findings(now, before, changes, settings), messages)


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


def _parts_of(earlier: EarlierRun | None, messages: list[str]) -> list[IndexedPart]:
    """Return the parts of the earlier run; none, and a warning, if they cannot be read."""
    if earlier is None:
        return []
    try:
        return earlier.parts()
    except (SourceError, StorageError) as error:
        messages.append(f"{error.message}; records changed since {earlier.day} are not counted")
        return []
