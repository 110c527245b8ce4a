"""The lock: one process at a time, and it is told apart from a stale one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from oldump.errors import RunBusy, StorageError
from oldump.run.lock import locked, require_free


def test_the_second_is_told_who_has_it(tmp_path: Path) -> None:
    """Process, machine and since when."""
    with (
        locked(tmp_path / "lock"),
        pytest.raises(RunBusy, match=f"pid {os.getpid()} on .+ since "),
        locked(tmp_path / "lock"),
    ):
        pytest.fail("it was free")
    with locked(tmp_path / "lock"):
        pass


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """However that ended: what a dead process wrote into the file does not matter."""
    code = (
        "import os, pathlib, sys\nfrom oldump.run.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n    os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, tmp_path / "lock"], check=False)
    assert killed.returncode == -9
    assert (tmp_path / "lock").read_text(encoding="utf-8").startswith("pid ")
    with locked(tmp_path / "lock"):
        text = (tmp_path / "lock").read_text(encoding="utf-8")
    assert (text.count("pid "), f"pid {os.getpid()} " in text) == (1, True)


def test_a_lock_that_cannot_be_written_is_an_error_of_storage(tmp_path: Path) -> None:
    """With the path."""
    with pytest.raises(StorageError, match="no/lock"), locked(tmp_path / "no" / "lock"):
        pytest.fail("it cannot be there")


def test_asking_tells_who_has_it_and_takes_nothing(tmp_path: Path) -> None:
    """Whether the file is there or not, and whatever a dead process wrote into it."""
    require_free(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "lock"), pytest.raises(RunBusy, match=f"pid {os.getpid()} on "):
        require_free(tmp_path / "lock")
    require_free(tmp_path / "lock")
    with locked(tmp_path / "lock"):
        pass
