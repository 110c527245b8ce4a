"""Chance that can be looked up.

A document's dice follow from the seed, its collection and its number alone, so nothing need be
remembered about a document to write any revision of it again.
"""

from collections.abc import Callable
from hashlib import blake2b
from struct import Struct

COUNT = 24
"""Dice a document has, each from 0 to 65,535."""

Dice = tuple[int, ...]

_NAME = Struct("<QQQ").pack
_VALUES = Struct(f"<{COUNT}H{64 - 2 * COUNT}x").unpack


def dice_of(seed: int) -> Callable[[int, int], Dice]:
    """A function from (collection, number) to that document's dice."""
    seed %= 1 << 64

    def dice(collection: int, number: int) -> Dice:
        return _VALUES(blake2b(_NAME(seed, collection, number)).digest())

    return dice


def mixed(number: int) -> int:
    """32 bits that look random and follow from `number` alone (multiplicative hashing, folded)."""
    product = number * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
    return (product ^ product >> 29) >> 16 & 0xFFFFFFFF
