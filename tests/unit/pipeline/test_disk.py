"""What is looked after while a run goes on: lock and disk, at most every few seconds, with numbers."""

from pathlib import Path

import pytest

from oldump.errors import RunBusy, StorageFull
from oldump.pipeline.disk import LOOK_SECONDS, Disks, DiskWatch, Room, Watched, room_of
from oldump.pipeline.preflight import needed_by
from unit.stages.making import Watching, folder_in

GB = 1_000_000_000
NEEDED = {"dumps": 10 * GB, "splice": 2 * GB}


class Disk:
    """A disk that says what a test tells it to, and how often it was asked."""

    def __init__(self, free: int = 100 * GB, total: int = 1_000 * GB) -> None:
        """Say so."""
        self.room: Room | None = Room(total, free)
        self.asked = 0

    def __call__(self) -> Room | None:
        """What it has."""
        self.asked += 1
        return self.room

    def has(self, free: int) -> None:
        """So much is free from now on."""
        self.room = Room(1_000 * GB, free)


def watch_of(out: Path, disk: Disk) -> DiskWatch:
    """A watch over a run's folder, which is there."""
    folder = folder_in(out)
    folder.spill.mkdir(parents=True, exist_ok=True)
    return DiskWatch(folder, NEEDED.get, disk)


def written(path: Path, size_bytes: int) -> None:
    """A file that is said to be so large, and takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        stream.truncate(size_bytes)


def test_ample_room_is_not_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nor is a disk that does not say how much it has, or a need that nobody knows."""
    disk = Disk()
    watch = watch_of(tmp_path, disk)
    for stage in ("dumps", "sitemaps"):
        watch.begin(stage)
        watch.look()
    disk.room = None
    watch.look()
    assert caplog.messages == []


def test_a_shortage_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With what is free and what is needed; and once more only if there was enough in between."""
    disk = Disk(free=9 * GB)
    watch = watch_of(tmp_path, disk)
    watch.begin("dumps")
    for free, warnings in ((9, 1), (8, 1), (12, 1), (9, 2)):
        disk.has(free * GB)
        watch.look()
        assert len(caplog.messages) == warnings
    told = f"{tmp_path}: 9.0 GB are free, and about 10.0 GB are still needed, estimated. Make room"
    assert all(message.startswith(told) for message in caplog.messages)


def test_what_is_written_is_needed_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of the stage that is at work; what a stopped one left of it counts as written, what is committed does not."""
    folder = folder_in(tmp_path)
    disk = Disk(free=5 * GB)
    watch = watch_of(tmp_path, disk)
    written(folder.data, 7 * GB)
    written(folder.cdump.with_name("a.txt.gz.part"), 4 * GB)
    watch.begin("dumps")
    watch.look()
    assert "about 6.0 GB are still needed" in caplog.text
    written(folder.spill / "spill-0", 2 * GB)
    watch.look()
    caplog.clear()
    disk.has(3 * GB)
    watch.look()
    assert "about 4.0 GB are still needed" in caplog.text


@pytest.mark.parametrize(("total", "reserve"), [(1_000 * GB, 64 << 20), (8_000_000, 80_000)])
def test_the_last_of_the_disk_is_not_used(tmp_path: Path, total: int, reserve: int) -> None:
    """The run stops there, of a small disk at a hundredth, and says what is free, what is needed, and what to do."""
    disk = Disk(reserve, total)
    watch = watch_of(tmp_path, disk)
    watch.begin("splice")
    watch.look()
    disk.room = Room(total, reserve - 1)
    with pytest.raises(StorageFull, match=r"B are free, and about 2\.0 GB are still needed, .*Free some"):
        watch.look()
    watch.begin("sitemaps")
    with pytest.raises(StorageFull, match=r"B are free; the last "):
        watch.look()


def test_news_are_passed_on_and_looked_at_now_and_then(tmp_path: Path) -> None:
    """At the beginning of each step, and then at most every few seconds, however many updates come."""
    disk, shown, now = Disk(), Watching(), [0.0]
    asked: list[float] = []
    watched = Watched(shown, watch_of(tmp_path, disk), lambda: asked.append(now[0]), lambda: now[0])
    watched.begin("dumps", "scatter")
    for tenth in range(100):
        now[0] = tenth / 10
        watched.update(tenth, None)
    watched.begin("dumps", "gather")
    watched.end("dumps")
    assert asked == [0.0, LOOK_SECONDS, 9.9]
    assert disk.asked == len(asked)
    assert (shown.steps, shown.ended) == (["dumps scatter", "dumps gather"], ["dumps"])
    assert len(shown.updates) == 100


def test_a_run_that_lost_its_lock_stops(tmp_path: Path) -> None:
    """As soon as it is looked at."""

    def lost() -> None:
        raise RunBusy("taken over")

    with pytest.raises(RunBusy):
        Watched(Watching(), watch_of(tmp_path, Disk()), lost).begin("dumps", "scatter")


def test_the_room_is_the_disks(tmp_path: Path) -> None:
    """Of a folder that is there; of none, nobody knows."""
    room = room_of(tmp_path)
    assert room
    assert 0 < room.free <= room.total
    assert room_of(tmp_path / "not there") is None


def test_what_stages_need_is_their_share_of_what_all_need() -> None:
    """The spill is needed by both that spill, and counts once; a thing that nobody estimated is none."""
    needed = {"tables": 1, "data": 2, "spill": 4, "cdump": 8, "parts": 16, "dump": 32, "deworks": 64}
    assert needed_by({"ratings", "wikidata"}, needed) == 1
    assert needed_by({"data"}, needed) == 2
    assert needed_by({"cdump", "works", "dump", "deworks"}, needed) == 124
    assert needed_by({"dump", "deworks"}, needed) == 100
    assert needed_by({"deworks"}, {}) == 0


def test_a_spill_on_another_disk_has_its_own_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each disk is asked what it has, for what is written to it alone, and the first that is full stops the run."""
    beside, apart = Disk(), Disk()
    folder = folder_in(tmp_path / "out")
    folder.private.mkdir(parents=True, exist_ok=True)
    (tmp_path / "elsewhere").mkdir()
    folder.spill.symlink_to(tmp_path / "elsewhere")
    spilled = DiskWatch(folder, NEEDED.get, apart, root=folder.spill)
    disks = Disks([DiskWatch(folder, NEEDED.get, beside), spilled])
    disks.begin("dumps")
    written(folder.spill / "dumps" / "spill-0", 4 * GB)
    apart.has(7 * GB)
    beside.has(11 * GB)
    disks.look()
    assert caplog.messages == []
    apart.has(5 * GB)
    disks.look()
    assert "elsewhere: 5.0 GB are free, and about 6.0 GB are still needed" in caplog.text
    apart.has(1_000)
    with pytest.raises(StorageFull, match="elsewhere"):
        disks.look()
