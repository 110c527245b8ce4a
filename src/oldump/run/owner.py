"""Whose a lock is, as its file says it, and whether that process still runs.

Does not: hold or take a lock; that is run.lock's.
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
    """A process, told apart from all others on all machines."""

    pid: int
    host: str
    user: str
    since: str
    """When it took the lock, in UTC."""
    started: str
    """When the process was started, in clock ticks of its kernel: another one may have its pid later."""
    kernel: str
    """The running kernel's id: machines may have equal names, and one that was started again has another id."""
    pids: str
    """The namespace of process ids: a pid of one container says nothing in another."""

    @classmethod
    def ours(cls) -> Self:
        """This process."""
        pid, now = os.getpid(), datetime.now(UTC).isoformat(timespec="seconds")
        return cls(pid, socket.gethostname(), _user(), now, _start_of(pid), _kernel(), _namespace())

    @classmethod
    def read(cls, text: bytes) -> Self | None:
        """Who wrote this; None if that cannot be read."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def written(self) -> bytes:
        """What `read` reads."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @property
    def has_our_kernel(self) -> bool:
        """Whether it runs, or ran, on this machine, and this was not started again since."""
        return bool(self.kernel) and self.kernel == _kernel()

    @property
    def runs(self) -> bool | None:
        """Whether the process runs; None if that cannot be seen from here."""
        if not self.has_our_kernel or self.pids != _namespace():
            return None
        return bool(self.started) and _start_of(self.pid) == self.started

    def __str__(self) -> str:
        """For messages."""
        return f"pid {self.pid} on {self.host} since {self.since}, user {self.user}"


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may give a number alone
        return str(os.getuid())


def _start_of(pid: int) -> str:
    """When the process was started; empty if it does not run (proc(5): state is field 3, starttime 22)."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except (OSError, ValueError):
        return ""
    return "" if state in "ZX" else fields[18]


def _kernel() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


def _namespace() -> str:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return ""
