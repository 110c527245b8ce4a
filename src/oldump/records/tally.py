"""What can be said of a set of records without keeping them: counts, extremes, and a digest.

Tallies of disjoint sets add up to the tally of their union, in any order.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from xxhash import xxh3_64_intdigest

from oldump.kernel.arrays import Digests, Places, Text
from oldump.kernel.lines import digests, greatest_column
from oldump.records.record import LAST_MODIFIED

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


def digests_of(text: Text, starts: Places, ends: Places) -> Digests:
    """XXH3-64 of each record without its newline. starts, ends: where records with their newlines lie in the text."""
    return digests(text, starts, ends, xxh3_64_intdigest)


def newest_of(text: Text, starts: Places, ends: Places) -> str:
    """The latest last_modified of records that lie there; empty if there are none."""
    return greatest_column(text, starts, ends, LAST_MODIFIED).decode()


def types_of(records: Iterable[bytes]) -> Counter[str]:
    """How many records there are of each type."""
    return Counter(record.split(b"\t", 1)[0].decode() for record in records)
