"""The command dump: keep the latest record of each key.

The input must be sorted.
Memory:     one block
"""

from pathlib import Path
from typing import BinaryIO

from oldump.engine.text_lines import Lines
from oldump.errors import NotSorted
from oldump.records.record import RecordOrder, record_order, record_rank
from oldump.run.progress import Progress
from oldump.stages.dumps.record_input import blocks_of_lines, no_records, not_a_record


def write_latest(path: Path | None, output: BinaryIO, progress: Progress) -> int:
    """Write the latest record of each key, and return their number. path: None for standard input.

    Raises SourceError, NotSorted, RecordError.
    """
    latest = _LatestOfSorted(path)
    progress.begin("dump", "read")
    output.writelines(Lines.of(latest.add(lines)).joined() for lines in blocks_of_lines(path, progress))
    output.write(Lines.of(latest.rest()).joined())
    progress.end("dump")
    return latest.records


class _LatestOfSorted:
    """Returns a record when the next one has another key."""

    def __init__(self, path: Path | None) -> None:
        self.records = 0
        self._source_name = str(path or "standard input")
        self._lines = 0
        self._held: list[bytes] = []
        self._key = b""
        self._rank = -1

    def add(self, lines: list[bytes]) -> list[bytes]:
        """Return the records that are now known to be the latest of their keys."""
        latest: list[bytes] = []
        for line in lines:
            self._lines += 1
            try:
                rank = record_rank(line)
            except ValueError as error:
                raise not_a_record(self._source_name, self._lines) from error
            key = line.split(b"\t", 2)[1]
            if self._held and (rank < self._rank or (rank == self._rank and self._order() > record_order(line))):
                raise NotSorted(
                    f"{self._source_name}: line {self._lines:,} ({key.decode(errors='replace')}) is out of order",
                    "Sort the records with `oldump sort`.",
                )
            if key != self._key:
                latest += self._held
            self._held, self._key, self._rank = [line], key, rank
        self.records += len(latest)
        return latest

    def rest(self) -> list[bytes]:
        """Return the last record. Raises SourceEmpty if there was none."""
        if not self._held:
            raise no_records(self._source_name)
        self.records += 1
        return self._held

    def _order(self) -> RecordOrder:
        return record_order(self._held[0])
