"""The command cdump: convert rows to records, in the order of the rows.

Memory:     a few blocks per worker
"""

from datetime import date
from functools import partial
from pathlib import Path
from typing import BinaryIO

from oldump.engine.block_map import map_blocks, open_source
from oldump.engine.budget import workers_within
from oldump.engine.text_lines import Lines
from oldump.errors import SourceEmpty
from oldump.records.privacy import first_text_after
from oldump.records.rows import ConvertedRows
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.dumps.account import Account, BlockSummary, RowCounts
from oldump.stages.dumps.rejects import RejectsWriter


def write_cdump(
    path: Path | None, day: date | None, output: BinaryIO, rejects_path: Path, settings: Settings, progress: Progress
) -> RowCounts:
    """Write the records of the rows, and return the counts. path: None for standard input; day: None for no cutoff.

    Raises SourceError, TooManyRejects, StorageError, WorkerError.
    """
    workers = workers_within(settings.memory, settings.workers)
    source = open_source(path, workers)
    progress.begin("cdump", "read")
    with RejectsWriter(rejects_path, source.name, settings.max_rejects) as rejects:
        account = Account(source.name, rejects)
        results = map_blocks(source, partial(_convert, first_text_after(day), [*settings.withhold]), workers)
        for number, ((summary, text), share) in enumerate(results):
            account.add(number, summary)
            output.write(text)
            progress.update(account.counts.rows, share)
        rejects.commit()
    counts = account.counts
    if not counts.records:
        raise SourceEmpty(f"{source.name}: no row became a record ({counts})", counts.hint_if_empty)
    progress.end("cdump")
    return counts


def _convert(cutoff: str, withheld: list[str], text: bytes) -> tuple[BlockSummary, bytes]:
    """Convert a block of rows; return its summary and the text of its records."""
    rows = ConvertedRows(text, cutoff, withheld)
    return BlockSummary.of(rows), Lines(rows.text, rows.starts, rows.ends).joined()
