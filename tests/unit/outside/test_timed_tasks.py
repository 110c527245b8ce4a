"""Errands end in time, whatever they do, and say why they failed."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oldump.outside.timed_tasks import Call, Hook, TaskFailed

SOON = 20.0


def failure_of(errand: Call | Hook, seconds: float = SOON) -> str | None:
    """Why it failed, when it may take so long."""
    try:
        return errand.failure(time.monotonic() + seconds)
    finally:
        errand.end()


def test_time_is_told_from_the_beginning() -> None:
    """Also if another errand was waited for meanwhile."""
    hook = Hook("sleep 60", {})
    time.sleep(1.1)
    told = failure_of(hook, 0)
    assert told
    assert not told.startswith("timed out after 0 s")


def fails() -> None:
    """As an errand does that could not be done."""
    raise TaskFailed("not reached")


def breaks() -> None:
    """As nobody foresaw."""
    raise ZeroDivisionError("by zero")


def hangs() -> None:
    """Deaf to what a library may do with signals."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(3600)


def dies() -> None:
    """Without a word."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("function", "seconds", "words"),
    [
        (fails, SOON, "not reached"),
        (breaks, SOON, "ZeroDivisionError: by zero"),
        (lambda: sys.exit(3), SOON, "its process died"),
        (dies, SOON, "its process died"),
        (hangs, 0.2, "timed out after 0 s and was killed"),
    ],
)
def test_a_call_says_why_it_failed(function: Callable[[], None], seconds: float, words: str) -> None:
    """Whatever it was."""
    assert failure_of(Call(function), seconds) == words


def test_a_call_that_goes_well_says_nothing(tmp_path: Path) -> None:
    """It was made in another process."""
    mark = tmp_path / "pid"

    def note() -> None:
        mark.write_text(str(os.getpid()))

    assert failure_of(Call(note)) is None
    assert int(mark.read_text()) != os.getpid()


def test_a_signal_for_us_is_none_of_the_calls(tmp_path: Path) -> None:
    """What we do when we are stopped is not done by the child too."""
    mark = tmp_path / "handled"
    before = signal.signal(signal.SIGTERM, lambda *_: mark.touch())
    try:
        told = failure_of(Call(lambda: os.kill(os.getpid(), signal.SIGTERM)))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (told, mark.exists()) == ("its process died", False)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("true", None),
        ("exit 3", "exited with code 3"),
        ("no-such-program", "exited with code 127"),
        ("kill -9 $$", "was killed by SIGKILL"),
    ],
)
def test_a_hook_says_how_it_ended(line: str, words: str | None) -> None:
    """As the shell does."""
    assert failure_of(Hook(line, {})) == words


def test_a_hook_has_variables_no_input_and_an_output() -> None:
    """Its two outputs are one."""
    hook = Hook('echo "$DUMP_DATE $HOME"; cat; echo oops >&2', {"DUMP_DATE": "2022-07-31", "HOME": "/x"})
    try:
        assert hook.failure(time.monotonic() + SOON) is None
        assert hook.output == ["2022-07-31 /x", "oops"]
    finally:
        hook.end()


def test_of_much_output_the_end_is_told() -> None:
    """Some hundred lines, that no log is the worse for."""
    hook = Hook("seq 100000", {})
    try:
        assert hook.failure(time.monotonic() + SOON) is None
        assert hook.output[-1] == "100000"
        assert len(hook.output) < 3_000
    finally:
        hook.end()


def test_a_hook_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """Deaf to polite signals, in a pipe and in the background."""
    mark = tmp_path / "pids"
    hook = Hook(f"trap '' TERM; sleep 3600 & echo $! >> {mark}; sleep 3600 | cat", {})
    end = time.monotonic() + SOON
    while not mark.exists() or not mark.read_text().strip():
        assert time.monotonic() < end
        time.sleep(0.01)
    told = failure_of(hook, 0.1)
    assert told == "timed out after 0 s and was killed with its process group"
    while is_running(int(mark.read_text())):
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Whether the process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_a_hook_leaves_in_the_background_stays() -> None:
    """And does not keep anybody waiting, though it holds the output."""
    hook = Hook("sleep 3600 & echo $!", {})
    began = time.monotonic()
    assert hook.failure(began + SOON) is None
    pid = int(hook.output[0])
    hook.end()
    try:
        assert is_running(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
