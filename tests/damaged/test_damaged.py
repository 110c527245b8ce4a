"""Verify finds every damage and names file and kind, and finds nothing in what is whole."""

from pathlib import Path

from damaged.campaign import overlooked


def test_every_damage_is_found(tmp_path: Path) -> None:
    """A small damage campaign; `make damage` runs the large one."""
    missed, done = overlooked(60, seed=1, folder=tmp_path)
    assert missed == []
    assert done.total() == 60
