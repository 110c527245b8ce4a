"""Snapshots of PostgreSQL: a connection that takes a snapshot, keeps it, and shares it with readers.

Does not: read the rows (see copying), or take another snapshot when the connection breaks.
"""

import multiprocessing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

from psycopg.conninfo import make_conninfo

from oldump.errors import SnapshotLost, SourceError
from oldump.outside.postgres.conninfo import place_of
from oldump.outside.postgres.copying import SILENCE_SECONDS, SnapshotReader
from oldump.outside.postgres.queries import lock
from oldump.outside.postgres.session import Cursor, connect, execute


@dataclass(frozen=True)
class Snapshot:
    """The moment at which tables are read, as the manifest names it."""

    server_version: str
    snapshot: str
    lsn: str | None
    """The position in the write-ahead log; None if the role may not read it."""
    started: str


class SnapshotConnection:
    """The connection that takes a snapshot and holds it for readers. Use it with `with`."""

    def __init__(self, conninfo: str, tables: Iterable[str] = ()) -> None:
        """Connect, keep the tables from being altered, and take the snapshot. Raises SourceError."""
        self.conninfo = conninfo
        self.place = place_of(conninfo)
        self._asking = multiprocessing.Lock()
        self._connection = connect(conninfo)
        self.server_version = self._connection.info.server_version
        """The server's version as a number: 140005 for 14.5."""
        try:
            for table in tables:  # before the snapshot, so that nothing is altered in between
                self._execute(lock(table))
            query = (
                "SELECT current_setting('server_version'), txid_current_snapshot()::text, to_json(now())#>>'{}', "
                "pg_export_snapshot(), pg_is_in_recovery()"
            )
            version, snapshot, started, self.exported, self.in_recovery = self.fetch(query)[0]
            self.snapshot = Snapshot(version, snapshot, self._lsn(), started)
        except BaseException:
            self._connection.close()
            raise

    def _lsn(self) -> str | None:
        function = "pg_last_wal_replay_lsn" if self.in_recovery else "pg_current_wal_lsn"
        is_allowed = self.fetch("SELECT has_function_privilege(%s, 'execute')", f"{function}()")[0][0]
        return self.fetch(f"SELECT {function}()::text")[0][0] if is_allowed else None

    def fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a short query. Raises SourceUnreachable, SourceError."""
        return self._execute(query, *parameters).fetchall()

    def _execute(self, query: str, *parameters: object) -> Cursor:
        return execute(self._connection, self.place, query, *parameters)

    def require_alive(self) -> None:
        """Raise SnapshotLost if the server does not answer on this connection: its snapshot is gone then."""
        try:
            self.fetch("SELECT 1")
        except SourceError as error:
            raise SnapshotLost(f"{error.message}; the connection that held the snapshot is lost", error.hint) from error

    def reader(self, silence_seconds: float = SILENCE_SECONDS) -> SnapshotReader:
        """Return a reader of this snapshot, which connects when it is first used."""
        return SnapshotReader(self._same_server(), self.exported, silence_seconds, self._asking)

    def _same_server(self) -> str:
        """Return a connection string for this very server: if several are named, only one has the snapshot."""
        info = self._connection.info
        address = {"hostaddr": info.hostaddr} if info.hostaddr else {}
        return make_conninfo(self.conninfo, host=info.host, port=info.port, **address)

    def __enter__(self) -> Self:
        """Return this connection, which is already open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection, and with it the snapshot."""
        self._connection.close()
