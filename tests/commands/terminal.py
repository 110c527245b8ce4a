"""A pseudo-terminal that records what a command shows on it."""

import os
import pty
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from commands.command import SECONDS


class Terminal:
    """A terminal, and all that was written to it."""

    def __init__(self, side: int) -> None:
        """Take the side to read from."""
        self._side = side
        self._reader = Thread(target=self._read)
        self._reader.start()
        self.shown = b""

    def _read(self) -> None:
        try:
            while text := os.read(self._side, 1 << 16):
                self.shown += text
        except OSError:  # that is how a terminal ends
            pass

    def close(self) -> None:
        """Wait for the rest."""
        self._reader.join(SECONDS)
        os.close(self._side)


@contextmanager
def terminal() -> Iterator[tuple[int, Terminal]]:
    """A terminal's descriptor, to be written to, and what it shows."""
    ours, theirs = pty.openpty()
    shown = Terminal(ours)
    try:
        yield theirs, shown
    finally:
        os.close(theirs)
        shown.close()
