"""Start, watch and stop processes of the command line."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from commands.command import DATE, private_of, started

PATIENCE = 60.0


def has_started(out: Path) -> bool:
    """Whether the run has created its lock file."""
    return (private_of(out) / "lock").exists()


def is_scattering(out: Path) -> bool:
    """Whether the run reads rows."""
    return (private_of(out) / "spill").exists()


def is_gathering(out: Path) -> bool:
    """Whether the run writes artifacts under temporary names."""
    return any(path.exists() for path in (private_of(out) / "making" / f"ol_cdump_{DATE}").glob("*.part"))


def has_committed(out: Path) -> bool:
    """Whether the journal records the first committed stage."""
    journal = private_of(out) / "journal.jsonl"
    return journal.exists() and b'"committed"' in journal.read_bytes()


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Wait for the condition; return whether it became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def is_gone(group: int) -> bool:
    """Whether no process of the group remains."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@contextmanager
def running(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> "Iterator[subprocess.Popen[bytes]]":
    """Start a command; kill it and all its workers at the end of the block."""
    process = started(*arguments, cwd=cwd, env=env)
    try:
        yield process
    finally:
        if not is_gone(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
