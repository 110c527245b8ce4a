"""Where a run's spill lies: in its private folder, or on another disk.

    run-DATE/spill                          a folder, or a link to
    TMPDIR/oldump-run-DATE-XXXXXXXX/        this one, made for this run alone

The link is how the next start finds what it goes on with, whatever it is told of where a spill should lie.

Does not: know what is in a spill. A link that leads elsewhere is an operator's own, and left alone.
"""

import shutil
import tempfile
from pathlib import Path

from oldump.errors import ConfigurationError, storage_errors
from oldump.run.folder import RunFolder


def place_spill(folder: RunFolder, elsewhere: Path | None) -> None:
    """Have run-DATE/spill as it is, or else lead to a new folder in `elsewhere`; without that, stages make it.

    Raises StorageError.
    """
    spill = folder.spill
    if is_there(folder):
        return
    with storage_errors(spill):
        spill.unlink(missing_ok=True)  # what it led to is gone
    if elsewhere is None:
        return
    with storage_errors(elsewhere):
        made = Path(tempfile.mkdtemp(prefix=_prefix(folder), dir=elsewhere.absolute()))
    with storage_errors(spill):
        spill.symlink_to(made)


def remove_spill(folder: RunFolder) -> None:
    """Remove it, and what the link leads to."""
    spill = folder.spill
    if not spill.is_symlink():
        shutil.rmtree(spill, ignore_errors=True)
        return
    if _is_made_here(folder):
        shutil.rmtree(spill.resolve(), ignore_errors=True)
    if not spill.is_dir() or _bears_its_name(folder):
        spill.unlink(missing_ok=True)


def is_there(folder: RunFolder) -> bool:
    """Whether the run has a spill, a trustworthy one: not one that somebody else made where ours was."""
    if folder.spill.is_symlink() and _bears_its_name(folder):
        return _is_made_here(folder)
    return folder.spill.is_dir()


def require_place(elsewhere: Path | None) -> None:
    """Refuse what is no folder. Raises ConfigurationError."""
    if elsewhere is not None and not elsewhere.is_dir():
        raise ConfigurationError(
            f"{elsewhere}: the spill is to lie there, and that is no folder",
            "Make it, or mend --tmpdir, OLDUMP_TMPDIR, tmpdir in oldump.toml, or TMPDIR, whichever names it.",
        )


def _prefix(folder: RunFolder) -> str:
    return f"oldump-run-{folder.date}-"


def _bears_its_name(folder: RunFolder) -> bool:
    return folder.spill.readlink().name.startswith(_prefix(folder))


def _is_made_here(folder: RunFolder) -> bool:
    """Whether the link leads to a folder that was made for this run, by whoever may work on it.

    In a folder that all may write to, after a restart had emptied it, the name could be anybody's.
    """
    made = folder.spill.readlink()
    if not _bears_its_name(folder) or made.is_symlink() or not made.is_dir():
        return False
    return made.stat().st_uid in {0, folder.private.stat().st_uid}
