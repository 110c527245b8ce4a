"""The budget: the table of frames fits in the memory."""

import pytest

from oldump.engine.budget import budget_within
from oldump.engine.frames import FRAME


@pytest.mark.parametrize("gzip_bytes", [0, 10**9, 10**11])
@pytest.mark.parametrize("memory_bytes", [192 << 20, 2 << 30, 64 << 30])
def test_the_table_of_frames_fits_in_an_eighth_of_the_memory(memory_bytes: int, gzip_bytes: int) -> None:
    """Frames become larger if there is little memory and much text."""
    for workers in (1, 2, 16):
        budget = budget_within(memory_bytes, workers, gzip_bytes, 2_900, 20)
        frame_bytes = budget.spill_bytes // budget.flush_buckets
        assert frame_bytes >= 1 << 16
        assert 6 * gzip_bytes // frame_bytes * (FRAME.itemsize + 8) <= memory_bytes // 8
        assert budget.bucket_bytes >= 4 << 20
