"""Copying many stretches of a text: what is gathered is what slicing would give."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from oldump.kernel.copying import gathered, pairs

TEXT = bytes(range(60))
_STRETCHES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)).map(sorted))


@given(_STRETCHES, st.binary(max_size=3), st.booleans())
@settings(deadline=None)
def test_stretches_are_copied_in_their_order(stretches: list[list[int]], head: bytes, viewed: bool) -> None:
    """Behind the head, whether they overlap, are empty or follow each other, and whatever kind of text they are in."""
    starts, ends = (np.array([each[side] for each in stretches], np.int64) for side in (0, 1))
    text = memoryview(bytearray(TEXT)) if viewed else TEXT
    assert gathered(text, starts, ends, head) == head + b"".join(TEXT[start:end] for start, end in stretches)


def test_neighbours_are_copied_as_one() -> None:
    """And a neighbour in the list that is none in the text is not lost."""
    places = np.array([0, 5, 9, 20, 30], np.int64)
    assert gathered(TEXT, places[:4], places[1:]) == TEXT[:30]
    assert gathered(TEXT, places[[0, 1, 3, 2]], places[[1, 2, 4, 3]]) == TEXT[:9] + TEXT[20:30] + TEXT[9:20]


def test_many_places_are_all_paired() -> None:
    """More than are made Python's at a time."""
    starts = np.arange(10_000)
    assert list(pairs(starts, starts + 1)) == [(place, place + 1) for place in range(10_000)]
