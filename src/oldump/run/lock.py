"""One process at a time works on a run.

The lock is the operating system's own (flock), so it ends with its process, however that ends; the file says who
holds it, for the message to the second one.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from oldump.errors import RunBusy, storage_errors


def require_free(path: Path) -> None:
    """Ask whether a process holds the lock. Raises RunBusy, naming the holder, and StorageError.

    While this asks, which takes no time, nobody else can take the lock.
    """
    with storage_errors(path):
        if not path.exists():
            return
        descriptor = os.open(path, os.O_RDONLY)
    try:
        _take(descriptor, fcntl.LOCK_SH, path)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock. Raises RunBusy, naming the holder, and StorageError."""
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(descriptor, fcntl.LOCK_EX, path)
        with storage_errors(path):
            os.ftruncate(descriptor, 0)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            os.write(descriptor, f"pid {os.getpid()} on {socket.gethostname()} since {now}\n".encode())
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = path.read_text(errors="replace").strip() or "it does not say who"
        raise RunBusy(
            f"{path.parent}: another process works on this run ({holder})",
            "Wait for it, or end it and give the command again.",
        ) from error
