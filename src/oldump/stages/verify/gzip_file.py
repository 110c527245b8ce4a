"""Read a seekable gzip file once, from start to end, and check its bytes.

Checked: the header; that each segment is raw deflate and ends with a full flush; the final block; the trailer's CRC-32
and length; that nothing follows. The index only says where to cut the file for the workers, and each cut is checked.

    usable index       SegmentReader: the leader reads and hashes each segment, a worker decompresses it
    no usable index    SerialReader: the leader decompresses, workers receive texts of whole lines

Does not: check lines.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from zlib_ng import zlib_ng

from oldump.engine.segments import IndexEntry, segment_texts
from oldump.errors import storage_errors
from oldump.stages.verify.index import HEADER, TRAILER_BYTES, index_entries
from oldump.stages.verify.sums import READ_BYTES, FileSums, HashingReader

_FULL_FLUSH_END = b"\x00\x00\xff\xff"
_FINAL_BLOCK = b"\x03\x00"
_GZIP = 31
_RAW_DEFLATE = -15
_FOLLOWING_BYTES = "bytes follow the end of the gzip member"


class CompressedSegment(NamedTuple):
    """A segment's bytes in the file, and its entry in the index."""

    data: bytes
    entry: IndexEntry


class PlainText(NamedTuple):
    """Whole lines of a file that is read serially."""

    data: bytes


Piece = CompressedSegment | PlainText


class Inflated(NamedTuple):
    """A decompressed segment."""

    text: bytes
    crc32: int
    damage: str | None
    """Why the bytes are not a segment; None if they are one."""


def inflated(piece: Piece) -> Inflated:
    """Decompress a segment, as far as it can be read. Return text that is not compressed as it is."""
    if isinstance(piece, PlainText):
        return Inflated(piece.data, zlib_ng.crc32(piece.data), None)
    inflate = zlib_ng.decompressobj(_RAW_DEFLATE)
    try:
        text = inflate.decompress(piece.data)
    except zlib_ng.error as error:  # type: ignore[misc] # its stub declares no exception
        return Inflated(b"", 0, f"cannot be decompressed ({error})")
    if inflate.eof:
        return Inflated(text, zlib_ng.crc32(text), "contains a final block")
    if not piece.data.endswith(_FULL_FLUSH_END):
        return Inflated(text, zlib_ng.crc32(text), "does not end with a full flush")
    return Inflated(text, zlib_ng.crc32(text), None)


class SegmentReader:
    """Iterates over a file's segments, cut as its index says, and keeps header, trailer and sums.

    Use it only if `read_index_totals` found no problem.
    """

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._reader = HashingReader(stream, path)
        self._header = b""
        self._trailer = b""

    def __iter__(self) -> Iterator[Piece]:
        """Yield each segment. Raises StorageError."""
        self._header = self._reader.read(len(HEADER))
        for entry in index_entries(self._path):
            yield CompressedSegment(self._reader.read(entry.size_bytes), entry)
        self._trailer = self._reader.read(TRAILER_BYTES)

    @property
    def position_bytes(self) -> int:
        """Bytes that were read."""
        return self._reader.size_bytes

    def sums(self) -> FileSums:
        """Return the file's sums, after the loop."""
        return self._reader.sums()

    def problems(self, crc32: int, text_bytes: int) -> Iterator[str]:
        """Yield what does not fit a text with this CRC-32 and length, after the loop."""
        if self._header != HEADER:
            yield "the header is not that of the format"
        if self._trailer != _trailer_of(crc32, text_bytes):
            yield "the final block and the trailer do not match the text"


def _trailer_of(crc32: int, text_bytes: int) -> bytes:
    return _FINAL_BLOCK + crc32.to_bytes(4, "little") + (text_bytes % (1 << 32)).to_bytes(4, "little")


class SerialReader:
    """Iterates over the text of a gzip file without its index, in pieces of whole lines, and keeps its sums."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._reader = HashingReader(stream, path)
        self._problem: str | None = None

    def __iter__(self) -> Iterator[Piece]:
        """Yield texts as long as segments, up to the end or the damage. Raises StorageError."""
        for text in segment_texts(self._whole_lines()):
            yield PlainText(text)

    @property
    def position_bytes(self) -> int:
        """Bytes that were read."""
        return self._reader.size_bytes

    def sums(self) -> FileSums:
        """Return the file's sums, after the loop."""
        return self._reader.sums()

    def problems(self, crc32: int, text_bytes: int) -> Iterator[str]:  # noqa: ARG002 - as SegmentReader's; zlib compares both
        """Yield what is wrong with the gzip member, after the loop."""
        if self._problem is not None:
            yield self._problem

    def _whole_lines(self) -> Iterator[bytes]:
        held = b""
        for text in self.texts():
            whole, newline, rest = (held + text).rpartition(b"\n")
            held = rest
            if newline:
                yield whole + newline
        if held and self._problem is None:
            self._problem = "the text does not end with a newline"

    def texts(self) -> Iterator[bytes]:
        """Yield the text as it is decompressed, up to the end or the damage. Raises StorageError."""
        inflate = zlib.decompressobj(_GZIP)
        while data := self._reader.read(READ_BYTES):
            if self._problem is not None:
                continue  # only the sums are still needed
            if inflate.eof:
                self._problem = _FOLLOWING_BYTES
                continue
            offset = self._reader.size_bytes - len(data)
            try:
                yield inflate.decompress(data)
            except zlib.error as error:
                self._problem = f"damaged after byte {offset:,} ({error})"
            if inflate.unused_data and self._problem is None:
                self._problem = _FOLLOWING_BYTES
        if not inflate.eof and self._problem is None:
            self._problem = "the gzip member is truncated"


def is_whole(path: Path) -> bool:
    """Whether any gzip reader can read the file from start to end. Raises StorageError."""
    with storage_errors(path), path.open("rb") as stream:
        reader = SerialReader(path, stream)
        for _ in reader.texts():
            pass
        return not any(reader.problems(0, 0))
