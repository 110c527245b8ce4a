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
        stream = path.open("a+")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            raise RunBusy(
                f"{path.parent}: another process works on this run ({stream.read().strip() or 'it does not say who'}). "
                "Wait for it, or end it and give the command again."
            ) from error
        with storage_errors(path):
            stream.truncate(0)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            stream.write(f"pid {os.getpid()} on {socket.gethostname()} since {now}\n")
            stream.flush()
        yield
