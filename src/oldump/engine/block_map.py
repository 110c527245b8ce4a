"""What a function makes of each block of a text file, in the blocks' order, on every core.

Memory: a few blocks, and what was made of them, for each worker
Does not: know what a line is but for its newline.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from oldump.engine.blocks import Block, Content, SharedMemory, Source
from oldump.engine.workers import Crew, Task, TaskFunction
from oldump.errors import SourceDamaged

Made = TypeVar("Made")

_WINDOW = 2
"""Blocks for each worker that may be begun, counted from the one whose result is given next."""


class OfBlock(NamedTuple, Generic[Made]):
    """What was made of a block."""

    made: Made
    share: float | None
    """How much of the file has been read with it, 0 to 1; None if nobody knows."""


def map_lines(path: Path | None, make: Callable[[list[bytes]], Made], workers: int) -> Iterator[OfBlock[Made]]:
    """What make gives for the lines (without newlines) of each block, in order. path: None is standard input.

    make runs in forked processes. Draw all. Raises SourceError, WorkerError, and what make raises.
    """
    shared = SharedMemory(workers + 4)
    source = Source(path, shared)
    blocks: dict[int, Block] = {}
    waiting: dict[int, OfBlock[Made]] = {}
    following = 0

    def begin(_: int) -> TaskFunction:
        def perform(content: Content) -> Task:
            yield from ()  # a task without conversation
            return make(_lines(source.text(content), source.name))

        return perform

    with Crew(workers, begin) as crew:
        for number, made, _ in crew.run(_tasks(source, blocks), window=_WINDOW * workers, arrivals=source.arrivals):
            block = blocks.pop(number)
            shared.free(block.content)
            waiting[number] = OfBlock(made, source.share_read(block))
            while following in waiting:
                yield waiting.pop(following)
                following += 1
    source.require_unchanged()


def _tasks(source: Source, blocks: dict[int, Block]) -> Iterator[tuple[str, Content]]:
    """A task for each block of the source; blocks keeps the blocks themselves, by the tasks' numbers."""
    for number, block in enumerate(source.blocks()):
        blocks[number] = block
        yield f"{source.name}, up to byte {block.position_bytes:,}", block.content


def _lines(text: bytes, source_name: str) -> list[bytes]:
    if not text.endswith(b"\n"):
        raise SourceDamaged(f"{source_name}: ends in the middle of a line. The step before was cut off: run it again.")
    return text[:-1].split(b"\n")
