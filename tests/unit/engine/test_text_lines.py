"""Lines in one text: they are chosen by position and joined without their newlines changing."""

import numpy as np
import pytest

from oldump.engine.text_lines import Lines, chained

SOME = [b"one", b"", b"three\t3", b"4"]


def test_lines_are_returned_unchanged() -> None:
    """As objects without newlines, and as one text with newlines."""
    lines = Lines.of(SOME)
    assert [*lines] == SOME
    assert [lines.line(place) for place in range(4)] == SOME
    assert len(lines) == 4
    assert lines.lengths.tolist() == [4, 1, 8, 2]
    assert lines.text_bytes == len(lines.joined())
    assert lines.joined(b"head ") == b"head one\n\nthree\t3\n4\n"


@pytest.mark.parametrize(
    "chosen",
    [slice(1, 3), np.array([3, 0, 0]), np.array([True, False, False, True]), slice(0)],
    ids=["stretch", "places", "flags", "none"],
)
def test_chosen_lines_share_the_text(chosen: slice | np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    """In the chosen order. The text is not copied."""
    lines = Lines.of(SOME)
    taken = lines.take(chosen)
    assert taken.text is lines.text
    assert [*taken] == [SOME[place] for place in np.arange(4)[chosen]]
    assert taken.joined() == b"".join(SOME[place] + b"\n" for place in np.arange(4)[chosen])


def test_the_lines_of_a_text_are_found() -> None:
    """By its newlines, or by known lengths. An empty text has no lines."""
    text = b"".join(line + b"\n" for line in SOME)
    assert [*Lines.of_text(text)] == SOME
    assert [*Lines.within(b"??" + text, np.array([4, 1, 8, 2]), 2)] == SOME
    assert [*Lines.of_text(b"")] == [*Lines.of([])] == []
    assert Lines.of([]).joined() == b""


def test_a_chain_has_a_text_of_its_own() -> None:
    """So the rest of the original text can be freed."""
    chain = chained(Lines.of(SOME).take(np.array([2])), Lines.of([b"next"]))
    assert [*chain] == [b"three\t3", b"next"]
    assert chain.text == b"three\t3\nnext\n"
