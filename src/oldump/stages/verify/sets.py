"""Sets of texts that are compared without being kept: sums of hashes, and a filter of fixed size.

Two sets with the same number of texts and the same sum of hashes are equal, but for a chance of 2**-64. The sums are
kept apart by the hash's upper bits, so that of two sets that differ only a small share needs to be looked at to name
what differs.

Does not: know what the texts are.
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
"""So many sums a set has."""
_SHARE_SHIFT = np.uint64(64 - 10)

MOST_FILTER_BYTES = 64 << 20
_FILTER_SHARE = 32
"""A filter takes one part in so many of the memory: each process that looks into it counts it."""
_PROBES = 5
"""Bits of the filter that a hash sets. With 15 million in 64 MiB, one text in 100,000 that is not there seems to be."""


def hashes_of(texts: Iterable[bytes]) -> Hashes:
    """The XXH3-64 of each text."""
    return np.fromiter(map(xxh3_64_intdigest, texts), np.uint64)


def hashes_of_lines(lines: Lines) -> Hashes:
    """The XXH3-64 of each line, without its newline."""
    return digests_of(lines.text, lines.starts, lines.ends)


@dataclass
class SetSum:
    """What is kept of a set: sums of the hashes of its members, modulo 2**64, and their number."""

    members: int = 0
    sums: Hashes = field(default_factory=lambda: np.zeros(SHARES, np.uint64))

    def add(self, hashes: Hashes) -> None:
        """Take members."""
        self.members += len(hashes)
        np.add.at(self.sums, hashes >> _SHARE_SHIFT, hashes)

    @property
    def digest(self) -> str:
        """The sum of all, as the manifest has it."""
        return f"{int(self.sums.sum(dtype=np.uint64)):016x}"

    def differing(self, other: "SetSum") -> list[int]:
        """The shares in which two sets differ; empty if they are equal."""
        return np.flatnonzero(self.sums != other.sums).tolist()


def in_shares(hashes: Hashes, shares: list[int]) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    """The places of the hashes that lie in these shares."""
    return np.flatnonzero(np.isin(hashes >> _SHARE_SHIFT, shares))


class Filter:
    """A Bloom filter in memory that forked processes share: whether a hash may have been added.

    One that was added is never denied.
    """

    def __init__(self, memory_bytes: int) -> None:
        """Begin with none. memory_bytes: what all processes together may use."""
        size_bytes = min(MOST_FILTER_BYTES, memory_bytes // _FILTER_SHARE)
        self._bits = np.frombuffer(mmap.mmap(-1, size_bytes), np.uint8)

    def add(self, hashes: Hashes) -> None:
        """Add hashes; only one process does."""
        for places in self._places(hashes):
            np.bitwise_or.at(
                self._bits, places >> np.uint64(3), np.uint8(1) << (places & np.uint64(7)).astype(np.uint8)
            )

    def lacks(self, hashes: Hashes) -> list[int]:
        """The places of the hashes that were never added."""
        present = np.ones(len(hashes), np.bool_)
        for places in self._places(hashes):
            present &= self._bits[places >> np.uint64(3)] >> (places & np.uint64(7)).astype(np.uint8) & 1 == 1
        return np.flatnonzero(~present).tolist()

    def _places(self, hashes: Hashes) -> Iterable[Hashes]:
        """The bits of each hash: two halves, combined (Kirsch and Mitzenmacher, 2006)."""
        step = (hashes >> np.uint64(29)) | np.uint64(1)
        for probe in range(_PROBES):
            yield (hashes + np.uint64(probe) * step) % np.uint64(8 * len(self._bits))
