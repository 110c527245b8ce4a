"""An archive.org of a few lines, and archiving to it without losing time."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oldump.outside.items import Item, ItemFile, Upload
from oldump.outside.retries import RetryPolicy
from oldump.run.folder import RunFolder
from oldump.run.progress import NoProgress
from oldump.settings import Settings
from oldump.stages.archive import stage
from oldump.stages.archive.pointer import LATEST, Archived

CHECK = "ol_exports-oldump-check"


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        """Begin."""
        self.now = 0.0
        self.slept: list[float] = []

    def read(self) -> float:
        """What it shows."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Go on at once."""
        self.now += seconds
        self.slept.append(seconds)


@dataclass
class Shelf:
    """An archive.org that shows what it took, unless it is told to be slow or wrong."""

    items: dict[str, dict[str, ItemFile]] = field(default_factory=dict)
    """What was taken."""
    shown: dict[str, dict[str, ItemFile]] = field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    looks: int = 0
    slow_looks: int = 0
    """An upload shows after so many further looks at its item."""
    before: Callable[[str], None] = lambda _: None
    """Called with item/name before it is taken: may raise."""
    wrong: set[str] = field(default_factory=set)
    """What is stored wrong, each time."""
    renewed: list[str] = field(default_factory=list)
    """What brought new metadata to an item that was there."""
    item_bytes: dict[str, int] = field(default_factory=dict)
    """The size hint of the last upload into each item."""
    empty_looks: int = 0
    """For so many further looks the catalogue shows no files."""
    time: Time = field(default_factory=Time)
    _left: int = -1

    def username(self) -> str:
        """Somebody."""
        return "dumps@openlibrary.example"

    def is_overloaded(self, item: str) -> bool:
        """Never."""
        return False

    def item(self, identifier: str) -> Item:
        """What is shown."""
        self.looks += 1
        self._left -= 1
        if self.empty_looks > 0:
            self.empty_looks -= 1
            return Item({}, {})
        if self._left < 0:
            self.shown = {name: dict(files) for name, files in self.items.items()}
        return Item(self.shown.get(identifier, {}), self.metadata.get(identifier, {}))

    def send(self, upload: Upload, told: Callable[[int], None]) -> None:
        """Take a file."""
        place = f"{upload.item}/{upload.path.name}"
        self.before(place)
        content = upload.path.read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == upload.md5
        told(len(content))
        self.item_bytes[upload.item] = upload.item_bytes
        if upload.renews:
            self.renewed.append(place)
        if upload.renews or upload.item not in self.metadata:
            self.metadata[upload.item] = dict(upload.metadata)
        md5 = f"wrong {len(self.sent)}" if place in self.wrong else upload.md5
        self.items.setdefault(upload.item, {})[upload.path.name] = ItemFile(len(content), md5, str(len(self.sent)))
        if upload.item != CHECK:
            self.sent.append(place)
            self.late()

    def late(self) -> None:
        """Show nothing new for some looks."""
        self._left = self.slow_looks

    def holds(self, pointed: dict[str, Any]) -> bool:
        """Whether every file that latest.json names is here, as it says."""
        for file in pointed["files"]:
            entry = self.items.get(file["item"], {}).get(file["name"])
            if entry is None or (entry.size_bytes, entry.md5) != (file["size_bytes"], file["md5"]):
                return False
        return True


def archived(folder: RunFolder, site: Shelf, **settings: Any) -> Archived:
    """Archive it, without losing time."""
    clock = site.time.read
    policy = RetryPolicy(3600, 1, clock=clock, now=clock, sleep=site.time.sleep)
    folder.private.mkdir(exist_ok=True)
    return stage.archive(folder, site, Settings.of(**settings), NoProgress(), policy=policy)


def latest(out: Path) -> dict[str, Any] | None:
    """What latest.json says."""
    path = out / LATEST
    return json.loads(path.read_bytes()) if path.exists() else None
