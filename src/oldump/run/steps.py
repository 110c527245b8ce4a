"""Sum up CPU time: nanoseconds, and bytes of text processed, per step.

Each process sums up its own. Workers send their sums to the leader at the end of each task (engine.workers), and the
runner writes the sums of a stage to the journal. They are not in the manifest, which is the same for the same rows.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

Spent = dict[str, tuple[int, int]]
"""Nanoseconds of CPU time and bytes of text per step."""


class Steps:
    """Sums per step. Only one thread at a time may measure a step."""

    def __init__(self) -> None:
        """Start with no steps."""
        self._spent: Spent = {}

    @contextmanager
    def at(self, name: str, text_bytes: int) -> Iterator[None]:
        """Add the CPU time of this thread during the block to the step. Time in nested steps counts for both."""
        began = time.thread_time_ns()
        try:
            yield
        finally:
            self.add({name: (time.thread_time_ns() - began, text_bytes)})

    def add(self, spent: Mapping[str, tuple[int, int]]) -> None:
        """Add sums that were measured elsewhere."""
        for name, (nanoseconds, text_bytes) in spent.items():
            before = self._spent.get(name, (0, 0))
            self._spent[name] = before[0] + nanoseconds, before[1] + text_bytes

    def take(self) -> Spent:
        """Return the sums since the last call, and reset them."""
        spent, self._spent = self._spent, {}
        return spent


STEPS = Steps()
"""The sums of this process."""
