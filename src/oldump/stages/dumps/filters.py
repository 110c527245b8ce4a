"""The steps of the old procedure, each from a file or standard input to standard output.

    cdump    rows in any order → records in the same order
    sort     records in any order → records in order
    dump     records in order → the latest of each key
    split    records → one file per part

Memory:     the budget; cdump and dump some blocks, split one open segment a part
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack
from datetime import date
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from oldump.engine.blocks import Block, Content, SharedMemory, Source
from oldump.engine.buckets import Buckets
from oldump.engine.budget import budget_within, workers_within
from oldump.engine.commit import CommittedFile
from oldump.engine.frames import Batch
from oldump.engine.gather import Gathering, Stream, gather_worker
from oldump.engine.scatter import Scattering, scatter_worker
from oldump.engine.segment_writer import Compressing, SegmentWriter, TextWriter
from oldump.engine.segments import Packer, segment_of, uncompressed
from oldump.engine.spill_files import spill_folder
from oldump.engine.text_lines import Lines
from oldump.engine.workers import Crew, Task, TaskFunction
from oldump.errors import ConfigurationError, NotSorted, RecordError, SourceDamaged, SourceEmpty, VerificationError
from oldump.kernel.rows import COMPILED, RecordReader
from oldump.records import rows
from oldump.records.keys import REVISION_BITS
from oldump.records.privacy import first_text_after
from oldump.records.record import PARTS, RecordOrder, columns, part_number, record_order, record_rank, revision_of
from oldump.records.rows import TABLES
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.dumps.account import Account, BlockSummary, RejectsWriter, RowCounts
from oldump.stages.dumps.stage import KEY_COLUMN, TEXT_PER_KEY

_NO_RECORD = "is not a record: five columns, separated by tabs, with an integer as the third"
_ranks = RecordReader(TABLES).ranks
_WINDOW = 2
"""Blocks for each worker that may be begun, counted from the one whose records are written next."""


class _Ordered:
    """Texts that come in any order, written in theirs. How many wait is bounded by the window of their tasks."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._waiting: dict[int, bytes] = {}
        self._next = 0

    def put(self, number: int, text: bytes) -> None:
        self._waiting[number] = text
        while (following := self._waiting.pop(self._next, None)) is not None:
            self._output.write(following)
            self._next += 1


def cdump(
    path: Path | None, day: date | None, output: BinaryIO, rejects_path: Path, settings: Settings, progress: Progress
) -> RowCounts:
    """Write the records of the rows, in the rows' order. Raises SourceError, TooManyRejects, WorkerError."""
    workers = workers_within(settings.memory, settings.workers)
    shared = SharedMemory(workers + 4)
    source = Source(path, shared)
    cutoff = first_text_after(day)

    def begin(_: int) -> TaskFunction:
        def perform(content: Content) -> Task:
            yield from ()  # a task without conversation
            batch = rows.ConvertedRows(source.text(content), cutoff)
            return BlockSummary.of(batch), Lines(batch.text, batch.starts, batch.ends).joined()

        return perform

    ordered = _Ordered(output)
    blocks: dict[int, Block] = {}
    progress.begin("cdump", "read")
    with RejectsWriter(rejects_path, source.name, settings.max_rejects) as rejects:
        account = Account(source.name, rejects)
        with Crew(workers, begin) as crew:
            for number, (summary, text), _ in crew.run(
                _tasks(source, blocks), window=_WINDOW * workers, arrivals=source.arrivals
            ):
                block = blocks.pop(number)
                shared.free(block.content)
                account.hear(number, summary)
                ordered.put(number, text)
                progress.update(account.counts.rows, source.share_read(block))
        source.require_unchanged()
        rejects.commit()
    if not account.counts.records:
        raise SourceEmpty(f"{source.name}: no row became a record ({account.counts}). {account.counts.doubt}")
    progress.end("cdump")
    return account.counts


def _tasks(source: Source, blocks: dict[int, Block]) -> Iterator[tuple[str, Content]]:
    """A task for each block of the source; blocks keeps the blocks themselves, by the tasks' numbers."""
    for number, block in enumerate(source.blocks()):
        blocks[number] = block
        yield f"{source.name}, up to byte {block.position_bytes:,}", block.content


# ------------------------------------------------------------------------------------------------------------- sort


class _Lines(NamedTuple):
    """What the leader of a sort hears of a block."""

    lines: int
    first_bad: int | None
    """The place of a line that is no record."""


class _AsTheyAre:
    """Arranges nothing: the sorted lines are the one stream. It tells how many there were."""

    def __init__(self) -> None:
        self._lines = 0

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:  # noqa: ARG002 - the protocol's
        self._lines += len(batch.lines)
        return {"records": batch.lines}

    def tally(self) -> int:
        return self._lines


def sort(path: Path | None, output: BinaryIO, spill_parent: Path | None, settings: Settings, progress: Progress) -> int:
    """Write the records in order; how many. spill_parent: a folder for intermediate files; None: the system's.

    Raises SourceError, RecordError, StorageError, WorkerError.
    """
    workers = workers_within(settings.memory, settings.workers)
    shared = SharedMemory(workers + 4)
    source = Source(path, shared)
    budget = budget_within(settings.memory, settings.workers, source.size_bytes or 0, TEXT_PER_KEY, REVISION_BITS)
    with spill_folder("sort", spill_parent) as folder:
        lines = _LineCount(source.name)
        blocks: dict[int, Block] = {}
        progress.begin("sort", "scatter")
        with Crew(workers, scatter_worker(partial(_read_records, source), folder, budget)) as crew:
            scattering = Scattering(crew)
            for number, heard in scattering.run(_tasks(source, blocks), source.arrivals):
                block = blocks.pop(number)
                shared.free(block.content)
                lines.hear(number, heard)
                progress.update(lines.total, source.share_read(block))
        if not lines.total:
            raise SourceEmpty(f"{source.name}: holds no records. Did the step before fail?")
        buckets = Buckets(scattering.frames(), budget)
        written = 0
        progress.begin("sort", "gather")
        with Crew(workers, gather_worker(record_order, _AsTheyAre, uncompressed, folder, budget)) as crew:
            gathering = Gathering(crew, {"records": Stream(TextWriter(output))}, uncompressed)
            for records in gathering.run(buckets):
                assert isinstance(records, int)  # noqa: S101 - what _AsTheyAre.tally gives
                written += records
                progress.update(written, written / lines.total)
        if written != lines.total:
            raise VerificationError(
                f"{source.name}: {lines.total:,} records were scattered, {written:,} gathered",
                "This is a bug; please report it.",
            )
        progress.end("sort")
        return lines.total


def _read_records(source: Source, content: Content) -> Generator[Batch, None, _Lines]:
    text = source.text(content)
    _require_whole(text, source.name)
    lines = Lines.of_text(text)
    ranks = _ranks(text) if COMPILED else np.zeros(len(lines), np.uint64)
    for place in np.flatnonzero(ranks == 0).tolist():
        try:
            ranks[place] = record_rank(lines.line(place))
        except ValueError:
            return _Lines(len(lines), place)
    yield Batch(lines, ranks, np.zeros(len(lines), np.uint8))
    return _Lines(len(lines), None)


class _LineCount:
    """Numbers the lines of blocks that are heard of in any order."""

    def __init__(self, source_name: str) -> None:
        self.total = 0
        self._source_name = source_name
        self._heard: dict[int, _Lines] = {}
        self._next = 0

    def hear(self, number: int, lines: _Lines) -> None:
        self._heard[number] = lines
        while (following := self._heard.pop(self._next, None)) is not None:
            if following.first_bad is not None:
                raise RecordError(f"{self._source_name}: line {self.total + following.first_bad + 1:,} {_NO_RECORD}.")
            self.total += following.lines
            self._next += 1


# ------------------------------------------------------------------------------------------------------------- dump


def dump(path: Path | None, output: BinaryIO, progress: Progress) -> int:
    """Write the latest record of each key, from records in order; how many. Raises NotSorted, RecordError."""
    latest = _LatestOfSorted(path)
    progress.begin("dump", "read")
    output.writelines(Lines.of(latest.add(lines)).joined() for lines in _blocks_of_lines(path, progress))
    output.write(Lines.of(latest.rest()).joined())
    progress.end("dump")
    return latest.records


class _LatestOfSorted:
    """Passes on a record when the next one has another key."""

    def __init__(self, path: Path | None) -> None:
        self.records = 0
        self._source_name = str(path or "standard input")
        self._lines = 0
        self._held: list[bytes] = []
        self._key = b""
        self._rank = -1

    def add(self, lines: list[bytes]) -> list[bytes]:
        """The latest records that further lines make certain."""
        certain: list[bytes] = []
        for line in lines:
            self._lines += 1
            try:
                rank = record_rank(line)
            except ValueError as error:
                raise RecordError(f"{self._source_name}: line {self._lines:,} {_NO_RECORD}.") from error
            key = line.split(b"\t", 2)[1]
            if self._held and (rank < self._rank or (rank == self._rank and self._order() > record_order(line))):
                raise NotSorted(
                    f"{self._source_name}: line {self._lines:,} ({key.decode(errors='replace')}) is not in order. "
                    "Sort the records first, with `oldump sort`."
                )
            if key != self._key:
                certain += self._held
            self._held, self._key, self._rank = [line], key, rank
        self.records += len(certain)
        return certain

    def rest(self) -> list[bytes]:
        """The last one. Raises SourceEmpty if there was none."""
        if not self._held:
            raise SourceEmpty(f"{self._source_name}: holds no records. Did the step before fail?")
        self.records += 1
        return self._held

    def _order(self) -> RecordOrder:
        return record_order(self._held[0])


def _blocks_of_lines(path: Path | None, progress: Progress) -> Iterator[list[bytes]]:
    """The lines of each block, in order; progress is told of a block when the next one is wanted."""
    shared = SharedMemory(4)
    source = Source(path, shared)
    done = 0
    for block in source.blocks():
        lines = _lines(source.text(block.content), source.name)
        shared.free(block.content)
        yield lines
        done += len(lines)
        progress.update(done, source.share_read(block))
    source.require_unchanged()


def _lines(text: bytes, source_name: str) -> list[bytes]:
    """The lines of a block, without newlines. Raises SourceDamaged if the last one is cut off."""
    _require_whole(text, source_name)
    return text[:-1].split(b"\n")


def _require_whole(text: bytes, source_name: str) -> None:
    if not text.endswith(b"\n"):
        raise SourceDamaged(
            f"{source_name}: ends in the middle of a record. The step before was cut off: run it again."
        )


# ------------------------------------------------------------------------------------------------------------ split


def split(path: Path | None, name_format: str, settings: Settings, progress: Progress) -> dict[str, int]:
    """Write the records to one file a part; how many each. %s in name_format stands for the part's name.

    Names that end in .gz become seekable gzip with an index, others plain text; none has its name before all are
    whole. Raises ConfigurationError, RecordError, SourceError, StorageError.
    """
    if name_format.count("%s") != 1:
        raise ConfigurationError(f"--format {name_format!r}: write %s once, where the part's name is to stand.")
    paths = [Path(name_format.replace("%s", part)) for part in PARTS]
    compress = partial(segment_of, first_key_at=KEY_COLUMN, level=settings.level)
    counts = [0] * len(PARTS)
    with ExitStack() as stack:
        compressing = stack.enter_context(Compressing(settings.workers, compress))
        files: list[_CompressedFile | _PlainFile] = []
        for each in paths:
            files.append(_CompressedFile(each, compressing) if each.suffix == ".gz" else _PlainFile(each))
            stack.callback(files[-1].discard)
        done = 0
        progress.begin("split", "read")
        for lines in _blocks_of_lines(path, progress):
            of_part = _by_part(lines, str(path or "standard input"), done)
            done += len(lines)
            for number, chosen in enumerate(of_part):
                files[number].add(chosen)
                counts[number] += len(chosen)
        if not done:
            raise SourceEmpty(f"{path or 'standard input'}: holds no records. Did the step before fail?")
        for file in files:
            file.finish()
        compressing.finish()
        for file in files:
            file.commit()
    progress.end("split")
    return dict(zip(PARTS, counts, strict=True))


def _by_part(lines: list[bytes], source_name: str, lines_before: int) -> list[list[bytes]]:
    of_part: list[list[bytes]] = [[] for _ in PARTS]
    for place, line in enumerate(lines):
        try:
            record = columns(line)
            revision_of(record.revision)
        except ValueError as error:
            raise RecordError(f"{source_name}: line {lines_before + place + 1:,} {_NO_RECORD}.") from error
        of_part[part_number(record.type_key)].append(line + b"\n")
    return of_part


class _CompressedFile:
    """A part as seekable gzip."""

    def __init__(self, path: Path, compressing: Compressing) -> None:
        self._writer = SegmentWriter(path)
        self._packer = Packer()
        self._compressing = compressing

    def add(self, lines: list[bytes]) -> None:
        for text in self._packer.add(lines):
            self._compressing.add(text, self._writer)

    def finish(self) -> None:
        for text in self._packer.rest():
            self._compressing.add(text, self._writer)

    def commit(self) -> None:
        self._writer.commit()

    def discard(self) -> None:
        """Remove what was not committed."""
        self._writer.__exit__(None, None, None)


class _PlainFile:
    """A part as plain text."""

    def __init__(self, path: Path) -> None:
        self._file = CommittedFile(path)

    def add(self, lines: list[bytes]) -> None:
        self._file.write(b"".join(lines))

    def finish(self) -> None:
        """Nothing is held back."""

    def commit(self) -> None:
        self._file.commit()

    def discard(self) -> None:
        """Remove what was not committed."""
        self._file.__exit__(None, None, None)
