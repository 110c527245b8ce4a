"""A pseudo-terminal that records what a command shows on it."""

import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from commands.command import SECONDS


class Terminal:
    """A terminal and everything written to it."""

    def __init__(self, side: int) -> None:
        """Start to read from this descriptor."""
        self._side = side
        self._reader = Thread(target=self._read)
        self._reader.start()
        self.shown = b""

    def _read(self) -> None:
        try:
            while text := os.read(self._side, 1 << 16):
                self.shown += text
        except OSError:  # Linux reports the end of a terminal as EIO
            pass

    def close(self) -> None:
        """Wait for the remaining output and close the descriptor."""
        self._reader.join(SECONDS)
        os.close(self._side)


@contextmanager
def terminal() -> Iterator[tuple[int, Terminal]]:
    """Yield a descriptor to write to, and the terminal that records the output."""
    ours, theirs = pty.openpty()
    shown = Terminal(ours)
    try:
        yield theirs, shown
    finally:
        os.close(theirs)
        shown.close()
