"""Replacing the files of a folder: at no time does a file refer to a missing one."""

import os
import re
from pathlib import Path

import pytest

from oldump.engine.replacement import Replacement
from oldump.errors import RunBusy, StorageError

OURS = re.compile(r"(?:[a-z]/)?[a-z]\.txt")
OLD = {"a.txt": b"old", "b.txt": b"old", "d/c.txt": b"old", "i.txt": b"a.txt b.txt d/c.txt"}
NEW = {"a.txt": b"new", "b.txt": b"old", "e/f.txt": b"new", "g.txt": b"new", "i.txt": b"a.txt b.txt e/f.txt g.txt"}


class _Killed(BaseException):
    """Simulates the end of the process."""


def replace(folder: Path, files: dict[str, bytes], moves: int = 1_000) -> int:
    """Replace the files, and be killed after this number of moves."""
    left = iter(range(moves))

    def move(source: Path, target: Path) -> None:
        if next(left, None) is None:
            raise _Killed
        source.replace(target)

    with Replacement(folder, OURS, move) as replacement:
        for name, content in files.items():
            replacement.write(name, content)
        return replacement.commit()


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the files that readers see, with their contents."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != ".oldump-lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_new_files_replace_the_old_ones(tmp_path: Path) -> None:
    """Files that are no longer part of the set are removed. Unrelated files stay."""
    replace(tmp_path / "x", OLD)
    (tmp_path / "x" / "robots.TXT").write_bytes(b"theirs")
    assert replace(tmp_path / "x", NEW) == 4
    assert files_in(tmp_path / "x") == {**NEW, "robots.TXT": b"theirs"}


def test_an_unchanged_file_is_not_touched(tmp_path: Path) -> None:
    """So a server can report that the file is not modified."""
    replace(tmp_path, OLD)
    os.utime(tmp_path / "b.txt", (1, 1))
    replace(tmp_path, NEW)
    assert (tmp_path / "b.txt").stat().st_mtime == 1
    assert replace(tmp_path, NEW) == 0


@pytest.mark.parametrize("moves", range(4))
def test_killed_at_any_move_every_named_file_is_there(moves: int, tmp_path: Path) -> None:
    """The old index and all files that it names exist. The next attempt replaces everything."""
    replace(tmp_path, OLD)
    with pytest.raises(_Killed):
        replace(tmp_path, NEW, moves)
    found = files_in(tmp_path)
    assert found["i.txt"] == OLD["i.txt"]
    assert set(found["i.txt"].decode().split()) <= set(found)
    assert all(found[name] in {OLD.get(name), NEW.get(name)} for name in found)
    replace(tmp_path, NEW)
    assert files_in(tmp_path) == NEW


def test_nothing_changes_before_all_are_written(tmp_path: Path) -> None:
    """Without commit, exactly the existing files remain."""
    replace(tmp_path, OLD)
    with Replacement(tmp_path, OURS) as replacement:
        replacement.write("a.txt", b"new")
        assert {name: content for name, content in files_in(tmp_path).items() if "making" not in name} == OLD
    assert files_in(tmp_path) == OLD


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second process gets an error until the first has finished."""
    with Replacement(tmp_path, OURS), pytest.raises(RunBusy, match="another process writes to this folder"):
        Replacement(tmp_path, OURS)
    assert replace(tmp_path, OLD) == len(OLD)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file has the folder's name."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file"):
        Replacement(tmp_path / "file", OURS)
