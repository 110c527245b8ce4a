"""Measure a command with all its processes: wall time, CPU time, peak memory and largest spill."""

import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from oldump.run.measures import size_bytes

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Measured:
    """The figures of one run of a command, or of several."""

    seconds: float
    cpu_seconds: float
    """CPU seconds of all processes of the command."""
    peak_rss_bytes: int
    """The largest sum of the resident memory of all processes. Shared pages count for each process."""
    spill_bytes: int = 0
    """The largest size of the spill folder, 0 if it was not measured."""


def measured(command: list[str], folder: Path, spill: Path | None = None) -> Measured:
    """Run the command in the folder and measure it. spill: its spill folder. Raises CalledProcessError."""
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
    """Run a pipeline in bash and measure it. It fails if one of its commands fails."""
    return measured(["bash", "-c", f"set -o pipefail; {command}"], folder)


def timed(command: list[str], folder: Path) -> Measured:
    """Measure a command of less than a second. Does not poll its memory, which would slow it down."""
    began, cpu_before = time.perf_counter(), _cpu_seconds()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    return Measured(time.perf_counter() - began, _cpu_seconds() - cpu_before, 0)


def measured_in_turn(runs: Mapping[str, Callable[[], Measured]], rounds: int) -> dict[str, Measured]:
    """Run each once per round, in turn, and return the figures of each over all rounds (see summary)."""
    results: dict[str, list[Measured]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            results[name].append(run())
    return {name: summary(each) for name, each in results.items()}


def summary(runs: Sequence[Measured]) -> Measured:
    """Return the median times, and the maximum of memory and spill."""
    return Measured(
        statistics.median(run.seconds for run in runs),
        statistics.median(run.cpu_seconds for run in runs),
        max(run.peak_rss_bytes for run in runs),
        max(run.spill_bytes for run in runs),
    )


def _cpu_seconds() -> float:
    """Return the CPU seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _rss_bytes(process: psutil.Popen) -> int:
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            try:
                total += each.memory_info().rss
            except psutil.Error:  # the process has ended
                continue
    except psutil.Error:
        pass
    return total
