"""Atomic, durable file replacement: a file has its final name only when it is complete.

Temporary file in the same folder, fsync, rename, fsync of the folder: a reader, or the next run after a crash, sees the
old file or the new one, never a part.

Does not: know the content of files, or which of them belong together (see oldump.run.journal).
"""

import errno
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from oldump.errors import storage_errors

TEMPORARY_SUFFIX = ".part"
PUBLIC_MODE = 0o644
"""The mode of a file that everybody may read, whatever the umask."""
PUBLIC_FOLDER_MODE = 0o755
PRIVATE_MODE = 0o600
_PIECE_BYTES = 1 << 20


class CommittedFile:
    """A file that gets its final name on commit, to be used in `with`; otherwise it is removed at the end.

    If is_kept is set, an uncommitted file stays under its temporary name, so that it can be resumed.
    """

    def __init__(self, path: Path, size_bytes: int = 0, mode: int | None = None) -> None:
        """Open the temporary file beside path. size_bytes: resume an earlier file, truncated to this size.

        mode: the file's permissions; None: as the umask says.

        Raises StorageError, also if the earlier file is missing.
        """
        self.path = path
        self.is_kept = size_bytes > 0
        self._temporary = temporary_path(path)
        with storage_errors(self._temporary):
            if not size_bytes:
                self.stream: BinaryIO = self._temporary.open("wb")
                if mode is not None:
                    os.fchmod(self.stream.fileno(), mode)
                return
            if not self._temporary.exists():  # the file was committed before its stage was, when the run stopped
                path.rename(self._temporary)
            self.stream = self._temporary.open("r+b")
            self.stream.truncate(size_bytes)
            self.stream.seek(size_bytes)

    def written(self, size_bytes: int) -> Iterator[bytes]:
        """Yield the first size_bytes of the file, in pieces. Raises StorageError."""
        with storage_errors(self._temporary), self._temporary.open("rb") as stream:
            while size_bytes and (piece := stream.read(min(size_bytes, _PIECE_BYTES))):
                size_bytes -= len(piece)
                yield piece

    def write(self, content: bytes) -> None:
        """Append the content. Raises StorageError, StorageFull."""
        with storage_errors(self._temporary):
            self.stream.write(content)

    def sync(self) -> None:
        """Sync the file to the disk. Raises StorageError, StorageFull."""
        with storage_errors(self._temporary):
            self.stream.flush()
            os.fsync(self.stream.fileno())

    def commit(self) -> None:
        """Give the file its final name, durably. Raises StorageError, StorageFull."""
        self.sync()
        with storage_errors(self._temporary):
            self.stream.close()
            self._temporary.replace(self.path)
            sync_folder(self.path.parent)

    def __enter__(self) -> Self:
        """Return the file, which is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the file if it is neither committed nor kept."""
        if not self.stream.closed:
            with suppress(OSError):  # the disk may be full; report the original error
                self.stream.close()
        if not self.is_kept:
            self._temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """Return the name of the file until it is complete."""
    return path.with_name(path.name + TEMPORARY_SUFFIX)


def begun_bytes(path: Path) -> int:
    """Return the size of the temporary file or else of the final file; 0 if neither exists."""
    for each in (temporary_path(path), path):
        if each.is_file():
            return each.stat().st_size
    return 0


def write_whole(path: Path, content: bytes, mode: int | None = None) -> None:
    """Write a file atomically and durably. mode: as of CommittedFile. Raises StorageError, StorageFull."""
    with CommittedFile(path, mode=mode) as file:
        file.write(content)
        file.commit()


def make_public(folder: Path) -> None:
    """Create a folder that everybody may read, whatever the umask, with its parents; one that exists keeps its mode."""
    if not folder.is_dir():
        if folder.exists():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        if folder != folder.parent:
            make_public(folder.parent)
        folder.mkdir(exist_ok=True)
        folder.chmod(PUBLIC_FOLDER_MODE)


def sync_folder(folder: Path) -> None:
    """Sync the names in the folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
