"""Conditions that must hold during a run, checked between tasks, such as a held lock and free disk space.

A loop that may run for long calls `WATCH.check()` once per task. Outside of a run there are no conditions.

Does not: start a thread, or know what the conditions are.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

CHECK_SECONDS = 5.0


class Watch:
    """Conditions that are checked at most every CHECK_SECONDS."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without conditions."""
        self._clock = clock
        self._conditions: tuple[Callable[[], None], ...] = ()
        self._checked = 0.0

    @contextmanager
    def over(self, *conditions: Callable[[], None]) -> Iterator[None]:
        """Check these conditions until the context ends. Each raises an OldumpError if it does not hold."""
        self._conditions = conditions
        try:
            yield
        finally:
            self._conditions = ()

    def check(self) -> None:
        """Check the conditions if CHECK_SECONDS have passed since the last check. Raises as `check_now` does."""
        if self._conditions and self._clock() >= self._checked + CHECK_SECONDS:
            self.check_now()

    def check_now(self) -> None:
        """Check the conditions now. Raises the error of a failed condition."""
        self._checked = self._clock()
        for condition in self._conditions:
            condition()


WATCH = Watch()
"""The watch of this process."""
