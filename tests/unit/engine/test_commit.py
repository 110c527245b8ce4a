"""Files that have their final name only when they are whole."""

from pathlib import Path

import pytest

from oldump.engine.commit import TEMPORARY_SUFFIX, CommittedFile, write_whole
from oldump.errors import StorageError, StorageFull


def test_a_committed_file_is_whole_and_alone(tmp_path: Path) -> None:
    """The content is there under its name, and the temporary one is gone."""
    write_whole(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_not_committed_is_removed(tmp_path: Path) -> None:
    """Forgetting to commit publishes nothing, and keeps what was there before."""
    write_whole(tmp_path / "a", b"before")
    with CommittedFile(tmp_path / "a") as file:
        file.write(b"after")
    assert (tmp_path / "a").read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


def test_what_a_crash_left_is_no_hindrance(tmp_path: Path) -> None:
    """A temporary file of an earlier process is begun anew, not appended to."""
    (tmp_path / ("a" + TEMPORARY_SUFFIX)).write_bytes(b"half of what should have been there")
    write_whole(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"


def test_a_folder_that_is_not_there_is_an_error_with_the_path(tmp_path: Path) -> None:
    """Of oldump's: storage, with the file that could not be made."""
    with pytest.raises(StorageError, match=r"gone/a\.part"):
        CommittedFile(tmp_path / "gone" / "a")


def test_a_name_that_cannot_be_given_leaves_nothing(tmp_path: Path) -> None:
    """Here a folder has it: the rename fails, and the temporary file is removed."""
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match=r"a\.part"):
        write_whole(tmp_path / "a", b"content")
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("size_bytes", [10, 1 << 20], ids=["at commit", "at write"])
def test_a_full_disk_is_told_apart(tmp_path: Path, size_bytes: int) -> None:
    """ENOSPC (here of /dev/full) is StorageFull, whether it comes at once or when buffers are written out."""
    (tmp_path / ("a" + TEMPORARY_SUFFIX)).symlink_to("/dev/full")
    with pytest.raises(StorageFull, match=r"a\.part: no space left"):
        write_whole(tmp_path / "a", bytes(size_bytes))
    assert list(tmp_path.iterdir()) == []
