"""A lock between processes for short critical sections.

Does not: say who holds it, or expire (see oldump.run.lock).
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from oldump.errors import storage_errors

Flock = Callable[[int, int], object]
"""Locks an open file, as fcntl.flock does."""


@contextmanager
def file_lock(path: Path, flock: Flock = fcntl.flock) -> Iterator[None]:
    """Hold an exclusive lock on the file, which is created if necessary and stays; wait for another holder.

    The file is opened for writing, because NFS refuses an exclusive lock on any other (flock(2)). Raises StorageError.
    """
    with storage_errors(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with storage_errors(path):
            flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
