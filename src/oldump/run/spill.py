"""The location of a run's spill: in its private folder, or on another disk.

    run-DATE/spill                          a folder, or a link to
    TMPDIR/oldump-run-DATE-XXXXXXXX/        a folder created for this run only

A resumed run finds its spill by the link, even if --tmpdir has changed.

Does not: know the contents of a spill, or touch the target of a link that an operator created.
"""

import shutil
import tempfile
from pathlib import Path

from oldump.errors import ConfigurationError, storage_errors
from oldump.run.folder import RunFolder


def place_spill(folder: RunFolder, elsewhere: Path | None) -> None:
    """Keep an existing spill; otherwise link run-DATE/spill to a new folder in `elsewhere`, if that is given.

    Without `elsewhere` the stages create the folder. Raises StorageError.
    """
    spill = folder.spill
    if is_there(folder):
        return
    with storage_errors(spill):
        spill.unlink(missing_ok=True)  # its target no longer exists
    if elsewhere is None:
        return
    with storage_errors(elsewhere):
        made = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=elsewhere.absolute()))
    with storage_errors(spill):
        spill.symlink_to(made)


def remove_spill(folder: RunFolder) -> None:
    """Remove the spill, including a link's target."""
    spill = folder.spill
    if not spill.is_symlink():
        shutil.rmtree(spill, ignore_errors=True)
        return
    if _was_created_here(folder):
        shutil.rmtree(spill.resolve(), ignore_errors=True)
    if not spill.is_dir() or _has_our_name(folder):
        spill.unlink(missing_ok=True)


def is_there(folder: RunFolder) -> bool:
    """Whether the run has a spill that can be trusted: not one that another user created under the same name."""
    if folder.spill.is_symlink() and _has_our_name(folder):
        return _was_created_here(folder)
    return folder.spill.is_dir()


def require_place(elsewhere: Path | None) -> None:
    """Raise ConfigurationError if `elsewhere` is not a folder."""
    if elsewhere is not None and not elsewhere.is_dir():
        raise ConfigurationError(
            f"{elsewhere}: not a folder, so it cannot hold the spill",
            "Create it, or correct the setting: --tmpdir, OLDUMP_TMPDIR, tmpdir in oldump.toml, or TMPDIR.",
        )


def _prefix(folder: RunFolder) -> str:
    return f"oldump-run-{folder.date}-"


def _has_our_name(folder: RunFolder) -> bool:
    return folder.spill.readlink().name.startswith(_prefix(folder))


def _was_created_here(folder: RunFolder) -> bool:
    """Whether the link's target was created for this run by a user who may work on it.

    In a world-writable folder that a reboot has emptied, any user could create a folder of that name.
    """
    made = folder.spill.readlink()
    if not _has_our_name(folder) or made.is_symlink() or not made.is_dir():
        return False
    return made.stat().st_uid in {0, folder.private.stat().st_uid}
