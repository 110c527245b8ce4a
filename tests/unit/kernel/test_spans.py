"""Operations on spans of a text give the same results compiled and as plain Python."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from examples import examples
from oldump.kernel import spans as as_installed
from unit.kernel.plain import plain

both = pytest.mark.parametrize("kernel", [as_installed, plain("spans")], ids=["as installed", "plain"])
texts = st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"") + b"\n"), max_size=8)


def joined(lines: list[bytes]) -> tuple[bytes, np.ndarray, np.ndarray]:
    """Return the lines as one text, with the start and the end of each."""
    ends = np.cumsum([len(line) for line in lines], dtype=np.int64)
    return b"".join(lines), np.concatenate((np.zeros(1, np.int64), ends))[: len(lines)], ends


@both
@settings(max_examples=examples(60))
@given(lines=texts, data=st.data())
def test_gathered_concatenates_lines_in_the_given_order(
    kernel: ModuleType, lines: list[bytes], data: st.DataObject
) -> None:
    """After the head. Lines may be omitted or repeated."""
    text, starts, ends = joined(lines)
    chosen = data.draw(st.lists(st.sampled_from(range(len(lines))), max_size=9)) if lines else []
    expected = b"".join(lines[place] for place in chosen)
    for source in (text, memoryview(text)):
        for head in (b"", b"!", b"head "):
            assert kernel.gathered(source, starts[chosen], ends[chosen], head) == head + expected
    assert bytes([10, 33]) == b"\n" + b"!"  # Python's shared objects for single bytes are unchanged


@both
@settings(max_examples=examples(60))
@given(lines=texts)
def test_breaks_counts_newlines(kernel: ModuleType, lines: list[bytes]) -> None:
    """Also in an empty text, and in a text that does not end with a newline."""
    text = b"".join(lines)
    assert kernel.breaks(text) == kernel.breaks(memoryview(text)) == len(lines)
    assert kernel.breaks(text + b"x") == len(lines)


@both
@settings(max_examples=examples(60))
@given(lines=texts)
def test_digests_exclude_the_newline(kernel: ModuleType, lines: list[bytes]) -> None:
    """As the manifest documents."""
    text, starts, ends = joined(lines)
    expected = [xxh3_64_intdigest(line[:-1]) for line in lines]
    for source in (text, memoryview(text)):
        assert kernel.digests(source, starts, ends, xxh3_64_intdigest).tolist() == expected


@both
@settings(max_examples=examples(60))
@given(columns=st.lists(st.binary(max_size=5).map(lambda text: text.replace(b"\t", b"").replace(b"\n", b""))))
def test_greatest_column_compares_bytes(kernel: ModuleType, columns: list[bytes]) -> None:
    """The result is empty if there are no lines."""
    text, starts, ends = joined([b"a\tb\t" + column + b"\t{}\n" for column in columns])
    assert kernel.greatest_column(text, starts, ends, 2) == max(columns, default=b"")
    assert kernel.greatest_column(text, starts, ends, 1) == (b"b" if columns else b"")
