"""Lines that are copied and looked at without an object for each: compiled and as plain Python."""

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


def placed(lines: list[bytes]) -> tuple[bytes, np.ndarray, np.ndarray]:
    """The lines as one text, where each starts, and where each ends."""
    ends = np.cumsum([len(line) for line in lines], dtype=np.int64)
    return b"".join(lines), np.concatenate((np.zeros(1, np.int64), ends))[: len(lines)], ends


@both
@settings(max_examples=examples(60))
@given(lines=texts, data=st.data())
def test_lines_are_gathered_in_any_order(kernel: ModuleType, lines: list[bytes], data: st.DataObject) -> None:
    """Some of them, or one twice, behind what is to stand before them."""
    text, starts, ends = placed(lines)
    chosen = data.draw(st.lists(st.sampled_from(range(len(lines))), max_size=9)) if lines else []
    expected = b"".join(lines[place] for place in chosen)
    for source in (text, memoryview(text)):
        for head in (b"", b"!", b"head "):
            assert kernel.gathered(source, starts[chosen], ends[chosen], head) == head + expected
    assert bytes([10, 33]) == b"\n" + b"!"  # Python's own single bytes are as they were


@both
@settings(max_examples=examples(60))
@given(lines=texts)
def test_newlines_are_counted(kernel: ModuleType, lines: list[bytes]) -> None:
    """Also of no text at all, and of one that does not end with one."""
    text = b"".join(lines)
    assert kernel.breaks(text) == kernel.breaks(memoryview(text)) == len(lines)
    assert kernel.breaks(text + b"x") == len(lines)


@both
@settings(max_examples=examples(60))
@given(lines=texts)
def test_digests_are_of_the_lines_without_their_newlines(kernel: ModuleType, lines: list[bytes]) -> None:
    """As the manifest documents it."""
    text, starts, ends = placed(lines)
    expected = [xxh3_64_intdigest(line[:-1]) for line in lines]
    for source in (text, memoryview(text)):
        assert kernel.digests(source, starts, ends, xxh3_64_intdigest).tolist() == expected


@both
@settings(max_examples=examples(60))
@given(columns=st.lists(st.binary(max_size=5).map(lambda text: text.replace(b"\t", b"").replace(b"\n", b""))))
def test_the_greatest_of_a_column_is_found(kernel: ModuleType, columns: list[bytes]) -> None:
    """As bytes are compared; nothing of no lines."""
    text, starts, ends = placed([b"a\tb\t" + column + b"\t{}\n" for column in columns])
    assert kernel.greatest_column(text, starts, ends, 2) == max(columns, default=b"")
    assert kernel.greatest_column(text, starts, ends, 1) == (b"b" if columns else b"")
