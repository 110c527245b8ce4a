"""Hashes of lines, and two summaries of sets of them: sums, and a Bloom filter of fixed size.

Two sets with the same number of members and the same sum of hashes are equal, except with a probability of 2**-64. The
sums are kept by the upper bits of the hash, so that a small share of two sets is enough to name what differs.

Does not: know what the texts mean.
"""

import mmap
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from xxhash import xxh3_64_intdigest

from oldump.engine.text_lines import Lines
from oldump.records.tally import digests_of

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]

SHARES = 1_024
"""The number of sums in a SetSum."""
SHARE_SHIFT = 64 - 10
"""Right shift that gives the share of a hash."""

MOST_FILTER_BYTES = 64 << 20
_FILTER_SHARE = 32
"""The filter takes 1/32 of the memory, since each process that reads it is charged for it."""
_PROBES = 5
"""Bits that a hash sets. With 15 million hashes in 64 MiB, 1 in 100,000 absent hashes is taken for present."""


def hashes_of(texts: Iterable[bytes]) -> Hashes:
    """Return the XXH3-64 hash of each text."""
    return np.fromiter(map(xxh3_64_intdigest, texts), np.uint64)


def hashes_of_lines(lines: Lines) -> Hashes:
    """Return the XXH3-64 hash of each line, without its newline."""
    return digests_of(lines.text, lines.starts, lines.ends)


@dataclass
class SetSum:
    """A summary of a set: the sums of its members' hashes modulo 2**64, and their number."""

    members: int = 0
    sums: Hashes = field(default_factory=lambda: np.zeros(SHARES, np.uint64))

    def add(self, hashes: Hashes) -> None:
        """Add members."""
        self.members += len(hashes)
        np.add.at(self.sums, hashes >> np.uint64(SHARE_SHIFT), hashes)

    @property
    def digest(self) -> str:
        """The sum of all hashes, as the manifest has it."""
        return f"{int(self.sums.sum(dtype=np.uint64)):016x}"

    def differing(self, other: "SetSum") -> list[int]:
        """Return the shares in which two sets differ; empty if they are equal."""
        return np.flatnonzero(self.sums != other.sums).tolist()


class BloomFilter:
    """A Bloom filter in memory that forked processes share.

    It never reports an added hash as missing. memory_bytes: the memory of all processes together.
    """

    def __init__(self, memory_bytes: int) -> None:
        size_bytes = min(MOST_FILTER_BYTES, memory_bytes // _FILTER_SHARE)
        self._bits = np.frombuffer(mmap.mmap(-1, size_bytes), np.uint8)

    def add(self, hashes: Hashes) -> None:
        """Add hashes. Only one process may do so."""
        for places in self._places(hashes):
            np.bitwise_or.at(
                self._bits, places >> np.uint64(3), np.uint8(1) << (places & np.uint64(7)).astype(np.uint8)
            )

    def missing(self, hashes: Hashes) -> list[int]:
        """Return the positions of the hashes that were never added."""
        present = np.ones(len(hashes), np.bool_)
        for places in self._places(hashes):
            present &= self._bits[places >> np.uint64(3)] >> (places & np.uint64(7)).astype(np.uint8) & 1 == 1
        return np.flatnonzero(~present).tolist()

    def _places(self, hashes: Hashes) -> Iterable[Hashes]:
        """Yield the bits of each hash, by double hashing of its halves (Kirsch and Mitzenmacher, 2006)."""
        step = (hashes >> np.uint64(29)) | np.uint64(1)
        for probe in range(_PROBES):
            yield (hashes + np.uint64(probe) * step) % np.uint64(8 * len(self._bits))
