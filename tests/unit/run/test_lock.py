"""The lock: one process at a time, and its owner is told apart from one that is dead."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from oldump.errors import RunBusy, StorageError
from oldump.run.lock import Timing, locked, require_free
from oldump.run.owner import Owner

QUICK = Timing(beat=0.02, fresh=60.0, watch=0.5, ending=5.0)
"""A heart that beats quickly, so that nobody has to be watched for long."""
HOLDER = """
import pathlib, sys, time
from oldump.run.lock import Timing, locked
with locked(pathlib.Path(sys.argv[1]), Timing(beat=float(sys.argv[2]))):
    print("held", flush=True)
    time.sleep(60)
"""
WITH_WORKER = """
import os, pathlib, signal, sys, time
from oldump.run.lock import locked
with locked(pathlib.Path(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(0.5)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the lock is."""
    return tmp_path / "lock"


@contextmanager
def holder(path: Path, beat: float = 0.02) -> "Iterator[subprocess.Popen[str]]":
    """Another process that holds the lock, and is dead afterwards."""
    line = [sys.executable, "-c", HOLDER, str(path), str(beat)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def elsewhere(process_id: int = 7) -> Owner:
    """A process on another machine of our name."""
    return replace(Owner.current(), pid=process_id, user="anand", kernel="another")


def left(path: Path, owner: Owner | None = None, age: float = 0.0) -> None:
    """Let the lock's file say so, with a last heartbeat of this age, while nobody has the operating system's lock."""
    path.write_bytes(owner.to_json() if owner else b"no words of ours\n")
    os.utime(path, (time.time() - age, time.time() - age))


def unlocked(path: Path) -> None:
    """Let go of the operating system's lock that this process has, as if the file system did not know of it."""
    for descriptor in Path("/proc/self/fd").iterdir():
        if descriptor.resolve() == path:
            fcntl.flock(int(descriptor.name), fcntl.LOCK_UN)


def test_the_second_is_told_who_has_it(path: Path) -> None:
    """Process, machine, since when, whose, and when it last gave a sign of life; not that it is waited for."""
    words = rf"pid {os.getpid()} on .+ since .+, user .+, heartbeat 0 s ago\). Wait for it"
    with locked(path), pytest.raises(RunBusy, match=words), locked(path):
        pytest.fail("it was free")
    with locked(path) as held:
        assert held.previous_owner is None


def test_a_lock_that_was_given_back_is_nobodys(path: Path) -> None:
    """Its file stays, and is empty."""
    with locked(path):
        assert json.loads(path.read_bytes())["pid"] == os.getpid()
    assert path.read_bytes() == b""


def test_a_lock_ends_with_its_process(path: Path) -> None:
    """However that ended: whoever takes over is told whose it was."""
    with holder(path) as process:
        pass
    assert process.returncode == -signal.SIGKILL
    with locked(path) as held:
        assert str(held.previous_owner).startswith(f"pid {process.pid} on ")
        assert json.loads(path.read_bytes())["pid"] == os.getpid()


def test_the_workers_of_a_dead_process_are_waited_for(path: Path) -> None:
    """They have its lock, and end by themselves: until then nobody else works on the run."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", WITH_WORKER, path], check=False)
    with pytest.raises(RunBusy), locked(path, replace(QUICK, ending=0.0)):
        pytest.fail("a worker has it")
    with locked(path, QUICK):
        assert time.monotonic() - began > 0.5


def test_a_lock_that_cannot_be_written_is_an_error_of_storage(tmp_path: Path) -> None:
    """With the path."""
    with pytest.raises(StorageError, match="no/lock"), locked(tmp_path / "no" / "lock"):
        pytest.fail("it cannot be there")


def test_asking_tells_who_has_it_and_takes_nothing(path: Path) -> None:
    """Whether the file is there or not, and whatever a dead process wrote into it."""
    require_free(path)
    assert not path.exists()
    with locked(path), pytest.raises(RunBusy, match=f"pid {os.getpid()} on "):
        require_free(path)
    require_free(path)
    with locked(path):
        pass


# Where the operating system's lock says nothing, as on some file systems that machines share


def test_a_living_process_keeps_its_lock(path: Path) -> None:
    """One of this machine is known to live by its process id and the time it was started at."""
    with holder(path, beat=60.0):
        copy = path.with_name("copy")
        left(copy, Owner.parse(path.read_bytes()), age=3600.0)
        for ask in (lambda: require_free(copy, QUICK), lambda: locked(copy, QUICK).__enter__()):
            with pytest.raises(RunBusy, match=r"heartbeat 3600 s ago"):
                ask()
    with locked(copy, QUICK) as held:
        assert held.previous_owner


def test_a_process_with_the_same_id_is_another_one(path: Path) -> None:
    """It was started at another time: the owner is dead."""
    left(path, replace(Owner.current(), started="1"))
    with locked(path, QUICK) as held:
        assert held.previous_owner


@pytest.mark.parametrize("age", [0.0, 50.0, -50.0], ids=["now", "before", "ahead"])
def test_a_fresh_heartbeat_of_another_machine_is_believed(path: Path, age: float) -> None:
    """At once: their clocks may differ, in either direction. That its name is ours does not matter."""
    left(path, elsewhere(), age)
    when = "ahead of our clock" if age < 0 else "ago"
    with pytest.raises(RunBusy, match=rf"pid 7 on .+, user anand, heartbeat {abs(age):.0f} s {when}"):
        require_free(path, QUICK)
    with pytest.raises(RunBusy), locked(path, QUICK):
        pytest.fail("it may live")


@pytest.mark.parametrize("age", [100.0, -100.0], ids=["before", "ahead"])
@pytest.mark.parametrize("owner", [elsewhere(), None, replace(Owner.current(), pids="another", started="1")])
def test_a_heart_that_has_stopped_gives_the_lock_away(path: Path, owner: Owner | None, age: float) -> None:
    """Nor does it matter how far ahead the clock was of a machine that is gone."""
    left(path, owner, age)
    with locked(path, QUICK) as held:
        assert held.previous_owner == (str(owner) if owner else "an unknown process")


def test_a_container_of_this_machine_that_was_killed_is_not_waited_for_long(path: Path) -> None:
    """The operating system says that its lock is free, and its heart does not beat: fresh is no reason to refuse."""
    left(path, replace(Owner.current(), pids="another", started="1"), age=1.0)
    with locked(path, QUICK) as held:
        assert held.previous_owner


@pytest.mark.parametrize("step", [5 * 3600.0, -5 * 3600.0])
def test_a_step_of_the_clock_makes_no_lock_stale(path: Path, step: float) -> None:
    """A heart that beats is seen to beat, whatever the time is said to be."""
    stepped = replace(QUICK, clock=lambda: time.time() + step)
    with locked(path, QUICK) as held:
        held._text = elsewhere().to_json()
        path.write_bytes(held._text)
        unlocked(path)
        with pytest.raises(RunBusy, match=r"pid 7 on "):
            require_free(path, stepped)
        with pytest.raises(RunBusy, match=r"pid 7 on "), locked(path, stepped):
            pytest.fail("its heart beats")


def test_whose_lock_was_taken_is_told_so(path: Path) -> None:
    """It names the other one, and leaves the file as that one wrote it."""
    other = elsewhere()
    with locked(path, QUICK) as held:
        held.require_held()
        path.write_bytes(other.to_json())
        with pytest.raises(RunBusy, match=r"another process has taken over this run \(pid 7 on "):
            held.require_held()
    assert path.read_bytes() == other.to_json()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_lock_whose_file_is_gone_is_none(path: Path, replaced: bool) -> None:
    """Another process could begin: this one must not go on."""
    with locked(path, QUICK) as held:
        path.unlink()
        if replaced:
            path.touch()
        with pytest.raises(StorageError, match="was removed or replaced"):
            held.require_held()


# The heart


def beats(path: Path, seconds: float = 2.0) -> bool:
    """Whether the heart is seen to beat."""
    before, end = path.stat().st_mtime_ns, time.monotonic() + seconds
    while path.stat().st_mtime_ns == before and time.monotonic() < end:
        time.sleep(0.01)
    return path.stat().st_mtime_ns != before


def test_the_heart_beats_while_the_lock_is_held(path: Path) -> None:
    """And not afterwards."""
    with locked(path, QUICK):
        assert beats(path)
    assert not beats(path, 0.2)


def test_a_fork_has_no_other_thread_and_its_child_no_heart(path: Path) -> None:
    """The parent's heart goes on beating; the child, which dies without a word, leaves the lock as it was."""
    with locked(path, QUICK) as held:
        child = os.fork()
        if child == 0:
            os._exit(1 if held._heartbeat.is_running else 0)
        assert os.waitpid(child, 0)[1] == 0
        assert beats(path)
        held.require_held()
        assert Owner.parse(path.read_bytes()) is not None


def test_a_heart_that_cannot_beat_is_told_of_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The thread does not die, and whoever works hears why; when it beats again, all is well."""
    failures = [OSError(errno.EIO, "Input/output error")] * 20

    def renew(descriptor: int) -> None:
        if failures:
            raise failures.pop()
        os.utime(descriptor)

    with locked(path, replace(QUICK, fresh=0.3, renew=renew)) as held:
        time.sleep(0.25)
        held.require_held()
        held.require_held()
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "no heartbeat for 0 s ([Errno 5] Input/output error)" in caplog.text
        assert beats(path)
        held.require_held()
    assert len(caplog.records) == 1
