"""A thread that does something every few seconds, whatever the rest of the process is at, and stands still at a fork.

Workers are forked, and a fork wants no other thread than the one that forks: hearts stand still meanwhile. A child has
none.
"""

import os
import threading
import time
from collections.abc import Callable


class PeriodicThread:
    """Beats from `begin` to `end`."""

    def __init__(self, name: str, seconds: float, beat: Callable[[], None]) -> None:
        """Take what to do, and after how many seconds again."""
        self.beaten = time.monotonic()
        """When it last beat and nothing failed; at first, when it was made."""
        self.failure: Exception | None = None
        """Why it last failed."""
        self._due = self.beaten + seconds
        self._name, self._seconds, self._beat_once = name, seconds, beat
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_beating(self) -> bool:
        """Whether there is a thread."""
        return self._thread is not None

    def begin(self) -> None:
        """Let it beat; it stands still at forks from now on."""
        self.resume()
        _beating.append(self)

    def end(self) -> None:
        """Stop it for good."""
        if self in _beating:
            _beating.remove(self)
        self.pause()

    def pause(self) -> None:
        """Stop it, and wait until it stands still."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def resume(self) -> None:
        """Let it beat again."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._beat, name=self._name, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._stop.wait(max(0.0, self._due - time.monotonic())):  # forks that follow closely delay no beat
            self._due = time.monotonic() + self._seconds
            try:
                self._beat_once()
            except Exception as error:  # noqa: BLE001 - here nobody would hear; whoever works asks for `failure`
                self.failure = error
            else:
                self.beaten = time.monotonic()


_beating: list[PeriodicThread] = []


def _pause() -> None:
    for heart in _beating:
        heart.pause()


def _resume() -> None:
    for heart in _beating:
        heart.resume()


os.register_at_fork(before=_pause, after_in_parent=_resume, after_in_child=_beating.clear)
