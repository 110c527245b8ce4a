"""The periodic thread: it calls its function, pauses around forks, and does not exist in forked children."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from oldump.run.periodic import PeriodicThread

OFTEN = 0.02


@contextmanager
def running(thread: PeriodicThread) -> Iterator[None]:
    """Run the thread during the block."""
    thread.start()
    try:
        yield
    finally:
        thread.stop()


def is_called(calls: list[float], seconds: float = 2.0) -> bool:
    """Whether the function is called within this time."""
    before, end = len(calls), time.monotonic() + seconds
    while len(calls) == before and time.monotonic() < end:
        time.sleep(0.005)
    return len(calls) > before


def forked(code: int) -> int:
    """Return the exit code of a forked child that exits with this code."""
    child = os.fork()
    if child == 0:
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_the_function_is_called_from_start_to_stop() -> None:
    """Afterwards there is no thread."""
    calls: list[float] = []
    thread = PeriodicThread("test", OFTEN, lambda: calls.append(0.0))
    with running(thread):
        assert is_called(calls)
    assert not thread.is_running
    assert not is_called(calls, 0.2)


def test_the_thread_pauses_around_a_fork() -> None:
    """The child has no thread; the parent's continues."""
    calls: list[float] = []
    thread = PeriodicThread("test", OFTEN, lambda: calls.append(0.0))
    with running(thread):
        child = os.fork()
        if child == 0:
            os._exit(1 if thread.is_running else 0)
        assert os.waitpid(child, 0)[1] == 0
        assert is_called(calls)


def test_frequent_forks_do_not_postpone_the_next_call() -> None:
    """A stage may start many workers."""
    calls: list[float] = []
    with running(PeriodicThread("test", 0.2, lambda: calls.append(0.0))):
        end = time.monotonic() + 10
        while not calls and time.monotonic() < end:
            assert forked(3) == 3
    assert calls


def test_a_failed_call_does_not_end_the_thread() -> None:
    """The error can be read, and the next call is made."""
    calls: list[float] = []

    def fail() -> None:
        calls.append(0.0)
        raise OSError("no disk")

    thread = PeriodicThread("test", OFTEN, fail)
    before = thread.last_success
    with running(thread):
        assert is_called(calls)
        assert is_called(calls)
    assert str(thread.error) == "no disk"
    assert thread.last_success == before
