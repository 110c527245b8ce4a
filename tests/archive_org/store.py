"""What the fake archive.org holds: accounts, collections, items with their files, and how its catalogue shows them.

An upload is stored at once, but the catalogue may show it only after some further looks at the item: `files` is what
was uploaded last, `shown` what metadata and downloads know of. Knows no HTTP.
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
"""What the catalogue calls a file by its name's ending; anything else is Unknown, as there."""
DATA_NODE = "ia801207.us.archive.org"
ITEMS_PATH = "/12/items"


@dataclass(frozen=True)
class Account:
    """Somebody with S3 keys, and the collections that they may add items to."""

    access: str
    secret: str
    email: str
    collections: frozenset[str] = frozenset({"ol_exports", "opensource_data"})

    @property
    def screenname(self) -> str:
        """What others see of the account."""
        return self.email.partition("@")[0]


@dataclass(frozen=True)
class StoredFile:
    """A file of an item, whole."""

    name: str
    path: Path
    size_bytes: int
    md5: str
    sha1: str
    crc32: str
    mtime: int

    def read_bytes(self) -> bytes:
        """All of it."""
        return self.path.read_bytes()

    def entry(self) -> dict[str, str]:
        """How the catalogue shows it: every value is text."""
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
    """What is being received, hashed in passing."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._crc = 0

    def update(self, piece: bytes) -> None:
        """Take the next bytes."""
        self.size_bytes += len(piece)
        self._md5.update(piece)
        self._sha1.update(piece)
        self._crc = zlib.crc32(piece, self._crc)

    @property
    def md5(self) -> str:
        """In hexadecimal digits."""
        return self._md5.hexdigest()

    def file(self, name: str, path: Path) -> StoredFile:
        """The file that was received at `path`."""
        return StoredFile(
            name, path, self.size_bytes, self.md5, self._sha1.hexdigest(), f"{self._crc:08x}", int(time.time())
        )


@dataclass
class Waiting:
    """An upload that the catalogue does not show yet."""

    file: StoredFile
    looks: int


@dataclass
class Item:
    """One item: its metadata, its files, and what the catalogue shows of both."""

    identifier: str
    owner: str
    metadata: dict[str, Value]
    created: int = field(default_factory=lambda: int(time.time()))
    files: dict[str, StoredFile] = field(default_factory=dict)
    """What was uploaded last, whether it shows or not."""
    shown: dict[str, StoredFile] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    hidden_looks: int = 0
    """So many looks long the whole item seems not to exist."""
    uploads: Counter[str] = field(default_factory=Counter)
    """How often each file was stored, whether the client was told or not."""
    derives: list[bool] = field(default_factory=list)
    """For each upload, whether it asked that the item be derived."""

    def add(self, file: StoredFile, looks: int) -> None:
        """Take an upload, which shows after so many further looks; what waited under its name never will."""
        self.waiting = [waiting for waiting in self.waiting if waiting.file.name != file.name]
        self.files[file.name] = file
        self.uploads[file.name] += 1
        if looks:
            self.waiting.append(Waiting(file, looks))
        else:
            self.shown[file.name] = file

    def remove(self, name: str) -> None:
        """Forget a file."""
        self.files.pop(name, None)
        self.shown.pop(name, None)
        self.waiting = [waiting for waiting in self.waiting if waiting.file.name != name]

    def looked_at(self) -> None:
        """Let the catalogue go on by one look."""
        self.hidden_looks = max(0, self.hidden_looks - 1)
        for waiting in self.waiting:
            waiting.looks -= 1
        for waiting in [waiting for waiting in self.waiting if waiting.looks < 0]:
            self.waiting.remove(waiting)
            self.shown[waiting.file.name] = waiting.file

    def entries(self) -> list[dict[str, str]]:
        """The files as the catalogue lists them, with those that archive.org itself writes."""
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
        """The item's metadata as archive.org keeps it, in ITEM_meta.xml."""
        lines = [
            f"  <{name}>{escape(one)}</{name}>"
            for name, value in self.metadata.items()
            for one in ([value] if isinstance(value, str) else value)
        ]
        return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', "<metadata>", *lines, "</metadata>", ""]).encode()

    def document(self) -> dict[str, object]:
        """What the metadata API says of it."""
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
    """How the catalogue's queue shows an upload that waits."""
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
    """All items, for many threads: hold `lock` to look at one or to change it."""

    def __init__(self, folder: Path, accounts: tuple[Account, ...], collections: tuple[str, ...]) -> None:
        self.lock = threading.RLock()
        self.accounts = {account.access: account for account in accounts}
        self.items: dict[str, Item] = {}
        self.collections = {name: _collection(name) for name in collections}
        self._folder = folder
        self._received = 0
        folder.mkdir(parents=True, exist_ok=True)

    def new_path(self) -> Path:
        """Where the next upload is to be received."""
        with self.lock:
            self._received += 1
            return self._folder / f"{self._received:06}"

    def looked_up(self, identifier: str) -> Item | None:
        """An item or a collection, if the catalogue shows it; this is a look."""
        item = self.items.get(identifier) or self.collections.get(identifier)
        if item is None:
            return None
        is_hidden = item.hidden_looks > 0
        item.looked_at()
        return None if is_hidden else item

    def shown_file(self, identifier: str, name: str) -> StoredFile | None:
        """A file that may be downloaded; this is no look."""
        item = self.items.get(identifier)
        return None if item is None or item.hidden_looks else item.shown.get(name)


def _collection(name: str) -> Item:
    return Item(name, "archive", {"identifier": name, "mediatype": "collection", "title": name})
