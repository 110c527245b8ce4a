"""Size and checksums of a file, computed while it is read.

Does not: compare them with the sums files; see manifest.
"""

import hashlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from oldump.errors import storage_errors

READ_BYTES = 1 << 20


class FileSums(NamedTuple):
    """Size and checksums of a file."""

    size_bytes: int
    sha256: str
    md5: str


class HashingReader:
    """Reads a file from start to end and hashes what it reads."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream, self._path = stream, path
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self.size_bytes = 0
        """Bytes that were read."""

    def read(self, size_bytes: int) -> bytes:
        """Return the next bytes. Raises StorageError."""
        with storage_errors(self._path):
            data = self._stream.read(size_bytes)
        self._sha256.update(data)
        self._md5.update(data)
        self.size_bytes += len(data)
        return data

    def sums(self) -> FileSums:
        """Return the sums of all bytes that were read."""
        return FileSums(self.size_bytes, self._sha256.hexdigest(), self._md5.hexdigest())


def sums_of_file(path: Path) -> FileSums:
    """Read a file and return its sums. Raises StorageError."""
    with storage_errors(path), path.open("rb") as stream:
        reader = HashingReader(stream, path)
        while reader.read(READ_BYTES):
            pass
        return reader.sums()
