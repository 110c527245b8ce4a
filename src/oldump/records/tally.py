"""Tallies of records: counts, the latest date and a digest, computed without keeping the records.

The tallies of disjoint sets add up to the tally of their union, in any order.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from xxhash import xxh3_64_intdigest

from oldump.kernel.arrays import Digests, Places, Text
from oldump.kernel.spans import digests, greatest_column
from oldump.records.record import LAST_MODIFIED

_MASK = (1 << 64) - 1


@dataclass
class Tally:
    """Counts, latest date and digest of a set of records."""

    records: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    newest: str = ""
    """The latest last_modified."""
    digest: int = 0
    """The sum of the XXH3-64 of each line without its newline, modulo 2**64."""

    def add(self, other: "Tally") -> None:
        """Add another set's tally to this one."""
        self.records += other.records
        self.by_type.update(other.by_type)
        self.newest = max(self.newest, other.newest)
        self.digest = (self.digest + other.digest) & _MASK


def digests_of(text: Text, starts: Places, ends: Places) -> Digests:
    """Return the XXH3-64 of each record without its newline. starts, ends: the records' offsets, newlines included."""
    return digests(text, starts, ends, xxh3_64_intdigest)


def newest_of(text: Text, starts: Places, ends: Places) -> str:
    """Return the latest last_modified of the records at these offsets; empty if there are none."""
    return greatest_column(text, starts, ends, LAST_MODIFIED).decode()


def types_of(records: Iterable[bytes]) -> Counter[str]:
    """Return the number of records of each type."""
    return Counter(record.split(b"\t", 1)[0].decode() for record in records)
