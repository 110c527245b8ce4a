"""Apply a function to each block of a text file on every core, and return the results in the order of the blocks.

Memory: AHEAD blocks for each worker, and their results
Does not: know what a line contains.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from oldump.engine.blocks import SLOTS_AHEAD, BlockTasks, Content, SharedMemory, Source
from oldump.engine.workers import AHEAD, Crew, Task, TaskFunction
from oldump.errors import SourceDamaged

Result = TypeVar("Result")


class BlockResult(NamedTuple, Generic[Result]):
    """The result of a block."""

    result: Result
    share: float | None
    """Share of the file that has been read with this block, 0 to 1; None if the size of the file is unknown."""


def open_source(path: Path | None, workers: int) -> Source:
    """Open a file, or standard input if path is None, for map_blocks. Raises SourceError."""
    return Source(path, SharedMemory(AHEAD * workers + SLOTS_AHEAD))


def map_blocks(source: Source, function: Callable[[bytes], Result], workers: int) -> Iterator[BlockResult[Result]]:
    """Yield the result of the function for the text of each block, in order.

    The function runs in forked processes. Consume the iterator completely. Raises SourceError, WorkerError, and the
    errors of the function.
    """
    tasks = BlockTasks(source)

    def begin(_: int) -> TaskFunction:
        def perform(content: Content) -> Task:
            yield from ()  # no message but the result
            return function(source.text(content))

        return perform

    with Crew(workers, begin) as crew:
        for number, result, _ in crew.run_ordered(tasks, arrivals=source.arrivals):
            yield BlockResult(result, tasks.finish(number))
    source.require_unchanged()


def map_lines(
    path: Path | None, function: Callable[[list[bytes]], Result], workers: int
) -> Iterator[BlockResult[Result]]:
    """Yield the result of the function for the lines (without newlines) of each block; see map_blocks.

    path: a file, or None for standard input. Raises SourceDamaged if the last line has no newline.
    """
    source = open_source(path, workers)
    return map_blocks(source, lambda text: function(_lines(text, source.name)), workers)


def _lines(text: bytes, source_name: str) -> list[bytes]:
    if not text.endswith(b"\n"):
        raise SourceDamaged(
            f"{source_name}: ends in the middle of a line. The previous step was cut off: run it again."
        )
    return text[:-1].split(b"\n")
