"""Results of checks: what a worker reports of a segment, and what a file's segments add up to.

Does not: check anything.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from oldump.stages.verify.findings import Findings
from oldump.stages.verify.hashes import Hashes, SetSum


@dataclass
class TextResult:
    """The findings, counts and hashes of a segment's lines."""

    records: int
    findings: Findings
    """Line numbers count from the segment's first line."""
    first_key: bytes
    last_key: bytes
    first: bytes
    """What the leader compares with the segment before: of records and tables, the first line without its newline."""
    last: bytes
    """What the leader compares with the segment after."""
    hashes: Hashes
    """Of the lines."""
    newest: str = ""
    by_type: Counter[str] = field(default_factory=Counter)
    extra: dict[str, Hashes] = field(default_factory=dict)
    """Hashes of further sets, by name."""
    counts: Counter[str] = field(default_factory=Counter)


class SegmentResult(NamedTuple):
    """What a worker reports of a segment."""

    text_bytes: int
    crc32: int
    first_line_bytes: int
    damage: str | None
    """Why the bytes are not a segment."""
    text: TextResult | None
    """None if the segment is damaged."""


@dataclass
class FileTotals:
    """The sums over the segments of a file that were read."""

    records: int = 0
    text_bytes: int = 0
    crc32: int = 0
    segments: int = 0
    newest: str = ""
    by_type: Counter[str] = field(default_factory=Counter)
    lines: SetSum = field(default_factory=SetSum)
    extra: dict[str, SetSum] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    first_key: bytes | None = None
    last_key: bytes | None = None
    last: bytes | None = None
    open_bytes: int = 0
    """Text of the latest segment."""
    has_damage: bool = False
    """Whether a segment could not be read; then the sums mean nothing."""

    def add_to_set(self, name: str, hashes: Hashes) -> None:
        """Add hashes to one of the further sets."""
        self.extra.setdefault(name, SetSum()).add(hashes)
