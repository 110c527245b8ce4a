"""Receipts of archived runs, and latest.json, which points to the last of them.

A receipt and the pointer name every file of both items with its address and sums (docs/format.md). Whoever follows the
pointer finds all of them on archive.org as they are named: it moves when they have been read back, and before one of
them is replaced it goes back to the run before, or away.
"""

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from oldump.engine.commit import PUBLIC_MODE, sync_folder, write_whole
from oldump.engine.file_lock import file_lock
from oldump.errors import StorageError, storage_errors
from oldump.run.folder import RunFolder
from oldump.stages.archive.files import PublishedFile

log = logging.getLogger("oldump")

FORMAT_VERSION = 1
LATEST = "latest.json"
_LOCK = ".latest.lock"
"""Held while latest.json is read and replaced: two runs may be archived at a time."""
RECEIPT = "archived.json"


@dataclass(frozen=True)
class ArchivedFile:
    """A file as it is on archive.org."""

    item: str
    name: str
    role: str
    url: str
    size_bytes: int
    md5: str
    sha256: str

    @classmethod
    def of(cls, file: PublishedFile, archive_url: str) -> "ArchivedFile":
        """The file, as it is found there."""
        url = f"{archive_url.rstrip('/')}/download/{quote(file.item)}/{quote(file.name)}"
        return cls(file.item, file.name, file.role, url, file.size_bytes, file.md5, file.sha256)


@dataclass(frozen=True)
class Archived:
    """An archived run: what its receipt says."""

    day: date
    archived: str
    """When everything had been read back, UTC."""
    previous: date | None
    """The archived run before it."""
    files: list[ArchivedFile]
    username: str
    seconds: float
    sent_files: int
    sent_bytes: int

    @property
    def items(self) -> list[str]:
        """The items' names, the cdump's first."""
        return list(dict.fromkeys(file.item for file in self.files))

    def has(self, files: list[PublishedFile]) -> bool:
        """Whether these are its files."""
        ours = {(file.item, file.name): file.md5 for file in self.files}
        return ours == {(file.item, file.name): file.md5 for file in files}

    def pointer(self) -> dict[str, Any]:
        """What latest.json says."""
        return {
            "format": FORMAT_VERSION,
            "date": self.day.isoformat(),
            "archived": self.archived,
            "previous": self.previous and self.previous.isoformat(),
            "items": self.items,
            "files": [asdict(file) for file in self.files],
        }

    def receipt(self) -> dict[str, Any]:
        """What the receipt says: the same, and how it went."""
        more = ("username", "seconds", "sent_files", "sent_bytes")
        return {**self.pointer(), **{name: getattr(self, name) for name in more}}


def receipt_of(folder: RunFolder) -> Archived | None:
    """The receipt of a run, None if it has none. Raises StorageError."""
    return _read(folder.private / RECEIPT)


def pointed(out: Path) -> Archived | None:
    """What latest.json points to, None if there is none. Raises StorageError."""
    return _read(out / LATEST)


def write_receipt(folder: RunFolder, archived: Archived) -> None:
    """Write the receipt of a run. Raises StorageError."""
    write_whole(folder.private / RECEIPT, _text(archived.receipt()))


def previous_of(folder: RunFolder) -> date | None:
    """The last archived run before this one, by the receipts that there are, and by latest.json.

    Receipts are deleted with the private folder of their run.
    """
    found = [_before(folder.date, folder.out), pointed(folder.out)]
    return max((each.day for each in found if each and each.day < folder.date), default=None)


def move(folder: RunFolder, archived: Archived) -> bool:
    """Let latest.json point to this run, unless it points to a later one; whether it does. Raises StorageError."""
    with file_lock(folder.out / _LOCK):
        before = pointed(folder.out)
        if before is not None and before.day > archived.day:
            return False
        if before is None or before.pointer() != archived.pointer():
            write_whole(folder.out / LATEST, _text(archived.pointer()), PUBLIC_MODE)
        return True


def withdraw(folder: RunFolder, files: list[PublishedFile]) -> bool:
    """Take back receipt and pointer of this run, if they name other files than these; whether latest.json changed.

    To be called before a file is replaced. The pointer goes back to the archived run before, by that one's receipt, or
    away. Raises StorageError.
    """
    with file_lock(folder.out / _LOCK):
        before = pointed(folder.out)
        is_wrong = before is not None and before.day == folder.date and not before.has(files)
        if before is not None and is_wrong:
            earlier = _before(folder.date, folder.out)
            if earlier is None:
                _remove(folder.out / LATEST)
            else:
                write_whole(folder.out / LATEST, _text(earlier.pointer()), PUBLIC_MODE)
        receipt = receipt_of(folder)
        if receipt is not None and not receipt.has(files):
            _remove(folder.private / RECEIPT)
        return is_wrong


def _before(day: date, out: Path) -> Archived | None:
    """The last archived run before this date, by its receipt, which goes before a file of its is replaced; or None."""
    days = [found for path in out.glob(f"run-*/{RECEIPT}") if (found := _date_of(path.parent)) and found < day]
    for earlier in sorted(days, reverse=True):
        try:
            return receipt_of(RunFolder(out, earlier))
        except StorageError as error:
            log.warning("archive: a receipt is passed over: %s", error)
    return None


def _date_of(private: Path) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(private.name.removeprefix("run-"))
    return None


def _remove(path: Path) -> None:
    with storage_errors(path):
        path.unlink(missing_ok=True)
        sync_folder(path.parent)


def _read(path: Path) -> Archived | None:
    """Raises StorageError if it cannot be read, or is none of this format."""
    with storage_errors(path):
        if not path.exists():
            return None
        text = path.read_bytes()
    try:
        told = json.loads(text)
        if told["format"] != FORMAT_VERSION:
            raise ValueError(f"its format is {told['format']!r}, not {FORMAT_VERSION}")
        day = date.fromisoformat(told["date"])
        previous = told["previous"] and date.fromisoformat(told["previous"])
        if previous and previous >= day:
            raise ValueError("the run before it is not before it")
        datetime.fromisoformat(told["archived"])
        files = [ArchivedFile(**file) for file in told["files"]]
        how = (told.get("username", ""), told.get("seconds", 0.0), told.get("sent_files", 0), told.get("sent_bytes", 0))
        return Archived(day, told["archived"], previous, files, *how)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise StorageError(
            f"{path}: is none that this version of oldump writes ({error!r})",
            "Find out who wrote it; remove it and give the command again to have it written anew.",
        ) from error


def _text(told: dict[str, Any]) -> bytes:
    return json.dumps(told, indent=2).encode() + b"\n"
