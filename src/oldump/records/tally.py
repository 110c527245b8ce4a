"""What can be said of a set of records without keeping them: counts, extremes, and a digest.

Tallies of disjoint sets add up to the tally of their union, in any order.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from xxhash import xxh3_64_intdigest

from oldump.kernel.arrays import Digests, Places
from oldump.kernel.lines import digests

_MASK = (1 << 64) - 1


@dataclass
class Tally:
    """Counts, extremes and digest of a set of records."""

    records: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    newest: str = ""
    """The latest last_modified."""
    digest: int = 0
    """Sum of the records' XXH3-64 (of the line without its newline), modulo 2**64."""

    def add(self, other: "Tally") -> None:
        """Count other in."""
        self.records += other.records
        self.by_type.update(other.by_type)
        self.newest = max(self.newest, other.newest)
        self.digest = (self.digest + other.digest) & _MASK


def digests_of(text: bytes | memoryview, starts: Places, ends: Places) -> Digests:
    """What each record adds to a digest. starts, ends: where they lie in the text, each with its newline."""
    return digests(text, starts, ends, xxh3_64_intdigest)


def types_of(records: Iterable[bytes]) -> Counter[str]:
    """How many records there are of each type."""
    return Counter(record.split(b"\t", 1)[0].decode() for record in records)
