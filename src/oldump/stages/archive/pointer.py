"""Receipts of archived runs, and latest.json, which points to the latest archived run.

Both list every file of both items with address and checksums (docs/format.md). The pointer always names a complete set:
it moves to a run once archive.org lists all its files. Before one of them is replaced, it moves back to the previous
run, or is removed.
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
"""Lock for reading and replacing latest.json, since two runs may be archived at the same time."""
RECEIPT = "archived.json"


@dataclass(frozen=True)
class ArchivedFile:
    """A file on archive.org."""

    item: str
    name: str
    role: str
    url: str
    size_bytes: int
    md5: str
    sha256: str

    @classmethod
    def of(cls, file: PublishedFile, archive_url: str) -> "ArchivedFile":
        """Return the file with its address on archive.org."""
        url = f"{archive_url.rstrip('/')}/download/{quote(file.item)}/{quote(file.name)}"
        return cls(file.item, file.name, file.role, url, file.size_bytes, file.md5, file.sha256)


@dataclass(frozen=True)
class Archived:
    """The receipt of an archived run."""

    day: date
    archived: str
    """When archive.org listed every file, in UTC."""
    previous: date | None
    """The date of the previous archived run."""
    files: list[ArchivedFile]
    username: str
    seconds: float
    sent_files: int
    sent_bytes: int

    @property
    def items(self) -> list[str]:
        """The names of the items, the cdump item first."""
        return list(dict.fromkeys(file.item for file in self.files))

    def has(self, files: list[PublishedFile]) -> bool:
        """Whether the receipt lists exactly these files."""
        ours = {(file.item, file.name): file.md5 for file in self.files}
        return ours == {(file.item, file.name): file.md5 for file in files}

    def pointer(self) -> dict[str, Any]:
        """Return the content of latest.json."""
        return {
            "format": FORMAT_VERSION,
            "date": self.day.isoformat(),
            "archived": self.archived,
            "previous": self.previous and self.previous.isoformat(),
            "items": self.items,
            "files": [asdict(file) for file in self.files],
        }

    def receipt(self) -> dict[str, Any]:
        """Return the content of the receipt: the content of latest.json and statistics of the upload."""
        more = ("username", "seconds", "sent_files", "sent_bytes")
        return {**self.pointer(), **{name: getattr(self, name) for name in more}}


def receipt_of(folder: RunFolder) -> Archived | None:
    """Return the receipt of a run, or None if it has none. Raises StorageError."""
    return _read(folder.private / RECEIPT)


def pointed(out: Path) -> Archived | None:
    """Return the run that latest.json points to, or None if there is no latest.json. Raises StorageError."""
    return _read(out / LATEST)


def write_receipt(folder: RunFolder, archived: Archived) -> None:
    """Write the receipt of a run. Raises StorageError."""
    write_whole(folder.private / RECEIPT, _text(archived.receipt()))


def previous_of(folder: RunFolder) -> date | None:
    """Return the date of the latest archived run before this one, from receipts and latest.json; None if there is none.

    Receipts alone are not enough, since they are deleted with the private folder of their run.
    """
    found = [_before(folder.date, folder.out), pointed(folder.out)]
    return max((each.day for each in found if each and each.day < folder.date), default=None)


def move(folder: RunFolder, archived: Archived) -> bool:
    """Point latest.json to this run unless it points to a later one. Return whether it does. Raises StorageError."""
    with file_lock(folder.out / _LOCK):
        before = pointed(folder.out)
        if before is not None and before.day > archived.day:
            return False
        if before is None or before.pointer() != archived.pointer():
            write_whole(folder.out / LATEST, _text(archived.pointer()), PUBLIC_MODE)
        return True


def withdraw(folder: RunFolder, files: list[PublishedFile]) -> bool:
    """Withdraw the receipt and pointer of this run if they list other files. Return whether latest.json changed.

    Call this before replacing a file. The pointer moves back to the previous archived run, or is removed if there is
    none. Raises StorageError.
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
    """Return the receipt of the last archived run before this date; None if there is none."""
    days = [found for path in out.glob(f"run-*/{RECEIPT}") if (found := _date_of(path.parent)) and found < day]
    for earlier in sorted(days, reverse=True):
        try:
            return receipt_of(RunFolder(out, earlier))
        except StorageError as error:
            log.warning("archive: a receipt is ignored: %s", error)
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
    """Return a receipt or pointer, or None if it does not exist. Raises StorageError if it is not valid."""
    with storage_errors(path):
        if not path.exists():
            return None
        text = path.read_bytes()
    try:
        content = json.loads(text)
        if content["format"] != FORMAT_VERSION:
            raise ValueError(f"the format is {content['format']!r}, not {FORMAT_VERSION}")
        day = date.fromisoformat(content["date"])
        previous = content["previous"] and date.fromisoformat(content["previous"])
        if previous and previous >= day:
            raise ValueError("the previous run is not earlier")
        datetime.fromisoformat(content["archived"])
        files = [ArchivedFile(**file) for file in content["files"]]
        how = (
            content.get("username", ""),
            content.get("seconds", 0.0),
            content.get("sent_files", 0),
            content.get("sent_bytes", 0),
        )
        return Archived(day, content["archived"], previous, files, *how)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise StorageError(
            f"{path}: not a valid file of this version of oldump ({error!r})",
            "Find out what wrote it. Remove it and rerun: oldump writes it again.",
        ) from error


def _text(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode() + b"\n"
