"""Redirects: a store on disk, because there are millions, and a Bloom filter, because most keys are not redirects."""

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
    """The key that a redirect points to."""

    key: bytes
    """As a column."""
    text: bytes
    """As JSON, in the redirect's spelling."""


class RedirectFilter:
    """A Bloom filter of keys, of fixed size: no false negatives, few false positives (Bloom 1970)."""

    def __init__(self) -> None:
        self._bits = bytearray(_FILTER_BYTES)

    def add(self, key: bytes) -> None:
        """Add a key."""
        for place in _places(key):
            self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, key: bytes) -> bool:
        """Whether the key may have been added."""
        return all(self._bits[place >> 3] >> (place & 7) & 1 for place in _places(key))


def _places(key: bytes) -> tuple[int, int]:
    digest = xxh3_64_intdigest(key)
    return digest & _PLACES, digest >> 32 & _PLACES


def duplicate_key(key: bytes) -> RecordError:
    """Return the error for two records with the same key."""
    return RecordError(
        f"{key.decode(errors='replace')}: occurs in two records", "Check that the input is a dump, not a cdump."
    )


@contextmanager
def _store_errors(path: Path) -> Iterator[None]:
    """Translate SQLite's errors to StorageError and StorageFull, except IntegrityError, which is about the data."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.Error as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            with storage_errors(path):
                raise OSError(errno.ENOSPC, str(error)) from error
        raise StorageError(
            f"{path}: cannot store or read the redirects ({error})", "Check the disk and rerun."
        ) from error


class Redirects:
    """All redirects of a dump. One process stores them; processes forked from it read them."""

    def __init__(self, path: Path, redirects: Iterable[tuple[bytes, str]] | None) -> None:
        """Store redirects, given as key (a column) and location (as in the document); None to use the stored ones.

        Raises StorageError; RecordError if a key occurs twice.
        """
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._sources, self._targets = RedirectFilter(), RedirectFilter()
        self._last = b""
        """The key of the last stored redirect."""
        try:
            with _store_errors(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
                if redirects is None:
                    for source, key in connection.execute("SELECT source, key FROM redirect"):
                        self._add_to_filters(source, key)
                else:
                    self._store(redirects, connection)
        except sqlite3.IntegrityError as error:
            raise duplicate_key(self._last) from error
        with storage_errors(path), path.open("rb") as stream:
            os.fsync(stream.fileno())

    def _store(self, redirects: Iterable[tuple[bytes, str]], connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")  # the finished file is synced as a whole
        connection.execute("CREATE TABLE redirect (source BLOB PRIMARY KEY, key BLOB, text BLOB) WITHOUT ROWID")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO redirect VALUES (?, ?, ?)", self._rows(redirects))
        connection.execute("COMMIT")

    def _rows(self, redirects: Iterable[tuple[bytes, str]]) -> Iterable[tuple[bytes, bytes, bytes]]:
        for source, location in redirects:
            key, self._last = column(location), source
            self._add_to_filters(source, key)
            yield source, key, encode_basestring_ascii(location).encode()

    def _add_to_filters(self, source: bytes, key: bytes) -> None:
        self._sources.add(source)
        self._targets.add(key)

    def may_lead_to(self, key: bytes) -> bool:
        """Whether a redirect may point to the key. False positives are rare; there are no false negatives."""
        return key in self._targets

    def chain(self, key: bytes) -> list[Location]:
        """Follow redirects from the key to a key that is not one; return each step. A loop ends before it repeats.

        Empty if the key is not a redirect.
        """
        steps: list[Location] = []
        visited = {key}
        while (step := self._step(key)) is not None and step.key not in visited:
            steps.append(step)
            visited.add(step.key)
            key = step.key
        return steps

    def end(self, key: bytes) -> Location | None:
        """Return the end of the key's chain; None if the key is not a redirect, or its chain is a loop."""
        chain = self.chain(key)
        return chain[-1] if chain and self._step(chain[-1].key) is None else None

    def _step(self, key: bytes) -> Location | None:
        if key not in self._sources:
            return None
        with _store_errors(self._path):
            if self._connection is None:  # each process opens its own
                self._connection = sqlite3.connect(f"{self._path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            row = self._connection.execute("SELECT key, text FROM redirect WHERE source = ?", (key,)).fetchone()
        return None if row is None else Location(*row)
