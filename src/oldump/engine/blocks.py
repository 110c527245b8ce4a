"""Read text files, plain or gzip, in blocks of complete lines.

Workers read the blocks of plain files and seekable gzip files themselves. Any other gzip file and standard input can
only be read from start to end: a thread reads ahead of the workers and passes them the text through shared memory.

Does not: know what a line contains.
"""

import mmap
import multiprocessing
import os
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import BinaryIO, NamedTuple

from zlib_ng import zlib_ng

from oldump.engine.segments import IndexEntry, index_path, read_index, read_segment
from oldump.engine.text_stream import (
    BLOCK_BYTES,
    GZIP_MAGIC,
    LONGEST_LINE_BYTES,
    TEXT_PER_GZIP_BYTE,
    decompressed,
    refuse_other_formats,
    source_errors,
    whole_lines,
)
from oldump.errors import SourceDamaged
from oldump.run.steps import STEPS

_READ_BYTES = 1 << 18


class Segmented(NamedTuple):
    """A block that a worker reads from seekable gzip."""

    path: Path
    entry: IndexEntry


class ByteRange(NamedTuple):
    """A block that a worker reads from a plain file."""

    path: Path
    offset: int
    size_bytes: int


class Shared(NamedTuple):
    """A block in shared memory."""

    slot: int
    size_bytes: int


Content = Segmented | ByteRange | Shared | bytes


class Block(NamedTuple):
    """A block, or its location."""

    content: Content
    position_bytes: int
    """Bytes of the file, as stored, that have been read with this block."""
    crc32: int = 0
    """CRC-32 of all text up to the end of the block, if a single thread reads the file."""


class SourcePosition(NamedTuple):
    """A position in a source, from which reading can resume."""

    blocks: int = 0
    position_bytes: int = 0
    crc32: int = 0

    def behind(self, block: Block) -> "SourcePosition":
        """Return the position after this block."""
        return SourcePosition(self.blocks + 1, block.position_bytes, block.crc32)


START = SourcePosition()

SLOTS_AHEAD = 4
"""Slots for blocks that no worker has: two that are read ahead, one that waits behind them, and one that is drawn."""


class SharedMemory:
    """Slots for blocks, shared by all processes forked from this one."""

    def __init__(self, slots: int, slot_bytes: int = 2 * BLOCK_BYTES) -> None:
        """Allocate the slots; call this before the fork."""
        self._slot_bytes = slot_bytes
        self._memory = mmap.mmap(-1, slots * slot_bytes)
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(slots):
            self._free.put(slot)

    def put(self, text: bytes) -> Content:
        """Copy the text to a free slot, waiting for one; return text that is too long for a slot itself."""
        if len(text) > self._slot_bytes:
            return text
        slot = self._free.get()
        start = slot * self._slot_bytes
        self._memory[start : start + len(text)] = text
        return Shared(slot, len(text))

    def take(self, shared: Shared) -> bytes:
        """Return the text in a slot."""
        start = shared.slot * self._slot_bytes
        return self._memory[start : start + shared.size_bytes]

    def free(self, content: Content) -> None:
        """Release the slot of a block."""
        if isinstance(content, Shared):
            self._free.put(content.slot)


class Source:
    """A text file, or standard input, to be read in blocks."""

    def __init__(self, path: Path | None, memory: SharedMemory, after: SourcePosition = START) -> None:
        """Open the file, or standard input if path is None. after: the position where reading resumes.

        Raises SourceMissing, SourceDamaged.
        """
        self._path = path
        self.start = after
        self.memory = memory
        self.name = str(path) if path else "standard input"
        self.size_bytes: int | None = None
        """Size of the file as stored; None for standard input."""
        self._entries: list[IndexEntry] | None = None
        self._status: tuple[int, int] | None = None
        self._is_plain = False
        if path is None:
            return
        with source_errors(path):
            if path.is_fifo() or path.is_char_device():
                return  # no size, and bytes that are read here would be missing later
            self._status = _status(path)
            with path.open("rb") as stream:
                magic = stream.read(8)
                self.size_bytes = os.fstat(stream.fileno()).st_size
        self._is_plain = not magic.startswith(GZIP_MAGIC)
        refuse_other_formats(self.name, magic)
        if not self._is_plain and index_path(path).exists():
            self._entries = read_index(path)

    def require_unchanged(self) -> None:
        """Raise SourceDamaged if the file changed while it was read."""
        if self._path is not None and self._status is not None and self._status != _status(self._path):
            raise SourceDamaged(f"{self.name}: changed while it was read. Wait until it is complete, then rerun.")

    @property
    def reads_itself(self) -> bool:
        """Whether workers read the blocks, rather than a thread ahead of them."""
        return self._is_plain or self._entries is not None

    def share_read(self, block: Block) -> float | None:
        """Return the share of the file that has been read with this block, 0 to 1; None if the size is unknown."""
        return block.position_bytes / self.size_bytes if self.size_bytes else None

    @property
    def arrivals(self) -> Connection | None:
        """Readable when the next block is available; None if it always is. The first access starts the reading."""
        return None if self.reads_itself else self._ahead.arrivals

    @property
    def about_text_bytes(self) -> int | None:
        """Approximate bytes of text; None if unknown."""
        if self._entries is not None:
            return sum(entry.text_bytes for entry in self._entries)
        if self.size_bytes is None or self._is_plain:
            return self.size_bytes
        return self.size_bytes * TEXT_PER_GZIP_BYTE

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks that have not been read before, in order. Can be used once. Raises SourceError."""
        if self._path is not None and self._entries is not None:
            for entry in self._entries[self.start.blocks :]:
                yield Block(Segmented(self._path, entry), entry.offset + entry.size_bytes)
        elif self._path is not None and self._is_plain:
            yield from _ranges(self._path, self.start.position_bytes)
        else:
            yield from self._ahead

    @cached_property
    def _ahead(self) -> "_Ahead":
        return _Ahead(self._streamed(), depth=2)

    def text(self, content: Content) -> bytes:
        """Return the text of a block. Raises SourceError."""
        match content:
            case Segmented(path, entry):
                with source_errors(path), STEPS.at("decompress", entry.text_bytes):
                    return read_segment(path, entry)
            case ByteRange(path, offset, size_bytes):
                with source_errors(path), path.open("rb") as stream:
                    stream.seek(offset)
                    text = stream.read(size_bytes)
                if len(text) < size_bytes:
                    raise SourceDamaged(f"{path}: became shorter while it was read. Rerun.")
                return text
            case Shared():
                with STEPS.at("receive", content.size_bytes):
                    return self.memory.take(content)
            case _:
                return content

    def _streamed(self) -> Iterator[Block]:
        with source_errors(self.name), _opened(self._path) as stream:
            position = 0

            def chunks() -> Iterator[bytes]:
                nonlocal position
                while chunk := stream.read(_READ_BYTES):
                    position += len(chunk)
                    yield chunk

            place = START
            for text in whole_lines(decompressed(chunks(), self.name), self.name):
                with STEPS.at("dispatch", len(text)):
                    crc32 = zlib_ng.crc32(text, place.crc32)
                    content = self.memory.put(text) if place.blocks >= self.start.blocks else None
                if content is not None:
                    yield Block(content, position, crc32)
                place = SourcePosition(place.blocks + 1, position, crc32)
                if place.blocks == self.start.blocks and place != self.start:
                    raise self._is_another()
            if place.blocks < self.start.blocks:
                raise self._is_another()

    def _is_another(self) -> SourceDamaged:
        return SourceDamaged(
            f"{self.name}: its first {self.start.position_bytes:,} bytes differ from the source of the run",
            "Use the original source, or --overwrite to start from scratch.",
        )


class BlockTasks(Iterator[tuple[str, Content]]):
    """Tasks for a crew: one for each block of a source that has not been read, numbered from the first block of all."""

    def __init__(self, source: Source) -> None:
        """Draw blocks from the source, which must not be read elsewhere."""
        self._source = source
        self._blocks = source.blocks()
        self._unfinished: dict[int, Block] = {}
        self.position = source.start
        """The position after the last block drawn."""

    def __next__(self) -> tuple[str, Content]:
        """Return the description and the content of the next block. Raises SourceError."""
        block = next(self._blocks)
        self._unfinished[self.position.blocks] = block
        self.position = self.position.behind(block)
        return f"{self._source.name}, up to byte {block.position_bytes:,}", block.content

    def finish(self, number: int) -> float | None:
        """Free the memory of this block; return the share of the source that has been read with it (see share_read)."""
        block = self._unfinished.pop(number)
        self._source.memory.free(block.content)
        return self._source.share_read(block)


def _status(path: Path) -> tuple[int, int]:
    """Return size and modification time of a file, which change when it is written."""
    with source_errors(path):
        status = path.stat()
    return status.st_size, status.st_mtime_ns


@contextmanager
def _opened(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        with os.fdopen(os.dup(0), "rb") as stream:  # buffered: a pipe may give the magic number in two pieces
            yield stream
    else:
        with path.open("rb") as stream:
            yield stream


def _ranges(path: Path, start: int) -> Iterator[Block]:
    """Yield a plain file from this position in ranges that end with a newline, except perhaps the last.

    No more than LONGEST_LINE_BYTES is read to find the end of a line.
    """
    with source_errors(path), path.open("rb") as stream:
        size_bytes = os.fstat(stream.fileno()).st_size
        while start < size_bytes:
            end = _line_end(stream, start + BLOCK_BYTES, min(size_bytes, start + LONGEST_LINE_BYTES + 1))
            if end - start > LONGEST_LINE_BYTES:
                raise SourceDamaged(f"{path}: a line is longer than {LONGEST_LINE_BYTES:,} bytes. Is it a table?")
            yield Block(ByteRange(path, start, end - start), end)
            start = end


def _line_end(stream: BinaryIO, position: int, last: int) -> int:
    """Return the position after the first newline from this position on, or last if that is smaller."""
    stream.seek(position)
    while position < last and (text := stream.read(1 << 16)):  # it may have become shorter
        newline = text.find(b"\n")
        if newline >= 0:
            return min(position + newline + 1, last)
        position += len(text)
    return last


class _End(NamedTuple):
    error: BaseException | None


class _Ahead:
    """Blocks read by a thread, up to `depth` ahead; it starts at once."""

    def __init__(self, blocks: Iterator[Block], depth: int) -> None:
        self._blocks = blocks
        self._ready: queue.Queue[Block | _End] = queue.Queue(depth)
        self.arrivals, self._arrived = multiprocessing.Pipe(duplex=False)
        """A message for each that is ready: a queue cannot be waited for together with other pipes."""
        threading.Thread(target=self._read, name="read-ahead", daemon=True).start()

    def __iter__(self) -> Iterator[Block]:
        while not isinstance(item := self._next(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def _next(self) -> Block | _End:
        item = self._ready.get()
        self.arrivals.recv_bytes()
        return item

    def _read(self) -> None:
        try:
            for block in self._blocks:
                self._put(block)
            self._put(_End(None))
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self._put(_End(error))

    def _put(self, item: Block | _End) -> None:
        self._ready.put(item)
        self._arrived.send_bytes(b"+")
