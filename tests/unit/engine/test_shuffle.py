"""The spill: what is written comes back as it was, or the damage is named. See tests/property/test_shuffle.py too."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from oldump.engine.buckets import Buckets, in_order, slices
from oldump.engine.budget import Budget, budget_within
from oldump.engine.buffer import Buffer
from oldump.engine.frames import FRAME, FRAME_BYTES, Batch, Frames, read_frame
from oldump.engine.gather import Gathering, Stream, gather_worker
from oldump.engine.scatter import FLUSH, scatter_worker
from oldump.engine.segments import Segment
from oldump.engine.spill_files import Spill
from oldump.engine.text_lines import Lines
from oldump.engine.workers import Crew
from oldump.errors import OldumpError, StorageError, StorageFull

BUDGET = Budget(spill_bytes=1000, bucket_bytes=1 << 20, bucket_shift=8)


class Everything:
    """Arranges all lines into one stream."""

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:
        """All of them."""
        return {"all": batch.lines}

    def tally(self) -> None:
        """Nothing to know."""


def compress(text: bytes) -> Segment:
    """A segment that is not compressed."""
    return Segment(b"", text.count(b"\n"), len(text), 0, text)


def _added(spill: Spill, lines: list[bytes], ranks: list[int], tags: list[int]) -> Frames:
    return spill.add(Batch(Lines.of(lines), np.array(ranks, np.uint64), np.array(tags, np.uint8)))


def spilled(folder: Path, ranks: list[int], budget: Budget = BUDGET) -> Frames:
    """The frames of a spill of incompressible lines with these ranks."""
    spill = Spill(folder, 0, budget)
    return np.concatenate(
        [*(_added(spill, [_line(number)], [rank], [number % 256]) for number, rank in enumerate(ranks)), spill.flush()]
    )


def _line(number: int) -> bytes:
    random = np.random.default_rng(number).integers(11, 256, 200, np.uint8)
    return random.tobytes()


def gathered(folder: Path, frames: Frames, budget: Budget = BUDGET, workers: int = 1) -> bytes:
    """The text of the frames, as one bucket."""
    segments: list[Segment] = []
    with Crew(workers, gather_worker(lambda line: line, Everything, compress, folder, budget)) as crew:
        list(Gathering(crew, {"all": Stream(segments)}, compress).run([("bucket 0x1", frames)]))
    return b"".join(segment.data for segment in segments)


def test_frames_hold_what_was_spilled(tmp_path: Path) -> None:
    """Lines, ranks and tags, sorted into buckets; nothing twice, nothing missing."""
    ranks = [number * 7919 % 1000 for number in range(100)]
    frames = spilled(tmp_path, ranks)
    assert set(frames["first"].tolist()) == {rank >> 8 << 8 for rank in ranks}
    assert set(frames["shift"].tolist()) == {8}
    found: list[tuple[bytes, int, int]] = []
    for frame in frames:
        batch = read_frame(tmp_path / "spill-0", frame)
        assert batch.lines.text_bytes == frame["text_bytes"]
        assert {rank >> 8 << 8 for rank in batch.ranks.tolist()} == {frame["first"]}
        assert batch.ranks.tolist() == sorted(batch.ranks.tolist())
        found += zip(batch.lines, batch.ranks.tolist(), batch.tags.tolist(), strict=True)
    assert sorted(found) == sorted((_line(number), rank, number) for number, rank in enumerate(ranks))


def test_a_batch_that_fills_the_spill_at_once_loses_none_before_it(tmp_path: Path) -> None:
    """What was written to make room for it is told too."""
    spill = Spill(tmp_path, 0, BUDGET)
    frames = [_added(spill, [b"y" * 20], [1], [0]), _added(spill, [b"x" * 999], [2], [0]), spill.flush()]
    assert sum(frame["text_bytes"] for each in frames for frame in each) == 21 + 1000


def test_what_lies_between_lines_is_not_kept(tmp_path: Path) -> None:
    """A batch of few lines of a long text takes little of the spill."""
    spill = Spill(tmp_path, 0, BUDGET)
    few = Lines.of([b"x" * 99] * 9).take(slice(4, 5))
    for number in range(9):
        assert len(spill.add(Batch(few, np.array([number], np.uint64), np.zeros(1, np.uint8)))) == 0
    assert spill.flush()["text_bytes"].sum() == 900


def test_nothing_is_written_before_there_is_enough(tmp_path: Path) -> None:
    """A disk is written to in large pieces, and not at all for nothing."""
    spill = Spill(tmp_path, 0, BUDGET)
    assert len(spill.flush()) == 0
    assert len(_added(spill, [b"x" * 998], [1], [0])) == 0
    assert list(tmp_path.iterdir()) == []
    (frame,) = _added(spill, [b""], [1], [0])
    assert frame["text_bytes"] == 1000
    assert len(spill.flush()) == 0


def test_a_frame_is_bounded_unless_a_line_is_longer(tmp_path: Path) -> None:
    """So that a merge can hold many of them."""
    spill = Spill(tmp_path, 0, BUDGET)
    lines = [b"x" * 500_000] * 20 + [b"y" * (2 * FRAME_BYTES)] + [b"z"] * 20
    frames = _added(spill, lines, [7] * len(lines), [0] * len(lines))
    contents = [[*read_frame(tmp_path / "spill-0", frame).lines] for frame in frames]
    assert [line for content in contents for line in content] == lines
    assert all(sum(map(len, content)) - max(map(len, content)) <= FRAME_BYTES for content in contents)
    assert len(frames) > 3


# How many frames, and what they cost


def _sparse(seed: int, count: int) -> list[int]:
    """Ranks in a collection whose keys are far apart: hardly two of them fall into one of the budget's buckets."""
    return [(3 << 60) + (number << 20) for number in np.random.default_rng(seed).integers(0, 1 << 34, count).tolist()]


def test_scattered_ranks_make_few_frames(tmp_path: Path) -> None:
    """A full flush writes at most one frame for 64 KiB of its text, though nearly every line is alone in its bucket.

    That bounds the leader's table by the text: T bytes make T / 64 KiB frames, and those of each worker's last flush.
    """
    budget = budget_within(192 << 20, 1, 0, 2_900, 20)
    spill = Spill(tmp_path, 0, budget)
    line = b"x" * 999
    flushed: list[Frames] = []
    for flush in range(3):
        ranks = _sparse(flush, -(-budget.spill_bytes // 1000))
        assert len({rank >> budget.bucket_shift for rank in ranks}) > 0.9 * len(ranks)
        flushed.append(_added(spill, [line] * len(ranks), ranks, [0] * len(ranks)))
    most = budget.spill_bytes >> 16
    assert all(most // 4 < len(frames) <= most for frames in flushed)
    frames = np.concatenate([*flushed, _added(spill, [line] * 2000, _sparse(9, 2000), [0] * 2000), spill.flush()])
    assert len(frames) <= 4 * most
    buckets = [each for _, each in Buckets(frames, budget)]
    assert sum(len(each) for each in buckets) == len(frames)
    assert len(buckets) > 3
    assert max(int(each["text_bytes"].sum()) for each in buckets) <= budget.bucket_bytes


def test_a_few_scattered_ranks_do_not_widen_dense_buckets(tmp_path: Path) -> None:
    """Each region, the upper four bits of a rank, is cut as finely as its own share of the text allows."""
    budget = Budget(spill_bytes=1 << 30, bucket_bytes=1 << 30, bucket_shift=24, flush_buckets=64)
    dense = [(1 << 60) + (number << 20) for number in range(800)]
    spill = Spill(tmp_path, 0, budget)
    _added(spill, [b"x" * 99] * 1000, dense + _sparse(0, 200), [0] * 1000)
    frames = spill.flush()
    found = {region: frames[frames["first"] >> np.uint64(60) == region] for region in (1, 3)}
    assert set(found[1]["shift"].tolist()) == {24}
    assert len(found[1]) == 50
    assert set(found[3]["shift"].tolist()) == {51}
    assert 12 // 2 < len(found[3]) <= 12  # a fifth of 64


def test_a_frame_costs_the_leader_few_bytes() -> None:
    """A row of a table, not an object: the frames of 400 GB at 64 KiB a frame are 6 million."""
    assert FRAME.itemsize <= 32
    frames = np.zeros(100_000, FRAME)
    frames["first"] = np.arange(100_000) << 20
    frames["text_bytes"] = 1 << 16
    tracemalloc.start()
    buckets = Buckets(frames, budget_within(2 << 30, 2, 0, 2_900, 20))
    held_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(len(each) for _, each in buckets) == len(frames)
    assert frames.nbytes + held_bytes <= 40 * len(frames)


@pytest.mark.parametrize("gzip_bytes", [0, 10**9, 10**11])
@pytest.mark.parametrize("memory_bytes", [192 << 20, 2 << 30, 64 << 30])
def test_the_table_of_frames_is_within_the_memory(memory_bytes: int, gzip_bytes: int) -> None:
    """Where little memory meets much text, frames become larger: an eighth of the memory suffices for their table."""
    for workers in (1, 2, 16):
        budget = budget_within(memory_bytes, workers, gzip_bytes, 2_900, 20)
        frame_bytes = budget.spill_bytes // budget.flush_buckets
        assert frame_bytes >= 1 << 16
        assert 6 * gzip_bytes // frame_bytes * (FRAME.itemsize + 8) <= memory_bytes // 8
        assert budget.bucket_bytes >= 4 << 20


def _frame(first: int, shift: int, text_bytes: int, offset: int = 0) -> tuple[int, ...]:
    return first, shift, 0, offset, 1, text_bytes


def test_buckets_of_several_widths_become_the_widest() -> None:
    """Flushes cut as they must; what lies within a wider bucket of another flush belongs to that, and nothing else."""
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


def test_small_neighbours_are_one_bucket() -> None:
    """Up to a third of what is sorted as a whole: a bucket is a conversation, and not worth it for a few lines."""
    frames = np.array([_frame(number << 8, 8, 1000) for number in range(7)], FRAME)
    found = Buckets(frames, Budget(1, 9_000, 8))
    assert [each["first"].tolist() for _, each in found] == [[0, 0x100, 0x200], [0x300, 0x400, 0x500], [0x600]]
    assert list(Buckets(frames[:0], BUDGET)) == []


# Order


def test_lines_of_one_rank_are_sorted_exactly() -> None:
    """By `exact`, tags with them, and a rank that is alone is never asked for."""
    asked: list[bytes] = []

    def exact(line: bytes) -> bytes:
        asked.append(line)
        return line[::-1]

    lines = [b"za", b"b", b"ya", b"c", b"xb", b"xa"]
    batch = in_order(
        Batch(Lines.of(lines), np.array([9, 1, 9, 5, 9, 9], np.uint64), np.array([0, 1, 2, 3, 4, 5], np.uint8)), exact
    )
    assert [*batch.lines] == [b"b", b"c", b"xa", b"ya", b"za", b"xb"]
    assert batch.tags.tolist() == [1, 3, 5, 2, 0, 4]
    assert sorted(asked) == [b"xa", b"xb", b"ya", b"za"]


def _tied_key(line: bytes) -> tuple[bytes, ...]:
    """A sort key that holds a copy of the line, as that of a record does."""
    return line[:4], line[4:]


def test_a_long_tie_is_sorted_in_parts() -> None:
    """20,000 lines of one rank take little memory besides their text: only the sort keys of one part are held."""
    numbers = [number * 7919 % 20_000 for number in range(20_000)]
    lines = Lines.of([b"%06d" % (number // 3) + b"x" * 100 for number in numbers])
    batch = Batch(lines, np.full(len(lines), 9, np.uint64), np.array(numbers, np.uint64).astype(np.uint8))
    tracemalloc.start()
    found = in_order(batch, _tied_key)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    order = sorted(range(20_000), key=lambda place: numbers[place] // 3)  # stable
    assert [*found.lines] == [lines.line(place) for place in order]
    assert found.tags.tolist() == [numbers[place] % 256 for place in order]
    assert peak_bytes < 3 << 20  # all sort keys take 6 MB


def test_merging_long_lines_stays_within_the_budget(tmp_path: Path) -> None:
    """24 lines of 1 MiB where a worker may hold 4 MiB: as many runs are merged at once as fit."""
    budget = Budget(spill_bytes=4 << 20, bucket_bytes=4 << 20, bucket_shift=60)
    spill = Spill(tmp_path, 0, budget)
    ranks = [number * 7 % 12 for number in range(24)]
    flushed = [_added(spill, [b"%02d" % number + bytes(1 << 20)], [rank], [0]) for number, rank in enumerate(ranks)]
    frames = np.concatenate([*flushed, spill.flush()])
    tracemalloc.start()
    found = [
        (rank, line[:2])
        for batch, _ in slices(frames, _tied_key, tmp_path / "runs", budget, Buffer())
        for line, rank in zip(batch.lines, batch.ranks.tolist(), strict=True)
    ]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == sorted((rank, b"%02d" % number) for number, rank in enumerate(ranks))
    assert peak_bytes < 2.8 * budget.bucket_bytes


def test_no_runs_are_left(tmp_path: Path) -> None:
    """Of an overfull bucket, neither after it nor after an error in it; the spill itself stays."""
    budget = Budget(spill_bytes=1000, bucket_bytes=4000, bucket_shift=60)
    frames = spilled(tmp_path, list(range(100)), budget)
    assert len(frames) > 10
    gathered(tmp_path, frames, budget)
    assert [path.name for path in tmp_path.iterdir()] == ["spill-0"]
    spill = tmp_path / "spill-0"
    spill.write_bytes(spill.read_bytes()[: int(frames[-1]["offset"])])
    with pytest.raises(StorageError):
        gathered(tmp_path, frames, budget)
    assert [path.name for path in tmp_path.iterdir()] == ["spill-0"]


# Damage


@pytest.mark.parametrize("bit", [0x01, 0x80])
def test_a_flipped_bit_in_the_spill_is_found(tmp_path: Path, bit: int) -> None:
    """Wherever it is, also in text that zstd stores as it is: no wrong record is published."""
    (frame, *_) = spilled(tmp_path, [1] * 5)
    spill = tmp_path / "spill-0"
    content = spill.read_bytes()
    batch = read_frame(spill, frame)
    messages: set[str] = set()
    for place in range(int(frame["offset"]), int(frame["offset"] + frame["size_bytes"]), 3):
        spill.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        try:
            found = read_frame(spill, frame)
        except StorageError as error:
            messages.add(str(error).split(" (")[0])
            continue
        assert [*found.lines] == [*batch.lines]  # a bit of the frame's header that has no meaning
        assert place < 8
    assert messages == {f"{spill}: the spill is damaged at byte 0"}


@pytest.mark.parametrize("kept", ["nothing", "half a frame", "whole frames"])
def test_a_truncated_spill_is_found(tmp_path: Path, kept: str) -> None:
    """Wherever it was cut, between two frames too; the error names the file and reaches the leader."""
    frames = spilled(tmp_path, [1] * 50)
    spill = tmp_path / "spill-0"
    last = int(frames[-1]["offset"])
    end = {"nothing": 0, "half a frame": last + 50, "whole frames": last}[kept]
    spill.write_bytes(spill.read_bytes()[:end])
    with pytest.raises(StorageError, match=r"spill-0: .*damaged at byte"):
        gathered(tmp_path, frames)


def test_a_spill_that_is_gone_is_named(tmp_path: Path) -> None:
    """Somebody tidied up."""
    frames = spilled(tmp_path, [1] * 50)
    (tmp_path / "spill-0").unlink()
    with pytest.raises(StorageError, match="spill-0"):
        gathered(tmp_path, frames)


def test_a_disk_that_is_full_while_spilling(tmp_path: Path) -> None:
    """Here /dev/full: the worker's StorageFull reaches the leader, with the path."""
    (tmp_path / "spill-0").symlink_to("/dev/full")
    scatter = scatter_worker(lambda content: (Batch.of([line], [0]) for line in [content]), tmp_path, BUDGET)
    with pytest.raises(StorageFull, match="spill-0: no space left"), Crew(1, scatter) as crew:
        list(crew.run([("a", bytes(2000)), ("b", bytes(2000))]))
    with Crew(1, scatter) as crew:
        list(crew.run([("a", b"little")]))
        with pytest.raises(StorageFull, match="spill-0: no space left"):
            crew.each("the last", FLUSH)


def test_a_disk_that_is_full_while_merging(tmp_path: Path) -> None:
    """The runs of an overfull bucket go to disk too."""
    budget = Budget(spill_bytes=1000, bucket_bytes=2000, bucket_shift=60)
    frames = spilled(tmp_path, [1] * 50, budget)
    (tmp_path / "runs-0-2").symlink_to("/dev/full")
    with pytest.raises(StorageFull, match="runs-0-2: no space left"):
        gathered(tmp_path, frames, budget)


def test_a_sink_that_fails_ends_the_gather(tmp_path: Path) -> None:
    """The error of whoever writes the file is the one that is raised."""

    class Full:
        def append(self, segment: Segment) -> None:
            raise StorageFull("the file: no space left")

    frames = spilled(tmp_path, [1] * 50)
    with (
        pytest.raises(OldumpError, match="the file: no space left"),
        Crew(2, gather_worker(lambda line: line, Everything, compress, tmp_path, BUDGET)) as crew,
    ):
        list(Gathering(crew, {"all": Stream(Full())}, compress).run([("bucket", frames)]))
