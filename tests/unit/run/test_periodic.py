"""The heart: it beats whatever the process is at, stands still at a fork, and no child has one."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from oldump.run.periodic import PeriodicThread

OFTEN = 0.02


@contextmanager
def beating(heart: PeriodicThread) -> Iterator[None]:
    """Let it beat meanwhile."""
    heart.start()
    try:
        yield
    finally:
        heart.stop()


def beats(counted: list[float], seconds: float = 2.0) -> bool:
    """Whether it is seen to beat."""
    before, end = len(counted), time.monotonic() + seconds
    while len(counted) == before and time.monotonic() < end:
        time.sleep(0.005)
    return len(counted) > before


def forked(code: int) -> int:
    """What a child that ends with this code ended with."""
    child = os.fork()
    if child == 0:
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_it_beats_from_its_beginning_to_its_end() -> None:
    """And there is no thread behind it."""
    counted: list[float] = []
    heart = PeriodicThread("test", OFTEN, lambda: counted.append(0.0))
    with beating(heart):
        assert beats(counted)
    assert not heart.is_running
    assert not beats(counted, 0.2)


def test_it_stands_still_at_a_fork_and_goes_on() -> None:
    """The child has none; the parent's beats again."""
    counted: list[float] = []
    heart = PeriodicThread("test", OFTEN, lambda: counted.append(0.0))
    with beating(heart):
        child = os.fork()
        if child == 0:
            os._exit(1 if heart.is_running else 0)
        assert os.waitpid(child, 0)[1] == 0
        assert beats(counted)


def test_forks_that_follow_closely_delay_no_beat() -> None:
    """A stage that starts many workers has a heart all the same."""
    counted: list[float] = []
    with beating(PeriodicThread("test", 0.2, lambda: counted.append(0.0))):
        end = time.monotonic() + 10
        while not counted and time.monotonic() < end:
            assert forked(3) == 3
    assert counted


def test_a_beat_that_fails_is_kept_and_ends_nothing() -> None:
    """Whoever works can ask what it was; the next beat is tried."""
    counted: list[float] = []

    def fail() -> None:
        counted.append(0.0)
        raise OSError("no disk")

    heart = PeriodicThread("test", OFTEN, fail)
    begun = heart.last_success
    with beating(heart):
        assert beats(counted)
        assert beats(counted)
    assert str(heart.error) == "no disk"
    assert heart.last_success == begun
