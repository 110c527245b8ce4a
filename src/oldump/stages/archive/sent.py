"""What was sent to archive.org, and taken there, though its catalogue may not show it yet.

So that a command which is given again after a kill does not send again what only needs time to be shown. A note is
believed for a while only: what is not shown then was lost, or stored wrong, and is sent again. That while is short if
the catalogue shows what was sent behind it into the same item, and long if it stands still.
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
"""A note is believed so many times longer while nothing that was sent behind it is shown."""


class Sent:
    """The notes of one run, in a file that is written whole at each note."""

    def __init__(self, path: Path, trust_seconds: float, now: Callable[[], float]) -> None:
        """Read the notes, if there are any. trust_seconds: how long one is believed. Raises StorageError."""
        self._path, self._trust_seconds, self._now = path, trust_seconds, now
        self._notes: dict[str, tuple[str, str | None, float]] = {}
        """MD5, what the catalogue showed before, and when it was sent, by place; the last one is the last."""
        with storage_errors(path):
            text = path.read_bytes() if path.exists() else b"{}"
        try:
            for place, (md5, before, at) in json.loads(text).items():
                self._notes[place] = (md5, before, float(at))
        except (AttributeError, TypeError, ValueError) as error:
            told = f"{path}: is none that oldump writes ({error!r})"
            raise StorageError(told, "Remove it: then what is not shown yet is sent again.") from error

    def note(self, file: PublishedFile, before: ItemFile | None) -> None:
        """Note that archive.org took the file. before: what its catalogue showed by then. Raises StorageError."""
        self._notes.pop(file.place, None)
        self._notes[file.place] = (file.md5, _identity(before), self._now())
        write_whole(self._path, json.dumps(self._notes, indent=1).encode() + b"\n")

    def is_pending(self, file: PublishedFile, shown: Mapping[str, ItemFile]) -> bool:
        """Whether the file was sent lately, and the catalogue shows what it showed before. shown: files by place."""
        if file.place not in self._notes:
            return False
        md5, before, at = self._notes[file.place]
        if md5 != file.md5 or _identity(shown.get(file.place)) not in {None, before}:
            return False
        times = 1 if self._is_overtaken(file, shown) else _STANDSTILL
        return 0 <= self._now() - at < self._trust_seconds * times

    def forget(self) -> None:
        """Remove the notes: everything is shown. Raises StorageError."""
        self._notes = {}
        with storage_errors(self._path):
            self._path.unlink(missing_ok=True)

    def _is_overtaken(self, file: PublishedFile, shown: Mapping[str, ItemFile]) -> bool:
        """Whether something is shown that was sent into the item after the file."""
        behind = dropwhile(lambda place: place != file.place, self._notes)
        return any(
            place in shown and shown[place].md5 == self._notes[place][0]
            for place in behind
            if place != file.place and place.startswith(f"{file.item}/")
        )


def _identity(shown: ItemFile | None) -> str | None:
    """What tells one upload of a name from another."""
    return None if shown is None else f"{shown.size_bytes} {shown.md5} {shown.mtime}"
