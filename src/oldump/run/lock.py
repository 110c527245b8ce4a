"""The lock of a run: one process at a time works on it.

The lock is an flock, so the operating system releases it with the last process that holds it, however that process
ends. Some network file systems do not pass flock on to other machines. The lock file therefore also names the owner and
carries a heartbeat: its modification time, which the owner renews every few seconds. An owner that is dead, or whose
heartbeat has stopped, no longer holds the lock.

Does not: trust clocks alone. An old heartbeat is watched for a while before it is considered stopped.
"""

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from oldump.errors import RunBusy, StorageError, storage_errors
from oldump.run.owner import Owner
from oldump.run.periodic import PeriodicThread

log = logging.getLogger("oldump")

_MAX_BYTES = 1 << 16
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Timing:
    """Intervals in seconds, and the clock and the function behind the heartbeat."""

    beat: float = 5.0
    """Between two heartbeats."""
    fresh: float = 180.0
    """Another machine's heartbeat is fresh if it is at most this far from now, in either direction."""
    watch: float = 15.0
    """A heartbeat that is not fresh has stopped if it does not change for this long."""
    ending: float = 10.0
    """How long to wait for the workers of a killed process to end."""
    clock: Callable[[], float] = time.time
    """The clock that modification times are compared with."""
    renew: Callable[[int], None] = os.utime
    """Sets an open file's modification time to now."""


TIMING = Timing()


class HeldLock:
    """A lock that this process holds, with its heartbeat."""

    def __init__(self, path: Path, descriptor: int, timing: Timing, previous_owner: str | None) -> None:
        """Write the owner to the file and start the heartbeat. Raises StorageError, StorageFull."""
        self.previous_owner = previous_owner
        """The process that held the lock before and ended without releasing it."""
        self._path, self._descriptor, self._timing = path, descriptor, timing
        self._text = Owner.current().to_json()
        with storage_errors(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, self._text, 0)
        self._has_warned = False
        self._heartbeat = PeriodicThread("heartbeat", timing.beat, lambda: timing.renew(descriptor))
        self._heartbeat.start()

    @property
    def is_ours(self) -> bool:
        """Whether this process still holds the lock, checked once and without waiting."""
        try:
            text = os.pread(self._descriptor, _MAX_BYTES, 0)
            return text == self._text and _is_open_as(self._descriptor, self._path)
        except OSError:
            return False

    def require_held(self) -> None:
        """Raise RunBusy if another process has taken the lock, StorageError if its file is gone.

        Call it between tasks and before each commit. It also logs a warning when the heartbeat fails.
        """
        with storage_errors(self._path):
            is_open = _is_open_as(self._descriptor, self._path)
            text = os.pread(self._descriptor, _MAX_BYTES, 0)
            if text != self._text:
                time.sleep(_POLL_SECONDS)  # the other process may not have finished writing
                text = os.pread(self._descriptor, _MAX_BYTES, 0)
        if not is_open:
            raise StorageError(
                f"{self._path}: was removed or replaced while this process worked on the run",
                "Make sure that no other process works on the run, then rerun.",
            )
        if text != self._text:
            raise RunBusy(
                f"{self._path.parent}: another process has taken over this run ({_describe_owner(text)})",
                "It saw no heartbeat of this process, which stops now. Wait for it, or end it and rerun.",
            )
        self._warn_if_silent()

    def _warn_if_silent(self) -> None:
        """Log once that the heartbeat fails, before other machines consider it stopped."""
        silent_seconds = time.monotonic() - self._heartbeat.last_success
        is_silent = silent_seconds > self._timing.fresh / 2
        if is_silent and not self._has_warned:
            message = "%s: no heartbeat for %.0f s (%s); a process on another machine may take over this run"
            log.warning(message, self._path, silent_seconds, self._heartbeat.error)
        self._has_warned = is_silent

    def release(self) -> None:
        """Stop the heartbeat and, if this process still owns the file, empty it: the lock was released properly."""
        self._heartbeat.stop()
        with suppress(OSError):
            if os.pread(self._descriptor, _MAX_BYTES, 0) == self._text:
                os.ftruncate(self._descriptor, 0)


def require_free(path: Path, timing: Timing = TIMING) -> None:
    """Raise RunBusy, naming the owner, if a process holds the lock; StorageError if the file is unreadable.

    Only reads the file, so a run that starts meanwhile is not refused.
    """
    with storage_errors(path):
        if not path.exists():
            return
        descriptor = os.open(path, os.O_RDONLY)
    try:
        with storage_errors(path):
            _require_abandoned(descriptor, path, timing)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, timing: Timing = TIMING) -> Iterator[HeldLock]:
    """Hold the lock during the block. Raises RunBusy, naming the owner, and StorageError."""
    descriptor, previous_owner = _open_and_acquire(path, timing)
    try:
        held = HeldLock(path, descriptor, timing, previous_owner)
        try:
            yield held
        finally:
            held.release()
    finally:
        os.close(descriptor)


def _open_and_acquire(path: Path, timing: Timing) -> tuple[int, str | None]:
    """Return the open, locked file and the previous owner."""
    while True:
        with storage_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            previous_owner = _acquire(descriptor, path, timing)
            if _is_open_as(descriptor, path):
                return descriptor, previous_owner
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the file was removed between open and flock


def _is_open_as(descriptor: int, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _acquire(descriptor: int, path: Path, timing: Timing) -> str | None:
    """Acquire the lock; return the previous owner if it did not release it. Raises RunBusy, StorageError.

    Workers inherit the lock of their leader. If the leader was killed, wait for them to end.
    """
    end = time.monotonic() + timing.ending
    with storage_errors(path):
        while not _try_flock(descriptor):
            owner = Owner.parse(os.pread(descriptor, _MAX_BYTES, 0))
            is_ending = owner is not None and owner.is_alive is False
            if not is_ending or time.monotonic() > end:
                raise _busy(descriptor, path, timing)
            time.sleep(_POLL_SECONDS)
        return _require_abandoned(descriptor, path, timing)


def _try_flock(descriptor: int) -> bool:
    """Lock the open file unless another process holds it; return whether it is locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _require_abandoned(descriptor: int, path: Path, timing: Timing) -> str | None:
    """Raise RunBusy if the named owner may be alive whether or not its flock is free; otherwise return the owner."""
    text = os.pread(descriptor, _MAX_BYTES, 0)
    if not text:
        return None
    owner = Owner.parse(text)
    if owner is not None and owner.is_alive is not None:
        if owner.is_alive:
            raise _busy(descriptor, path, timing)
        return str(owner)
    is_elsewhere = owner is None or not owner.is_on_this_boot
    if is_elsewhere and abs(_heartbeat_age(descriptor, timing)) < timing.fresh:
        raise _busy(descriptor, path, timing)
    log.info("%s: held by %s; watching for a heartbeat for %.0f s", path, _describe_owner(text), timing.watch)
    if _changes(descriptor, timing.watch):
        raise _busy(descriptor, path, timing)
    return _describe_owner(text)


def _changes(descriptor: int, seconds: float) -> bool:
    """Whether the file is modified within this time; returns as soon as it is."""
    before, end = os.fstat(descriptor).st_mtime_ns, time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
        if os.fstat(descriptor).st_mtime_ns != before:
            return True
    return False


def _heartbeat_age(descriptor: int, timing: Timing) -> float:
    """Return the seconds since the last heartbeat by our clock, negative if our clock is behind."""
    return timing.clock() - os.fstat(descriptor).st_mtime


def _describe_owner(text: bytes) -> str:
    owner = Owner.parse(text)
    return "an unknown process" if owner is None else str(owner)


def _busy(descriptor: int, path: Path, timing: Timing) -> RunBusy:
    age = _heartbeat_age(descriptor, timing)
    heartbeat = f"heartbeat {age:.0f} s ago" if age >= 0 else f"heartbeat {-age:.0f} s ahead of our clock"
    owner = _describe_owner(os.pread(descriptor, _MAX_BYTES, 0))
    return RunBusy(
        f"{path.parent}: another process works on this run ({owner}, {heartbeat})",
        "Wait for it, or end it and rerun.",
    )
