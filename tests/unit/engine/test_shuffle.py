"""The spill: what is written comes back as it was, or the damage is named. See tests/property/test_shuffle.py too."""

from pathlib import Path

import numpy as np
import pytest

from oldump.engine.segments import Segment
from oldump.engine.shuffle import (
    FLUSH,
    FRAME_BYTES,
    Batch,
    Budget,
    Frame,
    Gathering,
    Spill,
    _read_frame,
    gatherer,
    in_order,
    scatterer,
)
from oldump.engine.workers import Crew
from oldump.errors import OldumpError, StorageError, StorageFull

BUDGET = Budget(spill_bytes=1000, bucket_bytes=1 << 20, bucket_shift=8)


class Everything:
    """Arranges all lines into one stream."""

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, list[bytes]]:
        """All of them."""
        return {"all": batch.lines}

    def tally(self) -> None:
        """Nothing to know."""


def compress(text: bytes) -> Segment:
    """A segment that is not compressed."""
    return Segment(b"", text.count(b"\n"), len(text), 0, text)


def _added(spill: Spill, lines: list[bytes], ranks: list[int], tags: list[int]) -> list[Frame]:
    return spill.add(lines, np.array(ranks, np.uint64), np.array(tags, np.uint8))


def spilled(folder: Path, ranks: list[int], budget: Budget = BUDGET) -> list[Frame]:
    """The frames of a spill of incompressible lines with these ranks."""
    spill = Spill(folder / "spill-0", budget)
    return [
        frame for number, rank in enumerate(ranks) for frame in _added(spill, [_line(number)], [rank], [number % 256])
    ] + spill.flush()


def _line(number: int) -> bytes:
    random = np.random.default_rng(number).integers(11, 256, 200, np.uint8)
    return random.tobytes()


def gathered(folder: Path, frames: list[Frame], budget: Budget = BUDGET, workers: int = 1) -> bytes:
    """The text of the frames, as one bucket."""
    segments: list[Segment] = []
    with Crew(workers, gatherer(lambda line: line, Everything, compress, folder, budget)) as crew:
        list(Gathering(crew, {"all": segments}, compress).run([("bucket 0x1", frames)]))
    return b"".join(segment.data for segment in segments)


def test_frames_hold_what_was_spilled(tmp_path: Path) -> None:
    """Lines, ranks and tags, sorted into buckets; nothing twice, nothing missing."""
    ranks = [number * 7919 % 1000 for number in range(100)]
    frames = spilled(tmp_path, ranks)
    assert {frame.bucket for frame in frames} == {rank >> 8 for rank in ranks}
    found: list[tuple[bytes, int, int]] = []
    for frame in frames:
        batch = _read_frame(frame)
        assert (len(batch.lines), batch.text_bytes) == (frame.records, frame.text_bytes)
        assert {rank >> 8 for rank in batch.ranks.tolist()} == {frame.bucket}
        assert batch.ranks.tolist() == sorted(batch.ranks.tolist())
        found += zip(batch.lines, batch.ranks.tolist(), batch.tags.tolist(), strict=True)
    assert sorted(found) == sorted((_line(number), rank, number) for number, rank in enumerate(ranks))


def test_nothing_is_written_before_there_is_enough(tmp_path: Path) -> None:
    """A disk is written to in large pieces, and not at all for nothing."""
    spill = Spill(tmp_path / "spill", BUDGET)
    assert spill.flush() == []
    assert _added(spill, [b"x" * 998], [1], [0]) == []
    assert list(tmp_path.iterdir()) == []
    (frame,) = _added(spill, [b""], [1], [0])
    assert frame.text_bytes == 1000
    assert spill.flush() == []


def test_a_frame_is_bounded_unless_a_line_is_longer(tmp_path: Path) -> None:
    """So that a merge can hold many of them."""
    spill = Spill(tmp_path / "spill", BUDGET)
    lines = [b"x" * 500_000] * 20 + [b"y" * (2 * FRAME_BYTES)] + [b"z"] * 20
    frames = _added(spill, lines, [7] * len(lines), [0] * len(lines))
    assert sum(frame.records for frame in frames) == len(lines)
    contents = [_read_frame(frame).lines for frame in frames]
    assert [line for content in contents for line in content] == lines
    assert all(sum(map(len, content)) - max(map(len, content)) <= FRAME_BYTES for content in contents)
    assert len(frames) > 3


def test_lines_of_one_rank_are_sorted_exactly() -> None:
    """By `exact`, tags with them, and a rank that is alone is never asked for."""
    asked: list[bytes] = []

    def exact(line: bytes) -> bytes:
        asked.append(line)
        return line[::-1]

    lines = [b"za", b"b", b"ya", b"c", b"xb", b"xa"]
    batch = in_order(
        Batch(lines, np.array([9, 1, 9, 5, 9, 9], np.uint64), np.array([0, 1, 2, 3, 4, 5], np.uint8)), exact
    )
    assert batch.lines == [b"b", b"c", b"xa", b"ya", b"za", b"xb"]
    assert batch.tags.tolist() == [1, 3, 5, 2, 0, 4]
    assert sorted(asked) == [b"xa", b"xb", b"ya", b"za"]


def test_no_runs_are_left(tmp_path: Path) -> None:
    """Of an overfull bucket, neither after it nor after an error in it; the spill itself stays."""
    budget = Budget(spill_bytes=1000, bucket_bytes=4000, bucket_shift=60)
    frames = spilled(tmp_path, list(range(100)), budget)
    assert len(frames) > 10
    gathered(tmp_path, frames, budget)
    assert [path.name for path in tmp_path.iterdir()] == ["spill-0"]
    spill = tmp_path / "spill-0"
    spill.write_bytes(spill.read_bytes()[: frames[-1].offset])
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
    batch = _read_frame(frame)
    messages: set[str] = set()
    for place in range(frame.offset, frame.offset + frame.size_bytes, 3):
        spill.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        try:
            found = _read_frame(frame)
        except StorageError as error:
            messages.add(str(error).split(" (")[0])
            continue
        assert found.lines == batch.lines  # a bit of the frame's header that has no meaning
        assert place < 8
    assert messages == {f"{spill}: the spill is damaged at byte 0"}


@pytest.mark.parametrize("kept", ["nothing", "half a frame", "whole frames"])
def test_a_truncated_spill_is_found(tmp_path: Path, kept: str) -> None:
    """Wherever it was cut, between two frames too; the error names the file and reaches the leader."""
    frames = spilled(tmp_path, [1] * 50)
    spill = tmp_path / "spill-0"
    end = {"nothing": 0, "half a frame": frames[-1].offset + 50, "whole frames": frames[-1].offset}[kept]
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
    one = np.zeros(1, np.uint64), np.zeros(1, np.uint8)
    scatter = scatterer(lambda content: (None, [content], *one), tmp_path, BUDGET)
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
        Crew(2, gatherer(lambda line: line, Everything, compress, tmp_path, BUDGET)) as crew,
    ):
        list(Gathering(crew, {"all": Full()}, compress).run([("bucket", frames)]))
