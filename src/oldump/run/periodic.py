"""Call a function every few seconds in a thread that pauses while the process forks.

Workers are forked, and a fork is only safe in a process with a single thread. All threads of this kind therefore pause
around a fork; a forked child has none.
"""

import os
import threading
import time
from collections.abc import Callable


class PeriodicThread:
    """Calls a function at intervals, from `start` to `stop`."""

    def __init__(self, name: str, seconds: float, function: Callable[[], None]) -> None:
        """Prepare a thread that calls the function every `seconds`."""
        self.last_success = time.monotonic()
        """When the last call succeeded; before the first one, when this object was created."""
        self.error: Exception | None = None
        """The error of the last call that failed."""
        self._due = self.last_success + seconds
        self._name, self._seconds, self._function = name, seconds, function
        self._pausing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread exists; not while it is paused."""
        return self._thread is not None

    def start(self) -> None:
        """Start the thread."""
        self.resume()
        _started.append(self)

    def stop(self) -> None:
        """Stop the thread for good; wait until it has ended."""
        if self in _started:
            _started.remove(self)
        self.pause()

    def pause(self) -> None:
        """End the thread until `resume`; wait for a call in progress."""
        self._pausing.set()
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def resume(self) -> None:
        """Continue after `pause`."""
        self._pausing.clear()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        # The due time is kept across pauses, so that frequent forks do not postpone the next call forever.
        while not self._pausing.wait(max(0.0, self._due - time.monotonic())):
            self._due = time.monotonic() + self._seconds
            try:
                self._function()
            except Exception as error:  # noqa: BLE001 - nobody catches it in this thread; the owner reads `error`
                self.error = error
            else:
                self.last_success = time.monotonic()


_started: list[PeriodicThread] = []


def _pause_all() -> None:
    for thread in _started:
        thread.pause()


def _resume_all() -> None:
    for thread in _started:
        thread.resume()


os.register_at_fork(before=_pause_all, after_in_parent=_resume_all, after_in_child=_started.clear)
