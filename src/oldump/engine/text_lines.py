"""Many lines in one text, without a Python object for each.

The lines may be anywhere in the text and in any order, so sorting and selecting lines copies no text.

Does not: check the positions of the lines, or look at their content.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from oldump.kernel.arrays import Flags, Places, Text
from oldump.kernel.spans import gathered

Chosen = slice | Places | Flags
"""A selection of lines: a slice, their numbers, or a flag for each."""

_PAIRS = 1 << 12
"""Positions that are converted to Python integers at a time: each takes 40 bytes instead of 8."""
_NEWLINE = ord("\n")
_BEGINNING = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of a text, each with its newline: two parallel arrays of starts and ends."""

    text: Text
    starts: Places
    """Position of the first byte of each line."""
    ends: Places
    """Position after the newline of each line."""

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> Self:
        """Make an instance of these lines, which have no newlines."""
        return cls.within(b"\n".join((*lines, b"")), np.fromiter(map(len, lines), np.int64, len(lines)) + 1)

    @classmethod
    def within(cls, text: Text, lengths: Places, first: int = 0) -> Self:
        """Return the consecutive lines of these lengths, newlines included, from position `first` of the text."""
        ends = np.cumsum(lengths) + first
        return cls(text, ends - lengths, ends)

    @classmethod
    def of_text(cls, text: Text) -> Self:
        """Return the lines of a text that is empty or ends with a newline."""
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _NEWLINE) + 1
        return cls(text, np.concatenate((_BEGINNING, ends))[:-1], ends)

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.starts)

    def __iter__(self) -> Iterator[bytes]:
        """Yield each line as a bytes object without its newline."""
        text = self.text
        for start, end in _pairs(self.starts, self.ends):
            yield bytes(text[start : end - 1])

    def line(self, place: int) -> bytes:
        """Return one line, without its newline."""
        return bytes(self.text[self.starts[place] : self.ends[place] - 1])

    @property
    def lengths(self) -> Places:
        """Length of each line in bytes, newline included."""
        return self.ends - self.starts

    @property
    def text_bytes(self) -> int:
        """Total length of the lines in bytes, newlines included."""
        return int(self.lengths.sum())

    def take(self, chosen: Chosen) -> Self:
        """Return the chosen lines, in the chosen order, in the same text."""
        return type(self)(self.text, self.starts[chosen], self.ends[chosen])

    def joined(self, head: bytes = b"") -> bytes:
        """Return the head followed by the lines, each with its newline."""
        return gathered(self.text, self.starts, self.ends, head)


def chained(one: Lines, other: Lines) -> Lines:
    """Return the lines of both, copied to a new text."""
    return Lines.within(one.joined() + other.joined(), np.concatenate((one.lengths, other.lengths)))


def _pairs(starts: Places, ends: Places) -> Iterator[tuple[int, int]]:
    for first in range(0, len(starts), _PAIRS):
        chosen = slice(first, first + _PAIRS)
        yield from zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True)
