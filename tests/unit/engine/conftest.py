"""What the engine's tests share: none of them may hang."""

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

SECONDS = 30


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Break off a test that waits for ever: processes and pipes can."""

    def give_up(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"not done after {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
