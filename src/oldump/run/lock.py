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


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock. Raises RunBusy, naming the holder, and StorageError."""
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = path.read_text(errors="replace").strip() or "it does not say who"
            raise RunBusy(
                f"{path.parent}: another process works on this run ({holder}). "
                "Wait for it, or end it and give the command again."
            ) from error
        with storage_errors(path):
            os.ftruncate(descriptor, 0)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            os.write(descriptor, f"pid {os.getpid()} on {socket.gethostname()} since {now}\n".encode())
        yield
    finally:
        os.close(descriptor)
