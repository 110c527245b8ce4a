"""A run's spill on another disk: TMPDIR says where, and the run goes on with it after a kill, and takes it away."""

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
from commands.processes import waited_for
from oldump.run.folder import CHECKPOINT
from oldump.synth.table import copy_blocks

ANOTHER_DISK = Path("/dev/shm")  # noqa: S108 - the only other one that a Linux has for certain


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that takes some seconds, so that a run can be killed behind its first checkpoint."""
    path = tmp_path_factory.mktemp("large") / "data.txt"
    path.write_bytes(b"".join(copy_blocks(20_000)))
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that TMPDIR names."""
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def killed_behind_a_checkpoint(source: Path, out: Path, elsewhere: Path) -> None:
    """A run that spills elsewhere, and is killed with kill -9 once it has something to go on with."""
    line = ("run", DATE, "--source", source, "--out", out, "--tmpdir", elsewhere, "--checkpoint", 0, "--workers", 2)
    process = started(*line, cwd=out.parent)
    try:
        assert waited_for(lambda: any(elsewhere.glob(f"*/*/{CHECKPOINT}")))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert final_names(out) == []


def test_a_killed_run_goes_on_with_its_spill_elsewhere(large: Path, elsewhere: Path, tmp_path: Path) -> None:
    """From its checkpoint, though the next start is told of no such folder; same bytes, and nothing is left there."""
    out = tmp_path / "out"
    killed_behind_a_checkpoint(large, out, elsewhere)
    (spill,) = elsewhere.iterdir()
    assert (private_of(out) / "spill").resolve() == spill
    assert any(spill.glob("dumps/spill-*"))
    ran = run(large, out, cwd=tmp_path)
    assert "dumps: goes on" in ran.err
    assert list(elsewhere.iterdir()) == []
    assert not os.path.lexists(private_of(out) / "spill")
    run(large, tmp_path / "fresh", cwd=tmp_path)
    assert published(out) == published(tmp_path / "fresh")
    shutil.rmtree(out)
    killed_behind_a_checkpoint(large, out, elsewhere)
    shutil.rmtree(elsewhere)  # the disk is gone, with all that was on it
    ran = run(large, out, cwd=tmp_path)
    assert "dumps: goes on" not in ran.err
    assert made_files(out) == made_files(tmp_path / "fresh")


def test_tmpdir_is_heeded_and_left_empty(small: Path, complete: Path, elsewhere: Path, tmp_path: Path) -> None:
    """A variable, as for oldump.sh; the bytes are what they are without it."""
    tmpdir = {"TMPDIR": str(elsewhere), **ANY_AGE}
    ran = oldump("run", DATE, "--source", small, "--out", "other", cwd=tmp_path, env=tmpdir)
    assert ran.code == 0, ran.err
    assert f"preflight: spill: {elsewhere}: writable" in ran.err
    assert list(elsewhere.iterdir()) == []
    assert made_files(tmp_path / "other") == made_files(complete)


def test_a_tmpdir_that_is_no_folder_is_refused(small: Path, tmp_path: Path) -> None:
    """Before anything is read, by the run and by doctor; a flag goes before the variable."""
    tmpdir = {"TMPDIR": str(tmp_path / "nowhere")}
    for command in ("run", "doctor"):
        failed(oldump(command, DATE, "--source", small, cwd=tmp_path, env=tmpdir), 2, "nowhere", "TMPDIR")
    assert final_names(tmp_path) == []
    assert oldump("doctor", DATE, "--source", small, "--tmpdir", ".", cwd=tmp_path, env=tmpdir).code == 0


@pytest.mark.skipif(not os.access(ANOTHER_DISK, os.W_OK), reason=f"no second disk: {ANOTHER_DISK} cannot be written")
def test_room_is_looked_for_on_both_disks(small: Path, tmp_path: Path) -> None:
    """What is spilled is not asked of the disk that holds the dumps, nor the other way round."""
    found = oldump("doctor", DATE, "--source", small, "--tmpdir", ANOTHER_DISK, cwd=tmp_path)
    assert found.code == 0, found.err
    (disk,) = [line for line in found.out.decode().splitlines() if line.startswith("disk  ")]
    (spill,) = [line for line in found.out.decode().splitlines() if line.startswith("disk of the spill")]
    assert "cdump" in disk
    assert "spill" not in disk.replace("disk of the spill", "")
    assert f"{ANOTHER_DISK}: " in spill
    assert "estimate: spill " in spill
    assert "cdump" not in spill
