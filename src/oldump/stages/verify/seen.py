"""What a worker tells of a segment, whatever the file."""

from collections import Counter
from dataclasses import dataclass, field

from oldump.stages.verify.findings import Findings
from oldump.stages.verify.sets import Hashes


@dataclass
class Seen:
    """What a segment's lines are, and what is wrong with them."""

    records: int
    findings: Findings
    """With lines counted from the segment's first."""
    first: bytes
    """What the leader holds against the segment before: of records and tables, the first line without its newline."""
    last: bytes
    hashes: Hashes
    """Of the lines."""
    newest: str = ""
    by_type: Counter[str] = field(default_factory=Counter)
    extra: dict[str, Hashes] = field(default_factory=dict)
    """Hashes of further sets, by their names."""
    counts: Counter[str] = field(default_factory=Counter)
