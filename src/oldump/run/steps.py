"""Where CPU time goes: nanoseconds and bytes of text by step, added up within each process.

Workers tell their leader at the end of each task (engine.workers), and the runner notes the sums of a stage in its
journal. Not in the manifest, which is the same for the same rows.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

Spent = dict[str, tuple[int, int]]
"""Of each step, nanoseconds of CPU time and bytes of text."""


class Steps:
    """Sums by step. Of one name only one thread at a time is to measure."""

    def __init__(self) -> None:
        """Begin with none."""
        self._spent: Spent = {}

    @contextmanager
    def at(self, name: str, text_bytes: int) -> Iterator[None]:
        """Measure what this thread takes for the step, as a context; steps within others count for both."""
        began = time.thread_time_ns()
        try:
            yield
        finally:
            self.add({name: (time.thread_time_ns() - began, text_bytes)})

    def add(self, spent: Mapping[str, tuple[int, int]]) -> None:
        """Count in what was spent elsewhere."""
        for name, (nanoseconds, text_bytes) in spent.items():
            before = self._spent.get(name, (0, 0))
            self._spent[name] = before[0] + nanoseconds, before[1] + text_bytes

    def take(self) -> Spent:
        """What has been spent since this was asked last."""
        spent, self._spent = self._spent, {}
        return spent


STEPS = Steps()
"""This process's own."""
