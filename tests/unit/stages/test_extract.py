"""Extract: ranges that are copied in any order, and written in the table's."""

import gzip
import multiprocessing
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, cast

import pytest

from oldump.engine.segments import SEGMENT_BYTES, read_index
from oldump.errors import SourceEmpty, VerificationError
from oldump.outside.postgres import SCANS_RANGES, SnapshotConnection
from oldump.run.folder import RunFolder
from oldump.run.progress import NoProgress
from oldump.stages.extract import extract

SLICE_BYTES = 32 << 20
PAGES = 2_500
"""Of the table: three ranges."""


class Table:
    """Stands in for SnapshotConnection and its readers: table data has this text in each range."""

    server_version = SCANS_RANGES
    place = "somewhere"

    def __init__(self, *ranges: bytes) -> None:
        self.ranges = ranges
        self.slow = multiprocessing.get_context("fork").Event()
        self.is_first_slow = False

    def fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The table's pages."""
        return [(PAGES,)]

    def require_alive(self) -> None:
        """It is."""

    def reader(self) -> "Table":
        """Itself."""
        return self

    def copy(self, query: str) -> Iterator[bytes]:
        """A range's text, in pieces. If the first is slow, it comes when a later one has given more than a slice."""
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
    """Rows of 1,024 bytes."""
    return (mark * 1_021 + b"\t1\n") * count


def extracted(table: Table, folder: Path, jobs: int) -> tuple[int, RunFolder]:
    """The rows that were copied, and where data lies."""
    made = RunFolder(folder, date(2022, 7, 31))
    made.private.mkdir(parents=True)
    count, artifact = extract(cast("SnapshotConnection", table), made, jobs, NoProgress(), lambda _: None)
    assert (artifact.records, artifact.md5) == (count, "")
    return count, made


@pytest.mark.parametrize("jobs", [2, 3])
def test_a_range_that_is_ahead_waits_for_its_turn(tmp_path: Path, jobs: int) -> None:
    """A slow first range holds nobody up before a slice is compressed; rows are written in the table's order."""
    table = Table(rows(10, b"a"), rows(70_000, b"b"), rows(20, b"c"))
    table.is_first_slow = True
    count, folder = extracted(table, tmp_path, jobs)
    assert count == 70_030
    assert gzip.decompress(folder.data.read_bytes()) == b"".join(table.ranges)


def test_a_range_ends_a_segment(tmp_path: Path) -> None:
    """So the bytes are those of any number of connections; within a range each segment is as full as can be."""
    table = Table(rows(1_500, b"a"), rows(1, b"b"), rows(2_048, b"c"))
    _, one = extracted(table, tmp_path / "one", 1)
    _, three = extracted(table, tmp_path / "three", 3)
    assert [entry.records for entry in read_index(one.data)] == [1_024, 476, 1, 1_024, 1_024]
    assert one.data.read_bytes() == three.data.read_bytes()


def test_a_table_without_rows_is_refused(tmp_path: Path) -> None:
    """It is hardly Open Library's; and nothing is left under the final name."""
    with pytest.raises(SourceEmpty, match="contains no rows"):
        extracted(Table(b"", b"", b""), tmp_path, 2)
    assert list(tmp_path.rglob("data.txt.gz*")) == []
