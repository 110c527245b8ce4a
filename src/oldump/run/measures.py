"""What a run takes of the machine, measured from within, cheaply enough for every few seconds.

Nothing here raises: what cannot be measured is None, or not counted.
"""

import os
from contextlib import suppress
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def memory_bytes() -> int | None:
    """The resident memory of this process and its children, as the budget counts it: shared pages for each.

    Linux says so in proc(5), at next to no cost; the proportional size, which counts shared pages once, takes the
    kernel 30 ms for each GB. None if the kernel does not list children.
    """
    try:
        lists = [path.read_text(encoding="ascii") for path in Path("/proc/self/task").glob("*/children")]
    except OSError:
        return None
    return sum(map(_resident_bytes, ["self", *" ".join(lists).split()])) if lists else None


def _resident_bytes(pid: str) -> int:
    """Of a process; 0 if it is gone."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    return 0


def size_bytes(folder: Path) -> int:
    """Of all files in the folder, as far as they are there."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def free_bytes(folder: Path) -> int | None:
    """What may still be written to the folder's disk; None if it does not say."""
    with suppress(OSError):
        room = os.statvfs(folder)
        return room.f_bavail * room.f_frsize
    return None
