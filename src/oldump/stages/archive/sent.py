"""What was sent to archive.org, and taken there, though its catalogue may not show it yet.

So that a command which is given again after a kill does not send again what only needs time to be shown. A note is
believed for a while only: what is not shown then was lost, or stored wrong, and is sent again.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oldump.engine.commit import write_whole
from oldump.errors import StorageError, storage_errors
from oldump.stages.archive.files import PublishedFile


class Sent:
    """The notes of one run, in a file that is written whole at each note."""

    def __init__(self, path: Path, trust_seconds: float, now: Callable[[], float] = time.time) -> None:
        """Read the notes, if there are any. trust_seconds: how long one is believed. Raises StorageError."""
        self._path, self._trust_seconds, self._now = path, trust_seconds, now
        self._notes: dict[str, dict[str, Any]] = {}
        with storage_errors(path):
            text = path.read_bytes() if path.exists() else b"{}"
        try:
            self._notes = {
                place: {"md5": note["md5"], "before": note["before"], "at": float(note["at"])}
                for place, note in json.loads(text).items()
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"{path}: is no file of oldump's ({error!r})", "Remove it: no more is lost than time."
            ) from error

    def note(self, file: PublishedFile, before: str | None) -> None:
        """Note that archive.org took the file. before: what its catalogue showed by then. Raises StorageError."""
        self._notes[file.place] = {"md5": file.md5, "before": before, "at": self._now()}
        write_whole(self._path, json.dumps(self._notes, indent=2).encode() + b"\n")

    def is_awaited(self, file: PublishedFile, shown: str | None) -> bool:
        """Whether the file was sent lately, and what the catalogue shows is what it showed before, or nothing."""
        note = self._notes.get(file.place)
        if note is None or note["md5"] != file.md5 or shown not in {None, note["before"]}:
            return False
        return 0 <= self._now() - float(note["at"]) < self._trust_seconds

    def forget(self) -> None:
        """Remove the notes: everything is shown. Raises StorageError."""
        self._notes = {}
        with storage_errors(self._path):
            self._path.unlink(missing_ok=True)
