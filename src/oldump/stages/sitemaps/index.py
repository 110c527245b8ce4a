"""The command index: list each record with its path on the site.

Reads:      a dump, or a part
Writes:     lines: path, title, created, last_modified; separated by tabs
Guarantees: one line per record, in the same order, each with four columns
Memory:     some blocks per worker
"""

from pathlib import Path
from typing import BinaryIO

from oldump.engine.budget import workers_within
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.sitemaps.entries import PageEntry, entries_made


def write_index(path: Path | None, output: BinaryIO, settings: Settings, progress: Progress) -> int:
    """Write a line for each record; return their number. Raises SourceError, NotSorted, RecordError, WorkerError."""
    workers = workers_within(settings.memory, settings.workers)
    lines = 0
    for text, count in entries_made("index", [path], _lines, workers, progress):
        output.write(text)
        lines += count
    return lines


def _lines(entries: list[PageEntry]) -> tuple[bytes, int]:
    lines = [f"{each.path}\t{each.title}\t{each.created}\t{each.last_modified}\n" for each in entries]
    return "".join(lines).encode(), len(lines)
