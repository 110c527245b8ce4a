"""What verify finds: kinds, findings, and a bounded collection of them.

Does not: check anything.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

SHOWN = 10
"""So many findings of a kind are kept; all are counted."""
_KEY_CHARACTERS = 60


class Kind(StrEnum):
    """What is wrong; its value is its name in the table."""

    MISSING = "missing"
    """A file that must be there is not."""
    UNLISTED = "unlisted"
    """A file that nothing names."""
    SUMS = "sums"
    """SHA256SUMS or MD5SUMS does not say what the files are."""
    MANIFEST = "manifest"
    """The manifest does not say what the files are, or contradicts itself."""
    GZIP = "gzip"
    """Damaged gzip, or not written as the format says."""
    INDEX = "index"
    """An index that does not describe its file."""
    BORDERS = "borders"
    """Segments that do not end where the format says."""
    COLUMNS = "columns"
    """Not five columns, or a character that may not stand in one."""
    JSON = "json"
    """The fifth column is not a JSON object."""
    DRESS = "dress"
    """JSON that is not ASCII, or not spaced as the format says."""
    HEAD = "head"
    """A column that is not what the JSON says."""
    SPELLING = "spelling"
    """A legacy key, a spaced datetime, or an id."""
    ORDER = "order"
    """A line that stands before its place."""
    TWICE = "twice"
    """A key with two records in the dump."""
    PART = "part"
    """A record of a type that belongs elsewhere."""
    CUTOFF = "cutoff"
    """A record after the cutoff."""
    PRIVATE = "private"
    """A page that is withheld."""
    ACCOUNT = "account"
    """What account documents hold: an e-mail address, a password's hash."""
    LATEST = "latest"
    """The dump is not the latest of the cdump."""
    DUMP = "dump"
    """The dump is not its parts."""
    DEWORKS = "deworks"
    """Denormalized works that are not made of the parts."""
    TABLE = "table"
    """A line of a table dump that has another shape."""


class Finding(NamedTuple):
    """One thing that is wrong."""

    kind: Kind
    file: str
    """Its name; of the cdump's item or the dump's."""
    what: str
    line: int | None = None
    """From 1; of an index or a sums file, its own."""
    key: str = ""

    @property
    def row(self) -> tuple[str, ...]:
        """The finding in the table."""
        key = self.key if len(self.key) <= _KEY_CHARACTERS else f"{self.key[: _KEY_CHARACTERS - 1]}…"
        return self.kind.value, self.file, "" if self.line is None else f"{self.line:,}", key, self.what


HEADING = ("kind", "file", "line", "key", "what")


@dataclass
class Findings:
    """All findings: the first SHOWN of each kind and file, and how many there are."""

    shown: list[Finding] = field(default_factory=list)
    counts: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    """By kind and file."""

    def add(self, finding: Finding) -> None:
        """Take one."""
        place = finding.kind, finding.file
        self.counts[place] += 1
        if self.counts[place] <= SHOWN:
            self.shown.append(finding)

    def update(self, findings: Iterable[Finding]) -> None:
        """Take several."""
        for finding in findings:
            self.add(finding)

    def merge(self, other: "Findings", lines_before: int | None = 0) -> None:
        """Take all of another collection, whose lines are counted from here; None: nobody knows from where."""
        for finding in other.shown:
            if self.counts[finding.kind, finding.file] + 1 <= SHOWN:
                line = None if finding.line is None or lines_before is None else finding.line + lines_before
                self.shown.append(finding._replace(line=line))
            self.counts[finding.kind, finding.file] += 1
        for place, count in other.counts.items():
            self.counts[place] += count - min(count, SHOWN)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.counts)

    @property
    def table(self) -> list[tuple[str, ...]]:
        """A heading and a row for each finding that is kept, and one for those that are not, by kind and file."""
        rows: list[tuple[str, ...]] = [HEADING]
        for kind, file in sorted(self.counts, key=lambda place: (list(Kind).index(place[0]), place[1])):
            rows += [finding.row for finding in self.shown if (finding.kind, finding.file) == (kind, file)]
            more = self.counts[kind, file] - SHOWN
            if more > 0:
                rows.append((kind.value, file, "", "", f"and {more:,} more"))
        return rows

    @property
    def summary(self) -> str:
        """The number of findings by kind, such as `2 order, 1 latest`."""
        by_kind: Counter[Kind] = Counter()
        for (kind, _), count in self.counts.items():
            by_kind[kind] += count
        return ", ".join(f"{by_kind[kind]:,} {kind.value}" for kind in Kind if by_kind[kind])
