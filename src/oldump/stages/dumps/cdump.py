"""The command cdump: convert rows to records, in the order of the rows.

Memory:     a few blocks per worker
"""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import BinaryIO

from oldump.engine.blocks import Block, Content, SharedMemory, Source
from oldump.engine.budget import workers_within
from oldump.engine.text_lines import Lines
from oldump.engine.workers import Crew, Task, TaskFunction
from oldump.errors import SourceEmpty
from oldump.records.privacy import first_text_after
from oldump.records.rows import ConvertedRows
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.dumps.account import Account, BlockSummary, RowCounts
from oldump.stages.dumps.rejects import RejectsWriter

WINDOW = 2
"""Blocks per worker that may be in progress, counted from the block whose records are written next."""


class _OrderedWriter:
    """Writes texts in the order of their numbers. The window of the tasks limits how many wait."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._waiting: dict[int, bytes] = {}
        self._next = 0

    def put(self, number: int, text: bytes) -> None:
        self._waiting[number] = text
        while (following := self._waiting.pop(self._next, None)) is not None:
            self._output.write(following)
            self._next += 1


def write_cdump(
    path: Path | None, day: date | None, output: BinaryIO, rejects_path: Path, settings: Settings, progress: Progress
) -> RowCounts:
    """Write the records of the rows, and return the counts. path: None for standard input; day: None for no cutoff.

    Raises SourceError, TooManyRejects, StorageError, WorkerError.
    """
    workers = workers_within(settings.memory, settings.workers)
    shared = SharedMemory(workers + 4)
    source = Source(path, shared)
    writer = _OrderedWriter(output)
    blocks: dict[int, Block] = {}
    progress.begin("cdump", "read")
    with RejectsWriter(rejects_path, source.name, settings.max_rejects) as rejects:
        account = Account(source.name, rejects)
        with Crew(workers, _converter(source, first_text_after(day))) as crew:
            tasks = _tasks(source, blocks)
            for number, (summary, text), _ in crew.run(tasks, window=WINDOW * workers, arrivals=source.arrivals):
                block = blocks.pop(number)
                shared.free(block.content)
                account.add(number, summary)
                writer.put(number, text)
                progress.update(account.counts.rows, source.share_read(block))
        source.require_unchanged()
        rejects.commit()
    counts = account.counts
    if not counts.records:
        raise SourceEmpty(f"{source.name}: no row became a record ({counts})", counts.hint_if_empty)
    progress.end("cdump")
    return counts


def _converter(source: Source, cutoff: str) -> Callable[[int], TaskFunction]:
    """Return the workers' task: convert a block to its summary and the text of its records."""

    def convert(content: Content) -> Task:
        yield from ()  # makes this function a generator, as tasks are
        rows = ConvertedRows(source.text(content), cutoff)
        return BlockSummary.of(rows), Lines(rows.text, rows.starts, rows.ends).joined()

    return lambda _: convert


def _tasks(source: Source, blocks: dict[int, Block]) -> Iterator[tuple[str, Content]]:
    """Yield a task for each block of the source, and keep the block in `blocks` under the task's number."""
    for number, block in enumerate(source.blocks()):
        blocks[number] = block
        yield f"{source.name}, up to byte {block.position_bytes:,}", block.content
