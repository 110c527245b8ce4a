"""Looking at all bytes of a text at once, with numpy.

Places are positions in a text; a word is the eight bytes from a place on, as a little-endian number, so that eight
bytes are compared in one step.
"""

import numpy as np

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
Places = np.ndarray[tuple[int], np.dtype[np.intp]]
Words = np.ndarray[tuple[int], np.dtype[np.uint64]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]

PADDING = bytes(8)
"""What must stand behind a text, so that its last places have words too."""

_ONES = np.uint64(0x0101010101010101)
_HIGH_BITS = np.uint64(0x8080808080808080)
_ZEROS = np.uint64(0x3030303030303030)


def word(text: bytes) -> np.uint64:
    """The word of at most eight bytes; those that lack are zero."""
    return np.uint64(int.from_bytes(text, "little"))


def words(padded: bytes, places: Places) -> Words:
    """The word at each place of a text with PADDING behind it."""
    every = np.ndarray((len(padded) - 7,), "<u8", buffer=padded, strides=(1,))
    found: Words = every[np.minimum(places, len(padded) - 8)]
    return found


def has(words: Words, character: str) -> Flags:
    """For each word, whether one of its bytes is the character: the usual test for a zero byte, after xor."""
    zeroed = words ^ (_ONES * np.uint64(ord(character)))
    found: Flags = (zeroed - _ONES) & ~zeroed & _HIGH_BITS != 0
    return found


def numbers(padded: bytes, starts: Places, ends: Places) -> tuple[Words, Flags]:
    """The decimal numbers at places of a text, and which of them are plain: one to eight digits, the first not 0.

    Each step joins neighbours, so that three multiplications read eight digits.
    """
    lengths = ends - starts
    lacking = (8 - np.clip(lengths, 1, 8)).astype(np.uint64) * np.uint64(8)
    digits = words(padded, np.maximum(ends - 8, 0)) >> lacking << lacking | _ZEROS & ~(~np.uint64(0) << lacking)
    plain: Flags = (lengths >= 1) & (lengths <= 8) & (ends >= 8)
    plain &= ((digits + np.uint64(0x4646464646464646)) | (digits - _ZEROS)) & _HIGH_BITS == 0
    plain &= np.frombuffer(padded, np.uint8)[starts] != ord("0")
    value = digits - _ZEROS
    value = (value * np.uint64(10) + (value >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    value = (value * np.uint64(100) + (value >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    value = (value * np.uint64(10_000) + (value >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
    return value, plain
