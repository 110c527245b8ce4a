"""What can be said of a set of records without keeping them: counts, extremes, and a digest.

Tallies of disjoint sets add up to the tally of their union, in any order.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from xxhash import xxh3_64_intdigest

_MASK = (1 << 64) - 1
_HEAD_BYTES = 160
"""Where the first four columns nearly always end: looking at these bytes alone spares copying the JSON."""


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


def tally_of(records: list[bytes], by_type: Counter[str], newest: str = "") -> Tally:
    """The tally of records (without newlines) of these types; newest: their latest last_modified, if it is known."""
    return Tally(
        records=len(records),
        by_type=by_type,
        newest=newest or max(map(_last_modified, records), default=b"").decode(),
        digest=sum(map(xxh3_64_intdigest, records)) & _MASK,
    )


def types_of(records: Iterable[bytes]) -> Counter[str]:
    """How many records there are of each type."""
    return Counter(record.split(b"\t", 1)[0].decode() for record in records)


def _last_modified(record: bytes) -> bytes:
    head = record[:_HEAD_BYTES].split(b"\t", 4)
    return head[3] if len(head) == 5 else record.split(b"\t", 4)[3]
