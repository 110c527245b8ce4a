"""The account of rows does not depend on where blocks end or in which order they arrive."""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from oldump.engine.segments import SEGMENT_BYTES, read_index, read_segment
from oldump.errors import OldumpError, TooManyRejects
from oldump.records.document import Reject
from oldump.records.privacy import first_text_after
from oldump.records.rows import ConvertedRows, Rejection
from oldump.stages.dumps.account import Account, BlockSummary
from oldump.stages.dumps.rejects import RejectsWriter
from tables import copy_row

MARKER = b"\\.\n"
BROKEN = b"no row\n"
ROW = copy_row(
    1,
    1,
    '{"key": "/works/OL1W", "type": {"key": "/type/work"}, "revision": 1, '
    '"last_modified": {"type": "/type/datetime", "value": "2010-01-01T00:00:00"}}',
)


def partitions(lines: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield every division of the lines into blocks."""
    for number in range(len(lines)):
        for borders in combinations(range(1, len(lines)), number):
            yield [b"".join(lines[start:end]) for start, end in pairwise((0, *borders, len(lines)))]


def outcome_of(path: Path, blocks: Sequence[bytes], most: int) -> str:
    """Return the error or the counts for these blocks, which arrive in another order."""
    numbered = list(enumerate(blocks))
    random.Random(7).shuffle(numbered)
    try:
        with RejectsWriter(path, "data", most) as rejects:
            account = Account("data", rejects)
            for number, block in numbered:
                account.add(number, BlockSummary.of(ConvertedRows(block, first_text_after(None))))
            rejects.commit()
    except OldumpError as error:
        return f"{type(error).__name__}: {error}"
    return str(account.counts)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([ROW, ROW, ROW, MARKER], "3 rows, 3 records"),
        ([ROW, ROW, MARKER, MARKER], "SourceDamaged: data: text follows .* after row 2[.]"),
        ([ROW, MARKER, ROW, ROW], "SourceDamaged: data: text follows .* after row 1[.]"),
        ([ROW, MARKER, BROKEN, BROKEN], "SourceDamaged: data: text follows .* after row 1[.]"),
        ([MARKER, MARKER], "SourceDamaged: data: text follows .* after row 0[.]"),
        ([ROW, BROKEN, BROKEN, MARKER, ROW], "TooManyRejects: data: more than 1 rows .*2 not_three_columns"),
        ([ROW, BROKEN, BROKEN, b"1\t1\t{"], "TooManyRejects: data: more than 1 rows .*2 not_three_columns"),
        ([ROW, ROW, BROKEN, b"1\t1\t{"], "SourceDamaged: data: the text ends in the middle of row 4[.]"),
    ],
    ids=["one marker", "two markers", "rows", "rejects", "only markers", "rejects before", "before a cut", "cut"],
)
def test_it_is_the_same_wherever_blocks_end(tmp_path: Path, lines: list[bytes], expected: str) -> None:
    """The first problem in the table is reported, with the number of rows before it."""
    (outcome,) = {outcome_of(tmp_path / "rejects", blocks, most=1) for blocks in partitions(lines)}
    assert re.match(expected, outcome), outcome


# RejectsWriter


ROWS = 3_000
"""Rows of 1 KB each: three segments of rejects."""


def rejections(rows: int, start: int = 0) -> list[Rejection]:
    """Return the rejects of rows from `start` on: every row is one."""
    return [Rejection(row - start, Reject.NOT_A_JSON_OBJECT, b"%04d" % row * 256) for row in range(start, rows)]


def files(folder: Path) -> set[str]:
    """Return the names of all files."""
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("block_rows", [1, 7, ROWS])
def test_rejects_are_written_as_they_come(tmp_path: Path, block_rows: int) -> None:
    """At most one segment is held in memory; segments depend on the rejects alone."""
    path = tmp_path / "rejects.txt.gz"
    with RejectsWriter(path, "data", ROWS) as rejects:
        for start in range(0, ROWS, block_rows):
            rejects.add(rejections(min(start + block_rows, ROWS), start), start)
        assert files(tmp_path) == {"rejects.txt.gz.part", "rejects.txt.gz.index.part"}
        rejects.commit()
    assert files(tmp_path) == {"rejects.txt.gz", "rejects.txt.gz.index"}
    entries = read_index(path)
    assert [entry.first_key for entry in entries] == [b"1", b"1002", b"2002"]
    assert all(entry.text_bytes <= SEGMENT_BYTES for entry in entries)
    lines = b"".join(read_segment(path, entry) for entry in entries).splitlines()
    assert lines == [b"%d\tnot_a_json_object\t%s" % (row + 1, b"%04d" % row * 256) for row in range(ROWS)]


def test_without_rejects_there_is_no_file(tmp_path: Path) -> None:
    """Without rejects, no file is created."""
    with RejectsWriter(tmp_path / "rejects.txt.gz", "data", 0) as rejects:
        rejects.add([], 0)
        rejects.commit()
    assert files(tmp_path) == set()


def test_too_many_rejects_are_kept_up_to_the_one_too_many(tmp_path: Path) -> None:
    """The operator needs them to find the cause."""
    path = tmp_path / "rejects.txt.gz"
    with RejectsWriter(path, "data", 2_000) as rejects:
        rejects.add(rejections(1_500), 0)
        with pytest.raises(TooManyRejects, match="more than 2,000 rows"):
            rejects.add(rejections(ROWS, 1_500), 1_500)
    assert files(tmp_path) == {"rejects.txt.gz", "rejects.txt.gz.index"}
    assert sum(entry.records for entry in read_index(path)) == 2_001


def test_uncommitted_rejects_are_removed(tmp_path: Path) -> None:
    """No partial file remains."""
    with RejectsWriter(tmp_path / "rejects.txt.gz", "data", ROWS) as rejects:
        rejects.add(rejections(ROWS), 0)
        assert files(tmp_path) == {"rejects.txt.gz.part", "rejects.txt.gz.index.part"}
    assert files(tmp_path) == set()
