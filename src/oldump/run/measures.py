"""Measure the memory and disk space that a run uses, cheaply enough for every few seconds.

Nothing here raises. What cannot be measured is None or not counted.
"""

import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def memory_bytes() -> int | None:
    """Return the resident memory of this process and its children, None if the kernel does not list children.

    Pages that processes share count for each, as in the memory budget. Reading it from proc(5) costs almost nothing;
    the proportional size, which counts shared pages once, takes the kernel 30 ms per GB.
    """
    try:
        lists = [path.read_text(encoding="ascii") for path in Path("/proc/self/task").glob("*/children")]
    except OSError:
        return None
    return sum(map(_resident_bytes, ["self", *" ".join(lists).split()])) if lists else None


def _resident_bytes(pid: str) -> int:
    """Return the resident memory of a process, 0 if it has ended."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    return 0


def size_bytes(paths: Iterable[Path]) -> int:
    """Return the total size of those paths that are files."""
    total = 0
    for path in paths:
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


class DiskSpace(NamedTuple):
    """The size of a disk, and how much of it is free for us."""

    total_bytes: int
    free_bytes: int


def disk_space(path: Path) -> DiskSpace | None:
    """Return the space of the disk that the path is on, or will be on; None if the file system does not report it."""
    with suppress(OSError):
        usage = shutil.disk_usage(nearest_existing(path))
        return DiskSpace(usage.total, usage.free) if usage.total else None
    return None


def nearest_existing(path: Path) -> Path:
    """Return the path, or its nearest parent that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
