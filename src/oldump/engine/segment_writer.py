"""Write seekable gzip files and their indexes (see segments), durably and atomically."""

import hashlib
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple, Self

from zlib_ng import zlib_ng

from oldump.engine.commit import CommittedFile
from oldump.engine.segments import HEADER, INDEX_COLUMNS, Compress, IndexEntry, Segment, end_of, index_path, read_index
from oldump.errors import storage_errors

SUMS = ("sha256", "md5")
"""Checksums computed while a file is written: SHA-256 for the manifest, MD5 for archive.org."""


@dataclass(frozen=True)
class Written:
    """A committed seekable file."""

    name: str
    size_bytes: int
    text_bytes: int
    records: int
    segments: int
    sha256: str
    md5: str
    """Empty if it was not computed."""
    first_key: str | None


class TextWriter:
    """Writes the text of uncompressed segments."""

    def __init__(self, output: BinaryIO) -> None:
        """Write to this stream."""
        self._output = output

    def append(self, segment: Segment) -> None:
        """Write the next segment."""
        self._output.write(segment.data)


class Position(NamedTuple):
    """The state of a partly written seekable file, from which it can be resumed."""

    size_bytes: int
    index_bytes: int
    text_bytes: int
    records: int
    segments: int
    crc32: int
    first_key: bytes | None

    def files(self, path: Path) -> dict[Path, int]:
        """Return the files needed to resume path, and the least size of each in bytes."""
        return {path: self.size_bytes, index_path(path): self.index_bytes}


BEGINNING = Position(0, 0, 0, 0, 0, 0, None)


class SegmentWriter:
    """Writes a seekable gzip file and its index, to be used in `with`; commit gives both their names."""

    def __init__(
        self, path: Path, position: Position = BEGINNING, *, sums: Collection[str] = SUMS, mode: int | None = None
    ) -> None:
        """Create the file, or resume it at a position. Raises StorageError.

        sums: the checksums to compute. mode: the permissions of file and index; None: as the umask says.
        """
        self._position = position
        self._sums = {name: hashlib.new(name, usedforsecurity=False) for name in sums}
        with ExitStack() as stack:
            self._file = stack.enter_context(CommittedFile(path, position.size_bytes, mode))
            self._index = stack.enter_context(CommittedFile(index_path(path), position.index_bytes, mode))
            for piece in self._file.written(position.size_bytes):
                self._add_to_sums(piece)
            if position == BEGINNING:
                self._put(HEADER, INDEX_COLUMNS.encode() + b"\n")
            self._files = stack.pop_all()

    @property
    def records(self) -> int:
        """Number of records written."""
        return self._position.records

    def append(self, segment: Segment) -> None:
        """Write a segment. Raises StorageError, StorageFull."""
        first_key, records, text_bytes, crc32, data = segment
        entry = IndexEntry(first_key, records, self._position.size_bytes, len(data), text_bytes, crc32)
        self._put(data, _index_line(entry))
        position = self._position
        self._position = position._replace(
            text_bytes=position.text_bytes + text_bytes,
            records=position.records + records,
            segments=position.segments + 1,
            crc32=zlib_ng.crc32_combine(position.crc32, crc32, text_bytes),
            first_key=first_key if position.first_key is None else position.first_key,
        )

    def splice(self, path: Path, after: int = 0) -> Iterator[int]:
        """Append the segments of another seekable file after its first `after`; yield the number of each.

        Exhaust the iterator. Raises StorageError, SourceDamaged.
        """
        with storage_errors(path), path.open("rb") as stream:
            for number, entry in enumerate(read_index(path)[after:], start=after):
                stream.seek(entry.offset)
                data = stream.read(entry.size_bytes)
                self.append(Segment(entry.first_key, entry.records, entry.text_bytes, entry.crc32, data))
                yield number

    def reached(self) -> Position:
        """Sync the file, keep it, and return the position from which it can be resumed. Raises StorageError."""
        self._file.is_kept = self._index.is_kept = True
        self._file.sync()
        self._index.sync()
        return self._position

    def commit(self) -> Written:
        """Finish the file and its index and rename both: the index first, so that no file is without one."""
        self._put(end_of(self._position.crc32, self._position.text_bytes))
        self._file.sync()  # so that a full disk leaves no index without its file
        self._index.commit()
        self._file.commit()
        first_key = self._position.first_key
        return Written(
            name=self._file.path.name,
            size_bytes=self._position.size_bytes,
            text_bytes=self._position.text_bytes,
            records=self._position.records,
            segments=self._position.segments,
            **{name: self._sums[name].hexdigest() if name in self._sums else "" for name in SUMS},
            first_key=None if first_key is None else first_key.decode(),
        )

    def _put(self, content: bytes, index: bytes = b"") -> None:
        self._file.write(content)
        self._index.write(index)
        self._add_to_sums(content)
        self._position = self._position._replace(
            size_bytes=self._position.size_bytes + len(content),
            index_bytes=self._position.index_bytes + len(index),
        )

    def _add_to_sums(self, content: bytes) -> None:
        for each in self._sums.values():
            each.update(content)

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the files if they are neither committed nor resumable."""
        self._files.__exit__(kind, error, traceback)


def _index_line(entry: IndexEntry) -> bytes:
    first_key, records, offset, size_bytes, text_bytes, crc32 = entry
    return first_key + f"\t{records}\t{offset}\t{size_bytes}\t{text_bytes}\t{crc32:08x}\n".encode()


class Compressing:
    """Compresses texts in threads (zlib-ng does not hold the GIL) and appends the segments in order, for `with`."""

    def __init__(self, threads: int, compress: Compress) -> None:
        """compress: makes a segment of a text."""
        self._pool = ThreadPoolExecutor(threads)
        self._most = 2 * threads
        self._compress = compress
        self._running: deque[tuple[Future[Segment], SegmentWriter]] = deque()

    def add(self, text: bytes, writer: SegmentWriter) -> None:
        """Queue the text for the writer and write the segments that are ready. Raises StorageError, StorageFull."""
        self._running.append((self._pool.submit(self._compress, text), writer))
        while self._running and (self._running[0][0].done() or len(self._running) > self._most):
            self._write_first()

    def finish(self) -> None:
        """Write all queued segments. Raises StorageError, StorageFull."""
        while self._running:
            self._write_first()

    def _write_first(self) -> None:
        future, writer = self._running.popleft()
        writer.append(future.result())

    def __enter__(self) -> Self:
        """Return the object itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the threads."""
        self._pool.shutdown(cancel_futures=True)
