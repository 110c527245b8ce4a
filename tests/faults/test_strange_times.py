"""Clock jumps, concurrent runs and stale locks: each run makes the same bytes or reports why it does not."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from commands.command import SECONDS, environment, failed, oldump, private_of, published, run, started
from commands.processes import is_scattering, wait_for
from faults.driver import Rule
from faults.faulty import DRIVER, Faulty, arguments_of, order_of
from oldump.run.owner import Owner


@pytest.mark.parametrize("step", ["18000", "-18000"], ids=["five hours ahead", "five hours back"])
def test_a_clock_that_jumps(step: str, table: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """Clock jumps back and forth change no byte, and durations stay plausible."""
    out = tmp_path / "out"
    order = order_of([Rule(step, "clock", nth=5)], *arguments_of(table, out), cwd=tmp_path)
    line = [sys.executable, str(DRIVER), json.dumps(order)]
    assert subprocess.run(line, env=environment(), timeout=SECONDS, check=False).returncode == 0
    assert published(out) == undisturbed
    log = (tmp_path / "err.txt").read_text(encoding="utf-8")
    hours = {line[11:13] for line in log.splitlines()}
    assert len(hours) > 1, "the clock did not step"
    seconds = [float(each) for each in re.findall(r"committed after ([0-9.-]+) seconds", log)]
    assert len(seconds) == 5
    assert all(0 <= each < SECONDS for each in seconds)


def test_two_runs_at_once(table: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    """The second run is refused with the owner's details, and the first one completes."""
    out = tmp_path / "out"
    with started(*arguments_of("-", out), cwd=tmp_path) as first:
        assert wait_for(lambda: is_scattering(out))
        failed(oldump(*arguments_of("-", out), cwd=tmp_path), 32, f"pid {first.pid} on ", "user ", "heartbeat ")
        _, err = first.communicate(table.read_bytes(), timeout=SECONDS)
        assert first.returncode == 0, err
    assert {name: text for name, text in published(out).items() if name.endswith(".gz")} == {
        name: text for name, text in undisturbed.items() if name.endswith(".gz")
    }


def test_the_lock_of_a_killed_process_is_taken_over(
    table: Path, undisturbed: dict[str, bytes], tmp_path: Path, faulty: Faulty
) -> None:
    """The next run takes over the lock of a dead process at once, and its log names the old owner."""
    out = tmp_path / "out"
    rule = Rule("SIGKILL", "rename", "*/out/ol_*", to="group")
    assert faulty([rule], *arguments_of(table, out), cwd=tmp_path).code == -9
    dead = Owner.parse((private_of(out) / "lock").read_bytes())
    ran = run(table, out, cwd=tmp_path)
    assert f"lock: left behind by {dead}; this process takes over the run" in ran.err
    assert f"left behind by {dead}" in (private_of(out) / "run.log").read_text(encoding="utf-8")
    assert published(out) == undisturbed


def test_a_lock_of_another_machine(table: Path, tmp_path: Path) -> None:
    """Where the file system does not share locks between hosts, a fresh heartbeat still blocks other runs."""
    lock = private_of(tmp_path / "out") / "lock"
    lock.parent.mkdir(parents=True)
    lock.write_bytes(replace(Owner.current(), pid=7, host="elsewhere", kernel="another").to_json())
    failed(oldump(*arguments_of(table, tmp_path / "out"), cwd=tmp_path), 32, "pid 7 on elsewhere since ", "heartbeat ")


def test_a_run_whose_lock_is_taken_over(table: Path, tmp_path: Path) -> None:
    """A run that loses its lock stops, names the new owner, and publishes nothing."""
    out = tmp_path / "out"
    with started(*arguments_of("-", out), cwd=tmp_path) as process:
        assert wait_for(lambda: is_scattering(out))
        other = replace(Owner.current(), pid=7, host="elsewhere")
        (private_of(out) / "lock").write_bytes(other.to_json())
        _, err = process.communicate(table.read_bytes(), timeout=SECONDS)
    assert process.returncode == 32, err
    assert b"another process has taken over this run (pid 7 on elsewhere" in err
    assert not list(out.glob("ol_*"))
    assert Owner.parse((private_of(out) / "lock").read_bytes()) == other
