"""A seekable gzip file, read once from start to end, and held against its own bytes and its index.

What is asked of the bytes: the header; segments one behind the other, each whole and closed; the final block; the
trailer's CRC-32 and length, which must be those of the text; nothing behind them. The index is not believed: it says
where to cut the file for the workers, and each cut must hold.

    index usable     the leader reads each segment, hashes it and hands it to a worker (`Stretch`)
    index unusable   the leader reads the gzip serially, and hands texts of whole lines to workers (`Text`)

Does not: know what a line is.
"""

import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from zlib_ng import zlib_ng

from oldump.engine.segments import INDEX_COLUMNS, IndexEntry, index_path, segment_texts
from oldump.errors import storage_errors

HEADER = bytes.fromhex("1f8b08000000000000ff")
END_BYTES = 10
"""Final block and trailer."""
_FULL_FLUSH_END = b"\x00\x00\xff\xff"
_FINAL_BLOCK = b"\x03\x00"
_CRC = re.compile(rb"[0-9a-f]{8}")
_READ_BYTES = 1 << 20
_GZIP = 31
_RAW_DEFLATE = -15


def _end_of(crc32: int, text_bytes: int) -> bytes:
    return _FINAL_BLOCK + crc32.to_bytes(4, "little") + (text_bytes % (1 << 32)).to_bytes(4, "little")


class Stretch(NamedTuple):
    """A segment as it lies in the file, with what the index says of it."""

    data: bytes
    entry: IndexEntry


class Text(NamedTuple):
    """Text of whole lines, from a file that is read serially."""

    text: bytes


class Inflated(NamedTuple):
    """What a segment's bytes are."""

    text: bytes
    crc32: int
    wrong: str | None
    """Why they are no segment; None if they are one."""


def inflated(data: bytes) -> Inflated:
    """The text of a segment, or how far it can be read. A segment is raw deflate, closed by a full flush."""
    inflate = zlib_ng.decompressobj(_RAW_DEFLATE)
    try:
        text = inflate.decompress(data)
    except zlib_ng.error as error:  # type: ignore[misc] # its stub says too little
        return Inflated(b"", 0, f"cannot be decompressed ({error})")
    if inflate.eof:
        return Inflated(text, zlib_ng.crc32(text), "has a final block within it")
    if not data.endswith(_FULL_FLUSH_END):
        return Inflated(text, zlib_ng.crc32(text), "does not end with a full flush")
    return Inflated(text, zlib_ng.crc32(text), None)


@dataclass
class Sums:
    """Sums of a file's bytes."""

    size_bytes: int
    sha256: str
    md5: str


class Hashing:
    """A file that is read from start to end, and hashed."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        """Take the open file."""
        self._stream, self._path = stream, path
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self.size_bytes = 0
        """Read so far."""

    def read(self, size_bytes: int) -> bytes:
        """The next bytes. Raises StorageError."""
        with storage_errors(self._path):
            data = self._stream.read(size_bytes)
        self._sha256.update(data)
        self._md5.update(data)
        self.size_bytes += len(data)
        return data

    def sums(self) -> Sums:
        """The sums of all that was read."""
        return Sums(self.size_bytes, self._sha256.hexdigest(), self._md5.hexdigest())


def sums_of(path: Path) -> Sums:
    """The sums of a file, read here. Raises StorageError."""
    with storage_errors(path), path.open("rb") as stream:
        reading = Hashing(stream, path)
        while reading.read(_READ_BYTES):
            pass
        return reading.sums()


def _entry_of(line: bytes) -> IndexEntry:
    """The entry that a line of an index is. Raises ValueError if it is none as the format says."""
    first_key, *numbers, crc32 = line.rsplit(b"\t", 5)
    if len(numbers) != 4 or not all(map(bytes.isdigit, numbers)) or not _CRC.fullmatch(crc32):
        raise ValueError(line[:80].decode(errors="backslashreplace"))
    records, offset, size_bytes, text_bytes = map(int, numbers)
    return IndexEntry(first_key, records, offset, size_bytes, text_bytes, int(crc32, 16))


@dataclass
class IndexTotals:
    """What an index says of its file, and the index file's own sums."""

    sums: Sums
    segments: int = 0
    records: int = 0
    text_bytes: int = 0
    crc32: int = 0
    end: int = len(HEADER)
    """Where the last segment ends."""
    wrong: str | None = None
    """Why it cannot be the file's; None if it may be."""
    line: int | None = None
    """Of what is wrong."""


def entries(path: Path) -> Iterator[IndexEntry]:
    """The entries of an index of which `index_totals` said nothing. Raises StorageError."""
    with storage_errors(path), index_path(path).open("rb") as stream:
        next(stream)
        for line in stream:
            yield _entry_of(line.removesuffix(b"\n"))


def index_totals(path: Path) -> IndexTotals:
    """Read the index of a file: what it says, and whether its segments lie one behind the other from header to end.

    Raises StorageError if it cannot be read.
    """
    place = index_path(path)
    with storage_errors(place), place.open("rb") as stream, path.open("rb") as file:
        reading = Hashing(stream, place)
        totals = IndexTotals(Sums(0, "", ""))
        _read_entries(reading, totals)
        totals.sums = reading.sums()
        if totals.wrong is None and totals.end + END_BYTES != file.seek(0, 2):
            totals.wrong = f"its segments end at byte {totals.end:,}, which is not where the file's end"
        return totals


def _read_entries(reading: Hashing, totals: IndexTotals) -> None:
    held, number = b"", 0
    while data := reading.read(_READ_BYTES):
        *lines, held = (held + data).split(b"\n")
        for line in lines:
            number += 1
            if totals.wrong is None:
                _take_line(line, number, totals)
    if totals.wrong is None and (held or not number):
        totals.wrong, totals.line = "it does not end with a newline", number + 1


def _take_line(line: bytes, number: int, totals: IndexTotals) -> None:
    if number == 1:
        if line != INDEX_COLUMNS.encode():
            totals.wrong, totals.line = "its first line is not the heading", 1
        return
    try:
        entry = _entry_of(line)
    except ValueError as error:
        totals.wrong, totals.line = f"not a line of an index ({error})", number
        return
    if entry.offset != totals.end:
        totals.wrong, totals.line = f"the segment before it ends at byte {totals.end:,}", number
        return
    totals.segments += 1
    totals.records += entry.records
    totals.text_bytes += entry.text_bytes
    totals.crc32 = zlib_ng.crc32_combine(totals.crc32, entry.crc32, entry.text_bytes)
    totals.end += entry.size_bytes


class Ends(NamedTuple):
    """Header and end of a file."""

    header: bytes
    end: bytes

    def wrong(self, crc32: int, text_bytes: int) -> Iterator[str]:
        """What does not fit a text of this CRC-32 and length."""
        if self.header != HEADER:
            yield "the header is not that of the format"
        if self.end != _end_of(crc32, text_bytes):
            yield "final block and trailer are not those of the text"


class Stretches:
    """A file's segments, cut as its index says, for a loop; then its sums and ends."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        """Take a file whose index `index_totals` has found nothing wrong with."""
        self._path = path
        self._reading = Hashing(stream, path)
        self._header = b""
        self._end = b""

    def __iter__(self) -> Iterator[Stretch]:
        """Each segment. Raises StorageError."""
        self._header = self._reading.read(len(HEADER))
        for entry in entries(self._path):
            data = self._reading.read(entry.size_bytes)
            yield Stretch(data, entry)
        self._end = self._reading.read(END_BYTES)

    @property
    def ends(self) -> Ends:
        """Header and end, when the loop is over."""
        return Ends(self._header, self._end)

    @property
    def position_bytes(self) -> int:
        """How far it is."""
        return self._reading.size_bytes

    def sums(self) -> Sums:
        """The file's sums, when the loop is over."""
        return self._reading.sums()


class Serial:
    """A gzip file's text, read from start to end without an index, in pieces of whole lines, for a loop."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        """Take the open file."""
        self._path = path
        self._reading = Hashing(stream, path)
        self.header = b""
        self.crc32 = self.text_bytes = 0
        self.wrong: str | None = None
        """What is wrong with the gzip, when the loop is over; None if it is whole."""

    def __iter__(self) -> Iterator[Text]:
        """Texts as long as segments, up to the end or the damage. Raises StorageError."""
        for text in segment_texts(self._whole_lines()):
            yield Text(text)

    @property
    def position_bytes(self) -> int:
        """How far it is."""
        return self._reading.size_bytes

    def sums(self) -> Sums:
        """The file's sums, when the loop is over."""
        return self._reading.sums()

    def _whole_lines(self) -> Iterator[bytes]:
        held = b""
        for text in self.texts():
            self.crc32 = zlib_ng.crc32(text, self.crc32)
            self.text_bytes += len(text)
            whole, newline, rest = (held + text).rpartition(b"\n")
            held = rest
            if newline:
                yield whole + newline
        if held and self.wrong is None:
            self.wrong = "the text does not end with a newline"

    def texts(self) -> Iterator[bytes]:
        """The text as it comes, up to the end or the damage. Raises StorageError."""
        inflate = zlib.decompressobj(_GZIP)
        while data := self._reading.read(_READ_BYTES):
            self.header = self.header or data[: len(HEADER)]
            if self.wrong is not None:
                continue
            if inflate.eof:
                self.wrong = "something stands behind the end of the gzip member"
                continue
            at = self._reading.size_bytes - len(data)
            try:
                yield inflate.decompress(data)
            except zlib.error as error:
                self.wrong = f"damaged behind byte {at:,} ({error})"
            if inflate.unused_data and self.wrong is None:
                self.wrong = "something stands behind the end of the gzip member"
        if not inflate.eof and self.wrong is None:
            self.wrong = "the gzip member does not end"


def is_whole(path: Path) -> bool:
    """Whether any gzip reader reads the file from start to end. Raises StorageError."""
    with storage_errors(path), path.open("rb") as stream:
        serial = Serial(path, stream)
        for _ in serial.texts():
            pass
        return serial.wrong is None
