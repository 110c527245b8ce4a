"""The lock: one process at a time works on a run, and a dead owner loses it."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from oldump.errors import RunBusy, StorageError
from oldump.run.lock import Timing, locked, require_free
from oldump.run.owner import Owner

QUICK = Timing(beat=0.02, fresh=60.0, watch=0.5, ending=5.0)
"""Fast heartbeats, so that no test waits long."""
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
        pathlib.Path(sys.argv[1] + ".ended").touch()
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a lock file."""
    return tmp_path / "lock"


@contextmanager
def holder(path: Path, beat: float = 0.02) -> "Iterator[subprocess.Popen[str]]":
    """Start another process that holds the lock; kill it at the end."""
    line = [sys.executable, "-c", HOLDER, str(path), str(beat)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def elsewhere(process_id: int = 7) -> Owner:
    """Return a process on another machine with the same name."""
    return replace(Owner.current(), pid=process_id, user="anand", kernel="another")


def left(path: Path, owner: Owner | None = None, age: float = 0.0) -> None:
    """Write a lock file with this owner and a heartbeat of this age; no process holds the flock."""
    path.write_bytes(owner.to_json() if owner else b"not an owner\n")
    os.utime(path, (time.time() - age, time.time() - age))


def unlocked(path: Path) -> None:
    """Release the flock of this process, as if the file system did not pass it on."""
    for descriptor in Path("/proc/self/fd").iterdir():
        if descriptor.resolve() == path:
            fcntl.flock(int(descriptor.name), fcntl.LOCK_UN)


def test_a_second_process_gets_the_owner(path: Path) -> None:
    """With process, machine, time, user and age of the heartbeat."""
    words = rf"pid {os.getpid()} on .+ since .+, user .+, heartbeat 0 s ago\). Wait for it"
    with locked(path), pytest.raises(RunBusy, match=words), locked(path):
        pytest.fail("it was free")
    with locked(path) as held:
        assert held.previous_owner is None


def test_a_released_lock_has_no_owner(path: Path) -> None:
    """Its file stays and is empty."""
    with locked(path):
        assert json.loads(path.read_bytes())["pid"] == os.getpid()
    assert path.read_bytes() == b""


def test_a_lock_ends_with_its_process(path: Path) -> None:
    """However the process ends; the next owner gets its description."""
    with holder(path) as process:
        pass
    assert process.returncode == -signal.SIGKILL
    with locked(path) as held:
        assert str(held.previous_owner).startswith(f"pid {process.pid} on ")
        assert json.loads(path.read_bytes())["pid"] == os.getpid()


def test_a_lock_waits_for_the_workers_of_a_dead_process(path: Path) -> None:
    """They share its flock until they end; nobody else may work on the run before."""
    subprocess.run([sys.executable, "-c", WITH_WORKER, path], check=False)
    with pytest.raises(RunBusy), locked(path, replace(QUICK, ending=0.0)):
        pytest.fail("a worker has it")
    with locked(path, QUICK):
        assert path.with_name("lock.ended").exists()


def test_a_failed_write_is_a_storage_error(tmp_path: Path) -> None:
    """The message has the path."""
    with pytest.raises(StorageError, match="no/lock"), locked(tmp_path / "no" / "lock"):
        pytest.fail("it cannot exist")


def test_require_free_does_not_acquire_the_lock(path: Path) -> None:
    """Nor does it create the file."""
    require_free(path)
    assert not path.exists()
    with locked(path), pytest.raises(RunBusy, match=f"pid {os.getpid()} on "):
        require_free(path)
    require_free(path)
    with locked(path):
        pass


def test_a_run_can_start_while_require_free_looks(path: Path) -> None:
    """It watches the heartbeat of a stopped process for a while, without the lock."""
    left(path, None, 100.0)
    looking = Timing(beat=0.02, fresh=60.0, watch=5.0)
    with ThreadPoolExecutor(1) as pool:
        looked = pool.submit(require_free, path, looking)
        with locked(path, QUICK):
            assert isinstance(looked.exception(30), RunBusy)


# Without flock, as on some network file systems


def test_a_living_process_keeps_its_lock(path: Path) -> None:
    """On this machine the process id and the start time identify it."""
    with holder(path, beat=60.0):
        copy = path.with_name("copy")
        left(copy, Owner.parse(path.read_bytes()), age=3600.0)
        for ask in (lambda: require_free(copy, QUICK), lambda: locked(copy, QUICK).__enter__()):
            with pytest.raises(RunBusy, match=r"heartbeat 3600 s ago"):
                ask()
    with locked(copy, QUICK) as held:
        assert held.previous_owner


def test_a_process_id_may_be_reused(path: Path) -> None:
    """A different start time means that the owner is dead."""
    left(path, replace(Owner.current(), started="1"))
    with locked(path, QUICK) as held:
        assert held.previous_owner


@pytest.mark.parametrize("age", [0.0, 50.0, -50.0], ids=["now", "before", "ahead"])
def test_a_fresh_heartbeat_of_another_machine_is_believed(path: Path, age: float) -> None:
    """Clocks may differ in either direction; the machines may have the same name."""
    left(path, elsewhere(), age)
    when = "ahead of our clock" if age < 0 else "ago"
    with pytest.raises(RunBusy, match=rf"pid 7 on .+, user anand, heartbeat {abs(age):.0f} s {when}"):
        require_free(path, QUICK)
    with pytest.raises(RunBusy), locked(path, QUICK):
        pytest.fail("its owner may be alive")


@pytest.mark.parametrize("age", [100.0, -100.0], ids=["before", "ahead"])
@pytest.mark.parametrize("owner", [elsewhere(), None, replace(Owner.current(), pids="another", started="1")])
def test_a_stopped_heartbeat_loses_the_lock(path: Path, owner: Owner | None, age: float) -> None:
    """However far ahead that machine's clock was."""
    left(path, owner, age)
    with locked(path, QUICK) as held:
        assert held.previous_owner == (str(owner) if owner else "an unknown process")


def test_a_killed_container_of_this_machine_loses_the_lock(path: Path) -> None:
    """Its flock is free and its heartbeat has stopped; that the last one is fresh does not matter."""
    left(path, replace(Owner.current(), pids="another", started="1"), age=1.0)
    with locked(path, QUICK) as held:
        assert held.previous_owner


@pytest.mark.parametrize("step", [5 * 3600.0, -5 * 3600.0])
def test_a_clock_change_does_not_make_a_lock_stale(path: Path, step: float) -> None:
    """A live heartbeat changes, whatever the clock says."""
    stepped = replace(QUICK, clock=lambda: time.time() + step)
    with locked(path, QUICK):
        path.write_bytes(elsewhere().to_json())
        unlocked(path)
        with pytest.raises(RunBusy, match=r"pid 7 on "):
            require_free(path, stepped)
        with pytest.raises(RunBusy, match=r"pid 7 on "), locked(path, stepped):
            pytest.fail("its owner is alive")


def test_a_process_that_lost_the_lock_gets_the_new_owner(path: Path) -> None:
    """It leaves the file unchanged."""
    other = elsewhere()
    with locked(path, QUICK) as held:
        held.require_held()
        path.write_bytes(other.to_json())
        with pytest.raises(RunBusy, match=r"another process has taken over this run \(pid 7 on "):
            held.require_held()
    assert path.read_bytes() == other.to_json()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_removed_file_is_not_a_lock(path: Path, replaced: bool) -> None:
    """Another process could start, so this one must stop."""
    with locked(path, QUICK) as held:
        path.unlink()
        if replaced:
            path.touch()
        with pytest.raises(StorageError, match="was removed or replaced"):
            held.require_held()


# The heartbeat


def has_heartbeat(path: Path, seconds: float = 2.0) -> bool:
    """Whether a heartbeat is seen within this time."""
    before, end = path.stat().st_mtime_ns, time.monotonic() + seconds
    while path.stat().st_mtime_ns == before and time.monotonic() < end:
        time.sleep(0.01)
    return path.stat().st_mtime_ns != before


def test_the_heartbeat_lasts_while_the_lock_is_held(path: Path) -> None:
    """And no longer."""
    with locked(path, QUICK):
        assert has_heartbeat(path)
    assert not has_heartbeat(path, 0.2)


def test_the_heartbeat_continues_after_a_fork(path: Path) -> None:
    """A child that dies does not affect the lock."""
    with locked(path, QUICK) as held:
        child = os.fork()
        if child == 0:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert has_heartbeat(path)
        held.require_held()
        assert Owner.parse(path.read_bytes()) is not None


def test_a_failing_heartbeat_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The thread survives, and when the heartbeat works again there is no further warning."""
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
        assert has_heartbeat(path)
        held.require_held()
    assert len(caplog.records) == 1
