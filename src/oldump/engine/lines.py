"""Lines of text that lie in one buffer, in any order, with no object for each.

Does not: look into them, or know whether there is anything between them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from oldump.kernel.arrays import Flags, Places
from oldump.kernel.lines import gather

Chosen = slice | Places | Flags
"""Which lines: a stretch of them, or their numbers, or a mask."""

_NEWLINE = ord("\n")


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines, each with its newline, as places in a text."""

    text: bytes | memoryview
    starts: Places
    ends: Places
    """Behind their newlines."""

    @classmethod
    def of(cls, lines: list[bytes]) -> Self:
        """These lines, which are given without their newlines."""
        ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)) + 1)
        return cls(b"\n".join((*lines, b"")), _starts(ends), ends)

    @classmethod
    def within(cls, text: bytes) -> Self:
        """The lines of a text that ends with a newline."""
        ends = np.flatnonzero(np.frombuffer(text, np.uint8) == _NEWLINE).astype(np.int64) + 1
        return cls(text, _starts(ends), ends)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.starts)

    def __getitem__(self, place: int) -> bytes:
        """A line, without its newline."""
        return bytes(self.text[self.starts[place] : self.ends[place] - 1])

    def __iter__(self) -> Iterator[bytes]:
        """The lines, without their newlines."""
        text = self.text
        for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True):
            yield bytes(text[start : end - 1])

    @property
    def lengths(self) -> Places:
        """The bytes of each line with its newline."""
        return self.ends - self.starts

    @property
    def text_bytes(self) -> int:
        """Bytes of the lines with their newlines."""
        return int(self.lengths.sum())

    def take(self, chosen: Chosen) -> "Lines":
        """Some of the lines, in the order in which they are named."""
        return Lines(self.text, self.starts[chosen], self.ends[chosen])

    def joined(self, head: bytes = b"") -> memoryview:
        """The lines one after another, each with its newline, behind a head."""
        text = np.empty(len(head) + self.text_bytes, np.uint8)
        text[: len(head)] = np.frombuffer(head, np.uint8)
        gather(self.text, self.starts, self.ends, text, len(head))
        return text.data


def joined(several: list[Lines]) -> Lines:
    """All these lines, in one text."""
    if len(several) == 1:
        return several[0]
    bases = np.cumsum([0, *(len(lines.text) for lines in several)])
    starts, ends = (
        np.concatenate([places + base for places, base in zip(all_places, bases[:-1], strict=True)])
        for all_places in ([lines.starts for lines in several], [lines.ends for lines in several])
    )
    return Lines(b"".join(lines.text for lines in several), starts, ends)


def _starts(ends: Places) -> Places:
    return np.concatenate((np.zeros(1, np.int64), ends))[:-1]
