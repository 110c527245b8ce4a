"""A small kill campaign, and that the campaign notices what it is there to notice (tests/campaigns/kill.py)."""

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
    """The campaign in a process of its own, which leaves what it found in the folder."""
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
    """At random moments and at commit points; some of them go on within a stage, and nothing stays behind."""
    ran = campaign("--kills", "7", "--points", "6", folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"killed at random moments: [7-9]; before and behind commit points: [1-6]\n", ran.stdout)
    assert "went on within a stage: 0" not in ran.stdout
    assert ran.stdout.endswith("no difference\n")
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_that_is_lost_is_noticed(tmp_path: Path) -> None:
    """The result has the same bytes: but a stage began anew that could have gone on. The folder is named, and stays."""
    ran = campaign("--kills", "40", "--points", "1", "--sabotage", folder=tmp_path)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "had a checkpoint and did not go on from it" in ran.stdout
    (kept,) = tmp_path.iterdir()
    assert f"DIFFERENCE: {kept}" in ran.stdout


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"a": b"one"}, "lacks b"),
        ({"a": b"one", "b": b"two", "c": b""}, "has c, which an undisturbed run has not"),
        ({"a": b"one", "b": b"twO"}, "b: differs from byte 2 on"),
        ({"a": b"one", "b": b"tw"}, "b: differs from byte 2 on; 2 bytes instead of 3"),
    ],
)
def test_files_that_differ_are_noticed(found: dict[str, bytes], told: str) -> None:
    """One that is missing, one too many, a changed byte, a missing one; the same files are not."""
    wanted = {"a": b"one", "b": b"two"}
    require_same(wanted, dict(wanted))
    with pytest.raises(Difference, match=told):
        require_same(wanted, found)
