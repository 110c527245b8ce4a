"""Replace the files of a folder while they are being read, without a reference to a missing file at any moment.

New files are written to a subfolder and synced. When all are complete, they are renamed in the order in which they were
written; then obsolete files are removed. So a writer that adds an index after the files that it names can rely on this:
at any moment and after a crash, every file named by the index that a reader finds, old or new, exists and is complete.

The folder itself is kept: it may be a mount point, or a server may hold it open. A file whose content is unchanged is
not touched and keeps its modification time.

Does not: exchange two sets of files atomically; see docs/decisions/0017-sitemaps.md.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from oldump.engine.commit import PUBLIC_MODE, make_public, sync_folder
from oldump.errors import RunBusy, storage_errors

_ASIDE = ".oldump-making"
_LOCK = ".oldump-lock"


class Replacement:
    """Collects the new files of a folder, to be used in `with`; readers see no change before commit."""

    def __init__(self, folder: Path, ours: re.Pattern[str], move: Callable[[Path, Path], object] = os.replace) -> None:
        """Create the folder if necessary and lock it. Raises StorageError, RunBusy.

        ours: matches the names, relative to the folder, of files that are removed if they are not written again.
        """
        self._folder = folder
        self._aside = folder / _ASIDE
        self._ours = ours
        self._move = move
        self._names: dict[str, bool] = {}
        """Names in the order of writing, and whether each file is new or changed."""
        with storage_errors(folder):
            make_public(folder)
            self._lock = os.open(folder / _LOCK, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            self._begin()
        except BaseException:
            os.close(self._lock)
            raise

    def _begin(self) -> None:
        with storage_errors(self._aside):
            try:
                fcntl.flock(
                    self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB
                )  # released when this process ends, however it ends
            except BlockingIOError as error:
                raise RunBusy(
                    f"{self._folder}: another process writes to this folder",
                    "Wait until it has finished, then rerun.",
                ) from error
            shutil.rmtree(self._aside, ignore_errors=True)  # left by a process that was killed
            self._aside.mkdir()

    def write(self, name: str, content: bytes) -> None:
        """Add a file, after all files that it names. Raises StorageError, StorageFull."""
        self._names[name] = self._differs(name, content)
        if not self._names[name]:
            return
        path = self._aside / name
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as stream:
                os.fchmod(stream.fileno(), PUBLIC_MODE)  # whatever the umask: web servers run as another user
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())

    def _differs(self, name: str, content: bytes) -> bool:
        path = self._folder / name
        try:
            return path.stat().st_size != len(content) or path.read_bytes() != content
        except OSError:  # missing, or unreadable and so to be replaced
            return True

    def commit(self) -> int:
        """Rename the new files, remove obsolete ones, and return the number of new or changed files.

        Raises StorageError, StorageFull.
        """
        changed = [name for name, is_changed in self._names.items() if is_changed]
        with storage_errors(self._folder):
            folders = {(self._folder / name).parent for name in changed}
            for folder in folders:
                make_public(folder)
            for name in changed:
                self._move(self._aside / name, self._folder / name)
            for folder in folders:
                sync_folder(folder)  # before files that an old index names are removed
            self._remove_others()
            sync_folder(self._folder)
        return len(changed)

    def _remove_others(self) -> None:
        for path in list(self._folder.rglob("*")):
            name = path.relative_to(self._folder).as_posix()
            if self._ours.fullmatch(name) and name not in self._names:
                path.unlink()

    def __enter__(self) -> Self:
        """Return the replacement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the subfolder of new files and unlock the folder."""
        shutil.rmtree(self._aside, ignore_errors=True)
        os.close(self._lock)
