"""The disk watch: warn when the free space may not suffice, and stop a run before the disk is full.

Does not: have a thread. The runner says which stage starts, and `run.watch` asks for a check between tasks.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from itertools import dropwhile
from pathlib import Path

from oldump.errors import StorageFull
from oldump.pipeline.disk_estimate import bytes_for, split_off_spill
from oldump.pipeline.stage import Stage
from oldump.pipeline.state import leftovers
from oldump.run.folder import RunFolder
from oldump.run.formatting import format_bytes
from oldump.run.measures import DiskSpace, disk_space, size_bytes

log = logging.getLogger("oldump")

_MOST_RESERVE_BYTES = 64 << 20
_RESERVE_SHARE = 100


class DiskWatch:
    """Compares the free space of one disk with what the run still needs there."""

    def __init__(
        self,
        folder: RunFolder,
        needed_from: Callable[[str], int | None],
        space: Callable[[], DiskSpace | None],
        root: Path | None = None,
    ) -> None:
        """needed_from: estimated bytes that a stage and all later ones write; None if unknown.

        root: the folder of the run on this disk; None: its private folder.
        """
        self._root = root or folder.private
        self._place = root.resolve() if root else folder.out
        self._folder = folder
        self._needed_from = needed_from
        self._space = space
        self._needed: int | None = None
        self._before_bytes = 0
        self._has_warned = False

    def start_stage(self, stage: str) -> None:
        """Count what is written from now on towards this stage and the later ones."""
        self._needed = self._needed_from(stage)
        self._before_bytes = size_bytes(set(self._root.rglob("*")) - leftovers(self._folder))

    def check(self) -> None:
        """Warn once per shortage. Raises StorageFull when only the reserve is left."""
        space = self._space()
        if space is None:
            return
        needed = self._still_needed()
        message = f"{self._place} has {format_bytes(space.free_bytes)} free"
        if needed is not None:
            message += f", the run still needs about {format_bytes(needed)}"
        reserve = min(_MOST_RESERVE_BYTES, space.total_bytes // _RESERVE_SHARE)
        if space.free_bytes < reserve:
            raise StorageFull(
                f"disk full: {message}; {format_bytes(reserve)} are reserved for a clean stop",
                "Free space and rerun: the run resumes.",
            )
        is_short = needed is not None and space.free_bytes < needed
        if is_short and not self._has_warned:
            log.warning("%s. Free space, or the run stops when the disk is full.", message)
        self._has_warned = is_short

    def _still_needed(self) -> int | None:
        """Return the estimate minus what has been written since the stage started."""
        if self._needed is None:
            return None
        written = size_bytes(self._root.rglob("*")) - self._before_bytes
        return max(0, self._needed - written)


def disk_watches(
    folder: RunFolder, to_do: list[Stage], needed_bytes: Mapping[str, int] | None, *, spill_is_apart: bool
) -> list[DiskWatch]:
    """Return a watch for each disk that the run writes to. needed_bytes: preflight's estimate."""
    if not spill_is_apart:
        return [DiskWatch(folder, partial(_needed_from, to_do, needed_bytes), partial(disk_space, folder.private))]
    beside, spilled = split_off_spill(needed_bytes)
    return [
        DiskWatch(folder, partial(_needed_from, to_do, beside), partial(disk_space, folder.private)),
        DiskWatch(folder, partial(_needed_from, to_do, spilled), partial(disk_space, folder.spill), root=folder.spill),
    ]


def _needed_from(to_do: list[Stage], needed_bytes: Mapping[str, int] | None, name: str) -> int | None:
    """Return the estimated bytes that the named stage and the later ones write; None if unknown."""
    if needed_bytes is None:
        return None
    remaining = dropwhile(lambda stage: stage.name != name, to_do)
    return bytes_for({written for stage in remaining for written in stage.writes}, needed_bytes)
