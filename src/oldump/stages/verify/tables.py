"""Check of the table dumps: the columns and the order of their lines.

Does not: know what the database has.
"""

from typing import Any

from oldump.records.shapes import COLUMNS, SHAPES, table_order
from oldump.stages.verify.findings import OUT_OF_ORDER, FindingKind, Findings, VerifyFinding
from oldump.stages.verify.hashes import hashes_of
from oldump.stages.verify.totals import FileTotals, TextResult

_DAY_COLUMN = {"wikidata": 1}
"""The column with the date, if it is not the last one."""


class TableChecker:
    """Checks a table dump."""

    def __init__(self, name: str, file: str, first_day_after: str) -> None:
        self.name, self.file = name, file
        self._first_day_after = first_day_after

    def check_text(self, text: bytes) -> TextResult:
        """Check the lines of a segment."""
        lines = text.removesuffix(b"\n").split(b"\n")
        findings = Findings()
        last_order: tuple[object, ...] | None = None
        for number, line in enumerate(lines, start=1):
            if (what := self._shape_problem(line)) is not None:
                findings.add(VerifyFinding(FindingKind.TABLE, self.file, what, number, _key_of(line)))
                continue
            if line.split(b"\t")[_DAY_COLUMN.get(self.name, -1)].decode() >= self._first_day_after:
                what = "its date is after the cutoff"
                findings.add(VerifyFinding(FindingKind.CUTOFF, self.file, what, number, _key_of(line)))
            order = table_order(self.name, line)
            if last_order is not None and order < last_order:
                findings.add(VerifyFinding(FindingKind.ORDER, self.file, OUT_OF_ORDER, number, _key_of(line)))
            last_order = order
        first, last = lines[0], lines[-1]
        keys = first.partition(b"\t")[0], last.partition(b"\t")[0]
        return TextResult(len(lines), findings, *keys, first, last, hashes_of(lines))

    def _shape_problem(self, line: bytes) -> str | None:
        return None if SHAPES[self.name].fullmatch(line) else f"not a line of {self.name}: {line[:60]!r}"

    def check_border(self, totals: FileTotals, result: TextResult, findings: Findings) -> None:
        """Compare a segment's first line with the last line before it."""
        lines = totals.last or b"", result.first
        if any(map(self._shape_problem, lines)):
            return  # such a line has a finding of its own
        last_order, first_order = (table_order(self.name, line) for line in lines)
        if first_order < last_order:
            findings.add(VerifyFinding(FindingKind.ORDER, self.file, OUT_OF_ORDER, totals.records + 1))

    def may_start_early(self, totals: FileTotals, result: TextResult) -> bool:  # noqa: ARG002 - as RecordsChecker's
        """Whether the format ends the segment before here, although more would fit: never."""
        return False

    def collect(self, result: TextResult) -> None:
        """Keep nothing: no other file is compared with this one."""

    def manifest_members(self, totals: FileTotals) -> dict[str, Any]:  # noqa: ARG002 - as RecordsChecker's
        """Return the members of the manifest that only this kind of file has."""
        return {"newest": None, "digest": None, "columns": list(COLUMNS[self.name]), "null": "\\N"}


def _key_of(line: bytes) -> str:
    return line.partition(b"\t")[0].decode(errors="backslashreplace")
