"""Files that have their final name only when they are whole.

Temporary name in the same folder, fsync, rename, fsync of the folder: a reader, or the next run after a crash, sees
the old file or the new one, never a part.

Does not: know what is in the files, or which of them belong together (see oldump.run.journal).
"""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from oldump.errors import storage_errors

TEMPORARY_SUFFIX = ".part"


class CommittedFile:
    """A file in the making, for `with`: it gets its final name when commit is called, and is removed otherwise."""

    def __init__(self, path: Path) -> None:
        """Open the temporary file beside path. Raises StorageError."""
        self.path = path
        self._temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        with storage_errors(self._temporary):
            self.stream: BinaryIO = self._temporary.open("wb")

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
        self._temporary.unlink(missing_ok=True)


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
