"""A function applied to the blocks of a file: results are in the order of the blocks."""

import gzip
from pathlib import Path

import pytest

from oldump.engine.block_map import map_lines
from oldump.engine.text_stream import BLOCK_BYTES
from oldump.errors import SourceDamaged

LINES = 300_000


@pytest.mark.parametrize("packed", [False, True])
def test_results_come_in_the_blocks_order(packed: bool, tmp_path: Path) -> None:
    """All lines once, in order. The share that has been read grows to 1."""
    text = b"".join(b"%08d\n" % number for number in range(LINES))
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(text, 1) if packed else text)
    found = list(map_lines(path, lambda lines: (lines[0], len(lines)), 2))
    assert len(found) > len(text) // (2 * BLOCK_BYTES)
    assert [each.result[0] for each in found] == sorted(each.result[0] for each in found)
    assert sum(each.result[1] for each in found) == LINES
    shares = [each.share or 0 for each in found]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_a_line_that_is_cut_off_is_no_line(tmp_path: Path) -> None:
    """If the previous step was stopped, its incomplete output must not be used."""
    path = tmp_path / "file"
    path.write_bytes(b"one\ntw")
    with pytest.raises(SourceDamaged, match="ends in the middle of a line"):
        list(map_lines(path, len, 1))
