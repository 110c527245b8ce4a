"""Verify detects every damage and names its file and kind, and reports nothing in an intact run."""

from pathlib import Path

from damaged.campaign import overlooked


def test_every_damage_is_detected(tmp_path: Path) -> None:
    """A small damage campaign detects every mutation; `make damage` runs the large one."""
    missed, done = overlooked(60, seed=1, folder=tmp_path)
    assert missed == []
    assert done.total() == 60
