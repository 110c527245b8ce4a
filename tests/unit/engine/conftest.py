"""A time limit for the engine's tests."""

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

SECONDS = 30


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Abort a test that waits too long, for a process or a pipe."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not done after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
