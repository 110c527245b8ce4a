"""Writers of seekable gzip files."""

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
"""What is taken of a seekable file while it is written: by which we know it again, and by which archive.org does."""


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
    """Empty if it was not asked for."""
    first_key: str | None


class TextWriter:
    """Takes segments that are not compressed, and writes their text."""

    def __init__(self, output: BinaryIO) -> None:
        """Take where to."""
        self._output = output

    def append(self, segment: Segment) -> None:
        """Write the next one."""
        self._output.write(segment.data)


class Position(NamedTuple):
    """How far a seekable file has been written; enough to go on with it."""

    size_bytes: int
    index_bytes: int
    text_bytes: int
    records: int
    segments: int
    crc32: int
    first_key: bytes | None

    def files(self, path: Path) -> dict[Path, int]:
        """What must be there to go on with path, and the bytes of each at least."""
        return {path: self.size_bytes, index_path(path): self.index_bytes}


BEGINNING = Position(0, 0, 0, 0, 0, 0, None)


class SegmentWriter:
    """Writes a seekable gzip file and its index, for `with`; neither has its name before commit."""

    def __init__(self, path: Path, position: Position = BEGINNING, *, sums: Collection[str] = SUMS) -> None:
        """Begin the file, or go on with it at a position. sums: what is taken of it. Raises StorageError."""
        self._position = position
        self._sums = {name: hashlib.new(name, usedforsecurity=False) for name in sums}
        with ExitStack() as stack:
            self._file = stack.enter_context(CommittedFile(path, position.size_bytes))
            self._index = stack.enter_context(CommittedFile(index_path(path), position.index_bytes))
            for piece in self._file.written(position.size_bytes):
                self._add_to_sums(piece)
            if position == BEGINNING:
                self._put(HEADER, INDEX_COLUMNS.encode() + b"\n")
            self._files = stack.pop_all()

    @property
    def records(self) -> int:
        """Records so far."""
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
        """Append the segments of another seekable file as they are, behind its first `after`; the number of each.

        Draw them all. Raises StorageError, SourceDamaged.
        """
        with storage_errors(path), path.open("rb") as stream:
            for number, entry in enumerate(read_index(path)[after:], start=after):
                stream.seek(entry.offset)
                data = stream.read(entry.size_bytes)
                self.append(Segment(entry.first_key, entry.records, entry.text_bytes, entry.crc32, data))
                yield number

    def reached(self) -> Position:
        """Where one can go on if the rest is lost; all up to there is on the disk, and stays. Raises StorageError."""
        self._file.is_kept = self._index.is_kept = True
        self._file.secure()
        self._index.secure()
        return self._position

    def commit(self) -> Written:
        """Finish the file and its index and give both their names: the index first, so that no file lacks one."""
        self._put(end_of(self._position.crc32, self._position.text_bytes))
        self._file.secure()  # so that on a full disk there is no index without its file
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
        """Nothing to prepare."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove what was not committed, unless one can go on with it."""
        self._files.__exit__(kind, error, traceback)


def _index_line(entry: IndexEntry) -> bytes:
    first_key, records, offset, size_bytes, text_bytes, crc32 = entry
    return first_key + f"\t{records}\t{offset}\t{size_bytes}\t{text_bytes}\t{crc32:08x}\n".encode()


class Compressing:
    """Compresses texts in threads (zlib-ng does not hold the GIL) and appends the segments in order, for `with`."""

    def __init__(self, threads: int, compress: Compress) -> None:
        """Take what makes a segment of a text."""
        self._pool = ThreadPoolExecutor(threads)
        self._most = 2 * threads
        self._compress = compress
        self._running: deque[tuple[Future[Segment], SegmentWriter]] = deque()

    def add(self, text: bytes, writer: SegmentWriter) -> None:
        """Compress the text for the writer; writes what is ready. Raises StorageError, StorageFull."""
        self._running.append((self._pool.submit(self._compress, text), writer))
        while self._running and (self._running[0][0].done() or len(self._running) > self._most):
            self._write_first()

    def finish(self) -> None:
        """Write the rest. Raises StorageError, StorageFull."""
        while self._running:
            self._write_first()

    def _write_first(self) -> None:
        future, writer = self._running.popleft()
        writer.append(future.result())

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)
