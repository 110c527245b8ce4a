"""The file lock: one holder at a time, also on NFS."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from oldump.engine.file_lock import file_lock
from oldump.errors import StorageError


def flock_of_nfs(descriptor: int, operation: int) -> None:
    """Lock as NFS does: an exclusive lock needs a file that is open for writing (flock(2))."""
    if operation & fcntl.LOCK_EX and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    fcntl.flock(descriptor, operation)


def test_one_process_holds_the_lock_also_on_nfs(tmp_path: Path) -> None:
    """And releases it at the end of the block."""
    path = tmp_path / "lock"
    with file_lock(path, flock_of_nfs), path.open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    with path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_a_file_system_without_locks_is_an_error(tmp_path: Path) -> None:
    """The block is not entered."""

    def refuse(_: int, __: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with pytest.raises(StorageError, match="lock: No locks available"), file_lock(tmp_path / "lock", refuse):
        pytest.fail("entered without the lock")
