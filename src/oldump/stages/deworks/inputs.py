"""The inputs of deworks: records of the dump, and the archive's items."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from operator import add
from pathlib import Path
from typing import NamedTuple

from oldump.engine.blocks import SLOTS_AHEAD, Block, Content, SharedMemory, Source
from oldump.engine.frames import Batch
from oldump.errors import RecordError
from oldump.records.document import Rejected
from oldump.stages.deworks.intermediate import IntermediateLines
from oldump.stages.deworks.join import LinkReader, ReadCounts, add_items, redirect_of
from oldump.stages.deworks.redirects import Redirects

_BATCH_RECORDS = 256
"""How many records are Python objects at a time."""
_NOT_A_RECORD = "is not a record: expected five columns, the last of them a JSON object"
_NOT_AN_ITEM = "does not have three columns, as ia-metadata writes them"


class Input(NamedTuple):
    """An input file: records of the dump, or the archive's items."""

    path: Path
    is_items: bool = False
    has_redirects: bool = False


def redirects_in(inputs: list[Input]) -> Iterator[tuple[bytes, str]]:
    """Yield key and location of every redirect in the inputs. Raises SourceError, RecordError."""
    for path in (each.path for each in inputs if each.has_redirects):
        shared = SharedMemory(SLOTS_AHEAD)
        source = Source(path, shared)
        for block in source.blocks():
            records = source.text(block.content).removesuffix(b"\n").split(b"\n")
            shared.free(block.content)
            with _record_errors(source.name, _NOT_A_RECORD):
                redirects = [redirect for redirect in map(redirect_of, records) if redirect is not None]
            yield from redirects
        source.require_unchanged()


@contextmanager
def _record_errors(source_name: str, problem: str) -> Iterator[None]:
    """Translate errors about a line to RecordError."""
    try:
        yield
    except (ValueError, Rejected) as error:
        raise RecordError(f"{source_name}: a line {problem}", "Check that it is the right file.") from error


class InputReader:
    """Reads the inputs block by block: the tasks of the scatter, and what workers do with them."""

    def __init__(self, inputs: list[Input], redirects: Redirects, shared: SharedMemory) -> None:
        self._sources = [(Source(path, shared), is_items) for path, is_items, _ in inputs]
        self._links = LinkReader(redirects)
        self.blocks: dict[int, Block] = {}
        """The blocks that are being read, by the numbers of their tasks."""
        self.begun = 0
        """How many tasks were begun or skipped."""
        self._begun_bytes = 0
        self._size_bytes = sum(source.size_bytes or 0 for source, _ in self._sources)

    @property
    def share_read(self) -> float:
        """How much of all inputs was dispatched, 0 to 1."""
        return self._begun_bytes / max(1, self._size_bytes)

    def tasks(self, done: int) -> Iterator[tuple[str, tuple[int, int, Content]]]:
        """Yield a task for each block, without the first `done`: source number, block number and content."""
        before_bytes = 0
        for source_number, (source, _) in enumerate(self._sources):
            for block in source.blocks():
                number, self.begun = self.begun, self.begun + 1
                if number >= done:
                    self.blocks[number] = block
                    self._begun_bytes = before_bytes + block.position_bytes
                    yield (
                        f"{source.name}, up to byte {block.position_bytes:,}",
                        (source_number, number, block.content),
                    )
            before_bytes += source.size_bytes or 0

    def require_unchanged(self) -> None:
        """Raise SourceDamaged if an input was written to while it was read."""
        for source, _ in self._sources:
            source.require_unchanged()

    def __call__(self, task: tuple[int, int, Content]) -> Generator[Batch, None, ReadCounts]:
        """Yield the intermediate lines of a block; return the counts. Runs in a worker."""
        source_number, number, block = task
        source, is_items = self._sources[source_number]
        texts = source.text(block).split(b"\n")
        if texts[-1] == b"":
            texts.pop()
        lines, counts = IntermediateLines(), ReadCounts()
        with _record_errors(source.name, _NOT_AN_ITEM if is_items else _NOT_A_RECORD):
            if is_items:
                counts = add_items(texts, number, lines)
            for first in range(0, 0 if is_items else len(texts), _BATCH_RECORDS):
                added = self._links.add_records(texts[first : first + _BATCH_RECORDS], lines)
                counts = ReadCounts(*map(add, counts, added))
                yield lines.take_batch()
        yield lines.take_batch()
        return counts
