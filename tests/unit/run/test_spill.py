"""The location of a spill: it is found again, removed as a whole, and never shared."""

import os
from datetime import date
from pathlib import Path

import pytest

from oldump.errors import ConfigurationError, StorageError
from oldump.run.folder import RunFolder
from oldump.run.spill import is_there, place_spill, remove_spill, require_place


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The folder of a run."""
    folder = RunFolder(tmp_path / "out", date(2022, 7, 31))
    folder.private.mkdir(parents=True)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that stands for another disk."""
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def test_a_spill_is_in_the_private_folder_by_default(folder: RunFolder) -> None:
    """It is removed with its contents."""
    place_spill(folder, None)
    (folder.spill / "dumps").mkdir(parents=True)
    assert folder.spill.resolve().parent == folder.private.resolve()
    remove_spill(folder)
    assert not folder.spill.exists()


def test_a_spill_elsewhere_belongs_to_one_run(folder: RunFolder, elsewhere: Path) -> None:
    """Only its owner can read it, and its name has the run's date; two runs never share one."""
    place_spill(folder, elsewhere)
    (made,) = elsewhere.iterdir()
    assert folder.spill.resolve() == made
    assert made.name.startswith("oldump-run-2022-07-31-")
    assert made.stat().st_mode & 0o777 == 0o700
    other = RunFolder(folder.out.with_name("other"), folder.date)
    other.private.mkdir(parents=True)
    place_spill(other, elsewhere)
    assert len(list(elsewhere.iterdir())) == 2
    (folder.spill / "dumps").mkdir()
    remove_spill(folder)
    assert not folder.spill.is_symlink()
    assert list(elsewhere.iterdir()) == [other.spill.resolve()]


@pytest.mark.parametrize("first", [True, False])
def test_an_existing_spill_is_kept(folder: RunFolder, elsewhere: Path, first: bool) -> None:
    """A resumed run uses it whatever the setting is."""
    place_spill(folder, elsewhere if first else None)
    folder.spill.mkdir(exist_ok=True)
    (folder.spill / "checkpoint").touch()
    place_spill(folder, None if first else elsewhere)
    assert (folder.spill / "checkpoint").exists()
    assert folder.spill.is_symlink() is first


def test_a_broken_link_is_replaced(folder: RunFolder, elsewhere: Path) -> None:
    """A reboot may have emptied /tmp."""
    place_spill(folder, elsewhere)
    folder.spill.resolve().rmdir()
    assert not is_there(folder)
    place_spill(folder, None)
    folder.spill.mkdir()
    assert not folder.spill.is_symlink()


def test_a_spill_of_another_user_is_not_trusted(folder: RunFolder, elsewhere: Path) -> None:
    """Once /tmp is emptied, any user could create that folder and read the spill."""
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    place_spill(folder, elsewhere)
    theirs = folder.spill.resolve()
    os.chown(theirs, 12_345, 12_345)
    assert not is_there(folder)
    place_spill(folder, elsewhere)
    assert folder.spill.resolve() != theirs
    assert theirs.is_dir()


def test_an_operators_own_link_is_kept(folder: RunFolder, elsewhere: Path) -> None:
    """Both the link and its target."""
    folder.spill.symlink_to(elsewhere)
    place_spill(folder, None)
    remove_spill(folder)
    assert folder.spill.resolve() == elsewhere
    assert elsewhere.is_dir()


def test_a_path_that_is_not_a_folder_is_refused(folder: RunFolder, tmp_path: Path) -> None:
    """The message names it and the settings it may come from."""
    with pytest.raises(ConfigurationError, match=r"nowhere.*TMPDIR"):
        require_place(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="nowhere"):
        place_spill(folder, tmp_path / "nowhere")
    require_place(None)
