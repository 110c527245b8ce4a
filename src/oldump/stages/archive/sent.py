"""Records of files that archive.org accepted but may not list yet.

With them a rerun after a kill does not send these files again. A record is trusted for a limited time: a file that is
not listed by then was lost or stored wrong, and is sent again. The time is short if the catalogue lists a file that was
sent later into the same item, and long if the catalogue does not change at all.
"""

import json
from collections.abc import Callable, Mapping
from itertools import dropwhile
from pathlib import Path

from oldump.engine.commit import write_whole
from oldump.errors import StorageError, storage_errors
from oldump.outside.items import ItemFile
from oldump.stages.archive.files import PublishedFile

_STANDSTILL = 8
"""The factor by which a record is trusted longer while the catalogue lists no file that was sent later."""


class Sent:
    """The records of one run, in a file that is rewritten with each of them."""

    def __init__(self, path: Path, trust_seconds: float, now: Callable[[], float]) -> None:
        """Read the records if the file exists. trust_seconds: how long one is trusted. Raises StorageError."""
        self._path, self._trust_seconds, self._now = path, trust_seconds, now
        self._records: dict[str, tuple[str, str | None, float]] = {}
        """By place, in the order of uploads: MD5, identity of the file that the catalogue listed before, time."""
        with storage_errors(path):
            text = path.read_bytes() if path.exists() else b"{}"
        try:
            for place, (md5, before, at) in json.loads(text).items():
                self._records[place] = (md5, before, float(at))
        except (AttributeError, TypeError, ValueError) as error:
            message = f"{path}: not a valid record of uploads ({error!r})"
            raise StorageError(
                message, "Remove it: files that archive.org does not list yet are then sent again."
            ) from error

    def record(self, file: PublishedFile, before: ItemFile | None) -> None:
        """Record that archive.org accepted the file. before: its entry in the catalogue then. Raises StorageError."""
        self._records.pop(file.place, None)
        self._records[file.place] = (file.md5, _identity(before), self._now())
        write_whole(self._path, json.dumps(self._records, indent=1).encode() + b"\n")

    def is_pending(self, file: PublishedFile, shown: Mapping[str, ItemFile]) -> bool:
        """Whether the file was sent recently and its entry in the catalogue is unchanged. shown: files by place."""
        if file.place not in self._records:
            return False
        md5, before, at = self._records[file.place]
        if md5 != file.md5 or _identity(shown.get(file.place)) not in {None, before}:
            return False
        times = 1 if self._is_overtaken(file, shown) else _STANDSTILL
        return 0 <= self._now() - at < self._trust_seconds * times

    def forget(self) -> None:
        """Remove the records, once the catalogue lists every file. Raises StorageError."""
        self._records = {}
        with storage_errors(self._path):
            self._path.unlink(missing_ok=True)

    def _is_overtaken(self, file: PublishedFile, shown: Mapping[str, ItemFile]) -> bool:
        """Whether the catalogue lists a file that was sent into the item after this one."""
        later = dropwhile(lambda place: place != file.place, self._records)
        return any(
            place in shown and shown[place].md5 == self._records[place][0]
            for place in later
            if place != file.place and place.startswith(f"{file.item}/")
        )


def _identity(shown: ItemFile | None) -> str | None:
    """Return a text that differs between two uploads of one name."""
    return None if shown is None else f"{shown.size_bytes} {shown.md5} {shown.mtime}"
