"""The account of rows: the same wherever blocks end, and in whatever order they are heard of."""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import pytest

from oldump.errors import OldumpError
from oldump.records.privacy import first_text_after
from oldump.records.rows import Batch
from oldump.stages.dumps.account import Account, Rejects, Summary
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
    """Every way to cut the lines into blocks."""
    for number in range(len(lines)):
        for borders in combinations(range(1, len(lines)), number):
            yield [b"".join(lines[start:end]) for start, end in pairwise((0, *borders, len(lines)))]


def told(path: Path, blocks: Sequence[bytes], most: int) -> str:
    """What is said of the blocks, which are heard of in some order: the error, or the counts."""
    numbered = list(enumerate(blocks))
    random.Random(7).shuffle(numbered)
    account = Account("data", Rejects(path, "data", most))
    try:
        for number, block in numbered:
            account.hear(number, Summary.of(Batch(block, first_text_after(None))))
    except OldumpError as error:
        return f"{type(error).__name__}: {error}"
    return str(account.counts)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([ROW, ROW, ROW, MARKER], "3 rows, 3 records"),
        ([ROW, ROW, MARKER, MARKER], "SourceDamaged: data: there are rows after .* behind row 2[.]"),
        ([ROW, MARKER, ROW, ROW], "SourceDamaged: data: there are rows after .* behind row 1[.]"),
        ([ROW, MARKER, BROKEN, BROKEN], "SourceDamaged: data: there are rows after .* behind row 1[.]"),
        ([MARKER, MARKER], "SourceDamaged: data: there are rows after .* behind row 0[.]"),
        ([ROW, BROKEN, BROKEN, MARKER, ROW], "TooManyRejects: data: more than 1 rows .*2 not_three_columns"),
        ([ROW, BROKEN, BROKEN, b"1\t1\t{"], "TooManyRejects: data: more than 1 rows .*2 not_three_columns"),
        ([ROW, ROW, BROKEN, b"1\t1\t{"], "SourceDamaged: data: the text ends in the middle of row 4[.]"),
    ],
    ids=["one marker", "two markers", "rows", "rejects", "only markers", "rejects before", "before a cut", "cut"],
)
def test_it_is_the_same_wherever_blocks_end(tmp_path: Path, lines: list[bytes], expected: str) -> None:
    """What comes first in the table is what is said, with the number of rows before it."""
    (said,) = {told(tmp_path / "rejects", blocks, most=1) for blocks in partitions(lines)}
    assert re.match(expected, said), said
