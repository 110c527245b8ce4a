"""Where a spill lies: it is found again, it goes with what it leads to, and nobody else's is touched."""

import os
from datetime import date
from pathlib import Path

import pytest

from oldump.errors import ConfigurationError, StorageError
from oldump.run.folder import RunFolder
from oldump.run.spill import is_there, place_spill, remove_spill, require_place


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run's folder."""
    folder = RunFolder(tmp_path / "out", date(2022, 7, 31))
    folder.private.mkdir(parents=True)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Another disk, as it were."""
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def test_a_spill_lies_in_the_run_unless_told_otherwise(folder: RunFolder) -> None:
    """A folder, which is removed with all that is in it."""
    place_spill(folder, None)
    (folder.spill / "dumps").mkdir(parents=True)
    assert folder.spill.resolve().parent == folder.private.resolve()
    remove_spill(folder)
    assert not folder.spill.exists()


def test_a_spill_elsewhere_is_the_runs_own(folder: RunFolder, elsewhere: Path) -> None:
    """For nobody else to read, bearing the run's name; two runs never share one."""
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
def test_what_is_there_stays_where_it_is(folder: RunFolder, elsewhere: Path, first: bool) -> None:
    """The next start goes on with it, whatever it is told."""
    place_spill(folder, elsewhere if first else None)
    folder.spill.mkdir(exist_ok=True)
    (folder.spill / "checkpoint").touch()
    place_spill(folder, None if first else elsewhere)
    assert (folder.spill / "checkpoint").exists()
    assert folder.spill.is_symlink() is first


def test_a_spill_that_is_gone_is_made_anew(folder: RunFolder, elsewhere: Path) -> None:
    """As /tmp may be emptied by a restart: the link that leads nowhere is no obstacle."""
    place_spill(folder, elsewhere)
    folder.spill.resolve().rmdir()
    assert not is_there(folder)
    place_spill(folder, None)
    folder.spill.mkdir()
    assert not folder.spill.is_symlink()


def test_a_spill_that_another_user_put_there_is_not_trusted(folder: RunFolder, elsewhere: Path) -> None:
    """After /tmp was emptied, anybody may take the name, and would read what is spilled."""
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    place_spill(folder, elsewhere)
    theirs = folder.spill.resolve()
    os.chown(theirs, 12_345, 12_345)
    assert not is_there(folder)
    place_spill(folder, elsewhere)
    assert folder.spill.resolve() != theirs
    assert theirs.is_dir()


def test_an_operators_own_link_is_left_alone(folder: RunFolder, elsewhere: Path) -> None:
    """Whoever made run-DATE/spill lead elsewhere by hand keeps link and folder."""
    folder.spill.symlink_to(elsewhere)
    place_spill(folder, None)
    remove_spill(folder)
    assert folder.spill.resolve() == elsewhere
    assert elsewhere.is_dir()


def test_what_is_no_folder_is_refused(folder: RunFolder, tmp_path: Path) -> None:
    """By name, and by the places where it may have been named."""
    with pytest.raises(ConfigurationError, match=r"nowhere.*TMPDIR"):
        require_place(tmp_path / "nowhere")
    with pytest.raises(StorageError, match="nowhere"):
        place_spill(folder, tmp_path / "nowhere")
    require_place(None)
