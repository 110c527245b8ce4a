"""A small kill campaign, and tests that the campaign detects lost checkpoints and changed files."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from campaigns.kill import Difference, require_same

TESTS = Path(__file__).parents[1]
PROGRAM = TESTS / "campaigns" / "kill.py"
SMALL = ("--rows", "2000", "--case", "foreign gzip")


def campaign(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the campaign in its own process, with its files below the folder."""
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, str(PROGRAM), *SMALL, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_killed_runs_end_with_the_same_bytes(tmp_path: Path) -> None:
    """Runs killed at random moments and commit points end with the same bytes, and some resume within a stage."""
    ran = campaign("--kills", "7", "--points", "6", folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"killed at random moments: [7-9]; before and after commit points: [1-6]\n", ran.stdout)
    assert "resumed within a stage: 0" not in ran.stdout
    assert ran.stdout.endswith("no difference\n")
    assert list(tmp_path.iterdir()) == []


def test_a_lost_checkpoint_is_detected(tmp_path: Path) -> None:
    """A stage that restarts although it had a checkpoint fails the campaign, which names and keeps the folder."""
    ran = campaign("--kills", "40", "--points", "1", "--sabotage", folder=tmp_path)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "had a checkpoint but did not resume from it" in ran.stdout
    (kept,) = tmp_path.iterdir()
    assert f"DIFFERENCE: {kept}" in ran.stdout


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"a": b"one"}, "missing b"),
        ({"a": b"one", "b": b"two", "c": b""}, "has c, which an undisturbed run does not have"),
        ({"a": b"one", "b": b"twO"}, "b: differs from byte 2"),
        ({"a": b"one", "b": b"tw"}, "b: differs from byte 2; 2 bytes instead of 3"),
    ],
)
def test_files_that_differ_are_detected(found: dict[str, bytes], message: str) -> None:
    """A missing file, an extra file, a changed byte and a missing byte are reported; equal files are not."""
    wanted = {"a": b"one", "b": b"two"}
    require_same(wanted, dict(wanted))
    with pytest.raises(Difference, match=message):
        require_same(wanted, found)
