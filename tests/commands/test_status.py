"""Observe runs from outside: by reading status.json, with `oldump status`, and as a monitor."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from commands.command import COMMAND, DATE, SECONDS, environment, failed, item_of, oldump, private_of, started
from commands.processes import PATIENCE, wait_for
from commands.terminal import terminal
from oldump.run.history import completed_runs
from oldump.run.status import Status

NEVER_LATE = {"OLDUMP_LATE_DAYS": "100000"}


def status_of(out: Path) -> Status | None:
    """Return the content of status.json, None if it does not exist. It must be complete at any moment."""
    path = private_of(out) / "status.json"
    if not path.exists():
        return None
    status = Status.parse(path.read_bytes())
    assert status, "a reader found a part of it"
    return status


def is_at(out: Path, step: str) -> bool:
    """Whether the run's status names the step."""
    status = status_of(out)
    return status is not None and status.step == step


class Stalled:
    """A run whose source has stopped sending in the middle of a row."""

    def __init__(self, table: Path, out: Path) -> None:
        """Start the run and send half of the table."""
        self.out = out
        self.process = started("run", DATE, "--source", "-", "--out", out, "--workers", 1, cwd=out.parent)
        text = table.read_bytes()
        assert self.process.stdin
        self.process.stdin.write(text[: len(text) // 2])
        self.process.stdin.flush()

    def watched(self) -> set[str]:
        """Poll the status; return the write times that it reported."""
        seen: set[str] = set()
        end = time.monotonic() + PATIENCE
        while len(seen) < 3 and time.monotonic() < end:
            status = status_of(self.out)
            assert status
            seen.add(status.updated)
        return seen

    def end(self, number: int) -> None:
        """Send this signal to the main process only."""
        self.process.send_signal(number)
        self.process.communicate()


@pytest.fixture(scope="module")
def killed(small: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[str]]:
    """The folder of a run that was killed while it waited in its scatter, and what status.json reported before.

    Read-only.
    """
    out = tmp_path_factory.mktemp("killed") / "out"
    run = Stalled(small, out)
    try:
        assert wait_for(lambda: is_at(out, "scatter"))
        seen = run.watched()
    finally:
        run.end(signal.SIGKILL)
    return out, seen


def test_the_status_is_updated_while_the_run_waits(killed: tuple[Path, set[str]]) -> None:
    """It is complete at every poll and is updated, although no row arrives."""
    _, seen = killed
    assert len(seen) >= 3


def test_a_killed_run_is_shown_as_dead(killed: tuple[Path, set[str]]) -> None:
    """Its last status says "running"; the monitor's command exits with 54 and the reason."""
    out, _ = killed
    status = status_of(out)
    assert status
    assert (status.state.value, status.step) == ("running", "scatter")
    ran = oldump("status", DATE, "--out", out, "--check", cwd=out.parent, env=NEVER_LATE)
    failed(ran, 54, f"{DATE} is dead", "ended without reporting")
    assert f"run      {DATE}, dead\n" in ran.out.decode()
    assert "dumps    dead" in ran.out.decode()


def test_a_resumed_run_ends_complete_and_is_recorded(small: Path, tmp_path: Path) -> None:
    """Stopped, failed, then completed: the history has each exit code, and the next run gets a forecast."""
    out = tmp_path / "out"
    run = Stalled(small, out)
    assert wait_for(lambda: is_at(out, "scatter"))
    run.end(signal.SIGTERM)
    stopped = status_of(out)
    assert stopped
    assert (stopped.state.value, stopped.exit_code, stopped.error) == ("stopped", 143, "stopped by SIGTERM")

    ran = oldump("run", DATE, "--source", "-", "--out", out, "--log-format", "json", cwd=tmp_path, stdin=b"no row\n")
    assert ran.code == 14
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert {"level": "ERROR", "date": DATE, "stage": "dumps"}.items() <= lines[-1].items()
    fell = status_of(out)
    assert fell
    assert (fell.state.value, fell.exit_code, fell.error) == ("failed", 14, lines[-1]["message"])
    assert "[openlibrary.dump] ERROR" in (private_of(out) / "run.log").read_text(encoding="utf-8").splitlines()[-1]

    ran = oldump("run", DATE, "--source", "-", "--out", out, cwd=tmp_path, stdin=small.read_bytes())
    assert ran.code == 0, ran.err
    done = status_of(out)
    assert done
    assert (done.state.value, done.exit_code, done.error, done.run_share) == ("complete", 0, None, 1.0)
    assert done.began == stopped.began == fell.began
    assert done.seconds > fell.seconds >= stopped.seconds
    assert {stage.state for stage in done.stages} == {"committed"}
    (past,) = completed_runs(out / "history.jsonl")
    assert (past.date, past.rows, set(past.stages)) == (DATE, 600, {stage.name for stage in done.stages})
    assert past.stages["dumps"].steps.keys() == {"scatter", "gather"}

    plan = oldump("plan", "2022-08-31", "--source", "-", "--out", out, cwd=tmp_path).out.decode().splitlines()
    assert re.search(r"  for 2022-08-31 +forecast$", plan[0])
    assert plan[-1].startswith("about ")
    assert f"(from the run of {DATE}); started now, it ends about 20" in plan[-1]


def test_a_folder_of_runs_is_listed(complete: Path, killed: tuple[Path, set[str]]) -> None:
    """Newest first, late runs marked; as JSON too."""
    (complete / "run-2022-08-31").mkdir()
    (complete / "run-2022-08-31" / "status.json").write_bytes((private_of(killed[0]) / "status.json").read_bytes())
    ran = oldump("status", "--out", complete, cwd=complete)
    heading, late, dead, done = ran.out.decode().splitlines()
    assert (ran.code, heading.split()) == (0, ["date", "state", "at", "share", "time", "records", "bytes", "problem"])
    assert "missing" in late
    assert "late: not complete 3 days after its date" in late
    assert dead.startswith("2022-08-31  dead")
    assert done.startswith(f"{DATE}  complete")
    ran = oldump("status", "--out", complete, "--json", cwd=complete, env=NEVER_LATE)
    assert [run["state"] for run in json.loads(ran.out)] == ["dead", "complete"]


def test_a_run_is_followed_to_its_end(small: Path, tmp_path: Path) -> None:
    """In a terminal the display is updated in place, elsewhere each change is a line.

    Ctrl-C ends only the watcher, with 130.
    """
    out = tmp_path / "out"
    run = Stalled(small, out)
    line = [*COMMAND, "status", "--watch", "--out", str(out)]
    env = environment(TERM="xterm-256color", **NEVER_LATE)
    try:
        assert wait_for(lambda: is_at(out, "scatter"))
        with terminal() as (descriptor, shown):
            watching = subprocess.Popen(line, env=env, stdout=descriptor, stderr=descriptor, start_new_session=True)
            lines = subprocess.Popen(line, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            assert wait_for(lambda: b"dumps scatter" in shown.shown)
            os.killpg(watching.pid, signal.SIGINT)
            assert watching.wait(SECONDS) == 130
        assert b"\x1b[?25l" in shown.shown
        assert b"ERROR" not in shown.shown
        assert lines.stdout
        first = lines.stdout.readline().decode()
        run.process.communicate(small.read_bytes()[len(small.read_bytes()) // 2 :], SECONDS)
        output, errors = lines.communicate(timeout=SECONDS)
    finally:
        run.process.kill()
    assert (lines.returncode, errors) == (0, b"")
    last = output.decode().splitlines()[-1]
    assert first.startswith(f"{DATE}, running, dumps")
    assert last.startswith(f"{DATE}, complete, ")
    assert item_of(out).exists()


def test_terminal_escapes_from_data_are_not_printed(complete: Path, tmp_path: Path) -> None:
    """Neither in the table of runs nor in the details of one, in a pipe or on a terminal."""
    path = private_of(complete) / "status.json"
    status = json.loads(path.read_bytes()) | {"state": "failed", "exit_code": 12, "error": "row \x1b[2J\x9b\u202e"}
    path.write_text(json.dumps(status), encoding="utf-8")
    for arguments in (["status"], ["status", DATE]):
        shown = oldump(*arguments, "--out", complete, cwd=tmp_path, env=NEVER_LATE).out.decode()
        assert not set("\x1b\x9b\u202e") & set(shown)
        assert "\\x1b" in shown
