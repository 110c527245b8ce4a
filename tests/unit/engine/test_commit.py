"""Files get their final name only when they are complete."""

from pathlib import Path

import pytest

from oldump.engine.commit import TEMPORARY_SUFFIX, CommittedFile, write_whole
from oldump.errors import StorageError, StorageFull


def test_a_committed_file_is_complete(tmp_path: Path) -> None:
    """The file has its final name, and the temporary file is gone."""
    write_whole(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"
    assert len(list(tmp_path.iterdir())) == 1


def test_an_uncommitted_file_is_removed(tmp_path: Path) -> None:
    """Without commit, nothing is published, and an existing file stays."""
    write_whole(tmp_path / "a", b"before")
    with CommittedFile(tmp_path / "a") as file:
        file.write(b"after")
    assert (tmp_path / "a").read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_temporary_file_of_a_crash_is_overwritten(tmp_path: Path) -> None:
    """A temporary file of an earlier process is overwritten, not appended to."""
    (tmp_path / ("a" + TEMPORARY_SUFFIX)).write_bytes(b"half of what should have been there")
    write_whole(tmp_path / "a", b"content")
    assert (tmp_path / "a").read_bytes() == b"content"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """StorageError, with the path of the file that could not be created."""
    with pytest.raises(StorageError, match=r"gone/a\.part"):
        CommittedFile(tmp_path / "gone" / "a")


def test_a_failed_rename_leaves_no_file(tmp_path: Path) -> None:
    """A folder has the name: the rename fails, and the temporary file is removed."""
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match=r"a\.part"):
        write_whole(tmp_path / "a", b"content")
    assert [each.name for each in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("size_bytes", [10, 1 << 20], ids=["at commit", "at write"])
def test_a_full_disk_has_an_error_of_its_own(tmp_path: Path, size_bytes: int) -> None:
    """ENOSPC (here from /dev/full) raises StorageFull, on the write or when buffers are flushed."""
    (tmp_path / ("a" + TEMPORARY_SUFFIX)).symlink_to("/dev/full")
    with pytest.raises(StorageFull, match=r"a\.part: no space left"):
        write_whole(tmp_path / "a", bytes(size_bytes))
    assert list(tmp_path.iterdir()) == []
