"""Stop signals are held while processes are started, and raised afterwards."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from oldump.run.signals import STOP_SIGNALS, stop_signals_held


@pytest.fixture
def received() -> Iterator[list[int]]:
    """The signals that reach the process's own handler of SIGTERM."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("block", [False, True])
def test_a_signal_waits_until_the_end_of_the_block(block: bool, received: list[int]) -> None:
    """It is neither lost nor handled in between."""
    with stop_signals_held(block=block):
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == []
    end = time.monotonic() + 10
    while not received and time.monotonic() < end:  # another thread may be the one to receive it
        time.sleep(0.01)
    assert received == [signal.SIGTERM]


def test_handlers_and_mask_are_restored_after_an_error(received: list[int]) -> None:
    """The block may raise."""
    handler, mask = signal.getsignal(signal.SIGTERM), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with pytest.raises(OSError, match="no process"), stop_signals_held(block=True):
        raise OSError("no process")
    assert signal.getsignal(signal.SIGTERM) == handler
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == mask


def test_programs_do_not_inherit_a_blocked_signal() -> None:
    """A hook must be able to receive SIGTERM."""
    with stop_signals_held():
        ran = subprocess.run(["/bin/sh", "-c", "kill -TERM $$"], check=False)
    assert ran.returncode == -signal.SIGTERM


def test_a_forked_child_receives_nothing_before_it_unblocks() -> None:
    """A worker sets its own handlers first."""
    with stop_signals_held(block=True):
        child = os.fork()
        if child == 0:
            os._exit(0 if set(STOP_SIGNALS) <= signal.pthread_sigmask(signal.SIG_BLOCK, ()) else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_an_ignored_signal_stays_ignored() -> None:
    """Programs started under nohup do not get SIGHUP back."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals_held():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
