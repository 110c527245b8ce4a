"""Measure the memory and disk space that a run uses, cheaply enough for every few seconds.

Nothing here raises. What cannot be measured is None or not counted.
"""

import os
from contextlib import suppress
from pathlib import Path

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


def size_bytes(folder: Path) -> int:
    """Return the total size of all files in the folder; 0 if the folder does not exist."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def free_bytes(folder: Path) -> int | None:
    """Return the free space on the folder's disk for this user; None if it is unknown."""
    with suppress(OSError):
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize
    return None
