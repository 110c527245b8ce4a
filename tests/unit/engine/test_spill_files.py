"""Spill files: lines are collected, sorted into buckets and written in frames."""

from pathlib import Path

import numpy as np

from oldump.engine.buckets import Buckets
from oldump.engine.budget import Budget, budget_within
from oldump.engine.frames import FRAME_BYTES, Batch, Frames, read_frame
from oldump.engine.spill_files import Spill
from oldump.engine.text_lines import Lines
from unit.engine.spilling import BUDGET, add, random_line, sparse_ranks, spill_ranks


def test_frames_contain_the_spilled_lines(tmp_path: Path) -> None:
    """With ranks and tags, sorted into buckets, each exactly once."""
    ranks = [number * 7919 % 1000 for number in range(100)]
    frames = spill_ranks(tmp_path, ranks)
    assert set(frames["first"].tolist()) == {rank >> 8 << 8 for rank in ranks}
    assert set(frames["shift"].tolist()) == {8}
    found: list[tuple[bytes, int, int]] = []
    for frame in frames:
        batch = read_frame(tmp_path / "spill-0", frame)
        assert batch.lines.text_bytes == frame["text_bytes"]
        assert {rank >> 8 << 8 for rank in batch.ranks.tolist()} == {frame["first"]}
        assert batch.ranks.tolist() == sorted(batch.ranks.tolist())
        found += zip(batch.lines, batch.ranks.tolist(), batch.tags.tolist(), strict=True)
    assert sorted(found) == sorted((random_line(number), rank, number) for number, rank in enumerate(ranks))


def test_a_batch_as_large_as_the_buffer_loses_no_earlier_line(tmp_path: Path) -> None:
    """The frames that are written to free the buffer are returned too."""
    spill = Spill(tmp_path, 0, BUDGET)
    frames = [add(spill, [b"y" * 20], [1], [0]), add(spill, [b"x" * 999], [2], [0]), spill.flush()]
    assert sum(frame["text_bytes"] for each in frames for frame in each) == 21 + 1000


def test_only_the_lines_of_a_batch_fill_the_buffer(tmp_path: Path) -> None:
    """The text between the lines of a batch is not copied."""
    spill = Spill(tmp_path, 0, BUDGET)
    few = Lines.of([b"x" * 99] * 9).take(slice(4, 5))
    for number in range(9):
        assert len(spill.add(Batch(few, np.array([number], np.uint64), np.zeros(1, np.uint8)))) == 0
    assert spill.flush()["text_bytes"].sum() == 900


def test_nothing_is_written_until_the_buffer_is_full(tmp_path: Path) -> None:
    """Writes are large, and an empty spill creates no file."""
    spill = Spill(tmp_path, 0, BUDGET)
    assert len(spill.flush()) == 0
    assert len(add(spill, [b"x" * 998], [1], [0])) == 0
    assert list(tmp_path.iterdir()) == []
    (frame,) = add(spill, [b""], [1], [0])
    assert frame["text_bytes"] == 1000
    assert len(spill.flush()) == 0


def test_a_frame_is_bounded_unless_a_line_is_longer(tmp_path: Path) -> None:
    """So a merge can have many frames in memory."""
    spill = Spill(tmp_path, 0, BUDGET)
    lines = [b"x" * 500_000] * 20 + [b"y" * (2 * FRAME_BYTES)] + [b"z"] * 20
    frames = add(spill, lines, [7] * len(lines), [0] * len(lines))
    contents = [[*read_frame(tmp_path / "spill-0", frame).lines] for frame in frames]
    assert [line for content in contents for line in content] == lines
    assert all(sum(map(len, content)) - max(map(len, content)) <= FRAME_BYTES for content in contents)
    assert len(frames) > 3


def test_scattered_ranks_make_few_frames(tmp_path: Path) -> None:
    """A full flush writes at most one frame per 64 KiB of text, even if nearly every line has a bucket of its own.

    This bounds the leader's table: T bytes of text make T / 64 KiB frames, plus those of each worker's last flush.
    """
    budget = budget_within(192 << 20, 1, 0, 2_900, 20)
    spill = Spill(tmp_path, 0, budget)
    line = b"x" * 999
    flushed: list[Frames] = []
    for flush in range(3):
        ranks = sparse_ranks(flush, -(-budget.spill_bytes // 1000))
        assert len({rank >> budget.bucket_shift for rank in ranks}) > 0.9 * len(ranks)
        flushed.append(add(spill, [line] * len(ranks), ranks, [0] * len(ranks)))
    most = budget.spill_bytes >> 16
    assert all(most // 4 < len(frames) <= most for frames in flushed)
    frames = np.concatenate([*flushed, add(spill, [line] * 2000, sparse_ranks(9, 2000), [0] * 2000), spill.flush()])
    assert len(frames) <= 4 * most
    buckets = [each for _, each in Buckets(frames, budget)]
    assert sum(len(each) for each in buckets) == len(frames)
    assert len(buckets) > 3
    assert max(int(each["text_bytes"].sum()) for each in buckets) <= budget.bucket_bytes


def test_a_few_scattered_ranks_do_not_widen_dense_buckets(tmp_path: Path) -> None:
    """Each region (the upper four bits of a rank) is cut as finely as its share of the text allows."""
    budget = Budget(spill_bytes=1 << 30, bucket_bytes=1 << 30, bucket_shift=24, flush_buckets=64)
    dense = [(1 << 60) + (number << 20) for number in range(800)]
    spill = Spill(tmp_path, 0, budget)
    add(spill, [b"x" * 99] * 1000, dense + sparse_ranks(0, 200), [0] * 1000)
    frames = spill.flush()
    found = {region: frames[frames["first"] >> np.uint64(60) == region] for region in (1, 3)}
    assert set(found[1]["shift"].tolist()) == {24}
    assert len(found[1]) == 50
    assert set(found[3]["shift"].tolist()) == {51}
    assert 12 // 2 < len(found[3]) <= 12  # a fifth of 64
