"""The interface to archive.org: items, their files, uploads.

Does not: import the library that implements it, which is an extra (see oldump.outside.archive_org).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol


class ItemFile(NamedTuple):
    """A file of an item, as the catalogue lists it."""

    size_bytes: int | None
    md5: str | None
    mtime: str
    """The upload time in the catalogue; distinguishes two uploads of one name."""


class Item(NamedTuple):
    """An item, as the catalogue lists it. An upload appears there after minutes, sometimes hours."""

    files: dict[str, ItemFile]
    metadata: dict[str, Any]


class Upload(NamedTuple):
    """A file to upload into an item."""

    item: str
    path: Path
    md5: str
    """archive.org accepts the file only if it has this checksum."""
    metadata: Mapping[str, str]
    """The metadata of the item if the upload creates it."""
    renews: bool = False
    """Whether the metadata replaces that of an existing item."""
    item_bytes: int = 0
    """The size of all files of the item, by which archive.org chooses a disk; 0 if unknown."""


class Site(Protocol):
    """archive.org, used with an account's keys. Every method may raise ArchiveError."""

    def username(self) -> str:
        """Return the name of the account that the keys belong to."""

    def is_overloaded(self, item: str) -> bool:
        """Whether archive.org accepts no uploads at the moment."""

    def item(self, identifier: str) -> Item:
        """Return the item, as the catalogue lists it."""

    def send(self, upload: Upload, report: Callable[[int], None]) -> None:
        """Upload a file. report: called with the number of bytes sent."""
