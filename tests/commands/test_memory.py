"""The memory budget, measured from outside as the sum over all processes."""

import time
from pathlib import Path

import psutil
import pytest

from commands.command import DATE, SECONDS, started
from oldump.synth.table import copy_blocks

MOST = 256 << 20
ROWS = 300_000


def memory_of(process: psutil.Process) -> int:
    """Return the resident memory of the process and its workers. Shared pages count for each process."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


@pytest.mark.slow
def test_a_run_stays_within_its_budget(tmp_path: Path) -> None:
    """300,000 rows (208 MB of text) with --memory 256M: the sum over all processes never exceeds the budget."""
    with (tmp_path / "data.txt").open("wb") as stream:
        stream.writelines(copy_blocks(ROWS))
    arguments = ("run", DATE, "--source", "data.txt", "--out", "out", "--memory", "256M", "--workers", 2)
    most = 0
    with started(*arguments, cwd=tmp_path) as process:
        watched = psutil.Process(process.pid)
        deadline = time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                most = max(most, memory_of(watched))
            except psutil.NoSuchProcess:
                break
            time.sleep(0.01)
        assert process.wait(SECONDS) == 0
    print(f"peak of all processes: {most >> 20} MiB")  # noqa: T201 - shown with -s, and when it fails
    assert 0 < most < MOST
