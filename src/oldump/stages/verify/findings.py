"""Findings of verify: their kinds, and a bounded collection of them.

Does not: check anything.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

SHOWN = 10
"""Findings that are kept for each kind and file. All are counted."""
_KEY_CHARACTERS = 60

HEADING = ("kind", "file", "line", "key", "what")

OUT_OF_ORDER = "out of order: sorts before the previous line"


class FindingKind(StrEnum):
    """A kind of finding. Its value is its name in the table."""

    MISSING = "missing"
    """A listed file does not exist."""
    UNLISTED = "unlisted"
    """A file is not listed in the manifest."""
    SUMS = "sums"
    """SHA256SUMS or MD5SUMS does not match the files."""
    MANIFEST = "manifest"
    """The manifest does not match the files, or contradicts itself."""
    GZIP = "gzip"
    """The gzip data is damaged, or not written as the format requires."""
    INDEX = "index"
    """An index does not match its file."""
    BORDERS = "borders"
    """A segment does not end where the format requires."""
    COLUMNS = "columns"
    """A line does not have five columns, or a column has a forbidden character."""
    JSON = "json"
    """The fifth column is not a JSON object."""
    NON_CANONICAL = "non-canonical"
    """JSON that is not ASCII, or not spaced as the format requires."""
    MISMATCH = "mismatch"
    """A column differs from the JSON."""
    SPELLING = "spelling"
    """A legacy key, a datetime with a space, or a top-level `id`."""
    ORDER = "order"
    """A line sorts before the previous line."""
    DUPLICATE = "duplicate"
    """A key has two records in the dump."""
    PART = "part"
    """A record is in the part of another type."""
    CUTOFF = "cutoff"
    """A record is newer than the cutoff."""
    PRIVATE = "private"
    """A page that must not be published."""
    ACCOUNT = "account"
    """Account data: an e-mail address or a password hash."""
    LATEST = "latest"
    """A part differs from the latest records of the cdump."""
    DUMP = "dump"
    """The dump differs from its parts."""
    DEWORKS = "deworks"
    """The denormalized works differ from the parts."""
    TABLE = "table"
    """A line of a table dump does not have the table's columns."""


class VerifyFinding(NamedTuple):
    """A contradiction between a file and the format, the manifest or another file."""

    kind: FindingKind
    file: str
    """The file's name."""
    what: str
    line: int | None = None
    """Line number from 1; in an index or a sums file, of that file."""
    key: str = ""

    @property
    def row(self) -> tuple[str, ...]:
        """The finding as a row of the table."""
        key = self.key if len(self.key) <= _KEY_CHARACTERS else f"{self.key[: _KEY_CHARACTERS - 1]}…"
        return self.kind.value, self.file, "" if self.line is None else f"{self.line:,}", key, self.what


@dataclass
class Findings:
    """Findings: the first SHOWN of each kind and file, and the number of all."""

    shown: list[VerifyFinding] = field(default_factory=list)
    counts: Counter[tuple[FindingKind, str]] = field(default_factory=Counter)
    """By kind and file."""

    def add(self, finding: VerifyFinding) -> None:
        """Add one finding."""
        place = finding.kind, finding.file
        self.counts[place] += 1
        if self.counts[place] <= SHOWN:
            self.shown.append(finding)

    def update(self, findings: Iterable[VerifyFinding]) -> None:
        """Add several findings."""
        for finding in findings:
            self.add(finding)

    def merge(self, other: "Findings", lines_before: int = 0) -> None:
        """Add another collection. lines_before: added to its line numbers."""
        for finding in other.shown:
            if self.counts[finding.kind, finding.file] + 1 <= SHOWN:
                line = None if finding.line is None else finding.line + lines_before
                self.shown.append(finding._replace(line=line))
            self.counts[finding.kind, finding.file] += 1
        for place, count in other.counts.items():
            self.counts[place] += count - min(count, SHOWN)

    def __bool__(self) -> bool:
        """Whether there are findings."""
        return bool(self.counts)

    @property
    def table(self) -> list[tuple[str, ...]]:
        """A heading, a row for each finding that is kept, and a row with the number of the others."""
        rows: list[tuple[str, ...]] = [HEADING]
        for kind, file in sorted(self.counts, key=lambda place: (list(FindingKind).index(place[0]), place[1])):
            rows += [finding.row for finding in self.shown if (finding.kind, finding.file) == (kind, file)]
            more = self.counts[kind, file] - SHOWN
            if more > 0:
                rows.append((kind.value, file, "", "", f"and {more:,} more"))
        return rows

    @property
    def summary(self) -> str:
        """The number of findings by kind, such as `2 order, 1 latest`."""
        by_kind: Counter[FindingKind] = Counter()
        for (kind, _), count in self.counts.items():
            by_kind[kind] += count
        return ", ".join(f"{by_kind[kind]:,} {kind.value}" for kind in FindingKind if by_kind[kind])
