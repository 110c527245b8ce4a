"""What we and archive.org tell each other: items, their files, uploads.

Does not: know the library that carries it, which is an extra (see oldump.outside.archive_org).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class Entry(NamedTuple):
    """A file of an item, as the catalogue shows it."""

    size_bytes: int | None
    md5: str | None
    mtime: str
    """When it was stored, as the catalogue has it: tells two uploads of one name apart."""


class Item(NamedTuple):
    """An item, as the catalogue shows it: an upload may need minutes, and sometimes hours, until it is there."""

    files: dict[str, Entry]
    metadata: dict[str, Any]


class Upload(NamedTuple):
    """A file that is to be put into an item."""

    item: str
    path: Path
    md5: str
    """archive.org takes the file only if it has this one."""
    metadata: Mapping[str, str]
    """What the item is made with, if there is none."""
    renews: bool = False
    """Whether the metadata replaces that of an item which is there."""


class Site(Protocol):
    """archive.org, with somebody's keys. Everything here may raise ArchiveError."""

    def username(self) -> str:
        """Whose the keys are."""

    def is_overloaded(self, item: str) -> bool:
        """Whether it takes nothing more at present."""

    def item(self, identifier: str) -> Item:
        """The item, as the catalogue shows it."""

    def send(self, upload: Upload, told: Callable[[int], None]) -> None:
        """Put a file into an item. told: hears how many bytes are gone."""
