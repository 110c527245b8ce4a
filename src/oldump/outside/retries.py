"""Retries of requests to archive.org, with growing pauses and a limit on the total time.

Does not: know the requests, or sleep longer than a few seconds without reporting that it still waits.
"""

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import tenacity

from oldump.errors import ArchiveUnreachable, OldumpError

log = logging.getLogger("oldump")

_LONGEST_PAUSE_SECONDS = 300.0
_REPORT_SECONDS = 4.0
"""The interval of reports while waiting."""

T = TypeVar("T")


class RetryPolicy:
    """How long to retry a request, and with which pauses."""

    def __init__(
        self,
        total_seconds: float,
        backoff_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """total_seconds: the limit from the first failure on; backoff_seconds: the first pause.

        now: wall-clock time, for what outlives this process; clock: monotonic time.
        """
        self.total_seconds = total_seconds
        self.now = now
        self._backoff_seconds = backoff_seconds
        self._clock, self._sleep, self._dice = clock, sleep, dice

    def call(self, what: str, ask: Callable[[], T], report: Callable[[], None] = lambda: None) -> T:
        """Return the result of `ask`, retried while it raises ArchiveUnreachable. report: called while this waits.

        Raises ArchiveUnreachable when the time is up, and any other error of `ask` at once.
        """
        failed: list[float] = []

        def is_over(state: tenacity.RetryCallState) -> bool:
            failed.append(self._clock())
            return failed[-1] - failed[0] + self._pause(state) > self.total_seconds

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ArchiveUnreachable),
            stop=is_over,
            wait=self._pause,
            sleep=lambda seconds: self.wait(seconds, report),
            before_sleep=lambda state: _log_retry(what, state),
            reraise=True,
        )
        return retrying(ask)

    def rounds(self, report: Callable[[], None] = lambda: None) -> Iterator[float]:
        """Yield the pause after each round of a loop: growing pauses, and 0 for the last round, when the time is up."""
        began, number = self._clock(), 1
        while (left := began + self.total_seconds - self._clock()) > 0:
            pause = min(self._backoff(number), left)
            yield pause
            self.wait(pause, report)
            number += 1
        yield 0.0

    def wait(self, seconds: float, report: Callable[[], None]) -> None:
        """Sleep, and call `report` every few seconds."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            self._sleep(min(left, _REPORT_SECONDS))
            report()

    def _backoff(self, number: int) -> float:
        """Return the pause after attempt `number`: half to all of a value that doubles with each attempt."""
        longest = min(self._backoff_seconds * 2.0 ** min(number - 1, 30), _LONGEST_PAUSE_SECONDS)
        return longest * (0.5 + self._dice() / 2)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        asked = 0.0
        if state.outcome and isinstance(error := state.outcome.exception(), ArchiveUnreachable):
            asked = error.wait_seconds
        return max(asked, self._backoff(state.attempt_number))


def _log_retry(what: str, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    seconds = state.next_action.sleep if state.next_action else 0
    text = error.message if isinstance(error, OldumpError) else error  # the hint is for the final error
    log.warning("%s: attempt %s failed, retrying in %.1f s: %s", what, state.attempt_number, seconds, text)
