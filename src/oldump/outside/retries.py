"""New tries at what fails for now, with growing pauses, until patience is over.

Does not: know what is tried, or sleep longer than a few seconds without telling that it still waits.
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
_BEAT_SECONDS = 4.0
"""How often whoever waits is told."""

T = TypeVar("T")


class Patience:
    """How long something outside is waited for, and how often it is asked meanwhile."""

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
        """total_seconds: of waiting, from the first failure on; backoff_seconds: the first pause.

        now: the time, for what is to outlast this process; clock: never goes back.
        """
        self.total_seconds = total_seconds
        self.now = now
        self._backoff_seconds = backoff_seconds
        self._clock, self._sleep, self._dice = clock, sleep, dice

    def through(self, what: str, ask: Callable[[], T], told: Callable[[], None] = lambda: None) -> T:
        """What `ask` gives, asked again while it raises ArchiveUnreachable. told: is called while this waits.

        Raises ArchiveUnreachable when patience is over, and at once whatever else `ask` raises.
        """
        failed: list[float] = []

        def is_over(state: tenacity.RetryCallState) -> bool:
            failed.append(self._clock())
            return failed[-1] - failed[0] + self._pause(state) > self.total_seconds

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ArchiveUnreachable),
            stop=is_over,
            wait=self._pause,
            sleep=lambda seconds: self.wait(seconds, told),
            before_sleep=lambda state: _tell(what, state),
            reraise=True,
        )
        return retrying(ask)

    def rounds(self, told: Callable[[], None] = lambda: None) -> Iterator[float]:
        """Rounds with growing pauses between, each with the pause behind it; the last one when patience is over."""
        began, number = self._clock(), 1
        while (left := began + self.total_seconds - self._clock()) > 0:
            pause = min(self._backoff(number), left)
            yield pause
            self.wait(pause, told)
            number += 1
        yield 0.0

    def wait(self, seconds: float, told: Callable[[], None]) -> None:
        """Sleep, and tell every few seconds that it still goes on."""
        end = self._clock() + seconds
        while (left := end - self._clock()) > 0:
            self._sleep(min(left, _BEAT_SECONDS))
            told()

    def _backoff(self, number: int) -> float:
        """The pause before the try behind this one: between half and all of what doubles from try to try."""
        longest = min(self._backoff_seconds * 2.0 ** min(number - 1, 30), _LONGEST_PAUSE_SECONDS)
        return longest * (0.5 + self._dice() / 2)

    def _pause(self, state: tenacity.RetryCallState) -> float:
        asked = 0.0
        if state.outcome and isinstance(error := state.outcome.exception(), ArchiveUnreachable):
            asked = error.wait_seconds
        return max(asked, self._backoff(state.attempt_number))


def _tell(what: str, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    seconds = state.next_action.sleep if state.next_action else 0
    told = error.message if isinstance(error, OldumpError) else error  # its hint is for who is left with it
    log.warning("%s: try %s failed, the next one in %.1f s: %s", what, state.attempt_number, seconds, told)
