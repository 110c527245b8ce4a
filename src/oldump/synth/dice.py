"""Reproducible random numbers.

A document's dice depend only on the seed, its collection and its number, so any revision can be written without
remembering anything about the document.
"""

from collections.abc import Callable
from hashlib import blake2b
from struct import Struct

COUNT = 24
"""Number of dice per document, each from 0 to 65,535."""

Dice = tuple[int, ...]

_NAME = Struct("<QQQ").pack
_VALUES = Struct(f"<{COUNT}H{64 - 2 * COUNT}x").unpack


def dice_of(seed: int) -> Callable[[int, int], Dice]:
    """Return a function from (collection, number) to the dice of that document."""
    seed %= 1 << 64

    def dice(collection: int, number: int) -> Dice:
        return _VALUES(blake2b(_NAME(seed, collection, number)).digest())

    return dice


def mixed(number: int) -> int:
    """Return 32 pseudorandom bits that depend only on `number` (folded multiplicative hashing)."""
    product = number * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return (product ^ product >> 29) >> 16 & 0xFFFFFFFF
