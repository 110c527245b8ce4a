"""One process at a time works on a run.

The lock is the operating system's own (flock), so it ends with the last process that has it, however that ends. Some
file systems that several machines share do not pass it on. So the file also says whose the lock is, and has a
heartbeat: its time of change, which the owner renews every few seconds. An owner that is dead, or whose heart has
stopped, has no lock any more.

Does not: trust clocks alone. A heartbeat that is not fresh is watched before it is called stopped: a live one changes.
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

_MOST_BYTES = 1 << 16
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Timing:
    """How long is what, in seconds, and by what."""

    beat: float = 5.0
    """Between two heartbeats."""
    fresh: float = 180.0
    """A heartbeat of another machine's that is no farther from now, before or behind, is fresh."""
    watch: float = 15.0
    """One that is not fresh, and does not change for so long, has stopped."""
    ending: float = 10.0
    """What the workers of a process that was killed may take to end by themselves."""
    clock: Callable[[], float] = time.time
    """What times of change are compared with."""
    renew: Callable[[int], None] = os.utime
    """Makes an open file's time of change now."""


TIMING = Timing()


class Held:
    """A lock that this process holds, and its heart."""

    def __init__(self, path: Path, descriptor: int, timing: Timing, left_by: str | None) -> None:
        """Write down whose the lock is, and let the heart beat. Raises StorageError, StorageFull."""
        self.left_by = left_by
        """Whose it was, if that process ended without giving it back."""
        self._path, self._descriptor, self._timing = path, descriptor, timing
        self._text = Owner.ours().written()
        with storage_errors(path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, self._text, 0)
        self._is_told = False
        self.heart = PeriodicThread("heartbeat", timing.beat, lambda: timing.renew(descriptor))
        self.heart.begin()

    @property
    def is_ours(self) -> bool:
        """Whether nobody else has taken it, as far as that can be seen at once."""
        try:
            text = os.pread(self._descriptor, _MOST_BYTES, 0)
            return text == self._text and _is_open_as(self._descriptor, self._path)
        except OSError:
            return False

    def require(self) -> None:
        """Raise RunBusy if another process has taken the lock, StorageError if its file is gone; warn of no heartbeat.

        To be asked now and then, and before anything is committed.
        """
        with storage_errors(self._path):
            is_there = _is_open_as(self._descriptor, self._path)
            text = os.pread(self._descriptor, _MOST_BYTES, 0)
            if text != self._text:
                time.sleep(_POLL_SECONDS)  # whoever writes has written then
                text = os.pread(self._descriptor, _MOST_BYTES, 0)
        if not is_there:
            raise StorageError(
                f"{self._path}: was removed or replaced while this process worked on the run",
                "See that no other process works on it, and give the command again.",
            )
        if text != self._text:
            raise RunBusy(
                f"{self._path.parent}: another process has taken over this run ({_told(text)})",
                "It saw no heartbeat of this one, which stops now. Wait for it, or end it and give the command again.",
            )
        silent = time.monotonic() - self.heart.beaten
        if silent > self._timing.fresh / 2 and not self._is_told:
            told = "%s: no heartbeat for %.0f s (%s); a process on another machine may take over this run"
            log.warning(told, self._path, silent, self.heart.failure)
        self._is_told = silent > self._timing.fresh / 2

    def end(self) -> None:
        """Stop the heart, and give the lock back if it is still ours: an empty file is nobody's."""
        self.heart.end()
        with suppress(OSError):
            if os.pread(self._descriptor, _MOST_BYTES, 0) == self._text:
                os.ftruncate(self._descriptor, 0)


def require_free(path: Path, timing: Timing = TIMING) -> None:
    """Ask whether a process holds the lock. Raises RunBusy, naming the owner, and StorageError.

    While this asks, nobody else can take the lock; as a rule that takes no time.
    """
    with storage_errors(path):
        if not path.exists():
            return
        descriptor = os.open(path, os.O_RDONLY)
    try:
        _take(descriptor, fcntl.LOCK_SH, path, timing)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path, timing: Timing = TIMING) -> Iterator[Held]:
    """Hold the lock. Raises RunBusy, naming the owner, and StorageError."""
    descriptor, left_by = _taken(path, timing)
    try:
        held = Held(path, descriptor, timing, left_by)
        try:
            yield held
        finally:
            held.end()
    finally:
        os.close(descriptor)


def _taken(path: Path, timing: Timing) -> tuple[int, str | None]:
    """The open file with the lock, and whose that was."""
    while True:
        with storage_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            left_by = _take(descriptor, fcntl.LOCK_EX, path, timing)
            if _is_open_as(descriptor, path):
                return descriptor, left_by
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the file was removed between open and flock


def _is_open_as(descriptor: int, path: Path) -> bool:
    """Whether the file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _take(descriptor: int, kind: int, path: Path, timing: Timing) -> str | None:
    """Take the lock; whose it was, if that process did not give it back. Raises RunBusy, StorageError.

    Workers have the lock of their leader: of one that was killed, they are waited for.
    """
    end = time.monotonic() + timing.ending
    with storage_errors(path):
        while not _is_locked(descriptor, kind):
            owner = Owner.read(os.pread(descriptor, _MOST_BYTES, 0))
            is_ending = owner is not None and owner.runs is False
            if not is_ending or time.monotonic() > end:
                raise _busy(descriptor, path, timing)
            time.sleep(_POLL_SECONDS)
        return _left_by(descriptor, path, timing)


def _is_locked(descriptor: int, kind: int) -> bool:
    """Lock the open file, if nobody else has."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _left_by(descriptor: int, path: Path, timing: Timing) -> str | None:
    """Whose the lock was, of which the operating system says that it is free; None: nobody's. Raises RunBusy."""
    text = os.pread(descriptor, _MOST_BYTES, 0)
    if not text:
        return None
    owner = Owner.read(text)
    if owner is not None and owner.runs is not None:
        if owner.runs:
            raise _busy(descriptor, path, timing)
        return str(owner)
    from_elsewhere = owner is None or not owner.has_our_kernel
    if from_elsewhere and abs(_age(descriptor, timing)) < timing.fresh:
        raise _busy(descriptor, path, timing)
    log.info("%s: of %s; watching for a heartbeat for %.0f s", path, _told(text), timing.watch)
    if _changes(descriptor, timing.watch):
        raise _busy(descriptor, path, timing)
    return _told(text)


def _changes(descriptor: int, seconds: float) -> bool:
    """Whether the file changes within this time; ends as soon as it does."""
    before, end = os.fstat(descriptor).st_mtime_ns, time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
        if os.fstat(descriptor).st_mtime_ns != before:
            return True
    return False


def _age(descriptor: int, timing: Timing) -> float:
    """Seconds since the last heartbeat by our clock, below 0 if that is behind."""
    return timing.clock() - os.fstat(descriptor).st_mtime


def _told(text: bytes) -> str:
    """Who wrote this, for messages."""
    owner = Owner.read(text)
    return "one that it does not name" if owner is None else str(owner)


def _busy(descriptor: int, path: Path, timing: Timing) -> RunBusy:
    age = _age(descriptor, timing)
    heartbeat = f"heartbeat {age:.0f} s ago" if age >= 0 else f"heartbeat {-age:.0f} s ahead of our clock"
    return RunBusy(
        f"{path.parent}: another process works on this run "
        f"({_told(os.pread(descriptor, _MOST_BYTES, 0))}, {heartbeat})",
        "Wait for it, or end it and give the command again.",
    )
