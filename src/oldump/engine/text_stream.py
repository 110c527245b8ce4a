"""Text streams: decompress gzip of any number of members, and divide text into blocks of complete lines."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from zlib_ng import zlib_ng

from oldump.errors import SourceDamaged, SourceError, SourceMissing
from oldump.run.steps import STEPS

BLOCK_BYTES = 1 << 20
"""Approximate size of a block's text; a longer line makes a longer block."""
LONGEST_LINE_BYTES = 1 << 30
"""The longest line: PostgreSQL allows no field beyond 1 GiB, so longer ones are not from a table."""
TEXT_PER_GZIP_BYTE = 6
"""Approximate bytes of text per byte of a gzip file."""
_GZIP = 31
GZIP_MAGIC = b"\x1f\x8b"
_OTHER_MAGIC = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PGDMP": "pg_dump's own format",
}


@contextmanager
def source_errors(name: object) -> Iterator[None]:
    """Translate OSError into SourceError, with the name of the file."""
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise SourceMissing(f"{name}: cannot be read ({error.strerror})", "Check the path and its rights.") from error
    except OSError as error:
        raise SourceError(f"{name}: {error.strerror or error}", "Check the disk it is on.") from error


def decompressed(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Yield the text of a gzip stream of any number of members, or the chunks themselves if they are not gzip.

    Raises SourceDamaged if a member is damaged or the last one is truncated.
    """
    first = next(chunks, b"")
    refuse_other_formats(name, first)
    if not first.startswith(GZIP_MAGIC):
        yield first
        yield from chunks
        return
    position = 0
    member = zlib_ng.decompressobj(_GZIP)
    for chunk in _chained(first, chunks):
        rest, is_pending = chunk, False
        while rest or is_pending:
            if member.eof:
                rest = rest.lstrip(b"\0")  # padding, which gzip ignores too
                if not rest:
                    break
                member = zlib_ng.decompressobj(_GZIP)
            began = time.thread_time_ns()
            try:
                text = member.decompress(
                    rest, BLOCK_BYTES
                )  # limited: a chunk may decompress to a thousand times its size
            except zlib_ng.error as error:  # type: ignore[misc] # its stub says too little
                raise SourceDamaged(
                    f"{name}: damaged gzip near byte {position:,} of the file ({error}). Fetch or make the file again."
                ) from error
            STEPS.add({"decompress": (time.thread_time_ns() - began, len(text))})
            if text:
                yield text
            rest = member.unused_data if member.eof else member.unconsumed_tail
            is_pending = len(text) == BLOCK_BYTES
        position += len(chunk)
    if not member.eof:
        raise SourceDamaged(
            f"{name}: the gzip data ends in the middle, after byte {position:,}. The file is truncated: "
            "fetch or make it again."
        )


def _chained(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def refuse_other_formats(name: str, start: bytes) -> None:
    """Raise SourceDamaged if the file starts like a format that cannot be read."""
    for magic, format_name in _OTHER_MAGIC.items():
        if start.startswith(magic):
            raise SourceDamaged(f"{name}: is {format_name}; only plain text and gzip can be read", "Convert it first.")


def whole_lines(texts: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Yield the text in blocks of about BLOCK_BYTES that end with a newline, except perhaps the last."""
    held: list[bytes] = []
    held_bytes = 0
    for text in texts:
        held.append(text)
        held_bytes += len(text)
        if held_bytes < BLOCK_BYTES:
            continue
        end = text.rfind(b"\n") + 1
        if end:
            yield b"".join((*held[:-1], text[:end]))
            held, held_bytes = [text[end:]], len(text) - end
        elif held_bytes > LONGEST_LINE_BYTES:
            raise SourceDamaged(f"{name}: a line is longer than {LONGEST_LINE_BYTES:,} bytes. Is it a table?")
    if held_bytes:
        yield b"".join(held)
