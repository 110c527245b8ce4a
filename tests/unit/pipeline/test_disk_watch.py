"""The disk watch: warnings and StorageFull have numbers, and each disk has its own watch."""

from pathlib import Path

import pytest

from oldump.errors import StorageFull
from oldump.pipeline.disk_watch import DiskWatch, disk_watches
from oldump.pipeline.table import STAGE_OF
from oldump.run.measures import DiskSpace
from unit.stages.making import folder_in

GB = 1_000_000_000
NEEDED = {"dumps": 10 * GB, "splice": 2 * GB}


class FakeDisk:
    """A disk with as much free space as a test says."""

    def __init__(self, free: int = 100 * GB, total: int = 1_000 * GB) -> None:
        """Set its size and free space, in bytes."""
        self.space: DiskSpace | None = DiskSpace(total, free)

    def __call__(self) -> DiskSpace | None:
        """Return its space."""
        return self.space

    def set_free(self, free: int) -> None:
        """Change its free space."""
        self.space = DiskSpace(1_000 * GB, free)


def watch_of(out: Path, disk: FakeDisk) -> DiskWatch:
    """Return a watch over a run's folder, which exists."""
    folder = folder_in(out)
    folder.spill.mkdir(parents=True, exist_ok=True)
    return DiskWatch(folder, NEEDED.get, disk)


def write_sparse(path: Path, size_bytes: int) -> None:
    """Create a file of this size that occupies no space."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.truncate(size_bytes)


def test_enough_space_is_not_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is a disk that does not report its space, or a stage whose need is unknown."""
    disk = FakeDisk()
    watch = watch_of(tmp_path, disk)
    for stage in ("dumps", "sitemaps"):
        watch.start_stage(stage)
        watch.check()
    disk.space = None
    watch.check()
    assert caplog.messages == []


def test_a_shortage_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The warning has free and needed space; it is repeated only after there was enough in between."""
    disk = FakeDisk(free=9 * GB)
    watch = watch_of(tmp_path, disk)
    watch.start_stage("dumps")
    for free, warnings in ((9, 1), (8, 1), (12, 1), (9, 2)):
        disk.set_free(free * GB)
        watch.check()
        assert len(caplog.messages) == warnings
    message = f"{tmp_path} has 9.0 GB free, the run still needs about 10.0 GB. Free space"
    assert all(each.startswith(message) for each in caplog.messages)


def test_bytes_that_are_written_are_no_longer_needed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files of the running stage count as written, also those of its stopped predecessor; committed ones do not."""
    folder = folder_in(tmp_path)
    disk = FakeDisk(free=5 * GB)
    watch = watch_of(tmp_path, disk)
    write_sparse(folder.data, 7 * GB)
    write_sparse(folder.cdump.with_name("a.txt.gz.part"), 4 * GB)
    watch.start_stage("dumps")
    watch.check()
    assert "still needs about 6.0 GB" in caplog.text
    write_sparse(folder.spill / "spill-0", 2 * GB)
    watch.check()
    caplog.clear()
    disk.set_free(3 * GB)
    watch.check()
    assert "still needs about 4.0 GB" in caplog.text


@pytest.mark.parametrize(("total", "reserve"), [(1_000 * GB, 64 << 20), (8_000_000, 80_000)])
def test_a_run_stops_before_the_disk_is_full(tmp_path: Path, total: int, reserve: int) -> None:
    """The reserve is at most a hundredth of the disk; the error has free and needed space, and a hint."""
    disk = FakeDisk(reserve, total)
    watch = watch_of(tmp_path, disk)
    watch.start_stage("splice")
    watch.check()
    disk.space = DiskSpace(total, reserve - 1)
    with pytest.raises(StorageFull, match=r"^disk full: .*B free, the run still needs about 2\.0 GB; .*Free space"):
        watch.check()
    watch.start_stage("sitemaps")
    with pytest.raises(StorageFull, match=r"B free; .* reserved"):
        watch.check()


def test_a_spill_on_another_disk_has_its_own_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each watch compares its disk with what is written there, and reports its own path."""
    beside, apart = FakeDisk(), FakeDisk()
    folder = folder_in(tmp_path / "out")
    folder.private.mkdir(parents=True, exist_ok=True)
    (tmp_path / "elsewhere").mkdir()
    folder.spill.symlink_to(tmp_path / "elsewhere")
    watches = [DiskWatch(folder, NEEDED.get, beside), DiskWatch(folder, NEEDED.get, apart, root=folder.spill)]
    for watch in watches:
        watch.start_stage("dumps")
    write_sparse(folder.spill / "dumps" / "spill-0", 4 * GB)
    apart.set_free(7 * GB)
    beside.set_free(11 * GB)
    for watch in watches:
        watch.check()
    assert caplog.messages == []
    apart.set_free(5 * GB)
    watches[1].check()
    assert "elsewhere has 5.0 GB free, the run still needs about 6.0 GB" in caplog.text
    apart.set_free(1_000)
    with pytest.raises(StorageFull, match="elsewhere"):
        watches[1].check()


@pytest.mark.parametrize(("spill_is_apart", "count"), [(False, 1), (True, 2)])
def test_a_run_has_a_watch_for_each_disk(tmp_path: Path, *, spill_is_apart: bool, count: int) -> None:
    """One for its folder, and one for a spill that is on another disk."""
    stages = [STAGE_OF["dumps"], STAGE_OF["splice"]]
    watches = disk_watches(folder_in(tmp_path), stages, {"spill": 4, "dump": 1}, spill_is_apart=spill_is_apart)
    assert len(watches) == count
