"""TMPDIR puts a run's spill on another disk: a rerun after a kill resumes from it and then removes it."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from commands.command import (
    ANY_AGE,
    DATE,
    failed,
    final_names,
    made_files,
    oldump,
    private_of,
    published,
    run,
    started,
)
from commands.processes import wait_for
from oldump.run.folder import CHECKPOINT
from oldump.synth.table import copy_blocks

ANOTHER_DISK = Path("/dev/shm")  # noqa: S108 - the only other file system that every Linux has


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that takes some seconds, so that a run can be killed after its first checkpoint."""
    path = tmp_path_factory.mktemp("large") / "data.txt"
    path.write_bytes(b"".join(copy_blocks(20_000)))
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder for TMPDIR."""
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def killed_behind_a_checkpoint(source: Path, out: Path, elsewhere: Path) -> None:
    """Start a run that spills to TMPDIR; kill it with SIGKILL after a checkpoint."""
    line = ("run", DATE, "--source", source, "--out", out, "--tmpdir", elsewhere, "--checkpoint", 0, "--workers", 2)
    process = started(*line, cwd=out.parent)
    try:
        assert wait_for(lambda: any(elsewhere.glob(f"*/*/{CHECKPOINT}")))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert final_names(out) == []


def test_a_killed_run_resumes_from_its_spill_elsewhere(large: Path, elsewhere: Path, tmp_path: Path) -> None:
    """It resumes from its checkpoint without TMPDIR set again; the same bytes, and the spill is removed."""
    out = tmp_path / "out"
    killed_behind_a_checkpoint(large, out, elsewhere)
    (spill,) = elsewhere.iterdir()
    assert (private_of(out) / "spill").resolve() == spill
    assert any(spill.glob("dumps/spill-*"))
    ran = run(large, out, cwd=tmp_path)
    assert "dumps: resuming after" in ran.err
    assert list(elsewhere.iterdir()) == []
    assert not os.path.lexists(private_of(out) / "spill")
    run(large, tmp_path / "fresh", cwd=tmp_path)
    assert published(out) == published(tmp_path / "fresh")
    shutil.rmtree(out)
    killed_behind_a_checkpoint(large, out, elsewhere)
    shutil.rmtree(elsewhere)  # the disk is gone, with everything on it
    ran = run(large, out, cwd=tmp_path)
    assert "dumps: resuming after" not in ran.err
    assert made_files(out) == made_files(tmp_path / "fresh")


def test_tmpdir_is_used_and_left_empty(small: Path, complete: Path, elsewhere: Path, tmp_path: Path) -> None:
    """The variable works as for oldump.sh; the bytes are the same without it."""
    tmpdir = {"TMPDIR": str(elsewhere), **ANY_AGE}
    ran = oldump("run", DATE, "--source", small, "--out", "other", cwd=tmp_path, env=tmpdir)
    assert ran.code == 0, ran.err
    assert f"preflight: spill: {elsewhere}: writable" in ran.err
    assert list(elsewhere.iterdir()) == []
    assert made_files(tmp_path / "other") == made_files(complete)


def test_a_tmpdir_that_is_not_a_folder_is_refused(small: Path, tmp_path: Path) -> None:
    """The run and doctor refuse it before they read anything; a flag overrides the variable."""
    tmpdir = {"TMPDIR": str(tmp_path / "nowhere")}
    for command in ("run", "doctor"):
        failed(oldump(command, DATE, "--source", small, cwd=tmp_path, env=tmpdir), 2, "nowhere", "TMPDIR")
    assert final_names(tmp_path) == []
    assert oldump("doctor", DATE, "--source", small, "--tmpdir", ".", cwd=tmp_path, env=tmpdir).code == 0


@pytest.mark.skipif(not os.access(ANOTHER_DISK, os.W_OK), reason=f"no second disk: {ANOTHER_DISK} cannot be written")
def test_free_space_is_checked_on_both_disks(small: Path, tmp_path: Path) -> None:
    """The spill counts for its own disk only, the dumps for theirs."""
    found = oldump("doctor", DATE, "--source", small, "--tmpdir", ANOTHER_DISK, cwd=tmp_path)
    assert found.code == 0, found.err
    (disk,) = [line for line in found.out.decode().splitlines() if line.startswith("disk  ")]
    (spill,) = [line for line in found.out.decode().splitlines() if line.startswith("disk of the spill")]
    assert "cdump" in disk
    assert "spill" not in disk.replace("disk of the spill", "")
    assert f"{ANOTHER_DISK}: " in spill
    assert "estimate: spill " in spill
    assert "cdump" not in spill
