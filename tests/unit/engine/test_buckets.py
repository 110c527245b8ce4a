"""Buckets: the frames of each, and the order of their lines."""

import tracemalloc
from pathlib import Path

import numpy as np

from oldump.engine.buckets import Buckets, in_order, slices
from oldump.engine.budget import Budget, budget_within
from oldump.engine.buffer import Buffer
from oldump.engine.frames import FRAME, Batch
from oldump.engine.spill_files import Spill
from oldump.engine.text_lines import Lines
from unit.engine.spilling import BUDGET, add


def _frame(first: int, shift: int, text_bytes: int, offset: int = 0) -> tuple[int, ...]:
    return first, shift, 0, offset, 1, text_bytes


def test_a_frame_costs_the_leader_few_bytes() -> None:
    """A frame is a row of a table, not an object: 400 GB with 64 KiB per frame make 6 million frames."""
    assert FRAME.itemsize <= 32
    frames = np.zeros(100_000, FRAME)
    frames["first"] = np.arange(100_000) << 20
    frames["text_bytes"] = 1 << 16
    tracemalloc.start()
    buckets = Buckets(frames, budget_within(2 << 30, 2, 0, 2_900, 20))
    buckets_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(len(each) for _, each in buckets) == len(frames)
    assert frames.nbytes + buckets_bytes <= 40 * len(frames)


def test_a_bucket_contains_the_narrower_buckets_of_other_flushes() -> None:
    """Flushes may cut the same ranks into buckets of different widths. Adjacent buckets stay separate."""
    frames = np.array(
        [
            _frame(0x300, 8, 3_000, 1),
            _frame(0x100, 4, 3_000, 2),
            _frame(0x1F0, 0, 3_000, 3),
            _frame(0x120, 0, 3_000, 4),
            _frame(0x200, 8, 3_000, 5),
            _frame(0x100, 8, 3_000, 6),
            _frame(1 << 63, 63, 3_000, 7),
        ],
        FRAME,
    )
    buckets = Buckets(frames, Budget(1, 9_000, 0))
    assert [(name, each["offset"].tolist()) for name, each in buckets] == [
        ("bucket 0x100", [2, 3, 4, 6]),
        ("bucket 0x200", [5]),
        ("bucket 0x300", [1]),
        ("bucket 0x8000000000000000", [7]),
    ]


def test_small_adjacent_buckets_become_one() -> None:
    """Up to a third of the text that is sorted at once, because each bucket costs several messages."""
    frames = np.array([_frame(number << 8, 8, 1000) for number in range(7)], FRAME)
    found = Buckets(frames, Budget(1, 9_000, 8))
    assert [each["first"].tolist() for _, each in found] == [[0, 0x100, 0x200], [0x300, 0x400, 0x500], [0x600]]
    assert list(Buckets(frames[:0], BUDGET)) == []


def test_lines_of_equal_rank_are_sorted_by_their_sort_key() -> None:
    """Their tags move with them. The sort key of a line whose rank is unique is never computed."""
    computed: list[bytes] = []

    def sort_key(line: bytes) -> bytes:
        computed.append(line)
        return line[::-1]

    lines = Lines.of([b"za", b"b", b"ya", b"c", b"xb", b"xa"])
    batch = in_order(
        Batch(lines, np.array([9, 1, 9, 5, 9, 9], np.uint64), np.array([0, 1, 2, 3, 4, 5], np.uint8)),
        sort_key,
    )
    assert [*batch.lines] == [b"b", b"c", b"xa", b"ya", b"za", b"xb"]
    assert batch.tags.tolist() == [1, 3, 5, 2, 0, 4]
    assert sorted(computed) == [b"xa", b"xb", b"ya", b"za"]


def two_part_key(line: bytes) -> tuple[bytes, ...]:
    """Return a sort key that contains a copy of the line, like that of a record."""
    return line[:4], line[4:]


def test_a_long_tie_is_sorted_in_parts() -> None:
    """20,000 lines of one rank need little memory besides their text: the sort keys of one part at a time."""
    numbers = [number * 7919 % 20_000 for number in range(20_000)]
    lines = Lines.of([b"%06d" % (number // 3) + b"x" * 100 for number in numbers])
    batch = Batch(lines, np.full(len(lines), 9, np.uint64), np.array(numbers, np.uint64).astype(np.uint8))
    tracemalloc.start()
    found = in_order(batch, two_part_key)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    order = sorted(range(20_000), key=lambda place: numbers[place] // 3)  # stable
    assert [*found.lines] == [lines.line(place) for place in order]
    assert found.tags.tolist() == [numbers[place] % 256 for place in order]
    assert peak_bytes < 3 << 20  # all sort keys take 6 MB


def test_merging_long_lines_stays_within_the_budget(tmp_path: Path) -> None:
    """24 lines of 1 MiB in a budget of 4 MiB: only as many runs are merged at once as fit in it."""
    budget = Budget(spill_bytes=4 << 20, bucket_bytes=4 << 20, bucket_shift=60)
    spill = Spill(tmp_path, 0, budget)
    ranks = [number * 7 % 12 for number in range(24)]
    flushed = [add(spill, [b"%02d" % number + bytes(1 << 20)], [rank], [0]) for number, rank in enumerate(ranks)]
    frames = np.concatenate([*flushed, spill.flush()])
    tracemalloc.start()
    found = [
        (rank, line[:2])
        for batch, _ in slices(frames, two_part_key, tmp_path / "runs", budget, Buffer())
        for line, rank in zip(batch.lines, batch.ranks.tolist(), strict=True)
    ]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == sorted((rank, b"%02d" % number) for number, rank in enumerate(ranks))
    assert peak_bytes < 2.8 * budget.bucket_bytes
