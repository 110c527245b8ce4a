"""Files that have their final name only when they are whole.

Temporary name in the same folder, fsync, rename, fsync of the folder: a reader, or the next run after a crash, sees
the old file or the new one, never a part.

Does not: know what is in the files, or which of them belong together (see oldump.run.journal).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from oldump.errors import storage_errors

TEMPORARY_SUFFIX = ".part"
_PIECE_BYTES = 1 << 20


class CommittedFile:
    """A file in the making, for `with`: it gets its final name when commit is called, and is removed otherwise.

    Unless it is kept: then what was not committed stays under its temporary name, to be gone on with.
    """

    def __init__(self, path: Path, size_bytes: int = 0) -> None:
        """Open the temporary file beside path; size_bytes: how much of an earlier one to go on with.

        Raises StorageError, also if the earlier one is not there.
        """
        self.path = path
        self.is_kept = size_bytes > 0
        self._temporary = temporary_path(path)
        with storage_errors(self._temporary):
            if not size_bytes:
                self.stream: BinaryIO = self._temporary.open("wb")
                return
            if not self._temporary.exists():  # it was committed, and its stage stopped before it was
                path.rename(self._temporary)
            self.stream = self._temporary.open("r+b")
            self.stream.truncate(size_bytes)
            self.stream.seek(size_bytes)

    def written(self, size_bytes: int) -> Iterator[bytes]:
        """The first size_bytes of the file, in pieces. Raises StorageError."""
        with storage_errors(self._temporary), self._temporary.open("rb") as stream:
            while size_bytes and (piece := stream.read(min(size_bytes, _PIECE_BYTES))):
                size_bytes -= len(piece)
                yield piece

    def write(self, content: bytes) -> None:
        """Append. Raises StorageError, StorageFull."""
        with storage_errors(self._temporary):
            self.stream.write(content)

    def secure(self) -> None:
        """Bring all that was written to the disk. Raises StorageError, StorageFull."""
        with storage_errors(self._temporary):
            self.stream.flush()
            os.fsync(self.stream.fileno())

    def commit(self) -> None:
        """Give the file its final name, durably. Raises StorageError, StorageFull."""
        self.secure()
        with storage_errors(self._temporary):
            self.stream.close()
            self._temporary.replace(self.path)
            sync_folder(self.path.parent)

    def __enter__(self) -> Self:
        """Nothing to prepare: the file is open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove what was not committed."""
        if not self.stream.closed:
            with suppress(OSError):  # the disk may be full: what matters is the error that brought us here
                self.stream.close()
        if not self.is_kept:
            self._temporary.unlink(missing_ok=True)


def temporary_path(path: Path) -> Path:
    """What the file is called until it is whole."""
    return path.with_name(path.name + TEMPORARY_SUFFIX)


def begun_bytes(path: Path) -> int:
    """The size of the file in the making, or of what it became; 0 if neither is there."""
    for each in (temporary_path(path), path):
        if each.is_file():
            return each.stat().st_size
    return 0


def write_whole(path: Path, content: bytes) -> None:
    """Put the content under this name, durably and all at once. Raises StorageError, StorageFull."""
    with CommittedFile(path) as file:
        file.write(content)
        file.commit()


def sync_folder(folder: Path) -> None:
    """Make the names in the folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
