"""What is looked after while a run goes on: that the lock is still ours, and that the disk does not fill up.

Nothing here has a thread: whoever tells of progress is made to look, every few seconds.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from oldump.engine.commit import TEMPORARY_SUFFIX
from oldump.errors import StorageFull
from oldump.pipeline.preflight import size_bytes
from oldump.run.folder import RunFolder
from oldump.run.formatting import format_bytes
from oldump.run.progress import Progress

log = logging.getLogger("oldump")

LOOK_SECONDS = 5.0
_MOST_RESERVE_BYTES = 64 << 20
_RESERVE_SHARE = 100


class Room(NamedTuple):
    """What a disk has, in bytes."""

    total: int
    free: int


def room_of(folder: Path) -> Room | None:
    """The room of the folder's disk; None if it does not say."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return Room(usage.total, usage.free) if usage.total else None


class DiskWatch:
    """Warns when a run may not find the room that it still needs, and stops it before the disk is full."""

    def __init__(
        self,
        folder: RunFolder,
        needed: Callable[[str], int | None],
        room: Callable[[], Room | None],
        root: Path | None = None,
    ) -> None:
        """needed: the bytes that a stage and all behind it are estimated to write; None: not known.

        root: what lies on the disk of this run: None: its private folder.
        """
        self._root = root or folder.private
        self._place = root.resolve() if root else folder.out
        self._folder = folder
        self._needed_from = needed
        self._room = room
        self._needed: int | None = None
        self._before_bytes = 0
        self._is_told = False

    def begin(self, stage: str) -> None:
        """A stage begins."""
        self._needed = self._needed_from(stage)
        self._before_bytes = _size_bytes(set(self._root.rglob("*")) - leftovers(self._folder))

    def look(self) -> None:
        """Warn, once until there is enough again. Raises StorageFull when only the reserve is left."""
        room = self._room()
        if room is None:
            return
        needed = self._still_needed()
        told = f"{self._place}: {format_bytes(room.free)} are free"
        if needed is not None:
            told += f", and about {format_bytes(needed)} are still needed, estimated"
        reserve = min(_MOST_RESERVE_BYTES, room.total // _RESERVE_SHARE)
        if room.free < reserve:
            raise StorageFull(
                f"{told}; the last {format_bytes(reserve)} are not used, so that the run can end in order",
                "Free some and give the command again: what was committed is kept, and a run continues from there.",
            )
        is_short = needed is not None and room.free < needed
        if is_short and not self._is_told:
            log.warning("%s. Make room, or the run stops when the disk is full.", told)
        self._is_told = is_short

    def _still_needed(self) -> int | None:
        """What is estimated, without what has been written since the stage began."""
        if self._needed is None:
            return None
        written = _size_bytes(self._root.rglob("*")) - self._before_bytes
        return max(0, self._needed - written)


class Disks:
    """The watches over all disks that a run writes to."""

    def __init__(self, watches: Sequence[DiskWatch]) -> None:
        self._watches = watches

    def begin(self, stage: str) -> None:
        """A stage begins."""
        for watch in self._watches:
            watch.begin(stage)

    def look(self) -> None:
        """Warn, and raise StorageFull, as the first of them does."""
        for watch in self._watches:
            watch.look()


def _size_bytes(paths: Iterable[Path]) -> int:
    return sum(map(size_bytes, paths))


def leftovers(folder: RunFolder) -> set[Path]:
    """What a stage that was broken off may have left: spill and temporary files."""
    temporary = f"*{TEMPORARY_SUFFIX}"
    return {
        *(path for path in folder.spill.rglob("*") if path.is_file()),
        *folder.private.glob(temporary),
        *folder.making.glob(f"*/{temporary}"),
    }


class Watched:
    """A Progress that looks after the run whenever it hears something, at most every few seconds, and passes it on."""

    def __init__(
        self,
        progress: Progress,
        disk: DiskWatch | Disks,
        require: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """require: what must hold besides; raises if it does not."""
        self._progress, self._disk, self._require, self._clock = progress, disk, require, clock
        self._stage = ""
        self._looked = clock()

    def begin(self, stage: str, step: str) -> None:
        """A step of a stage begins. Raises StorageFull and what `require` raises, as `update` does."""
        self._progress.begin(stage, step)
        if stage != self._stage:
            self._stage = stage
            self._disk.begin(stage)
        self._look()

    def update(self, rows: int, done: float | None) -> None:
        """So many rows so far, and this share of the step."""
        self._progress.update(rows, done)
        if self._clock() >= self._looked + LOOK_SECONDS:
            self._look()

    def end(self, stage: str) -> None:
        """The stage is over."""
        self._progress.end(stage)

    def _look(self) -> None:
        self._looked = self._clock()
        self._require()
        self._disk.look()
