"""Archive: both items to archive.org, and the pointer to them.

Reads:      all that is published of a complete run: cdump, parts, dump, tables, deworks; indexes, sums, manifest
Writes:     two items at archive.org; run-DATE/archived.json and latest.json; part of no artifact
Promises:   "archived" are only files that were read back and compared; latest.json always leads to a complete set
Memory:     a piece of a file
On failure: nothing is lost; what archive.org took is noted, run again and only the rest is sent
"""

import hashlib
import logging
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import partial
from pathlib import Path

from oldump.errors import ArchiveMismatch, ArchiveUnreachable, storage_errors
from oldump.outside.items import Entry, Item, Site, Upload
from oldump.outside.retries import Patience
from oldump.run.folder import RunFolder
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.archive.description import metadata_of
from oldump.stages.archive.files import PublishedFile, published_files, read_manifest, require_committed
from oldump.stages.archive.pointer import (
    LATEST,
    Archived,
    ArchivedFile,
    move,
    previous_of,
    receipt_of,
    withdraw,
    write_receipt,
)
from oldump.stages.archive.sent import Sent

log = logging.getLogger("oldump")

SENT = "archive-sent.json"
_MOST_SENDINGS = 4
"""How often a file is sent by one command before archive.org is said to hold another one."""
_CHECK_NAME = "check.txt"
_CHECK_TEXT = b"Shows that oldump may write to this collection. Nobody needs this file.\n"
_CHECK_MD5 = hashlib.md5(_CHECK_TEXT, usedforsecurity=False).hexdigest()


class State(Enum):
    """What the catalogue shows of a file."""

    THERE = "there"
    AWAITED = "awaited"
    """archive.org took it, and does not show it yet."""
    LACKING = "lacking"
    """It is not there, or another one is."""


def preflight(site: Site, settings: Settings, patience: Patience | None = None) -> str:
    """Show that the keys are accepted and may write to the collection, by a small item of its own; whose they are.

    Raises ArchiveRefused with what to do, ArchiveUnreachable.
    """
    patience = patience or patience_of(settings)
    username = patience.through("archive: the keys", site.username)
    item = f"{settings.archive_collection}-oldump-check"
    if patience.through("archive: the limit", lambda: site.is_overloaded(item)):
        log.warning("archive: archive.org takes nothing more at present; uploads will wait for it")
    metadata = {
        "title": "A check of the right to write to this collection",
        "mediatype": "data",
        "collection": settings.archive_collection,
        "creator": settings.archive_creator,
        "noindex": "true",
    }
    with tempfile.TemporaryDirectory(prefix="oldump-") as folder, storage_errors(Path(folder)):
        path = Path(folder) / _CHECK_NAME
        path.write_bytes(_CHECK_TEXT)
        upload = Upload(item, path, _CHECK_MD5, metadata)
        patience.through(f"archive: {item}", lambda: site.send(upload, lambda _: None))
    log.info("archive: %s may write to %s", username, settings.archive_collection)
    return username


def archive(
    folder: RunFolder,
    site: Site,
    settings: Settings,
    progress: Progress,
    *,
    patience: Patience | None = None,
    require: Callable[[], None] = lambda: None,
) -> Archived:
    """Upload a complete run, read it back, and let latest.json point to it; its receipt.

    The caller holds the run's lock. require: raises if that is lost.

    Raises ArchiveError, ConfigurationError, VerificationError, StorageError.
    """
    began = time.monotonic()
    manifest = read_manifest(folder)
    files = published_files(folder, manifest)
    metadata = {item: metadata_of(item, folder, manifest, settings) for item in folder.items}
    shipping = _Shipping(folder, site, patience or patience_of(settings), metadata, progress, require)
    progress.begin("archive", "looking")
    shipping.look()
    lacking = [file for file in files if shipping.state(file) is State.LACKING]
    if lacking:
        username = preflight(site, settings, shipping.patience)
    else:
        username = shipping.patience.through("archive: the keys", site.username)
        shipping.tell_of_metadata()
    if withdraw(folder, files):
        log.info("archive: %s was taken back: files that it names are going to be replaced", folder.out / LATEST)
    shipping.begin(lacking)
    shipping.ship([file for file in files if not file.is_seal])
    shipping.ship([file for file in files if file.is_seal])
    shipping.tell_of_strangers(files)
    archived = _receipt(folder, files, settings, username, shipping, time.monotonic() - began)
    progress.end("archive")
    return archived


def patience_of(settings: Settings) -> Patience:
    """As the settings have it."""
    return Patience(settings.archive_patience_seconds, settings.archive_backoff_seconds)


def _receipt(
    folder: RunFolder,
    files: list[PublishedFile],
    settings: Settings,
    username: str,
    shipping: "_Shipping",
    seconds: float,
) -> Archived:
    """Write the receipt, unless it says the same already, and let latest.json point to the run."""
    there = [ArchivedFile.of(file, settings.archive_url) for file in files]
    archived = receipt_of(folder)
    if archived is None or archived.files != there:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sums = (round(seconds, 3), sum(shipping.sendings.values()), shipping.sent_bytes)
        archived = Archived(folder.date, now, previous_of(folder), there, username, *sums)
        shipping.require()
        write_receipt(folder, archived)
    shipping.sent.forget()
    is_latest = move(folder, archived)
    told = "points to it" if is_latest else "points to a later run, and stays"
    log.info("archive: %s is archived, %s files; %s %s", folder.date, len(files), folder.out / LATEST, told)
    return archived


@dataclass
class _Shipping:
    """The upload of one run, going on."""

    folder: RunFolder
    site: Site
    patience: Patience
    metadata: dict[str, dict[str, str]]
    progress: Progress
    require: Callable[[], None]
    items: dict[str, Item] = field(default_factory=dict)
    shown: dict[str, Entry] = field(default_factory=dict)
    """What the catalogue showed at the last look, by place."""
    sendings: Counter[str] = field(default_factory=Counter)
    """How often each file was sent and taken, by its place."""
    described: set[str] = field(default_factory=set)
    """The items that got our metadata with a file."""
    sent_bytes: int = 0
    to_send_bytes: int = 0

    def __post_init__(self) -> None:
        """A note is believed for half of the patience: then there is as much left to send the file again."""
        self.sent = Sent(self.folder.private / SENT, self.patience.total_seconds / 2, self.patience.now)

    def look(self) -> None:
        """Ask the catalogue for both items. Raises ArchiveError."""
        for name in self.folder.items:
            self.items[name] = self.patience.through(f"archive: {name}", partial(self.site.item, name), self.tell)
        self.shown = {
            f"{name}/{file}": entry for name, item in self.items.items() for file, entry in item.files.items()
        }

    def state(self, file: PublishedFile) -> State:
        """What the catalogue showed of the file at the last look."""
        shown = self.shown.get(file.place)
        if shown is not None and (shown.size_bytes, shown.md5) == (file.size_bytes, file.md5):
            return State.THERE
        return State.AWAITED if self.sent.is_awaited(file, self.shown) else State.LACKING

    def begin(self, lacking: list[PublishedFile]) -> None:
        """Begin to send these files."""
        self.to_send_bytes = sum(file.size_bytes for file in lacking)
        if lacking:
            log.info("archive: %s files are to be sent, %s bytes", len(lacking), f"{self.to_send_bytes:,}")
            self.progress.begin("archive", "sending")

    def ship(self, files: list[PublishedFile]) -> None:
        """Send what is lacking of these, then look until all are there. Raises ArchiveError."""
        for file in files:
            if self.state(file) is State.LACKING:
                self.send(file)
        waiting = files
        for pause in self.patience.rounds(self.tell):
            self.look()
            waiting = [file for file in files if self.state(file) is not State.THERE]
            if not waiting:
                return
            for file in waiting:
                if self.state(file) is State.LACKING:
                    self.send_again(file)
            log.info("archive: %s files are not shown yet; the next look is in %.0f s", len(waiting), pause)
        raise _not_shown(waiting, self.patience)

    def send(self, file: PublishedFile) -> None:
        """Send a file, and note that it was taken. Raises ArchiveError, VerificationError if it is another one."""
        self.require()
        require_committed(file)
        began = time.monotonic()
        upload = Upload(file.item, file.path, file.md5, self.metadata[file.item], self.renews(file.item))
        self.patience.through(f"archive: {file.place}", partial(self.site.send, upload, self.tell), self.tell)
        self.described.add(file.item)
        self.sent.note(file, self.shown.get(file.place))
        self.sendings[file.place] += 1
        self.sent_bytes += file.size_bytes
        seconds = max(time.monotonic() - began, 1e-3)
        rate = file.size_bytes / seconds / 1e6
        log.info("archive: %s sent, %s bytes, %.1f s, %.1f MB/s", file.place, f"{file.size_bytes:,}", seconds, rate)

    def renews(self, item: str) -> bool:
        """Whether the item was there with other metadata, and has not got ours yet."""
        return bool(self.differing(item)) and item not in self.described

    def differing(self, item: str) -> list[str]:
        """The names of metadata that an item which was there has otherwise."""
        shown = self.items[item].metadata
        return [name for name, value in self.metadata[item].items() if shown and shown.get(name) != value]

    def tell_of_metadata(self) -> None:
        """Warn of metadata that is not ours: ours goes only with a file that is sent."""
        for item in self.items:
            if names := self.differing(item):
                log.warning(
                    "archive: %s keeps its %s, since all files are there and none is sent", item, ", ".join(names)
                )

    def send_again(self, file: PublishedFile) -> None:
        """Send a file again of which the catalogue shows something else. Raises ArchiveMismatch after some tries."""
        shown = self.shown.get(file.place)
        if self.sendings[file.place] >= _MOST_SENDINGS:
            raise ArchiveMismatch(
                f"{file.place}: archive.org has {_told(shown)} and not {file.size_bytes} bytes with MD5 {file.md5}, "
                f"though it was sent {self.sendings[file.place]} times",
                "See the item's history at archive.org, and ask its people; then give the command again.",
            )
        log.warning("archive: %s: archive.org has %s; it is sent again", file.place, _told(shown))
        self.to_send_bytes += file.size_bytes
        self.send(file)

    def tell_of_strangers(self, files: list[PublishedFile]) -> None:
        """Warn of files that an earlier upload of the date left in the items, and that are no part of it now."""
        known = {file.place for file in files}
        for place in sorted(self.shown.keys() - known):
            if re.search(r"/ol_c?dump_.*\.txt\.gz(\.index)?$", place):
                log.warning("archive: %s is of an earlier upload, and stays there: remove it", place)

    def tell(self, bytes_of_file: int = 0) -> None:
        """Tell how much is sent, with so much of the file that is under way."""
        bytes_now = self.sent_bytes + bytes_of_file
        self.progress.update(bytes_now, bytes_now / self.to_send_bytes if self.to_send_bytes else None)


def _told(shown: Entry | None) -> str:
    return "nothing" if shown is None else f"{shown.size_bytes} bytes with MD5 {shown.md5}"


def _not_shown(files: list[PublishedFile], patience: Patience) -> ArchiveUnreachable:
    names = ", ".join(file.place for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return ArchiveUnreachable(
        f"archive.org took {names}, and does not show it after {patience.total_seconds:,.0f} s",
        "Give the command again, later: what is shown then is not sent again.",
    )
