"""Sessions of PostgreSQL: open a read-only connection, run short queries within a deadline, translate errors.

libpq's own timeouts detect a host that is gone; the deadline detects a server that does not answer. This is the only
module that translates psycopg's errors: `TRANSLATIONS` maps them to SourceUnreachable, where a retry may help, and
SourceError.

Does not: hold a snapshot or copy rows (see snapshot and copying).
"""

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from oldump.errors import SourceError, SourceUnreachable
from oldump.outside.postgres.conninfo import parse_conninfo, place_of, with_defaults

Connection = psycopg.Connection[tuple[Any, ...]]
Cursor = psycopg.Cursor[tuple[Any, ...]]

OLDEST_VERSION = 100_000
"""The oldest server that psycopg supports: PostgreSQL 10."""

_LIMITS_TRANSACTIONS = 170_000
"""Older servers do not know transaction_timeout, and refuse a connection whose options set it."""
_CHECKS_CLIENT = 140_000
"""Older servers do not check during a query whether their client is still connected."""
_PARAMETERS = {
    "connect_timeout": "15",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "5",
    "tcp_user_timeout": "45000",
    "application_name": "oldump",
}
"""Connection parameters that apply unless the operator, a variable or a service file sets others."""
_DEADLINE_SECONDS = 50.0
"""The limit for the answer to a short query; the server's own limit is a little shorter."""
_OPTIONS = {
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "timezone": "UTC",
    "default_transaction_read_only": "on",
    "statement_timeout": "45s",
    "lock_timeout": "40s",
    "idle_in_transaction_session_timeout": "0",  # the snapshot connection is idle while others read
    "max_parallel_workers_per_gather": "0",  # a parallel scan returns rows in no fixed order
    "synchronize_seqscans": "off",  # a synchronized scan may start in the middle of the table
    "row_security": "off",  # an error, rather than rows silently left out
}

TRANSLATIONS: dict[type[psycopg.Error], type[SourceError]] = {
    psycopg.OperationalError: SourceUnreachable,
    psycopg.InterfaceError: SourceError,
    psycopg.DataError: SourceError,
    psycopg.IntegrityError: SourceError,
    psycopg.InternalError: SourceError,
    psycopg.NotSupportedError: SourceError,
    psycopg.ProgrammingError: SourceError,
    psycopg.DatabaseError: SourceError,  # the base of the others, raised for a SQLSTATE that psycopg does not know
}
"""The error that replaces each of psycopg's; the first class that matches applies."""

_HINTS = {
    "40001": "The standby cancelled the query, because it blocked recovery: set hot_standby_feedback = on, and "
    "max_standby_streaming_delay and max_standby_archive_delay = -1.",
    "72000": "The snapshot is older than the server's old_snapshot_threshold: set that to -1 and restart the server.",
    "53300": "Use fewer --jobs, or raise the connection limit of the role, the database or the server.",
    "55P03": "Another session holds a lock on the table: find it in pg_locks, and rerun when it has ended.",
    "28000": "Check the role's name and the server's pg_hba.conf, which lists who may connect from where.",
    "28P01": "Check the password. In a password file (~/.pgpass, mode 600), the fields must match the connection.",
    "3D000": "Check the database's name: psql -l lists the databases of the server.",
    "57P01": "The session was terminated or the server is shutting down: rerun when it is up.",
    "57014": "A timeout or a person cancelled the query: check what keeps the server busy, and rerun.",
}
"""Hints for errors of the server, by SQLSTATE."""
_UNREACHABLE_HINT = "Check host, port, role and password file, and that the server is up."
_REFUSED_HINT = "Check that the tables exist and that the role may read them."
_REFUSALS = {
    "28P01": re.compile("password authentication failed|no password supplied"),
    "28000": re.compile('role ".*" (does not exist|is not permitted)|no pg_hba.conf entry|authentication failed'),
    "3D000": re.compile('database ".*" does not exist'),
    "53300": re.compile("too many (connections|clients)|remaining connection slots are reserved"),
}
"""How servers with English messages refuse a connection, by SQLSTATE. For other languages the general hint applies."""


def translated(error: psycopg.Error, place: str) -> SourceError | None:
    """Return the error of oldump that replaces one of psycopg's; None if `TRANSLATIONS` does not list it."""
    replacement = next((ours for theirs, ours in TRANSLATIONS.items() if isinstance(error, theirs)), None)
    if replacement is None:
        return None
    text = _one_line(error)
    if replacement is SourceUnreachable:
        return replacement(f"{place}: {text}", _HINTS.get(error.sqlstate or _state_of(text), _UNREACHABLE_HINT))
    return replacement(f"{place}: {text}", _HINTS.get(error.sqlstate or "", _REFUSED_HINT))


@contextmanager
def translated_errors(place: str) -> Iterator[None]:
    """Translate psycopg's errors in the body. Raises SourceUnreachable, SourceError."""
    try:
        yield
    except psycopg.Error as error:
        replacement = translated(error, place)
        if replacement is None:
            raise
        raise replacement from error


def _one_line(error: psycopg.Error) -> str:
    text = error.diag.message_primary or "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return text.rstrip(".?! ")


def _state_of(text: str) -> str:
    """Return the SQLSTATE of a refused connection, which libpq does not pass on; empty if it is unknown."""
    return next((state for state, words in _REFUSALS.items() if words.search(text)), "")


def is_limit(error: SourceUnreachable) -> bool:
    """Whether the server refused a connection because it, the database or the role has too many."""
    return _state_of(error.message) == "53300"


def connect(conninfo: str) -> Connection:
    """Open a connection whose transactions are read-only and repeatable-read.

    Raises SourceUnreachable, SourceError, ConfigurationError.
    """
    parameters = parse_conninfo(conninfo)
    completed = with_defaults(parameters)
    ours = {name: value for name, value in _PARAMETERS.items() if not completed.get(name)}
    options = " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items())
    options = " ".join(filter(None, (str(completed.get("options") or ""), options)))  # the last of two settings applies
    place = place_of(conninfo)
    with translated_errors(place):
        connection = psycopg.connect(make_conninfo("", **{**parameters, **ours, "options": options}))
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        _prepare(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: Connection, place: str) -> None:
    """Refuse a server that is too old, and set what only newer servers understand. Raises SourceError.

    The settings lift a limit, and make the server check during a query whether we are still connected. Without the
    check, the query of a killed process runs to its end and keeps its snapshot.
    """
    version = connection.info.server_version
    if version < OLDEST_VERSION:
        name = connection.info.parameter_status("server_version")
        raise SourceError(f"{place}: the server is too old, {name}", "oldump reads PostgreSQL 10 and later.")
    if version >= _LIMITS_TRANSACTIONS:
        with translated_errors(place), deadline(connection):
            connection.execute("SET transaction_timeout = 0")  # as pg_dump does
            connection.commit()
    if version >= _CHECKS_CLIENT:
        with translated_errors(place), deadline(connection):
            try:
                connection.execute("SET client_connection_check_interval = '10s'")
                connection.commit()
            except psycopg.errors.InvalidParameterValue:  # the server's system does not support it
                connection.rollback()


@contextmanager
def deadline(connection: Connection, seconds: float = _DEADLINE_SECONDS) -> Iterator[None]:
    """Cut the connection if the body takes longer: libpq itself would wait forever."""
    timer = threading.Timer(seconds, _cut, [connection.fileno()])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it must not cut a later connection with the same number, nor run when workers are forked


def _cut(descriptor: int) -> None:
    with suppress(OSError), socket.socket(fileno=descriptor) as stream:
        try:
            stream.shutdown(socket.SHUT_RDWR)
        finally:
            stream.detach()  # libpq closes it


def execute(connection: Connection, place: str, query: str, *parameters: object) -> Cursor:
    """Run a short query within the deadline. Raises SourceUnreachable, SourceError."""
    with translated_errors(place), deadline(connection):
        return connection.execute(query.encode(), parameters or None)
