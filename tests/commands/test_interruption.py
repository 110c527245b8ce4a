"""Stop, kill, or start runs twice: no partial file is visible, and the next run makes the same bytes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from commands.command import DATE, failed, final_names, item_of, oldump, private_of, published, run
from commands.processes import (
    has_committed,
    has_started,
    is_gathering,
    is_gone,
    is_scattering,
    running,
    wait_for,
)
from oldump.synth.table import copy_blocks

GRACE_SECONDS = 10.0
"""The deadline for a stopped command to end, with its workers: a container then gets SIGKILL."""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that takes some seconds, so that a run can be stopped at different moments."""
    path = tmp_path_factory.mktemp("large") / "data.txt"
    path.write_bytes(b"".join(copy_blocks(25_000)))
    return path


def stopped(process: "subprocess.Popen[bytes]", number: int, whole_group: bool = False) -> str:
    """Send the signal and wait for the end, at most GRACE_SECONDS; return the command's standard error."""
    if whole_group:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.wait(GRACE_SECONDS)
    return (process.stderr.read() if process.stderr else b"").decode()


def run_arguments(source: object, out: Path) -> tuple[object, ...]:
    """Return the arguments of a run."""
    return "run", DATE, "--source", source, "--out", out, "--workers", 2


def test_sigterm_stops_cleanly_and_the_next_run_makes_the_same_bytes(large: Path, tmp_path: Path) -> None:
    """Exit code 143; no worker, no file under a final name and no temporary file remains."""
    out = tmp_path / "out"
    for moment in (has_started, is_scattering, is_gathering):
        with running(*run_arguments(large, out), cwd=tmp_path) as process:
            assert wait_for(lambda moment=moment: moment(out)), moment  # type: ignore[misc] # mypy cannot infer it
            error = stopped(process, signal.SIGTERM)
            assert process.returncode == 143, error
            assert is_gone(process.pid)
            assert "stopped by SIGTERM" in error
            assert "Traceback" not in error
        assert final_names(out) == []
        assert not list(out.rglob("*.part"))
        assert not (private_of(out) / "spill").exists()
    run(large, out, cwd=tmp_path)
    run(large, tmp_path / "fresh", cwd=tmp_path)
    assert published(out) == published(tmp_path / "fresh")


def test_sigkill_at_any_moment_loses_nothing_but_time(large: Path, tmp_path: Path) -> None:
    """The workers end by themselves, no item appears, and the next run makes the same bytes."""
    out = tmp_path / "out"
    for moment in (has_started, is_scattering, is_gathering, has_committed):
        with running(*run_arguments(large, out), cwd=tmp_path) as process:
            assert wait_for(lambda moment=moment: moment(out)), moment  # type: ignore[misc] # mypy cannot infer it
            stopped(process, signal.SIGKILL)
            assert wait_for(lambda process=process: is_gone(process.pid), GRACE_SECONDS)  # type: ignore[misc] # nor this
        assert moment is has_committed or final_names(out) == []
    ran = run(large, out, cwd=tmp_path)
    run(large, tmp_path / "fresh", cwd=tmp_path)
    assert published(out) == published(tmp_path / "fresh")
    assert "dumps: already committed" in ran.err or "dumps: started" in ran.err
    assert not list(out.rglob("*.part"))


def test_the_spill_of_a_committed_stage_is_removed(small: Path, tmp_path: Path) -> None:
    """A run was killed between a stage's commit and the removal of its spill: the next run removes it."""
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
    """Its own signal stops it, and so does one to its whole group, as Ctrl-C and containers send.

    One line and the exit code report it.
    """
    with running(*run_arguments("-", tmp_path / "out"), cwd=tmp_path) as process:
        assert wait_for(lambda: is_scattering(tmp_path / "out"))
        time.sleep(0.2)
        error = stopped(process, number, whole_group)
        assert (process.returncode, is_gone(process.pid)) == (code, True), error
    assert len([line for line in error.splitlines() if "ERROR" in line]) == 1
    assert "Traceback" not in error


def test_a_second_run_is_refused_with_the_process_that_holds_the_lock(tmp_path: Path) -> None:
    """Exit code 32 and the process id; nothing changes. When that process dies, the lock is free."""
    out = tmp_path / "out"
    with running(*run_arguments("-", out), cwd=tmp_path) as process:
        assert wait_for(lambda: is_scattering(out))
        second = oldump(*run_arguments("-", out), cwd=tmp_path)
        failed(second, 32, f"pid {process.pid} on ")
        failed(oldump(*run_arguments("-", out), "--overwrite", cwd=tmp_path), 32, f"pid {process.pid} on ")
        assert process.poll() is None
        stopped(process, signal.SIGKILL)
        assert wait_for(lambda: is_gone(process.pid), GRACE_SECONDS)
    run("-", out, cwd=tmp_path, stdin=b"".join(copy_blocks(100)))


def test_runs_of_other_dates_do_not_wait(small: Path, tmp_path: Path) -> None:
    """The lock belongs to one run, not to the folder."""
    with running("run", "2022-06-30", "--source", "-", "--out", tmp_path, cwd=tmp_path):
        assert wait_for((tmp_path / "run-2022-06-30" / "spill").exists)
        run(small, tmp_path, cwd=tmp_path)


def test_a_stopped_sort_removes_its_intermediate_files(tmp_path: Path) -> None:
    """Its temporary folder is gone."""
    spill = tmp_path / "spill"
    spill.mkdir()
    with running("sort", "--tmpdir", spill, cwd=tmp_path) as process:
        assert wait_for(lambda: any(spill.iterdir()))
        time.sleep(0.2)
        error = stopped(process, signal.SIGTERM)
        assert process.returncode == 143, error
    assert list(spill.iterdir()) == []


def test_a_stopped_split_leaves_no_file(tmp_path: Path) -> None:
    """Neither a part under its final name nor a temporary file remains."""
    with running("split", "--format", "part_%s.txt.gz", cwd=tmp_path) as process:
        assert wait_for(lambda: len(list(tmp_path.iterdir())) == 14)
        time.sleep(0.2)
        error = stopped(process, signal.SIGTERM)
        assert process.returncode == 143, error
    assert list(tmp_path.iterdir()) == []
