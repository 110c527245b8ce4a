"""Where redirects lead: a store on disk, since there are millions, with a filter before it, since most keys are none.

Does not: know what the keys are of.
"""

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from oldump.errors import RecordError, StorageError, storage_errors
from oldump.records.record import column

_FILTER_BYTES = 4 << 20
_PLACES = _FILTER_BYTES * 8 - 1


class Location(NamedTuple):
    """Where a redirect leads."""

    key: bytes
    """As a column."""
    text: bytes
    """As JSON, as the redirect has it."""


class RedirectFilter:
    """A set of keys of a fixed size that never denies a key that is in it, and seldom affirms another (Bloom 1970)."""

    def __init__(self) -> None:
        """Begin with none."""
        self._bits = bytearray(_FILTER_BYTES)

    def add(self, key: bytes) -> None:
        """Take a key in."""
        for place in _places(key):
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, key: bytes) -> bool:
        """Whether the key may be in it."""
        return all(self._bits[place >> 3] >> (place & 7) & 1 for place in _places(key))


def _places(key: bytes) -> tuple[int, int]:
    digest = xxh3_64_intdigest(key)
    return digest & _PLACES, digest >> 32 & _PLACES


def standing_twice(key: bytes) -> RecordError:
    """What to raise when two records have one key."""
    return RecordError(f"{key.decode(errors='replace')}: stands in two records", "Is it a dump, and no cdump?")


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    """Translate SQLite's errors into StorageError and StorageFull; an IntegrityError speaks of what is stored."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            with storage_errors(path):
                raise OSError(errno.ENOSPC, str(error)) from error
        raise StorageError(
            f"{path}: the redirects cannot be stored or read back ({error})", "Check the disk and run again."
        ) from error


class Redirects:
    """All redirects of a dump. DeworksResult by one process, read by those that are forked from it."""

    def __init__(self, path: Path, redirects: Iterable[tuple[bytes, str]] | None) -> None:
        """Store redirects: (key as a column, key that it leads to as its document spells it); None: they are stored.

        Raises StorageError, RecordError on a key that stands twice.
        """
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._sources, self._targets = RedirectFilter(), RedirectFilter()
        self._last = b""
        """The redirect that was stored last."""
        try:
            with _store_errors(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
                if redirects is None:
                    for source, key in connection.execute("SELECT source, key FROM redirect"):
                        self._note(source, key)
                else:
                    self._store(redirects, connection)
        except sqlite3.IntegrityError as error:
            raise standing_twice(self._last) from error
        with storage_errors(path), path.open("rb") as stream:
            os.fsync(stream.fileno())

    def _store(self, redirects: Iterable[tuple[bytes, str]], connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")  # it is brought to the disk when it is whole
        connection.execute("CREATE TABLE redirect (source BLOB PRIMARY KEY, key BLOB, text BLOB) WITHOUT ROWID")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO redirect VALUES (?, ?, ?)", self._rows(redirects))
        connection.execute("COMMIT")

    def _rows(self, redirects: Iterable[tuple[bytes, str]]) -> Iterable[tuple[bytes, bytes, bytes]]:
        for source, location in redirects:
            key, self._last = column(location), source
            self._note(source, key)
            yield source, key, encode_basestring_ascii(location).encode()

    def _note(self, source: bytes, key: bytes) -> None:
        self._sources.add(source)
        self._targets.add(key)

    def may_lead_to(self, key: bytes) -> bool:
        """Whether redirects may lead to the key: a few of the keys that none leads to are not denied."""
        return key in self._targets

    def chain(self, key: bytes) -> list[Location]:
        """Where the key leads, step by step, up to a key that is no redirect; a loop is cut before it closes.

        Empty for a key that is no redirect.
        """
        steps: list[Location] = []
        met = {key}
        while (step := self._step(key)) is not None and step.key not in met:
            steps.append(step)
            met.add(step.key)
            key = step.key
        return steps

    def end(self, key: bytes) -> Location | None:
        """Where the key leads in the end; None if it is no redirect, or leads into a loop."""
        chain = self.chain(key)
        return chain[-1] if chain and self._step(chain[-1].key) is None else None

    def _step(self, key: bytes) -> Location | None:
        if key not in self._sources:
            return None
        with _store_errors(self._path):
            if self._connection is None:  # each process has one of its own
                self._connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            row = self._connection.execute("SELECT key, text FROM redirect WHERE source = ?", (key,)).fetchone()
        return None if row is None else Location(*row)
