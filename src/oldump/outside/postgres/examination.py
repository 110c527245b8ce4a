"""The examination of a database before a run: its version, table sizes, limits, and whether it accepts each query.

Does not: read rows, or decide whether a run may start (preflight does).
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import NamedTuple

from oldump.errors import SourceError
from oldump.outside.postgres.conninfo import place_of
from oldump.outside.postgres.queries import Query, lock
from oldump.outside.postgres.session import Connection, connect, execute


class TableSize(NamedTuple):
    """The size of a table on the server's disk."""

    pages_bytes: int
    """Of the rows themselves."""
    all_bytes: int
    """Of the rows and of oversized values, which are stored apart (TOAST); without indexes."""
    rows: int | None
    """An estimate; None if the server has not analyzed the table yet."""


class ConnectionLimit(NamedTuple):
    """A limit on the number of connections."""

    what: str
    """Whose limit: 'the role', 'the database' or 'the server'."""
    allowed: int
    used: int
    """By other sessions, at the moment."""


@dataclass(frozen=True)
class Examination:
    """What a database says about itself, and what it lets the role read."""

    place: str
    server_version: str
    version: int
    """The server's version as a number: 140005 for 14.5."""
    in_recovery: bool
    cancels_readers: bool
    """Whether it is a standby that cancels long queries when the primary removes rows that they see."""
    conflict_delays: dict[str, str]
    """The delays after which a standby cancels queries that conflict with recovery; without unlimited ones."""
    snapshots_expire: bool
    """Whether the server removes rows that an old snapshot sees (old_snapshot_threshold, before version 17)."""
    ahead_seconds: float
    """How far the server's clock is ahead of ours."""
    sizes: dict[str, TableSize]
    """Of the tables that exist; a view has no size."""
    refused: dict[str, SourceError]
    """The queries that the server refuses, with its error."""
    limits: list[ConnectionLimit]
    """The limits that apply to the role."""


_SERVER_QUERY = """
    SELECT extract(epoch FROM clock_timestamp())::float8, current_setting('server_version'), pg_is_in_recovery(),
        pg_is_in_recovery() AND current_setting('hot_standby_feedback') = 'off'
        AND current_setting('max_standby_streaming_delay') <> '-1',
        coalesce(current_setting('old_snapshot_threshold', true), '-1') <> '-1'"""
_DELAYS_QUERY = """
    SELECT name, current_setting(name) FROM pg_settings
    WHERE name IN ('max_standby_streaming_delay', 'max_standby_archive_delay') AND setting <> '-1'
    AND pg_is_in_recovery() ORDER BY name DESC"""
_LIMITS_QUERY = """
    WITH sessions AS (
        SELECT usesysid, datid FROM pg_stat_activity
        WHERE pid <> pg_backend_pid() AND datid IS NOT NULL
        AND coalesce(backend_type, 'client backend') = 'client backend'
    ), role AS (SELECT * FROM pg_roles WHERE rolname = session_user)
    SELECT 'the role', rolconnlimit, (SELECT count(*) FROM sessions WHERE usesysid = role.oid)
    FROM role WHERE rolconnlimit >= 0 AND NOT rolsuper
    UNION ALL
    SELECT 'the database', datconnlimit, (SELECT count(*) FROM sessions WHERE datid = pg_database.oid)
    FROM pg_database, role WHERE datname = current_database() AND datconnlimit >= 0 AND NOT rolsuper
    UNION ALL
    SELECT 'the server', current_setting('max_connections')::int - CASE WHEN rolsuper THEN 0
        ELSE current_setting('superuser_reserved_connections')::int END, (SELECT count(*) FROM sessions) FROM role"""
_TABLE_QUERY = """
    SELECT pg_relation_size(oid), pg_table_size(oid), CASE WHEN relpages > 0 AND reltuples >= 0
        THEN (reltuples::float8 / relpages * pg_relation_size(oid) / current_setting('block_size')::int)::bigint END
    FROM pg_class WHERE oid = to_regclass(%s) AND relkind IN ('r', 'm')"""


def examine(conninfo: str, queries: Mapping[str, Query], clock: Callable[[], float] = time.time) -> Examination:
    """Return what a database says about itself, its tables and the queries, without reading rows.

    Raises SourceUnreachable, SourceError, ConfigurationError.
    """
    place = place_of(conninfo)
    with closing(connect(conninfo)) as connection:
        connection.autocommit = True
        before = clock()
        ((epoch, *server),) = execute(connection, place, _SERVER_QUERY).fetchall()
        server_version, in_recovery, cancels_readers, snapshots_expire = server
        ahead_seconds = epoch - (before + clock()) / 2
        sizes = {
            table: TableSize(*row)
            for table in {table for query in queries.values() for table in query.tables}
            for row in execute(connection, place, _TABLE_QUERY, table)
        }
        errors = {name: _refusal(connection, place, query) for name, query in queries.items()}
        return Examination(
            place=place,
            server_version=server_version,
            version=connection.info.server_version,
            in_recovery=in_recovery,
            cancels_readers=cancels_readers,
            conflict_delays=dict(execute(connection, place, _DELAYS_QUERY).fetchall()),
            snapshots_expire=snapshots_expire,
            ahead_seconds=ahead_seconds,
            sizes=sizes,
            refused={name: error for name, error in errors.items() if error},
            limits=[ConnectionLimit(*row) for row in execute(connection, place, _LIMITS_QUERY)],
        )


def _refusal(connection: Connection, place: str, query: Query) -> SourceError | None:
    """Return the server's error for a query or the locks before it; None if it accepts them."""
    statement = query.statement_for(connection.info.server_version)
    try:
        execute(connection, place, "BEGIN")
        for table in query.tables:
            execute(connection, place, lock(table))
        execute(connection, place, f"SELECT * FROM {statement} AS query LIMIT 0")  # noqa: S608 - a stage's own
    except SourceError as error:
        return error
    else:
        return None
    finally:
        with suppress(SourceError):
            execute(connection, place, "ROLLBACK")
