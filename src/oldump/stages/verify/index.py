"""Indexes: read `NAME.txt.gz.index`, and check that its segments follow each other from the header to the trailer.

Does not: compare the entries with the segments; see file_check.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zlib_ng import zlib_ng

from oldump.engine.segments import INDEX_COLUMNS, IndexEntry, index_path
from oldump.errors import storage_errors
from oldump.stages.verify.sums import READ_BYTES, FileSums, HashingReader

HEADER = bytes.fromhex("1f8b08000000000000ff")
TRAILER_BYTES = 10
"""Final deflate block, CRC-32 and length."""
_CRC = re.compile(rb"[0-9a-f]{8}")


@dataclass
class IndexTotals:
    """The sums of an index's columns, and the checksums of the index file itself."""

    sums: FileSums
    segments: int = 0
    records: int = 0
    text_bytes: int = 0
    crc32: int = 0
    end: int = len(HEADER)
    """Offset of the end of the last segment."""
    problem: str | None = None
    """Why the index cannot belong to the file; None if it may."""
    line: int | None = None
    """The line with the problem."""


def index_entries(path: Path) -> Iterator[IndexEntry]:
    """Yield the entries of a file's index in which `read_index_totals` found no problem. Raises StorageError."""
    with storage_errors(path), index_path(path).open("rb") as stream:
        next(stream)
        for line in stream:
            yield _entry_of(line.removesuffix(b"\n"))


def read_index_totals(path: Path) -> IndexTotals:
    """Read a file's index, and check that its segments are contiguous and fill the file. Raises StorageError."""
    index = index_path(path)
    with storage_errors(index), index.open("rb") as stream, path.open("rb") as file:
        reader = HashingReader(stream, index)
        totals = IndexTotals(FileSums(0, "", ""))
        _read_entries(reader, totals)
        totals.sums = reader.sums()
        size_bytes = file.seek(0, 2)
        if totals.problem is None and totals.end + TRAILER_BYTES != size_bytes:
            totals.problem = f"its segments end at byte {totals.end:,}, but those of the file at {_end(size_bytes):,}"
        return totals


def _end(size_bytes: int) -> int:
    return max(0, size_bytes - TRAILER_BYTES)


def _read_entries(reader: HashingReader, totals: IndexTotals) -> None:
    rest, number = b"", 0
    while data := reader.read(READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            number += 1
            if totals.problem is None:
                _add_line(line, number, totals)
    if totals.problem is None and (rest or not number):
        totals.problem, totals.line = "does not end with a newline", number + 1


def _add_line(line: bytes, number: int, totals: IndexTotals) -> None:
    if number == 1:
        if line != INDEX_COLUMNS.encode():
            totals.problem, totals.line = "its first line is not the heading", 1
        return
    try:
        entry = _entry_of(line)
    except ValueError as error:
        totals.problem, totals.line = f"not a line of an index: {error}", number
        return
    if entry.offset != totals.end:
        totals.problem = f"offset is {entry.offset:,}, but the previous segment ends at byte {totals.end:,}"
        totals.line = number
        return
    totals.segments += 1
    totals.records += entry.records
    totals.text_bytes += entry.text_bytes
    totals.crc32 = zlib_ng.crc32_combine(totals.crc32, entry.crc32, entry.text_bytes)
    totals.end += entry.size_bytes


def _entry_of(line: bytes) -> IndexEntry:
    """Parse a line of an index. Raises ValueError if it is not in the format."""
    fields = line.rsplit(b"\t", 5)
    first_key, numbers, crc32 = fields[0], fields[1:-1], fields[-1]
    if len(numbers) != 4 or not all(map(bytes.isdigit, numbers)) or not _CRC.fullmatch(crc32):
        raise ValueError(line[:80].decode(errors="backslashreplace"))
    records, offset, size_bytes, text_bytes = map(int, numbers)
    return IndexEntry(first_key, records, offset, size_bytes, text_bytes, int(crc32, 16))
