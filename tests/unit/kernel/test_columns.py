"""Columns of many lines."""

import numpy as np
import pytest

from oldump.kernel.columns import greatest_column

LINES = [b"b\tx\t1\n", b"a\ty\t2\n", b"ab\t\t3\n", b"z" * 300 + b"\tya\t0\n"]


@pytest.mark.parametrize(("column", "greatest"), [(0, b"z" * 300), (1, b"ya")])
def test_the_greatest_of_a_column(column: int, greatest: bytes) -> None:
    """As bytes compare: a longer text is greater than its beginning, and a long column before it does not hide it."""
    ends = np.cumsum([len(line) for line in LINES])
    starts = np.concatenate(([0], ends[:-1]))
    text = b"".join(LINES)
    assert greatest_column(text, starts, ends, column) == greatest
    assert greatest_column(text, starts[:1], ends[:1], column) == LINES[0].split(b"\t")[column]
    assert greatest_column(text, starts[:0], ends[:0], column) == b""
