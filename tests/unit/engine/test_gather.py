"""Gather: runs are removed, and errors of spill, runs and sink end it."""

from pathlib import Path

import pytest

from oldump.engine.budget import Budget
from oldump.engine.gather import Gathering, Stream, gather_worker
from oldump.engine.segments import Segment
from oldump.engine.workers import Crew
from oldump.errors import OldumpError, StorageError, StorageFull
from unit.engine.spilling import BUDGET, ArrangeAll, gather, spill_ranks, store


def test_runs_are_removed(tmp_path: Path) -> None:
    """After an overfull bucket, and after an error in it. The spill file itself stays."""
    budget = Budget(spill_bytes=1000, bucket_bytes=4000, bucket_shift=60)
    frames = spill_ranks(tmp_path, list(range(100)), budget)
    assert len(frames) > 10
    gather(tmp_path, frames, budget)
    assert [path.name for path in tmp_path.iterdir()] == ["spill-0"]
    spill = tmp_path / "spill-0"
    spill.write_bytes(spill.read_bytes()[: int(frames[-1]["offset"])])
    with pytest.raises(StorageError):
        gather(tmp_path, frames, budget)
    assert [path.name for path in tmp_path.iterdir()] == ["spill-0"]


@pytest.mark.parametrize("kept", ["nothing", "half a frame", "whole frames"])
def test_a_truncated_spill_is_found(tmp_path: Path, kept: str) -> None:
    """At any position, also between two frames. The leader raises an error that names the file."""
    frames = spill_ranks(tmp_path, [1] * 50)
    spill = tmp_path / "spill-0"
    last = int(frames[-1]["offset"])
    end = {"nothing": 0, "half a frame": last + 50, "whole frames": last}[kept]
    spill.write_bytes(spill.read_bytes()[:end])
    with pytest.raises(StorageError, match=r"spill-0: .*damaged at byte"):
        gather(tmp_path, frames)


def test_a_missing_spill_file_is_named(tmp_path: Path) -> None:
    """If the file has been deleted, the error names it."""
    frames = spill_ranks(tmp_path, [1] * 50)
    (tmp_path / "spill-0").unlink()
    with pytest.raises(StorageError, match="spill-0"):
        gather(tmp_path, frames)


def test_a_full_disk_while_merging(tmp_path: Path) -> None:
    """The runs of an overfull bucket are written to disk too."""
    budget = Budget(spill_bytes=1000, bucket_bytes=2000, bucket_shift=60)
    frames = spill_ranks(tmp_path, [1] * 50, budget)
    (tmp_path / "runs-0-2").symlink_to("/dev/full")
    with pytest.raises(StorageFull, match="runs-0-2: no space left"):
        gather(tmp_path, frames, budget)


def test_a_failing_sink_ends_the_gather(tmp_path: Path) -> None:
    """The gather raises the error of the sink."""

    class Full:
        def append(self, segment: Segment) -> None:
            raise StorageFull("the file: no space left")

    frames = spill_ranks(tmp_path, [1] * 50)
    with (
        pytest.raises(OldumpError, match="the file: no space left"),
        Crew(2, gather_worker(lambda line: line, ArrangeAll, store, tmp_path, BUDGET)) as crew,
    ):
        list(Gathering(crew, {"all": Stream(Full())}, store).run([("bucket", frames)]))
