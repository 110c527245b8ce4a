"""Publication: an exchange of items that stops at any rename can be finished or undone, and never mixes two runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from oldump.errors import RunBusy
from oldump.pipeline.publication import rename_items, undo_interrupted_exchange
from oldump.run.folder import RunFolder
from unit.pipeline.runs import DAY

RENAMES = 4
"""Two items are moved aside, two are put in place."""


def always_held() -> None:
    """Find the lock held."""


def held_for(renames: int) -> Callable[[], None]:
    """Return a lock that another process takes after this many renames."""
    calls = iter(range(renames))

    def require_lock() -> None:
        if next(calls, None) is None:
            raise RunBusy("another process has taken over this run")

    return require_lock


def exchange_in(out: Path) -> RunFolder:
    """Make a folder in which both items are published and both are made again."""
    folder = RunFolder(out, DAY)
    for item in folder.items:
        for path, text in ((folder.published(item), "old"), (folder.made(item), "new")):
            path.mkdir(parents=True, exist_ok=True)
            (path / "file").write_text(text)
    return folder


def texts(folder: RunFolder, path_of: Callable[[str], Path]) -> list[str]:
    """Return what each item in a place contains."""
    return [(path_of(item) / "file").read_text() if path_of(item).exists() else "" for item in folder.items]


def test_the_lock_is_checked_before_each_rename(tmp_path: Path) -> None:
    """A process that was suspended, and whose run another one has taken over, renames nothing more."""
    for renames in range(RENAMES):
        folder = exchange_in(tmp_path / str(renames))
        with pytest.raises(RunBusy):
            rename_items(folder, held_for(renames))
        aside = texts(folder, lambda item: folder.replaced / item)  # noqa: B023 - called at once
        assert aside.count("old") == min(renames, 2)
        assert texts(folder, folder.made).count("new") == 2 - max(0, renames - 2)


@pytest.mark.parametrize("renames", range(RENAMES))
def test_an_interrupted_exchange_is_undone_and_repeated(tmp_path: Path, renames: int) -> None:
    """Old items have their names again, new ones are where they were made; then the exchange succeeds."""
    folder = exchange_in(tmp_path)
    with pytest.raises(RunBusy):
        rename_items(folder, held_for(renames))
    undo_interrupted_exchange(folder, always_held)
    assert (texts(folder, folder.published), texts(folder, folder.made)) == (["old", "old"], ["new", "new"])
    rename_items(folder, always_held)
    assert texts(folder, folder.published) == ["new", "new"]
    assert not folder.replaced.exists()


@pytest.mark.parametrize("renames", range(RENAMES))
def test_an_interrupted_undoing_is_resumed(tmp_path: Path, renames: int) -> None:
    """Killed again while old items are put back."""
    folder = exchange_in(tmp_path)
    with pytest.raises(RunBusy):
        rename_items(folder, held_for(RENAMES - 1))
    try:
        undo_interrupted_exchange(folder, held_for(renames))
    except RunBusy:
        undo_interrupted_exchange(folder, always_held)
    assert (texts(folder, folder.published), texts(folder, folder.made)) == (["old", "old"], ["new", "new"])


def test_a_finished_exchange_is_not_undone(tmp_path: Path) -> None:
    """Killed when all new items have their names, before the old ones are removed."""
    folder = exchange_in(tmp_path)
    for item in folder.items:
        (folder.replaced / item).mkdir(parents=True)
        (folder.made(item) / "file").unlink()
        folder.made(item).rmdir()
    undo_interrupted_exchange(folder, always_held)
    assert texts(folder, folder.published) == ["old", "old"]


def test_a_first_publication_that_stopped_is_finished(tmp_path: Path) -> None:
    """There is nothing to put back: the renamed item stays."""
    folder = RunFolder(tmp_path, DAY)
    for item in folder.items:
        folder.made(item).mkdir(parents=True)
    with pytest.raises(RunBusy):
        rename_items(folder, held_for(1))
    undo_interrupted_exchange(folder, always_held)
    assert folder.published(folder.items[0]).exists()
    rename_items(folder, always_held)
    assert all(folder.published(item).exists() for item in folder.items)


def test_files_that_are_still_open_do_not_stop_a_publication(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """NFS keeps a file that a reader has open as .nfs…, and its folder: the next publication removes it."""
    folder = exchange_in(tmp_path)

    def remove(path: Path) -> None:
        for file in path.rglob("file"):
            file.rename(file.with_name(".nfs0001"))

    rename_items(folder, always_held, remove)
    assert texts(folder, folder.published) == ["new", "new"]
    assert len(list(folder.private.rglob(".nfs0001"))) == 2
    assert "some files are still open" in caplog.text
    rename_items(exchange_in(tmp_path), always_held)
    assert [path.name for path in folder.private.iterdir()] == []
