"""Archive: upload both items to archive.org and update the pointer to them.

Reads:      all published files of a complete run: cdump, parts, dump, tables, deworks; indexes, sums, manifest
Writes:     two items at archive.org; run-DATE/archived.json and latest.json; no artifact
Guarantees: only files that the catalogue lists unchanged count as archived; latest.json names a complete set
Memory:     one chunk of a file
On failure: accepted files are recorded; a rerun sends only the rest
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
from oldump.outside.items import Item, ItemFile, Site, Upload
from oldump.outside.retries import RetryPolicy
from oldump.run.folder import RunFolder
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.archive.description import is_same, metadata_of
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
_MAX_SENDINGS = 4
"""How often one command sends a file before it reports that archive.org has a different one."""
_CONFIRMATIONS = 4
"""How many more requests must agree that files are missing which the receipt lists."""
_CHECK_NAME = "check.txt"
_CHECK_TEXT = b"Shows that oldump may write to this collection. Nobody needs this file.\n"
_CHECK_MD5 = hashlib.md5(_CHECK_TEXT, usedforsecurity=False).hexdigest()


class UploadState(Enum):
    """The state of a file in the catalogue."""

    PRESENT = "present"
    PENDING = "pending"
    """archive.org accepted it, but does not list it yet."""
    MISSING = "missing"
    """The catalogue does not list it, or lists a different file."""


def preflight(site: Site, settings: Settings, policy: RetryPolicy | None = None) -> str:
    """Check that the keys may write to the collection, by uploading a small item; return their account.

    Raises ArchiveRefused, ArchiveUnreachable.
    """
    policy = policy or retry_policy_of(settings)
    username = policy.call("archive: the keys", site.username)
    item = f"{settings.archive_collection}-oldump-check"
    if policy.call("archive: the limit", lambda: site.is_overloaded(item)):
        log.warning("archive: archive.org accepts no uploads at the moment; uploads will wait")
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
        policy.call(f"archive: {item}", lambda: site.send(upload, lambda _: None))
    log.info("archive: %s may write to %s", username, settings.archive_collection)
    return username


def archive(
    folder: RunFolder,
    site: Site,
    settings: Settings,
    progress: Progress,
    *,
    policy: RetryPolicy | None = None,
    require: Callable[[], None] = lambda: None,
) -> Archived:
    """Upload a complete run, compare it with the catalogue, and point latest.json to it; return its receipt.

    The caller holds the run's lock. require: raises if the lock is lost.

    Raises ArchiveError, ConfigurationError, VerificationError, StorageError.
    """
    began = time.monotonic()
    manifest = read_manifest(folder)
    files = published_files(folder, manifest)
    metadata = {item: metadata_of(item, folder, manifest, settings) for item in folder.items}
    transfer = _Transfer(folder, site, policy or retry_policy_of(settings), metadata, progress, require)
    for file in files:
        transfer.item_bytes[file.item] += file.size_bytes
    progress.begin("archive", "looking")
    transfer.look()
    missing = transfer.missing(files)
    if missing:
        username = preflight(site, settings, transfer.policy)
    else:
        username = transfer.policy.call("archive: the keys", site.username)
        transfer.warn_of_metadata()
    if withdraw(folder, files):
        log.info("archive: %s withdrawn: files that it names will be replaced", folder.out / LATEST)
    transfer.begin(missing)
    transfer.ship([file for file in files if not file.is_seal])
    transfer.ship([file for file in files if file.is_seal])
    transfer.warn_of_unknown_files(files)
    archived = _receipt(folder, files, settings, username, transfer, time.monotonic() - began)
    progress.end("archive")
    return archived


def retry_policy_of(settings: Settings) -> RetryPolicy:
    """Return the retry policy of the settings."""
    return RetryPolicy(settings.archive_patience_seconds, settings.archive_backoff_seconds)


def _receipt(
    folder: RunFolder,
    files: list[PublishedFile],
    settings: Settings,
    username: str,
    transfer: "_Transfer",
    seconds: float,
) -> Archived:
    """Write the receipt unless it is up to date, and point latest.json to the run."""
    there = [ArchivedFile.of(file, settings.archive_url) for file in files]
    archived = receipt_of(folder)
    if archived is None or archived.files != there:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        sums = (round(seconds, 3), sum(transfer.sendings.values()), transfer.sent_bytes)
        archived = Archived(folder.date, now, previous_of(folder), there, username, *sums)
        transfer.require()
        write_receipt(folder, archived)
    transfer.sent.forget()
    is_latest = move(folder, archived)
    where = "points to it" if is_latest else "stays, because it points to a later run"
    log.info("archive: %s is archived, %s files; %s %s", folder.date, len(files), folder.out / LATEST, where)
    return archived


@dataclass
class _Transfer:
    """The upload of one run."""

    folder: RunFolder
    site: Site
    policy: RetryPolicy
    metadata: dict[str, dict[str, str]]
    progress: Progress
    require: Callable[[], None]
    items: dict[str, Item] = field(default_factory=dict)
    shown: dict[str, ItemFile] = field(default_factory=dict)
    """The files in the catalogue at the last request, by place."""
    sendings: Counter[str] = field(default_factory=Counter)
    """How often each file was sent and accepted, by place."""
    described: set[str] = field(default_factory=set)
    """The items that received our metadata with a file."""
    item_bytes: Counter[str] = field(default_factory=Counter)
    """The size of all files of each item."""
    sent_bytes: int = 0
    to_send_bytes: int = 0

    def __post_init__(self) -> None:
        """Trust a record for half of the time limit: the other half is left to send the file again."""
        self.sent = Sent(self.folder.private / SENT, self.policy.total_seconds / 2, self.policy.now)

    def look(self) -> None:
        """Request both items from the catalogue. Raises ArchiveError."""
        for name in self.folder.items:
            self.items[name] = self.policy.call(f"archive: {name}", partial(self.site.item, name), self.report)
        self.shown = {
            f"{name}/{file}": entry for name, item in self.items.items() for file, entry in item.files.items()
        }

    def state(self, file: PublishedFile) -> UploadState:
        """Return the state of the file at the last request."""
        shown = self.shown.get(file.place)
        if shown is not None and (shown.size_bytes, shown.md5) == (file.size_bytes, file.md5):
            return UploadState.PRESENT
        return UploadState.PENDING if self.sent.is_pending(file, self.shown) else UploadState.MISSING

    def missing(self, files: list[PublishedFile]) -> list[PublishedFile]:
        """Return the missing files; if the receipt lists them, only after repeated requests. Raises ArchiveError."""
        missing = [file for file in files if self.state(file) is UploadState.MISSING]
        receipt = receipt_of(self.folder) if missing else None
        if receipt is None or not receipt.has(files):
            return missing
        for number, pause in enumerate(self.policy.rounds(self.report)):
            if number:
                self.look()
                missing = [file for file in files if self.state(file) is UploadState.MISSING]
            if not missing or number == _CONFIRMATIONS:
                break
            log.warning("archive: %s archived files are not listed; checking again in %.0f s", len(missing), pause)
        return missing

    def begin(self, missing: list[PublishedFile]) -> None:
        """Log and report that these files will be sent."""
        self.to_send_bytes = sum(file.size_bytes for file in missing)
        if missing:
            log.info("archive: %s files are to be sent, %s bytes", len(missing), f"{self.to_send_bytes:,}")
            self.progress.begin("archive", "sending")

    def ship(self, files: list[PublishedFile]) -> None:
        """Send the missing files, then poll the catalogue until it lists all. Raises ArchiveError."""
        for file in files:
            if self.state(file) is UploadState.MISSING:
                self.send(file)
        waiting = files
        for pause in self.policy.rounds(self.report):
            self.look()
            waiting = [file for file in files if self.state(file) is not UploadState.PRESENT]
            if not waiting:
                return
            for file in waiting:
                if self.state(file) is UploadState.MISSING:
                    self.send_again(file)
            log.info("archive: %s files are not listed yet; checking again in %.0f s", len(waiting), pause)
        raise _not_shown(waiting, self.policy)

    def send(self, file: PublishedFile) -> None:
        """Send a file and record it. Raises ArchiveError, VerificationError if it is not the committed file."""
        self.require()
        require_committed(file)
        began = time.monotonic()
        upload = Upload(
            file.item, file.path, file.md5, self.metadata[file.item], self.renews(file.item), self.item_bytes[file.item]
        )
        self.policy.call(f"archive: {file.place}", partial(self.site.send, upload, self.report), self.report)
        self.described.add(file.item)
        self.sent.record(file, self.shown.get(file.place))
        self.sendings[file.place] += 1
        self.sent_bytes += file.size_bytes
        seconds = max(time.monotonic() - began, 1e-3)
        rate = file.size_bytes / seconds / 1e6
        log.info("archive: %s sent, %s bytes, %.1f s, %.1f MB/s", file.place, f"{file.size_bytes:,}", seconds, rate)

    def renews(self, item: str) -> bool:
        """Whether the item existed with other metadata and has not received ours yet."""
        return bool(self.differing(item)) and item not in self.described

    def differing(self, item: str) -> list[str]:
        """Return the names of the metadata fields in which an existing item differs from ours."""
        shown = self.items[item].metadata
        return [name for name, value in self.metadata[item].items() if shown and not is_same(value, shown.get(name))]

    def warn_of_metadata(self) -> None:
        """Warn of metadata that differs from ours, which is only sent along with a file."""
        for item in self.items:
            if names := self.differing(item):
                log.warning(
                    "archive: %s keeps its %s, since all files are there and none is sent", item, ", ".join(names)
                )

    def send_again(self, file: PublishedFile) -> None:
        """Send a file again that the catalogue lists differently. Raises ArchiveMismatch after _MAX_SENDINGS."""
        shown = self.shown.get(file.place)
        if self.sendings[file.place] >= _MAX_SENDINGS:
            raise ArchiveMismatch(
                f"{file.place}: archive.org has {_summary(shown)} and not {file.size_bytes} bytes with MD5 {file.md5}, "
                f"though it was sent {self.sendings[file.place]} times",
                "Check the item's history at archive.org, ask its staff, then rerun.",
            )
        log.warning("archive: %s: archive.org has %s; it is sent again", file.place, _summary(shown))
        self.to_send_bytes += file.size_bytes
        self.send(file)

    def warn_of_unknown_files(self, files: list[PublishedFile]) -> None:
        """Warn of files that an earlier upload of this date left in the items."""
        known = {file.place for file in files}
        for place in sorted(self.shown.keys() - known):
            if re.search(r"/ol_c?dump_.*\.txt\.gz(\.index)?$", place):
                log.warning("archive: %s is from an earlier upload and stays in the item: remove it", place)

    def report(self, bytes_of_file: int = 0) -> None:
        """Report progress; bytes_of_file: what has been sent of the current file."""
        bytes_now = self.sent_bytes + bytes_of_file
        self.progress.update(bytes_now, bytes_now / self.to_send_bytes if self.to_send_bytes else None)


def _summary(shown: ItemFile | None) -> str:
    return "nothing" if shown is None else f"{shown.size_bytes} bytes with MD5 {shown.md5}"


def _not_shown(files: list[PublishedFile], policy: RetryPolicy) -> ArchiveUnreachable:
    names = ", ".join(file.place for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return ArchiveUnreachable(
        f"archive.org accepted {names}, but does not list it after {policy.total_seconds:,.0f} s",
        "Rerun later: files that are listed by then are not sent again.",
    )
