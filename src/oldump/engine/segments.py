"""Seekable gzip: one ordinary gzip member whose segments can be read alone.

    header         10 bytes, no name and no time
    segments       raw deflate, each compressed on its own and ended by a full flush, so it starts and ends at a byte
                   boundary and refers to nothing before it
    final block    2 bytes, empty
    trailer        CRC-32 of the whole text, length of the text modulo 2**32

Any gzip reader can read it. The index NAME.index is a text table with one line per segment. Files can be spliced from
others without recompression. Formats: RFC 1951, RFC 1952; full flush: zlib's manual, Z_FULL_FLUSH.

Does not: know what a record is; the writer supplies the first key of a segment.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from isal import isal_zlib
from zlib_ng import zlib_ng

from oldump.errors import SourceDamaged, SourceMissing
from oldump.kernel.spans import breaks

SEGMENT_BYTES = 1 << 20
"""The most text in a segment, unless a single line is longer."""

DEFAULT_LEVEL = 6
QUICK = 0
"""The level for files that only oldump reads: igzip, twice as fast as level 1 of zlib-ng, with 20% smaller output."""
INDEX_SUFFIX = ".index"
INDEX_COLUMNS = "first_key\trecords\toffset\tsize_bytes\ttext_bytes\tcrc32"

HEADER = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
FINAL_BLOCK = b"\x03\x00"
_RAW_DEFLATE = -15
_QUICK_LEVEL = 1
_TRAILER_BYTES = 8


class Segment(NamedTuple):
    """A compressed segment."""

    first_key: bytes
    records: int
    text_bytes: int
    crc32: int
    data: bytes


class IndexEntry(NamedTuple):
    """The line of a segment in the index."""

    first_key: bytes
    records: int
    offset: int
    size_bytes: int
    text_bytes: int
    crc32: int


Compress = Callable[[bytes], Segment]
"""Compress the text of complete lines to a segment."""


def compressed(text: bytes, *, first_key: bytes, records: int, level: int = DEFAULT_LEVEL) -> Segment:
    """Compress the text to a segment. level: a gzip level from 1 to 9, or QUICK."""
    deflate: Any
    if level == QUICK:
        deflate = isal_zlib.compressobj(_QUICK_LEVEL, isal_zlib.DEFLATED, _RAW_DEFLATE)
    else:
        deflate = zlib_ng.compressobj(level, zlib_ng.DEFLATED, _RAW_DEFLATE, 9)
    data = deflate.compress(text) + deflate.flush(zlib_ng.Z_FULL_FLUSH)
    return Segment(first_key, records, len(text), zlib_ng.crc32(text), data)


def uncompressed(text: bytes) -> Segment:
    """Return a segment that holds the text uncompressed."""
    return Segment(b"", 0, len(text), 0, text)


def cuts(lengths: "np.ndarray[tuple[int], np.dtype[np.int64]]", open_bytes: int) -> list[int]:
    """Return where to cut further lines into segments: the number of lines before each cut, ascending, from 0 to len.

    lengths: bytes in each line, including the newline; open_bytes: bytes of text already in the open segment.
    A segment ends where the next line would exceed SEGMENT_BYTES, so the cuts depend only on the lines.
    """
    ends = np.cumsum(lengths)
    borders: list[int] = []
    place, start = 0, -open_bytes
    while True:
        fitting = int(np.searchsorted(ends, start + SEGMENT_BYTES, side="right"))
        if fitting == len(lengths):
            return borders
        if fitting == place and (place > 0 or open_bytes == 0 or borders):
            fitting += 1  # a longer line has a segment of its own
            if fitting == len(lengths):
                return borders
        place, start = fitting, int(ends[fitting - 1]) if fitting else 0
        borders.append(place)


def end_of(crc32: int, text_bytes: int) -> bytes:
    """Return the bytes after the last segment: the final block and the trailer."""
    return FINAL_BLOCK + crc32.to_bytes(4, "little") + (text_bytes & 0xFFFFFFFF).to_bytes(4, "little")


def index_path(path: Path) -> Path:
    """Return the path of the index of a seekable file."""
    return path.with_name(path.name + INDEX_SUFFIX)


def read_index(path: Path) -> list[IndexEntry]:
    """Return the index of a seekable file. Raises SourceMissing; SourceDamaged if it is invalid or does not match."""
    place = index_path(path)
    try:
        header, *lines = place.read_bytes().removesuffix(b"\n").split(b"\n")
        entries = [_entry(line) for line in lines]
        with path.open("rb") as stream:
            size_bytes = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size_bytes - len(FINAL_BLOCK) - _TRAILER_BYTES))
            end = stream.read()
    except OSError as error:
        raise SourceMissing(f"{error.filename}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise SourceDamaged(f"{place}: not an index ({error}). Delete it to read {path.name} without.") from error
    if header != INDEX_COLUMNS.encode() or not _fits(entries, size_bytes, end):
        raise SourceDamaged(f"{place}: does not fit {path.name}. Delete it to read the file without.")
    return entries


def _fits(entries: list[IndexEntry], size_bytes: int, end: bytes) -> bool:
    """Whether the segments are contiguous from header to end, and match the checksum and length in the trailer."""
    offset, text_bytes, crc32 = len(HEADER), 0, 0
    for entry in entries:
        if entry.offset != offset:
            return False
        offset += entry.size_bytes
        text_bytes += entry.text_bytes
        crc32 = zlib_ng.crc32_combine(crc32, entry.crc32, entry.text_bytes)
    return offset + len(end) == size_bytes and end == end_of(crc32, text_bytes)


def _entry(line: bytes) -> IndexEntry:
    first_key, records, offset, size_bytes, text_bytes, crc32 = line.rsplit(b"\t", 5)
    entry = IndexEntry(first_key, int(records), int(offset), int(size_bytes), int(text_bytes), int(crc32, 16))
    if min(entry[1:]) < 0 or len(crc32) != 8:
        raise ValueError(f"a line has a number that cannot be: {line.decode(errors='replace')}")
    return entry


def read_segment(path: Path, entry: IndexEntry) -> bytes:
    """Return the text of a segment. Raises SourceDamaged if it differs from its index entry."""
    with path.open("rb") as stream:
        stream.seek(entry.offset)
        data = stream.read(entry.size_bytes)
    try:
        text = isal_zlib.decompressobj(_RAW_DEFLATE).decompress(data)
    except isal_zlib.error as error:  # type: ignore[misc] # the stub is incomplete
        raise SourceDamaged(f"{path}: damaged in the segment at byte {entry.offset:,} ({error}).") from error
    if len(text) != entry.text_bytes or zlib_ng.crc32(text) != entry.crc32:
        raise SourceDamaged(f"{path}: the segment at byte {entry.offset:,} is not the one that its index describes.")
    return text


def segment_of(text: bytes, first_key_at: int, level: int = DEFAULT_LEVEL) -> Segment:
    """Compress complete lines to a segment; its first key is column first_key_at of the first line."""
    first_line = text[: text.index(b"\n")]
    first_key = first_line.split(b"\t", first_key_at + 1)[first_key_at]
    return compressed(text, first_key=first_key, records=breaks(text), level=level)


class Packer:
    """Collects lines and cuts them into the texts of segments."""

    def __init__(self, held: bytes = b"") -> None:
        """held: the held text of a previous packer, to resume it."""
        self._held = [held] if held else []
        self._held_bytes = len(held)

    @property
    def held(self) -> bytes:
        """The text of the open segment."""
        return b"".join(self._held)

    def add(self, lines: list[bytes]) -> Iterator[bytes]:
        """Add lines, including newlines, and yield the text of each completed segment. Exhaust the iterator."""
        lengths = np.fromiter(map(len, lines), np.int64, len(lines))
        start = 0
        for border in cuts(lengths, self._held_bytes):
            yield b"".join((*self._held, *lines[start:border]))
            self._held, self._held_bytes, start = [], 0, border
        self._held += lines[start:]
        self._held_bytes += int(lengths[start:].sum())

    def rest(self) -> Iterator[bytes]:
        """Yield the text of the last segment, if there is one."""
        if self._held:
            yield b"".join(self._held)
        self._held, self._held_bytes = [], 0


def segment_texts(texts: Iterable[bytes]) -> Iterator[bytes]:
    """Regroup pieces of text into the texts of segments (see cuts). texts: each consists of complete lines."""
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
    """Return where the open segment ends in the text after start, which does not fit into it completely."""
    end = text.rfind(b"\n", start, start + SEGMENT_BYTES - held_bytes) + 1
    if end:
        return end
    return start if held_bytes else text.index(b"\n", start) + 1  # a longer line has a segment of its own
