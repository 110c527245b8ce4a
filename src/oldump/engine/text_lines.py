"""Many lines in one text, without an object for each.

Lines lie in their text in any order, with whatever between them, so that sorting and choosing copies no text.
Does not: look into them. What starts and ends says is believed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from oldump.kernel.arrays import Flags, Places, Text
from oldump.kernel.spans import gathered

Chosen = slice | Places | Flags
"""Which lines: a stretch of them, their places among them, or a flag for each."""

_PAIRS = 1 << 12
"""Places that are Python's integers at a time: forty bytes each, where an array has eight."""
_NEWLINE = ord("\n")
_BEGINNING = np.zeros(1, np.int64)


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines, each of which ends with a newline. Starts and ends run parallel."""

    text: Text
    starts: Places
    """Where each line starts in the text."""
    ends: Places
    """Where it ends, behind its newline."""

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> Self:
        """These lines, which are given without their newlines."""
        return cls.within(b"\n".join((*lines, b"")), np.fromiter(map(len, lines), np.int64, len(lines)) + 1)

    @classmethod
    def within(cls, text: Text, lengths: Places, first: int = 0) -> Self:
        """Lines of these lengths, with their newlines, that follow each other in a text from `first` on."""
        ends = np.cumsum(lengths) + first
        return cls(text, ends - lengths, ends)

    @classmethod
    def of_text(cls, text: Text) -> Self:
        """The lines of a text that is empty or ends with a newline."""
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _NEWLINE) + 1
        return cls(text, np.concatenate((_BEGINNING, ends))[:-1], ends)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.starts)

    def __iter__(self) -> Iterator[bytes]:
        """Each line without its newline, for those who need an object."""
        text = self.text
        for start, end in _pairs(self.starts, self.ends):
            yield bytes(text[start : end - 1])

    def line(self, place: int) -> bytes:
        """One line, without its newline."""
        return bytes(self.text[self.starts[place] : self.ends[place] - 1])

    @property
    def lengths(self) -> Places:
        """The bytes of each line with its newline."""
        return self.ends - self.starts

    @property
    def text_bytes(self) -> int:
        """Bytes of all lines with their newlines."""
        return int(self.lengths.sum())

    def take(self, chosen: Chosen) -> Self:
        """Some of the lines, in the order in which they are chosen, in the same text."""
        return type(self)(self.text, self.starts[chosen], self.ends[chosen])

    def joined(self, head: bytes = b"") -> bytes:
        """The head, and behind it the lines one after another, each with its newline."""
        return gathered(self.text, self.starts, self.ends, head)


def chained(one: Lines, other: Lines) -> Lines:
    """The lines of both, one behind the other, in a text of their own."""
    return Lines.within(one.joined() + other.joined(), np.concatenate((one.lengths, other.lengths)))


def _pairs(starts: Places, ends: Places) -> Iterator[tuple[int, int]]:
    for first in range(0, len(starts), _PAIRS):
        chosen = slice(first, first + _PAIRS)
        yield from zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True)
