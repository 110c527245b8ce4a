"""The old command `index`: a line for each record, with its path on the site.

Reads:      a dump, or a part
Writes:     lines: path, title, created, last_modified; separated by tabs
Promises:   as many lines as records, in their order, each of four columns
Memory:     some blocks a worker
"""

from pathlib import Path
from typing import BinaryIO

from oldump.engine.shuffle import workers_within
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.sitemaps.entries import Entry, entries_made


def write_index(path: Path | None, output: BinaryIO, settings: Settings, progress: Progress) -> int:
    """Write a line for each record; how many. Raises SourceError, NotSorted, RecordError, WorkerError."""
    workers = workers_within(settings.memory, settings.workers)
    lines = 0
    for made in entries_made("index", [path], _line, workers, progress):
        output.writelines(made)
        lines += len(made)
    return lines


def _line(entry: Entry) -> bytes:
    return f"{entry.path}\t{entry.title}\t{entry.created}\t{entry.last_modified}\n".encode()
