"""Spill frames: batches of lines, compressed with zstd, and the table that says where each frame is."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np

from oldump.engine.text_lines import Chosen, Lines
from oldump.errors import StorageError, storage_errors
from oldump.run.steps import STEPS

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore] # from Python 3.14 on
except ImportError:
    from backports import zstd

_ZSTD_OPTIONS = {
    zstd.CompressionParameter.compression_level: 1,
    zstd.CompressionParameter.hash_log: 12,  # the table fits in the L1 cache: 12% faster, 5% larger
    zstd.CompressionParameter.checksum_flag: 1,  # otherwise a flipped bit in an uncompressed block goes unnoticed
}
FRAME_BYTES = 4 << 20
"""The most text in a frame of a spill file, unless a single line is longer."""
RUN_FRAME_BYTES = 1 << 18
"""The same for the runs of an oversized bucket, many of which are open at once."""
_PIECE_BYTES = 1 << 17
"""Text that is compressed or decompressed at a time; it fits in the L2 cache."""
_LENGTH = np.dtype(np.uint32)
"""Type of a line's length in a frame; text_stream.LONGEST_LINE_BYTES fits."""
_HEAD_BYTES = 8 + 1 + _LENGTH.itemsize
"""Bytes of a record in the head of a frame: its rank, its tag and the length of its line."""

Lengths = np.ndarray[tuple[int], np.dtype[np.int64]]
Ranks = np.ndarray[tuple[int], np.dtype[np.uint64]]
Tags = np.ndarray[tuple[int], np.dtype[np.uint8]]
SortKey = Callable[[bytes], Any]
"""Return the sort key of a line among lines of the same rank."""


class Batch(NamedTuple):
    """Lines with their ranks, by which they are sorted, and their tags: three parallel sequences."""

    lines: Lines
    ranks: Ranks
    tags: Tags

    @classmethod
    def of(cls, lines: list[bytes], ranks: list[int]) -> Self:
        """Make a batch of these lines (without newlines); all tags are 0."""
        return cls(Lines.of(lines), np.array(ranks, np.uint64), np.zeros(len(lines), np.uint8))

    def take(self, chosen: Chosen) -> "Batch":
        """Return a batch of the chosen lines, in the chosen order."""
        return Batch(self.lines.take(chosen), self.ranks[chosen], self.tags[chosen])


FRAME = np.dtype(
    [
        ("first", np.uint64),  # the bucket's first possible rank
        ("shift", np.uint8),  # the bucket is one value of rank >> shift
        ("spill", np.uint16),  # the number of the worker that wrote it
        ("offset", np.uint64),
        ("size_bytes", np.uint32),
        ("text_bytes", np.uint32),
    ]
)
"""Location of a part of a bucket in a spill file: a row of a table, since the leader holds millions of them."""
Frames = np.ndarray[tuple[int], np.dtype[np.void]]
NO_FRAMES = np.empty(0, FRAME)


def frames_of(content: bytes) -> Frames:
    """Return the table of frames saved as these bytes."""
    return np.frombuffer(content, FRAME)


def equal_stretches(values: Ranks) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each run of equal values."""
    return pairwise([0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)])


class FrameWriter:
    """Appends batches to a file in frames: zstd of a head, followed by the lines.

    The head: the number of records (8 bytes), their ranks, their tags, and the lengths of their lines.
    """

    def __init__(self, stream: BinaryIO, frame_bytes: int) -> None:
        """frame_bytes: about the most text in a frame."""
        self._stream = stream
        self._frame_bytes = frame_bytes
        self._compressor = zstd.ZstdCompressor(options=_ZSTD_OPTIONS)

    def write(self, batch: Batch) -> Iterator[tuple[int, int, int]]:
        """Write the batch; yield the offset, size and text of each frame, in bytes. Exhaust the iterator."""
        for start, end in _pieces(batch.lines.lengths, self._frame_bytes):
            offset = self._stream.tell()
            part = batch.take(slice(start, end))
            text_bytes = part.lines.text_bytes
            with STEPS.at("spill", text_bytes):
                self._write_frame(part)
            yield offset, self._stream.tell() - offset, text_bytes

    def _write_frame(self, batch: Batch) -> None:
        lines, ranks, tags = batch
        count = len(lines).to_bytes(8, "little")
        head = b"".join((count, ranks.tobytes(), tags.tobytes(), lines.lengths.astype(_LENGTH).tobytes()))
        self._stream.write(self._compressor.compress(head))
        for start, end in _pieces(lines.lengths, _PIECE_BYTES):
            self._stream.write(self._compressor.compress(lines.take(slice(start, end)).joined()))
        self._stream.write(self._compressor.flush(zstd.ZstdCompressor.FLUSH_FRAME))


def _pieces(lengths: Lengths, piece_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of pieces of about piece_bytes, or of a single longer line."""
    borders = np.flatnonzero(np.diff(np.cumsum(lengths) // piece_bytes)) + 1
    return pairwise([0, *borders.tolist(), len(lengths)])


def read_frame(path: Path, frame: np.void) -> Batch:
    """Return the batch in the frame. Raises StorageError."""
    text = memoryview(bytearray(int(frame["text_bytes"])))
    lengths, ranks, tags = read_frame_into(text, path, frame)
    return Batch(Lines.within(text, lengths), ranks, tags)


def read_frame_into(text: memoryview, path: Path, frame: np.void) -> tuple[Lengths, Ranks, Tags]:
    """Read the lines of a frame into text, which has their length; return lengths, ranks, tags. Raises StorageError."""
    offset = int(frame["offset"])
    with storage_errors(path), path.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(int(frame["size_bytes"]))
    try:
        return _FrameReader(data).read_into(text)
    except (zstd.ZstdError, _NotAFrameError) as error:
        raise StorageError(
            f"{path}: the spill is damaged at byte {offset:,} ({error}). Check the disk and rerun."
        ) from error


class _NotAFrameError(Exception):
    """The content of the frame is not what was written."""


class _FrameReader:
    """Reads a frame in pieces that are still in the processor's cache when they are copied to their destination."""

    def __init__(self, data: bytes) -> None:
        """data: the compressed frame."""
        self._data = data
        self._decompressor = zstd.ZstdDecompressor()

    def read_into(self, text: memoryview) -> tuple[Lengths, Ranks, Tags]:
        """Read the lines into text; return their lengths, ranks and tags. Raises ZstdError, _NotAFrameError."""
        count = int.from_bytes(self._taken(8), "little")
        if count > len(text):  # each line has at least a newline
            raise _NotAFrameError("more lines than text")
        head = self._taken(count * _HEAD_BYTES)
        ranks = np.frombuffer(head, np.uint64, count)
        tags = np.frombuffer(head, np.uint8, count, 8 * count)
        lengths = np.frombuffer(head, _LENGTH, count, 9 * count).astype(np.int64)
        for start in range(0, len(text), _PIECE_BYTES):
            piece = text[start : start + _PIECE_BYTES]
            piece[:] = self._taken(len(piece))
        if self._more(1) or lengths.sum() != len(text) or not self._decompressor.eof:
            raise _NotAFrameError("wrong length")
        return lengths, ranks, tags

    def _taken(self, size_bytes: int) -> bytes:
        """Return exactly this many bytes. Raises _NotAFrameError if there are fewer."""
        taken = self._more(size_bytes)
        while len(taken) < size_bytes:
            more = self._more(size_bytes - len(taken))
            if not more:
                raise _NotAFrameError("truncated")
            taken += more
        return taken

    def _more(self, size_bytes: int) -> bytes:
        """Return at most this many bytes; none at the end of the frame."""
        if self._decompressor.eof:
            return b""
        data, self._data = self._data, b""
        more: bytes = self._decompressor.decompress(data, size_bytes)
        return more
