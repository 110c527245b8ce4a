"""Wall time, CPU time, peak memory and the largest spill of a command with all its processes."""

import resource
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from oldump.run.measures import size_bytes

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Measured:
    """One run of a command."""

    seconds: float
    cpu_seconds: float
    """Of all processes that were waited for."""
    peak_rss_bytes: int
    """The largest sum of resident memory of all processes together; pages that they share count for each."""
    spill_bytes: int = 0
    """The most that lay in the folder of its spill, if that was looked at."""


def measured(command: list[str], folder: Path, spill: Path | None = None) -> Measured:
    """Run the command in the folder, and look at its spill, if that is given. Raises CalledProcessError."""
    began, cpu_before = time.perf_counter(), _cpu_seconds()
    process = psutil.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peak = most_spilled = 0
    while process.poll() is None:
        peak = max(peak, _rss_bytes(process))
        most_spilled = max(most_spilled, size_bytes(spill.rglob("*")) if spill else 0)
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=process.stderr.read())
    return Measured(seconds, _cpu_seconds() - cpu_before, peak, most_spilled)


def shell(command: str, folder: Path) -> Measured:
    """Run a pipe in bash, in which any failing part fails the whole."""
    return measured(["bash", "-c", f"set -o pipefail; {command}"], folder)


def timed(command: list[str], folder: Path) -> Measured:
    """The same for a command that takes less than a second: its memory is not looked at, so that nothing disturbs."""
    began, cpu_before = time.perf_counter(), _cpu_seconds()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    return Measured(time.perf_counter() - began, _cpu_seconds() - cpu_before, 0)


def typical(runs: Sequence[Measured]) -> Measured:
    """The medians of times, and the most of memory and spill."""
    return Measured(
        statistics.median(run.seconds for run in runs),
        statistics.median(run.cpu_seconds for run in runs),
        max(run.peak_rss_bytes for run in runs),
        max(run.spill_bytes for run in runs),
    )


def _cpu_seconds() -> float:
    """That all children took together that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
