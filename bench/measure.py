"""Wall time and peak memory of a command with all its processes."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Measured:
    """One run of a command."""

    seconds: float
    peak_rss_bytes: int
    """The largest sum of resident memory of all processes together; pages that they share count for each."""


def measured(command: list[str], folder: Path) -> Measured:
    """Run the command in the folder. Raises CalledProcessError."""
    began = time.perf_counter()
    process = psutil.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _rss_bytes(process))
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=process.stderr.read())
    return Measured(seconds, peak)


def shell(command: str, folder: Path) -> Measured:
    """Run a pipe in bash, in which any failing part fails the whole."""
    return measured(["bash", "-c", f"set -o pipefail; {command}"], folder)


def _rss_bytes(process: psutil.Popen) -> int:
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            try:
                total += each.memory_info().rss
            except psutil.Error:  # it ended meanwhile
                continue
    except psutil.Error:
        pass
    return total
