"""The state of the fake archive.org: accounts, collections, items with files, and what its catalog shows.

An upload is stored at once, but the catalog may show it only after some further looks at the item: `files` has the last
uploads, `shown` what metadata and downloads show. Contains no HTTP.
"""

import hashlib
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.sax.saxutils import escape

Value = str | list[str]

FORMATS = {".gz": "GZIP", ".json": "JSON", ".txt": "Text", ".zip": "ZIP"}
"""The catalog's format for each suffix; others are Unknown, as at archive.org."""
DATA_NODE = "ia801207.us.archive.org"
ITEMS_PATH = "/12/items"


@dataclass(frozen=True)
class Account:
    """An account with S3 keys, and the collections to which it may add items."""

    access: str
    secret: str
    email: str
    collections: frozenset[str] = frozenset({"ol_exports", "opensource_data"})

    @property
    def screenname(self) -> str:
        """The account's public name."""
        return self.email.partition("@")[0]


@dataclass(frozen=True)
class StoredFile:
    """A complete file of an item."""

    name: str
    path: Path
    size_bytes: int
    md5: str
    sha1: str
    crc32: str
    mtime: int

    def read_bytes(self) -> bytes:
        """Return the whole content."""
        return self.path.read_bytes()

    def entry(self) -> dict[str, str]:
        """Return the catalog's entry: every value is text."""
        return {
            "name": self.name,
            "source": "original",
            "mtime": str(self.mtime),
            "size": str(self.size_bytes),
            "md5": self.md5,
            "crc32": self.crc32,
            "sha1": self.sha1,
            "format": FORMATS.get(Path(self.name).suffix, "Unknown"),
        }


class Digests:
    """Digests of a body, computed while it is received."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._crc = 0

    def update(self, piece: bytes) -> None:
        """Add the next bytes."""
        self.size_bytes += len(piece)
        self._md5.update(piece)
        self._sha1.update(piece)
        self._crc = zlib.crc32(piece, self._crc)

    @property
    def md5(self) -> str:
        """The MD5 in hexadecimal."""
        return self._md5.hexdigest()

    def file(self, name: str, path: Path) -> StoredFile:
        """Return the file that was received at `path`."""
        return StoredFile(
            name, path, self.size_bytes, self.md5, self._sha1.hexdigest(), f"{self._crc:08x}", int(time.time())
        )


@dataclass
class Waiting:
    """An upload that the catalog does not show yet."""

    file: StoredFile
    looks: int


@dataclass
class Item:
    """An item: its metadata, its files, and what the catalog shows of both."""

    identifier: str
    owner: str
    metadata: dict[str, Value]
    created: int = field(default_factory=lambda: int(time.time()))
    files: dict[str, StoredFile] = field(default_factory=dict)
    """The last uploads, whether the catalog shows them or not."""
    shown: dict[str, StoredFile] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    hidden_looks: int = 0
    """The number of looks for which the whole item seems not to exist."""
    uploads: Counter[str] = field(default_factory=Counter)
    """How often each file was stored, whether the client got an answer or not."""
    derives: list[bool] = field(default_factory=list)
    """For each upload, whether it requested derivation of the item."""

    def add(self, file: StoredFile, looks: int) -> None:
        """Add an upload, shown after this many further looks.

        An upload of the same name that still waits is never shown.
        """
        self.waiting = [waiting for waiting in self.waiting if waiting.file.name != file.name]
        self.files[file.name] = file
        self.uploads[file.name] += 1
        if looks:
            self.waiting.append(Waiting(file, looks))
        else:
            self.shown[file.name] = file

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.files.pop(name, None)
        self.shown.pop(name, None)
        self.waiting = [waiting for waiting in self.waiting if waiting.file.name != name]

    def looked_at(self) -> None:
        """Count one look at the item and update the catalog."""
        self.hidden_looks = max(0, self.hidden_looks - 1)
        for waiting in self.waiting:
            waiting.looks -= 1
        for waiting in [waiting for waiting in self.waiting if waiting.looks < 0]:
            self.waiting.remove(waiting)
            self.shown[waiting.file.name] = waiting.file

    def entries(self) -> list[dict[str, str]]:
        """Return the catalog's file list, with the files that archive.org writes itself."""
        listed = [file.entry() for file in self.shown.values()]
        return [*listed, self._meta_entry(), {
            "name": f"{self.identifier}_files.xml",
            "source": "original",
            "format": "Metadata",
            "md5": hashlib.md5(repr(listed).encode(), usedforsecurity=False).hexdigest(),
        }]  # fmt: skip

    def _meta_entry(self) -> dict[str, str]:
        digests = Digests()
        digests.update(self.meta_xml())
        entry = digests.file(f"{self.identifier}_meta.xml", Path()).entry()
        return {**entry, "mtime": str(self.created), "format": "Metadata"}

    def meta_xml(self) -> bytes:
        """Return the content of ITEM_meta.xml, the item's metadata."""
        lines = [
            f"  <{name}>{escape(one)}</{name}>"
            for name, value in self.metadata.items()
            for one in ([value] if isinstance(value, str) else value)
        ]
        return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', "<metadata>", *lines, "</metadata>", ""]).encode()

    def document(self) -> dict[str, object]:
        """Return the metadata API's document for the item."""
        entries = self.entries()
        document: dict[str, object] = {
            "created": int(time.time()),
            "d1": DATA_NODE,
            "d2": "ia601207.us.archive.org",
            "dir": f"{ITEMS_PATH}/{self.identifier}",
            "files": entries,
            "files_count": len(entries),
            "item_last_updated": max([self.created, *(file.mtime for file in self.shown.values())]),
            "item_size": sum(int(entry.get("size", 0)) for entry in entries),
            "metadata": self.metadata,
            "server": DATA_NODE,
            "uniq": int.from_bytes(hashlib.sha256(self.identifier.encode()).digest()[:4], "big"),
            "workable_servers": ["ia601207.us.archive.org", DATA_NODE],
        }
        if self.waiting:
            document["pending_tasks"] = True
            document["tasks"] = [task_of(self.identifier, waiting) for waiting in self.waiting]
        return document


def task_of(identifier: str, waiting: Waiting) -> dict[str, object]:
    """Return an upload that waits as a row of the task queue."""
    return {
        "category": "catalog",
        "identifier": identifier,
        "task_id": zlib.crc32(waiting.file.path.name.encode()),
        "server": DATA_NODE,
        "cmd": "archive.php",
        "args": {"next_file": waiting.file.name},
        "submittime": datetime.fromtimestamp(waiting.file.mtime, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "submitter": "archive",
        "priority": 0,
        "color": "green",
        "status": "queued",
    }


class Store:
    """All items, for many threads. Hold `lock` to read or change an item."""

    def __init__(self, folder: Path, accounts: tuple[Account, ...], collections: tuple[str, ...]) -> None:
        self.lock = threading.RLock()
        self.accounts = {account.access: account for account in accounts}
        self.items: dict[str, Item] = {}
        self.collections = {name: _collection(name) for name in collections}
        self._folder = folder
        self._received = 0
        folder.mkdir(parents=True, exist_ok=True)

    def new_path(self) -> Path:
        """Return the path at which to receive the next upload."""
        with self.lock:
            self._received += 1
            return self._folder / f"{self._received:06}"

    def looked_up(self, identifier: str) -> Item | None:
        """Return an item or collection if the catalog shows it. This counts as a look."""
        item = self.items.get(identifier) or self.collections.get(identifier)
        if item is None:
            return None
        is_hidden = item.hidden_looks > 0
        item.looked_at()
        return None if is_hidden else item

    def shown_file(self, identifier: str, name: str) -> StoredFile | None:
        """Return a file that can be downloaded. This does not count as a look."""
        item = self.items.get(identifier)
        return None if item is None or item.hidden_looks else item.shown.get(name)


def _collection(name: str) -> Item:
    return Item(name, "archive", {"identifier": name, "mediatype": "collection", "title": name})
