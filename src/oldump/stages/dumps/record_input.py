"""Read records for the commands sort, dump and split, which take them from a file or standard input."""

from collections.abc import Iterator
from pathlib import Path

from oldump.engine.blocks import SLOTS_AHEAD, SharedMemory, Source
from oldump.errors import RecordError, SourceDamaged, SourceEmpty
from oldump.run.progress import Progress


def blocks_of_lines(path: Path | None, progress: Progress) -> Iterator[list[bytes]]:
    """Yield the lines of each block, in order, without newlines. Raises SourceError.

    Progress is updated for a block when the next one is requested.
    """
    shared = SharedMemory(SLOTS_AHEAD)
    source = Source(path, shared)
    lines_before = 0
    for block in source.blocks():
        text = source.text(block.content)
        require_complete(text, source.name)
        lines = text[:-1].split(b"\n")
        shared.free(block.content)
        yield lines
        lines_before += len(lines)
        progress.update(lines_before, source.share_read(block))
    source.require_unchanged()


def require_complete(text: bytes, source_name: str) -> None:
    """Raise SourceDamaged if the text ends in the middle of a line."""
    if not text.endswith(b"\n"):
        raise SourceDamaged(
            f"{source_name}: ends in the middle of a record", "The previous step was cut off: run it again."
        )


def not_a_record(source_name: str, line_number: int) -> RecordError:
    """Return the error for a line that is not a record. line_number: from 1."""
    return RecordError(
        f"{source_name}: line {line_number:,} is not a record: "
        "expected five tab-separated columns with an integer in the third"
    )


def no_records(source_name: str) -> SourceEmpty:
    """Return the error for an input without records."""
    return SourceEmpty(f"{source_name}: contains no records", "Check whether the previous step failed.")
