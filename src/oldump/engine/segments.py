"""Seekable gzip: one ordinary gzip member whose segments can be read alone.

    header         10 bytes, no name and no time
    segments       raw deflate, each compressed on its own and ended by a full flush, so that it lies on byte borders
                   and refers to nothing before it
    final block    2 bytes, empty
    trailer        CRC-32 of the whole text, length of the text modulo 2**32

Any gzip reader reads it. Beside NAME lies NAME.index, a text table with one line a segment. Files can be spliced from
others without compressing again. Formats: RFC 1951, RFC 1952; full flush: zlib's manual, Z_FULL_FLUSH.

Does not: know what a record is; a line's first key is whatever the writer says it is.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from isal import isal_zlib
from zlib_ng import zlib_ng

from oldump.engine.commit import CommittedFile
from oldump.errors import SourceDamaged, SourceMissing, storage_errors
from oldump.kernel.lines import breaks

SEGMENT_BYTES = 1 << 20
"""The most text in a segment, unless one line alone is longer."""

DEFAULT_LEVEL = 6
QUICK = 0
"""Instead of a level, for what only we read: igzip, twice as fast as zlib-ng's level 1, and a fifth smaller."""
SUMS = ("sha256", "md5")
"""What is taken of a seekable file while it is written: by which we know it again, and by which archive.org does."""
INDEX_SUFFIX = ".index"
INDEX_COLUMNS = "first_key\trecords\toffset\tsize_bytes\ttext_bytes\tcrc32"

_HEADER = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
_FINAL_BLOCK = b"\x03\x00"
_RAW_DEFLATE = -15
_QUICK_LEVEL = 1
_TRAILER_BYTES = 8


class Segment(NamedTuple):
    """A segment, compressed."""

    first_key: bytes
    records: int
    text_bytes: int
    crc32: int
    data: bytes


class Entry(NamedTuple):
    """A segment's line in the index."""

    first_key: bytes
    records: int
    offset: int
    size_bytes: int
    text_bytes: int
    crc32: int


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


Compress = Callable[[bytes], Segment]
"""What makes a segment of the text of lines."""


def compressed(text: bytes, *, first_key: bytes, records: int, level: int = DEFAULT_LEVEL) -> Segment:
    """The text as a segment. level: gzip's, 1 to 9, or QUICK."""
    deflate: Any
    if level == QUICK:
        deflate = isal_zlib.compressobj(_QUICK_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE)
    else:
        deflate = zlib_ng.compressobj(level, zlib_ng.DEFLATED, _RAW_DEFLATE, 9)
    data = deflate.compress(text) + deflate.flush(zlib_ng.Z_FULL_FLUSH)
    return Segment(first_key, records, len(text), zlib_ng.crc32(text), data)


def uncompressed(text: bytes) -> Segment:
    """Text as a segment that is not compressed."""
    return Segment(b"", 0, len(text), 0, text)


class TextWriter:
    """Takes segments that are not compressed, and writes their text."""

    def __init__(self, output: BinaryIO) -> None:
        """Take where to."""
        self._output = output

    def append(self, segment: Segment) -> None:
        """Write the next one."""
        self._output.write(segment.data)


def cuts(lengths: "np.ndarray[tuple[int], np.dtype[np.int64]]", open_bytes: int) -> list[int]:
    """Where segments end among further lines: the numbers of lines before each border, ascending, 0 ≤ cut ≤ len.

    lengths: bytes of each line with its newline; open_bytes: text that is already in the open segment. A segment ends
    when the next line would take it beyond SEGMENT_BYTES, so borders depend on the lines alone.
    """
    ends = np.cumsum(lengths)
    borders: list[int] = []
    place, start = 0, -open_bytes
    while True:
        fitting = int(np.searchsorted(ends, start + SEGMENT_BYTES, side="right"))
        if fitting == len(lengths):
            return borders
        if fitting == place and (place > 0 or open_bytes == 0 or borders):
            fitting += 1  # a line that is longer than a segment has one to itself
            if fitting == len(lengths):
                return borders
        place, start = fitting, int(ends[fitting - 1]) if fitting else 0
        borders.append(place)


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
                self._put(_HEADER, INDEX_COLUMNS.encode() + b"\n")
            self._files = stack.pop_all()

    @property
    def records(self) -> int:
        """Records so far."""
        return self._position.records

    def append(self, segment: Segment) -> None:
        """Write a segment. Raises StorageError, StorageFull."""
        first_key, records, text_bytes, crc32, data = segment
        entry = Entry(first_key, records, self._position.size_bytes, len(data), text_bytes, crc32)
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
        self._put(_end_of(self._position.crc32, self._position.text_bytes))
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


def _end_of(crc32: int, text_bytes: int) -> bytes:
    """What stands behind the last segment: the final block and the trailer."""
    return _FINAL_BLOCK + crc32.to_bytes(4, "little") + (text_bytes & 0xFFFFFFFF).to_bytes(4, "little")


def index_path(path: Path) -> Path:
    """Where the index of a seekable file lies."""
    return path.with_name(path.name + INDEX_SUFFIX)


def _index_line(entry: Entry) -> bytes:
    first_key, records, offset, size_bytes, text_bytes, crc32 = entry
    return first_key + f"\t{records}\t{offset}\t{size_bytes}\t{text_bytes}\t{crc32:08x}\n".encode()


def read_index(path: Path) -> list[Entry]:
    """The index of a seekable file. Raises SourceMissing, SourceDamaged if it is none or does not fit the file."""
    place = index_path(path)
    try:
        header, *lines = place.read_bytes().removesuffix(b"\n").split(b"\n")
        entries = [_entry(line) for line in lines]
        with path.open("rb") as stream:
            size_bytes = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size_bytes - len(_FINAL_BLOCK) - _TRAILER_BYTES))
            end = stream.read()
    except OSError as error:
        raise SourceMissing(f"{error.filename}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise SourceDamaged(f"{place}: not an index ({error}). Delete it to read {path.name} without.") from error
    if header != INDEX_COLUMNS.encode() or not _fits(entries, size_bytes, end):
        raise SourceDamaged(f"{place}: does not fit {path.name}. Delete it to read the file without.")
    return entries


def _fits(entries: list[Entry], size_bytes: int, end: bytes) -> bool:
    """Whether the segments lie one behind the other, from header to end, and make the text that the trailer names."""
    offset, text_bytes, crc32 = len(_HEADER), 0, 0
    for entry in entries:
        if entry.offset != offset:
            return False
        offset += entry.size_bytes
        text_bytes += entry.text_bytes
        crc32 = zlib_ng.crc32_combine(crc32, entry.crc32, entry.text_bytes)
    return offset + len(end) == size_bytes and end == _end_of(crc32, text_bytes)


def _entry(line: bytes) -> Entry:
    first_key, records, offset, size_bytes, text_bytes, crc32 = line.rsplit(b"\t", 5)
    entry = Entry(first_key, int(records), int(offset), int(size_bytes), int(text_bytes), int(crc32, 16))
    if min(entry[1:]) < 0 or len(crc32) != 8:
        raise ValueError(f"a line has a number that cannot be: {line.decode(errors='replace')}")
    return entry


def read_segment(path: Path, entry: Entry) -> bytes:
    """The text of one segment. Raises SourceDamaged if it is not what the index says."""
    with path.open("rb") as stream:
        stream.seek(entry.offset)
        data = stream.read(entry.size_bytes)
    try:
        text = isal_zlib.decompressobj(_RAW_DEFLATE).decompress(data)
    except isal_zlib.error as error:  # type: ignore[misc] # its stub says too little
        raise SourceDamaged(f"{path}: damaged in the segment at byte {entry.offset:,} ({error}).") from error
    if len(text) != entry.text_bytes or zlib_ng.crc32(text) != entry.crc32:
        raise SourceDamaged(f"{path}: the segment at byte {entry.offset:,} is not the one that its index describes.")
    return text


def segment_of(text: bytes, first_key_at: int, level: int = DEFAULT_LEVEL) -> Segment:
    """The text, of whole lines, as a segment; its first key is the column first_key_at of the first line."""
    first_line = text[: text.index(b"\n")]
    first_key = first_line.split(b"\t", first_key_at + 1)[first_key_at]
    return compressed(text, first_key=first_key, records=breaks(text), level=level)


class Packer:
    """Collects lines into the texts of segments."""

    def __init__(self, held: bytes = b"") -> None:
        """Begin with nothing, or with what another one held."""
        self._held = [held] if held else []
        self._held_bytes = len(held)

    @property
    def held(self) -> bytes:
        """The text that fills no segment yet."""
        return b"".join(self._held)

    def add(self, lines: list[bytes]) -> Iterator[bytes]:
        """Take lines with their newlines; the texts of the segments that they complete. Draw them all."""
        lengths = np.fromiter(map(len, lines), np.int64, len(lines))
        start = 0
        for border in cuts(lengths, self._held_bytes):
            yield b"".join((*self._held, *lines[start:border]))
            self._held, self._held_bytes, start = [], 0, border
        self._held += lines[start:]
        self._held_bytes += int(lengths[start:].sum())

    def rest(self) -> Iterator[bytes]:
        """The text of the last segment, if there is one."""
        if self._held:
            yield b"".join(self._held)
        self._held, self._held_bytes = [], 0


def segment_texts(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The same lines, cut where segments end (see cuts). texts: pieces of whole lines, which are not split."""
    held: list[bytes] = []
    held_bytes = 0
    for text in texts:
        start = 0
        while held_bytes + len(text) - start > SEGMENT_BYTES:
            end = _segment_end(text, start, held_bytes)
            yield b"".join((*held, text[start:end]))
            held, held_bytes, start = [], 0, end
        held.append(text[start:])
        held_bytes += len(text) - start
    if held_bytes:
        yield b"".join(held)


def _segment_end(text: bytes, start: int, held_bytes: int) -> int:
    """Where the open segment, that has so much already, ends in the text behind start: it has more than fits."""
    end = text.rfind(b"\n", start, start + SEGMENT_BYTES - held_bytes) + 1
    if end:
        return end
    return start if held_bytes else text.index(b"\n", start) + 1  # a line that is longer has a segment to itself


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
