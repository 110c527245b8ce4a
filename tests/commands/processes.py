"""Processes of the command line that a test starts, watches and stops."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from commands.command import DATE, private_of, started

PATIENCE = 60.0


def has_begun(out: Path) -> bool:
    """The run has its lock."""
    return (private_of(out) / "lock").exists()


def scatters(out: Path) -> bool:
    """Rows are being read."""
    return (private_of(out) / "spill").exists()


def gathers(out: Path) -> bool:
    """Artifacts are being written, under temporary names."""
    return any(path.exists() for path in (private_of(out) / "making" / f"ol_cdump_{DATE}").glob("*.part"))


def has_committed(out: Path) -> bool:
    """The first stage is in the journal."""
    journal = private_of(out) / "journal.jsonl"
    return journal.exists() and b'"committed"' in journal.read_bytes()


def waited_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Whether the condition came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def is_gone(group: int) -> bool:
    """Whether no process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@contextmanager
def running(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> "Iterator[subprocess.Popen[bytes]]":
    """A command that is running, and is gone afterwards with all its workers."""
    process = started(*arguments, cwd=cwd, env=env)
    try:
        yield process
    finally:
        if not is_gone(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
