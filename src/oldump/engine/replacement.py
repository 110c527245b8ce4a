"""The files of a folder, replaced by others while they are read, so that no file names one that is not there.

All new files are written aside, in a folder below, and brought to the disk. Only when all are whole do they get their
names, in the order in which they were written; and only when all have them, the files that are no more are removed.
Whoever writes a file that names others behind those (an index behind its sitemaps) can rely on it: whatever a reader
finds at any moment, and whatever a crash leaves, an old index or a new one, each file that it names is there and whole.

The folder stays the same folder: it may be a mount, and a server may hold it open. A file whose content is as it was
is not touched, so its time of change stays too.

Does not: make two sets of files change places in one instant; see docs/decisions/0017-sitemaps.md.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from oldump.engine.commit import sync_folder
from oldump.errors import RunBusy, storage_errors

_ASIDE = ".oldump-making"
_LOCK = ".oldump-lock"


class Replacement:
    """Takes the new files of a folder, for `with`; nothing changes for readers before commit."""

    def __init__(self, folder: Path, ours: re.Pattern[str], move: Callable[[Path, Path], object] = os.replace) -> None:
        """Take the folder, which is made if need be. ours: the names that may be removed if they are not written.

        Names are relative to the folder. Raises StorageError, RunBusy.
        """
        self._folder = folder
        self._aside = folder / _ASIDE
        self._ours = ours
        self._move = move
        self._names: dict[str, bool] = {}
        """Whether each file is new or changed, in the order of writing."""
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / _LOCK, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            self._begin()
        except BaseException:
            os.close(self._lock)
            raise

    def _begin(self) -> None:
        with storage_errors(self._aside):
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with this process, however that ends
            except BlockingIOError as error:
                raise RunBusy(
                    f"{self._folder}: another process writes there",
                    "Wait until it is done, and give the command again.",
                ) from error
            shutil.rmtree(self._aside, ignore_errors=True)  # of a process that was killed
            self._aside.mkdir()

    def write(self, name: str, content: bytes) -> None:
        """Take a file, behind all that it names. Raises StorageError, StorageFull."""
        self._names[name] = self._differs(name, content)
        if not self._names[name]:
            return
        path = self._aside / name
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())

    def _differs(self, name: str, content: bytes) -> bool:
        path = self._folder / name
        try:
            return path.stat().st_size != len(content) or path.read_bytes() != content
        except OSError:  # it is not there; or it is not to be read, and then not to be kept
            return True

    def commit(self) -> int:
        """Give the files their names and remove those that are no more; how many were new or changed.

        Raises StorageError, StorageFull.
        """
        changed = [name for name, is_changed in self._names.items() if is_changed]
        with storage_errors(self._folder):
            folders = {(self._folder / name).parent for name in changed}
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            for name in changed:
                self._move(self._aside / name, self._folder / name)
            for folder in folders:
                sync_folder(folder)  # before what an old index names is removed
            self._remove_others()
            sync_folder(self._folder)
        return len(changed)

    def _remove_others(self) -> None:
        for path in list(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if self._ours.fullmatch(name) and name not in self._names:
                path.unlink()

    def __enter__(self) -> Self:
        """Nothing to prepare."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove what was written aside, and let others write there."""
        shutil.rmtree(self._aside, ignore_errors=True)
        os.close(self._lock)
