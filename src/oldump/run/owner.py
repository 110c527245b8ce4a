"""The process that owns a lock, and whether it is still alive.

Does not: hold or take a lock (run.lock does).
"""

import json
import os
import pwd
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Owner:
    """A process, identified uniquely across machines, containers and reboots."""

    pid: int
    host: str
    user: str
    since: str
    """When it took the lock, in UTC."""
    started: str
    """When the process was started, in clock ticks of its kernel. Distinguishes processes that reuse a pid."""
    kernel: str
    """The boot id of the running kernel. Distinguishes machines with the same name, and reboots."""
    pids: str
    """The pid namespace: a pid means nothing in another container."""

    @classmethod
    def current(cls) -> Self:
        """Return this process."""
        pid, now = os.getpid(), datetime.now(UTC).isoformat(timespec="seconds")
        return cls(pid, socket.gethostname(), user_name(os.getuid()), now, _start_of(pid), _boot_id(), _pid_namespace())

    @classmethod
    def parse(cls, text: bytes) -> Self | None:
        """Return the owner that a lock file names, None if it names none or is damaged."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def to_json(self) -> bytes:
        """Return the text that `parse` accepts."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @property
    def is_on_this_boot(self) -> bool:
        """Whether the process runs, or ran, on this machine since its last boot."""
        return bool(self.kernel) and self.kernel == _boot_id()

    @property
    def is_alive(self) -> bool | None:
        """Whether the process runs; None if that cannot be determined from here."""
        if not self.is_on_this_boot or self.pids != _pid_namespace():
            return None
        return bool(self.started) and _start_of(self.pid) == self.started

    def __str__(self) -> str:
        """Describe the owner in messages."""
        return f"pid {self.pid} on {self.host} since {self.since}, user {self.user}"


def user_name(user_id: int) -> str:
    """Return the user's name, or the number if there is none."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:  # in a container the user may have no name
        return str(user_id)


def _start_of(pid: int) -> str:
    """Return when the process was started, empty if it does not run (proc(5): state is field 3, starttime 22)."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else fields[18]


def _boot_id() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _pid_namespace() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""
