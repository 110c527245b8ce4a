"""Extract: ranges are copied in any order and written in the table's order."""

import gzip
import multiprocessing
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest

from oldump.engine.segments import SEGMENT_BYTES, read_index
from oldump.errors import SourceEmpty, VerificationError
from oldump.outside.postgres.queries import SCANS_RANGES
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.run.folder import RunFolder
from oldump.run.progress import NoProgress
from oldump.stages.extract import extract

SLICE_BYTES = 32 << 20
PAGES = 2_500
"""Pages of the table: three ranges."""


class Table:
    """A fake SnapshotConnection and reader: table data has this text in each range."""

    server_version = SCANS_RANGES
    place = "somewhere"

    def __init__(self, *ranges: bytes) -> None:
        self.ranges = ranges
        self.slow = multiprocessing.get_context("fork").Event()
        self.is_first_slow = False

    def fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the number of the table's pages."""
        return [(PAGES,)]

    def require_alive(self) -> None:
        """Do nothing: the connection is alive."""

    def reader(self) -> "Table":
        """Return itself."""
        return self

    def copy(self, query: str) -> Iterator[bytes]:
        """Yield a range's text in pieces. A slow first range waits until another gave more than a slice."""
        number = 0 if ">=" not in query else 1 if "<" in query else 2
        if self.is_first_slow and number == 0 and not self.slow.wait(60):
            raise VerificationError("the others have waited for it")
        text, given_bytes = self.ranges[number], 0
        for start in range(0, len(text), SEGMENT_BYTES // 4):
            piece = text[start : start + SEGMENT_BYTES // 4]
            yield piece
            given_bytes += len(piece)
            if number and given_bytes > SLICE_BYTES:
                self.slow.set()


def rows(count: int, mark: bytes) -> bytes:
    """Return rows of 1,024 bytes each."""
    return (mark * 1_021 + b"\t1\n") * count


def extracted(table: Table, folder: Path, jobs: int) -> tuple[int, RunFolder]:
    """Extract the table; return the number of rows and the run's folder."""
    made = RunFolder(folder, date(2022, 7, 31))
    made.private.mkdir(parents=True)
    count, artifact = extract(cast("SnapshotConnection", table), made, jobs, NoProgress(), lambda _: None)
    assert (artifact.records, artifact.md5) == (count, "")
    return count, made


@pytest.mark.parametrize("jobs", [2, 3])
def test_a_range_that_is_ahead_waits_for_its_turn(tmp_path: Path, jobs: int) -> None:
    """Others can compress a slice while the first range is slow; rows are written in the table's order."""
    table = Table(rows(10, b"a"), rows(70_000, b"b"), rows(20, b"c"))
    table.is_first_slow = True
    count, folder = extracted(table, tmp_path, jobs)
    assert count == 70_030
    assert gzip.decompress(folder.data.read_bytes()) == b"".join(table.ranges)


def test_a_range_ends_a_segment(tmp_path: Path) -> None:
    """So the bytes do not depend on the number of connections; within a range, segments are full."""
    table = Table(rows(1_500, b"a"), rows(1, b"b"), rows(2_048, b"c"))
    _, one = extracted(table, tmp_path / "one", 1)
    _, three = extracted(table, tmp_path / "three", 3)
    assert [entry.records for entry in read_index(one.data)] == [1_024, 476, 1, 1_024, 1_024]
    assert one.data.read_bytes() == three.data.read_bytes()


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    """It is probably the wrong database; no file remains under the final name."""
    with pytest.raises(SourceEmpty, match="contains no rows"):
        extracted(Table(b"", b"", b""), tmp_path, 2)
    assert list(tmp_path.rglob("data.txt.gz*")) == []
