"""Runs that are stopped, killed, or started twice: nothing half-made is seen, and the next run makes the same bytes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from commands.command import DATE, failed, final_names, item_of, oldump, private_of, published, run
from commands.processes import PATIENCE, gathers, has_begun, has_committed, is_gone, running, scatters, waited_for
from oldump.synth.table import copy_blocks

SOON = 5.0
"""Seconds within which a stopped command must have ended, workers and all."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that takes some seconds, so that there are moments to stop it at."""
    path = tmp_path_factory.mktemp("large") / "data.txt"
    path.write_bytes(b"".join(copy_blocks(25_000)))
    return path


def stopped(process: "subprocess.Popen[bytes]", number: int, whole_group: bool = False) -> tuple[float, str]:
    """Send the signal; how many seconds the command took to end, and what it said."""
    began = time.monotonic()
    if whole_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.wait(PATIENCE)
    seconds = time.monotonic() - began
    return seconds, (process.stderr.read() if process.stderr else b"").decode()


def run_arguments(source: object, out: Path) -> tuple[object, ...]:
    """The arguments of a run."""
    return "run", DATE, "--source", source, "--out", out, "--workers", 2


def test_sigterm_stops_cleanly_and_the_next_run_ends_with_the_same_bytes(large: Path, tmp_path: Path) -> None:
    """Within seconds, with exit code 143, no worker left, no file under a final name, no temporary file."""
    out = tmp_path / "out"
    for moment in (has_begun, scatters, gathers):
        with running(*run_arguments(large, out), cwd=tmp_path) as process:
            assert waited_for(lambda moment=moment: moment(out)), moment  # type: ignore[misc] # mypy cannot infer it
            seconds, said = stopped(process, signal.SIGTERM)
            assert process.returncode == 143, said
            assert seconds < SOON
            assert is_gone(process.pid)
            assert "stopped by SIGTERM" in said
            assert "Traceback" not in said
        assert final_names(out) == []
        assert not list(out.rglob("*.part"))
        assert not (private_of(out) / "spill").exists()
    run(large, out, cwd=tmp_path)
    run(large, tmp_path / "fresh", cwd=tmp_path)
    assert published(out) == published(tmp_path / "fresh")


def test_sigkill_at_any_moment_loses_nothing_but_time(large: Path, tmp_path: Path) -> None:
    """The workers end by themselves, no item appears, and the run that follows ends with the same bytes."""
    out = tmp_path / "out"
    for moment in (has_begun, scatters, gathers, has_committed):
        with running(*run_arguments(large, out), cwd=tmp_path) as process:
            assert waited_for(lambda moment=moment: moment(out)), moment  # type: ignore[misc] # mypy cannot infer it
            stopped(process, signal.SIGKILL)
            assert waited_for(lambda process=process: is_gone(process.pid), SOON)  # type: ignore[misc] # nor this
        assert moment is has_committed or final_names(out) == []
    ran = run(large, out, cwd=tmp_path)
    run(large, tmp_path / "fresh", cwd=tmp_path)
    assert published(out) == published(tmp_path / "fresh")
    assert "dumps: already committed" in ran.err or "dumps: started" in ran.err
    assert not list(out.rglob("*.part"))


def test_what_a_committed_stage_has_spilled_does_not_stay(small: Path, tmp_path: Path) -> None:
    """A run that was killed between a stage's commit and its tidying up: the next one tidies up, then and later."""
    out = tmp_path / "out"
    run(small, out, "--only", "dumps", cwd=tmp_path)
    spill = private_of(out) / "spill"
    for name in ("dumps/checkpoint", "dumps/spill-0"):
        (spill / name).parent.mkdir(parents=True, exist_ok=True)
        (spill / name).touch()
    run(small, out, "--only", "splice", cwd=tmp_path)
    assert not spill.exists()
    assert item_of(private_of(out) / "making").is_dir()


@pytest.mark.parametrize("whole_group", [False, True])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_run_that_waits_for_rows_can_be_stopped(number: int, code: int, whole_group: bool, tmp_path: Path) -> None:
    """By its own signal or its whole group's, as Ctrl-C and containers send it, with one line and its exit code."""
    with running(*run_arguments("-", tmp_path / "out"), cwd=tmp_path) as process:
        assert waited_for(lambda: scatters(tmp_path / "out"))
        time.sleep(0.2)
        seconds, said = stopped(process, number, whole_group)
        assert (process.returncode, seconds < SOON, is_gone(process.pid)) == (code, True, True), said
    assert len([line for line in said.splitlines() if "ERROR" in line]) == 1
    assert "Traceback" not in said


def test_a_second_run_is_told_who_works_on_it(tmp_path: Path) -> None:
    """Its exit code is 32, it names the process, and it changes nothing; when that one dies, the lock is free."""
    out = tmp_path / "out"
    with running(*run_arguments("-", out), cwd=tmp_path) as process:
        assert waited_for(lambda: scatters(out))
        second = oldump(*run_arguments("-", out), cwd=tmp_path)
        failed(second, 32, f"pid {process.pid} on ")
        failed(oldump(*run_arguments("-", out), "--overwrite", cwd=tmp_path), 32, f"pid {process.pid} on ")
        assert process.poll() is None
        stopped(process, signal.SIGKILL)
        assert waited_for(lambda: is_gone(process.pid), SOON)
    run("-", out, cwd=tmp_path, stdin=b"".join(copy_blocks(100)))


def test_runs_of_other_dates_do_not_wait(small: Path, tmp_path: Path) -> None:
    """The lock is one run's, not the folder's."""
    with running("run", "2022-06-30", "--source", "-", "--out", tmp_path, cwd=tmp_path):
        assert waited_for((tmp_path / "run-2022-06-30" / "spill").exists)
        run(small, tmp_path, cwd=tmp_path)


def test_a_stopped_sort_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its folder of intermediate files is gone."""
    spill = tmp_path / "spill"
    spill.mkdir()
    with running("sort", "--tmpdir", spill, cwd=tmp_path) as process:
        assert waited_for(lambda: any(spill.iterdir()))
        time.sleep(0.2)
        _, said = stopped(process, signal.SIGTERM)
        assert process.returncode == 143, said
    assert list(spill.iterdir()) == []


def test_a_stopped_split_leaves_nothing_behind(tmp_path: Path) -> None:
    """No part has its name, nor is a temporary file left."""
    with running("split", "--format", "part_%s.txt.gz", cwd=tmp_path) as process:
        assert waited_for(lambda: len(list(tmp_path.iterdir())) == 14)
        time.sleep(0.2)
        _, said = stopped(process, signal.SIGTERM)
        assert process.returncode == 143, said
    assert list(tmp_path.iterdir()) == []
