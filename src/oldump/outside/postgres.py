"""PostgreSQL, through psycopg: snapshots, and the results of queries as COPY text.

One connection *leads*: it takes the snapshot, holds it, and keeps the tables from being altered. Others *read* in that
snapshot. A dead server is noticed within a minute, wherever it dies: libpq's own timeouts find a host that is gone, a
deadline one that does not answer, and a reader that hears nothing asks the server whether it is still at work.

Library errors become SourceUnreachable (a retry may help), SnapshotLost or SourceError here. A password never leaves
this module.

Does not: know what is in a table, or what becomes of the text.
"""

import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple, Self

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from zlib_ng import zlib_ng

from oldump.errors import ConfigurationError, SnapshotLost, SourceError, SourceUnreachable, VerificationError

Connection = psycopg.Connection[tuple[Any, ...]]

OLDEST_VERSION = 100_000
"""The oldest server that psycopg speaks with: PostgreSQL 10."""

SCANS_RANGES = 140_000
"""Older servers cannot scan a part of a table, by ctid."""
_LIMITS_TRANSACTIONS = 170_000
"""Older servers do not know transaction_timeout, and would refuse a connection whose options name it."""
_LOOKS_FOR_CLIENT = 140_000
"""Older servers do not notice amid a query that their client is gone."""
_SHOWN = ("service", "host", "port", "dbname", "user")
_NAMING = {"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE"}
"""What is shown of a connection beside role and service, and the variables that libpq takes it from."""
_SERVICE_VARIABLES = {"service": "PGSERVICE", "servicefile": "PGSERVICEFILE"}
_PARAMETERS = {
    "connect_timeout": "15",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "5",
    "tcp_user_timeout": "45000",
    "application_name": "oldump",
}
"""What is asked of a connection unless the operator, a variable or a service file asks for something else."""
_DEADLINE_SECONDS = 50.0
"""For an answer to a short query; the server itself gives up a little earlier."""
_SILENCE_SECONDS = 30.0
"""So long a copy may say nothing before the server is asked whether it is still at work."""
_CANCEL_SECONDS = 3.0
"""So long a server may take to hear that a copy is not wanted any more."""
_PIECE_BYTES = 1 << 18
_ROOM_QUERY = f"SELECT repeat(' ', {_PIECE_BYTES})".encode()
"""Its answer makes room in libpq, which takes 16 KiB at a time from the network till a longer message has come."""
_HINTS = {
    "40001": "A standby has to follow its primary: set hot_standby_feedback, or raise max_standby_streaming_delay.",
    "53300": "Give fewer --jobs, or raise the limit on connections of the role, the database or the server.",
    "55P03": "Another session holds a lock on the table: find it in pg_locks, and give the command again when it ends.",
    "28000": "Check the role's name and the server's pg_hba.conf, which says who may connect from where.",
    "28P01": "Check the password: in a password file (~/.pgpass, mode 600), its fields must fit the connection.",
    "3D000": "Check the database's name: psql -l lists those that the server has.",
    "57P01": "Somebody ended the session, or the server is shut down: give the command again when it is up.",
    "57014": "A timeout or somebody cancelled it: see what keeps the server busy, and give the command again.",
}
"""What to do about errors of the server, by SQLSTATE."""
_HINT = "Check host, port, role and password file, and that the server is up."
_REFUSALS = {
    "28P01": re.compile("password authentication failed|no password supplied"),
    "28000": re.compile('role ".*" (does not exist|is not permitted)|no pg_hba.conf entry|authentication failed'),
    "3D000": re.compile('database ".*" does not exist'),
    "53300": re.compile("too many (connections|clients)|remaining connection slots are reserved"),
}
"""How English servers refuse a connection, by SQLSTATE; of others the hint is the general one."""
_LOST = (
    psycopg.errors.UndefinedObject,
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.ObjectNotInPrerequisiteState,
)
"""How servers say that nobody holds the snapshot of this name: any more, at all, or since this moment."""
_OPTIONS = {
    "client_encoding": "UTF8",
    "datestyle": "ISO",
    "timezone": "UTC",
    "default_transaction_read_only": "on",
    "statement_timeout": "45s",
    "lock_timeout": "40s",
    "idle_in_transaction_session_timeout": "0",  # the leading connection is idle while others read
    "max_parallel_workers_per_gather": "0",  # else a scan gives rows as they come to its workers
    "synchronize_seqscans": "off",  # else a scan may begin in the midst of the table, where another one is
    "row_security": "off",  # an error, rather than rows that are silently left out
}


@dataclass(frozen=True)
class Snapshot:
    """The moment that tables are read at, as the manifest names it."""

    server_version: str
    snapshot: str
    lsn: str | None
    """How far the write-ahead log had got; None where the role may not ask."""
    started: str


def looks_like_conninfo(source: str) -> bool:
    """Whether the text is a connection URI or key=value words, rather than a path."""
    return "://" in source or "=" in source.split("/", 1)[0]


def shown(conninfo: str) -> dict[str, str]:
    """What may be shown of a connection: no password. Raises ConfigurationError."""
    parameters = _completed(parameters_of(conninfo))
    return {name: str(parameters[name]) for name in _SHOWN if parameters.get(name)}


def _completed(parameters: Mapping[str, str | int | None]) -> dict[str, str | int | None]:
    """The parameters, and behind them what libpq's own variables and files say.

    Raises ConfigurationError where what names host, port or database is rather a URI: a password may be in it.
    """
    completed = {**_defaults(parameters), **parameters}
    for name, variable in _NAMING.items():
        text = str(completed.get(name) or "")
        if (
            "://" in text or "@" in text[1:] or (text.startswith("@") and name != "host")
        ):  # @… is a socket without a file
            where = "its" if parameters.get(name) else f"{variable}, or the service file's"
            raise ConfigurationError(
                f"{where} {name} has :// or @ in it, as a URI with a password may have",
                f"Let {name} be a {name} alone, and give a whole URI as a setting of oldump's.",
            )
    return completed


def _defaults(parameters: Mapping[str, str | int | None]) -> dict[str, str]:
    """What libpq takes where these parameters say nothing: of the service that they name, of variables, its own."""
    named = {_SERVICE_VARIABLES[name]: str(parameters[name]) for name in _SERVICE_VARIABLES if parameters.get(name)}
    before = {variable: os.environ.get(variable) for variable in named}
    try:
        os.environ.update(named)  # libpq gives what a service says to none but the one that variables name
        defaults = pq.Conninfo.get_defaults()
    finally:
        for variable, value in before.items():
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value
    return {each.keyword.decode(): each.val.decode(errors="replace") for each in defaults if each.val}


def parameters_of(conninfo: str) -> dict[str, str | int | None]:
    """What a connection's own text says, by libpq's names. Raises ConfigurationError, which does not repeat it."""
    try:
        parameters = dict(conninfo_to_dict(conninfo))
    except (psycopg.ProgrammingError, UnicodeError):  # a variable may hold bytes that are no UTF-8
        # from None: libpq's message repeats the text, and with it perhaps a password
        raise ConfigurationError(
            "not a connection that libpq understands",
            "Write postgresql://USER@HOST:PORT/DBNAME, or 'host=HOST dbname=DBNAME user=USER', and the password in a "
            "password file.",
        ) from None
    if "://" in conninfo and any("@" in str(parameters.get(name)) for name in ("host", "port", "dbname")):
        # Where libpq sees two @, or a slash before it, what it takes for host or database is the password's end.
        raise ConfigurationError(
            "a URI with an @ where none belongs",
            "Write @ as %40 and / as %2F in a password, or better put it in a password file.",
        )
    return parameters


def midnight_after(day: date) -> str:
    """In SQL, the first moment behind the day."""
    return f"timestamp '{'infinity' if day == date.max else day + timedelta(days=1)}'"


def has_password(conninfo: str) -> bool:
    """Whether the connection's own text has a password in it. Raises ConfigurationError."""
    return looks_like_conninfo(conninfo) and bool(parameters_of(conninfo).get("password"))


def place_of(conninfo: str) -> str:
    """The database, for a message: no password."""
    return " ".join(f"{name}={value}" for name, value in shown(conninfo).items()) or "libpq's default database"


@contextmanager
def _errors(place: str) -> Iterator[None]:
    """Translate what psycopg raises. Raises SourceUnreachable, SourceError."""
    try:
        yield
    except psycopg.OperationalError as error:
        told = _one_line(error)
        hint = _HINTS.get(error.sqlstate or _state_of(told), _HINT)
        raise SourceUnreachable(f"{place}: {told}", hint) from error
    except psycopg.Error as error:
        raise SourceError(
            f"{place}: {_one_line(error)}", "Check that the tables are there and that the role may read them."
        ) from error


def _one_line(error: psycopg.Error) -> str:
    told = error.diag.message_primary or "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    return told.rstrip(".?! ")


def _state_of(told: str) -> str:
    """The SQLSTATE of a connection that was refused: libpq keeps it to itself, and gives the server's words alone."""
    return next((state for state, words in _REFUSALS.items() if words.search(told)), "")


def connected(conninfo: str) -> Connection:
    """A connection whose transactions are read-only, each on one snapshot. Raises SourceError, ConfigurationError."""
    parameters = parameters_of(conninfo)
    told = _completed(parameters)
    ours = {name: value for name, value in _PARAMETERS.items() if not told.get(name)}
    options = " ".join(f"-c {name}={value}" for name, value in _OPTIONS.items())
    options = " ".join(filter(None, (str(told.get("options") or ""), options)))  # of two that differ the last one holds
    place = place_of(conninfo)
    with _errors(place):
        connection = psycopg.connect(make_conninfo("", **{**parameters, **ours, "options": options}))
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        _fit(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection


def _fit(connection: Connection, place: str) -> None:
    """Refuse a server that is too old; say what not every one understands as an option. Raises SourceError.

    That is to lift a limit, and to look amid a query whether we are still there: else the query of a process that was
    killed goes on to its end, and with it the snapshot.
    """
    version = connection.info.server_version
    if version < OLDEST_VERSION:
        said = connection.info.parameter_status("server_version")
        raise SourceError(f"{place}: the server is too old, {said}", "oldump reads PostgreSQL 10 and later.")
    if version >= _LIMITS_TRANSACTIONS:
        with _errors(place), _deadline(connection):
            connection.execute("SET transaction_timeout = 0")  # as pg_dump does
            connection.commit()
    if version >= _LOOKS_FOR_CLIENT:
        with _errors(place), _deadline(connection):
            try:
                connection.execute("SET client_connection_check_interval = '10s'")
                connection.commit()
            except psycopg.errors.InvalidParameterValue:  # its system cannot look
                connection.rollback()


@contextmanager
def _deadline(connection: Connection, seconds: float = _DEADLINE_SECONDS) -> Iterator[None]:
    """Cut the connection if what is done meanwhile takes longer: libpq itself would wait for ever."""
    timer = threading.Timer(seconds, _cut, [connection.fileno()])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it must neither cut what has this number next, nor be there when workers are forked


def _cut(descriptor: int) -> None:
    with suppress(OSError), socket.socket(fileno=descriptor) as stream:
        try:
            stream.shutdown(socket.SHUT_RDWR)
        finally:
            stream.detach()  # it is libpq's to close


def _cancel(connection: Connection) -> None:
    """Ask the server to stop what it is at, and do not wait for long, nor fail: it notices by itself, only later."""
    if psycopg.capabilities.has_cancel_safe():  # what older libpqs have instead may wait for ever
        with suppress(psycopg.Error, OSError):
            connection.cancel_safe(timeout=_CANCEL_SECONDS)


def _executed(connection: Connection, place: str, query: str, *parameters: object) -> psycopg.Cursor[tuple[Any, ...]]:
    """A short query, done within the deadline. Raises SourceUnreachable, SourceError."""
    with _errors(place), _deadline(connection):
        return connection.execute(query.encode(), parameters or None)


class Query(NamedTuple):
    """What a stage asks of a database."""

    tables: tuple[str, ...]
    """What it reads."""
    statement: str
    """What COPY takes, such as '(SELECT …)'."""
    old_statement: str = ""
    """The same for servers that cannot scan a part of a table, if they are asked otherwise."""

    def statement_for(self, server_version: int) -> str:
        """What this server is asked."""
        return self.old_statement if self.old_statement and server_version < SCANS_RANGES else self.statement


class TableSize(NamedTuple):
    """How large a table is on the server's disk."""

    pages_bytes: int
    """Of the rows themselves."""
    all_bytes: int
    """The same with the oversized fields, which lie elsewhere; without indexes."""
    rows: int | None
    """About so many; None if the server has not counted yet."""


class Limit(NamedTuple):
    """How many connections something allows."""

    what: str
    allowed: int
    used: int
    """By others, at the moment."""


@dataclass(frozen=True)
class Examined:
    """What a database is, and what it lets the role read."""

    place: str
    server_version: str
    version: int
    """The same as a number, 140005 for 14.5."""
    in_recovery: bool
    cancels_readers: bool
    """Whether it is a standby that ends long queries when the primary removes what they see."""
    ahead_seconds: float
    """How far its clock is ahead of ours."""
    sizes: dict[str, TableSize]
    """Of the tables that are there; a view has no size of its own."""
    refused: dict[str, SourceError]
    """The queries that the server refuses, with what it said."""
    limits: list[Limit]
    """Of connections, as far as they hold for the role."""


_ASKED_OF_SERVER = """
    SELECT extract(epoch FROM clock_timestamp())::float8, current_setting('server_version'), pg_is_in_recovery(),
        pg_is_in_recovery() AND current_setting('hot_standby_feedback') = 'off'
        AND current_setting('max_standby_streaming_delay') <> '-1'"""
_LIMITS = """
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
_ASKED_OF_TABLE = """
    SELECT pg_relation_size(oid), pg_table_size(oid), CASE WHEN relpages > 0 AND reltuples >= 0
        THEN (reltuples::float8 / relpages * pg_relation_size(oid) / current_setting('block_size')::int)::bigint END
    FROM pg_class WHERE oid = to_regclass(%s) AND relkind IN ('r', 'm')"""


def examine(conninfo: str, queries: Mapping[str, Query], clock: Callable[[], float] = time.time) -> Examined:
    """Ask a database what it is and how large its tables are, and whether it takes each query; rows are not read.

    Raises SourceUnreachable, SourceError, ConfigurationError.
    """
    place = place_of(conninfo)
    with closing(connected(conninfo)) as connection:
        connection.autocommit = True
        asked = clock()
        epoch, server_version, in_recovery, cancels_readers = _executed(connection, place, _ASKED_OF_SERVER).fetchall()[
            0
        ]
        ahead_seconds = epoch - (asked + clock()) / 2
        sizes = {
            table: TableSize(*row)
            for table in {table for query in queries.values() for table in query.tables}
            for row in _executed(connection, place, _ASKED_OF_TABLE, table)
        }
        answers = {name: _refusal(connection, place, query) for name, query in queries.items()}
        return Examined(
            place=place,
            server_version=server_version,
            version=connection.info.server_version,
            in_recovery=in_recovery,
            cancels_readers=cancels_readers,
            ahead_seconds=ahead_seconds,
            sizes=sizes,
            refused={name: error for name, error in answers.items() if error},
            limits=[Limit(*row) for row in _executed(connection, place, _LIMITS)],
        )


def _refusal(connection: Connection, place: str, query: Query) -> SourceError | None:
    """What the server says against a query and the locks that go before it, None if nothing."""
    statement = query.statement_for(connection.info.server_version)
    try:
        _executed(connection, place, "BEGIN")
        for table in query.tables:
            _executed(connection, place, _lock(table))
        _executed(connection, place, f"SELECT * FROM {statement} AS asked LIMIT 0")  # noqa: S608 - a stage's own
    except SourceError as error:
        return error
    else:
        return None
    finally:
        with suppress(SourceError):
            _executed(connection, place, "ROLLBACK")


def _lock(table: str) -> str:
    """Keeps a table from being altered, but not from being written to."""
    return f"LOCK TABLE {table} IN ACCESS SHARE MODE"


class SnapshotConnection:
    """The connection that takes a snapshot and holds it for others, for `with`."""

    def __init__(self, conninfo: str, tables: Iterable[str] = ()) -> None:
        """Connect, keep the tables from being altered, and take the snapshot. Raises SourceError."""
        self.conninfo = conninfo
        self.place = place_of(conninfo)
        self._connection = connected(conninfo)
        self.server_version = self._connection.info.server_version
        """As a number, 140005 for 14.5."""
        try:
            for table in tables:  # before the snapshot: what it sees stays as it is
                self._execute(_lock(table))
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
        asked = "pg_last_wal_replay_lsn" if self.in_recovery else "pg_current_wal_lsn"
        allowed = self.fetch("SELECT has_function_privilege(%s, 'execute')", f"{asked}()")[0][0]
        return self.fetch(f"SELECT {asked}()::text")[0][0] if allowed else None

    def fetch(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a short query. Raises SourceUnreachable, SourceError."""
        return self._execute(query, *parameters).fetchall()

    def _execute(self, query: str, *parameters: object) -> psycopg.Cursor[tuple[Any, ...]]:
        return _executed(self._connection, self.place, query, *parameters)

    def require_alive(self) -> None:
        """Ask for an answer. Raises SnapshotLost if none comes: with this connection goes the snapshot."""
        try:
            self.fetch("SELECT 1")
        except SourceError as error:
            raise SnapshotLost(f"{error.message}; the connection that held the snapshot is lost", error.hint) from error

    def reader(self, silence_seconds: float = _SILENCE_SECONDS) -> "Reader":
        """A connection that reads in this snapshot; it is made when it is needed."""
        return Reader(self._pinned(), self.exported, silence_seconds)

    def _pinned(self) -> str:
        """To the same server again, where several are named: no other one has the snapshot."""
        info = self._connection.info
        address = {"hostaddr": info.hostaddr} if info.hostaddr else {}
        return make_conninfo(self.conninfo, host=info.host, port=info.port, **address)

    def __enter__(self) -> Self:
        """Nothing to prepare: it is connected."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the snapshot go."""
        self._connection.close()


class Reader:
    """A connection that reads in a snapshot that another one holds, made anew when it fails, for `with`."""

    def __init__(self, conninfo: str, exported: str, silence_seconds: float = _SILENCE_SECONDS) -> None:
        """Take where to connect, and the name of the snapshot."""
        self.place = place_of(conninfo)
        self._conninfo = conninfo
        self._exported = exported
        self._silence_seconds = silence_seconds
        self._connection: Connection | None = None

    def copy(self, query: str) -> Iterator[bytes]:
        """The result of a query as COPY text, in pieces of whole rows.

        query: what COPY takes, such as '(SELECT …)'. Raises SourceUnreachable, SnapshotLost, SourceError,
        VerificationError if the server says that it sent another number of rows.
        """
        connection = self._ready()
        try:
            with _errors(self.place):
                yield from self._copied(connection, f"COPY {query} TO STDOUT")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection, and what the server does for it: that would hold snapshot and locks till it has done."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                if connection.info.transaction_status == pq.TransactionStatus.ACTIVE:
                    _cancel(connection)
            finally:
                connection.close()

    def __enter__(self) -> Self:
        """Nothing to prepare: it connects when it is needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the connection."""
        self.close()

    def _ready(self) -> Connection:
        if self._connection is None:
            connection = connected(self._conninfo)
            try:
                with _errors(self.place), _deadline(connection):
                    connection.execute(f"SET TRANSACTION SNAPSHOT '{self._exported}'".encode())
                    connection.execute("SET statement_timeout = 0")
                    connection.execute(_ROOM_QUERY)
            except SourceError as error:
                connection.close()
                if isinstance(error.__cause__, _LOST):
                    raise SnapshotLost(
                        f"{error.message}; the connection that held the snapshot is lost", error.hint
                    ) from error
                raise
            self._connection = connection
        return self._connection

    def _copied(self, connection: Connection, statement: str) -> Iterator[bytes]:
        protocol = connection.pgconn
        protocol.send_query(statement.encode())
        begun = self._result(connection)
        if begun.status != pq.ExecStatus.COPY_OUT:
            raise psycopg.errors.error_from_result(begun)
        count = 0
        for rows in self._rows(connection):
            count += len(rows)
            yield b"".join(rows)
        ended = self._result(connection)
        if ended.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(ended)
        if count != ended.command_tuples:
            raise VerificationError(
                f"{self.place}: the server sent {ended.command_tuples:,} rows, {count:,} arrived. Run again."
            )
        while protocol.is_busy() or protocol.get_result():  # till it is ready for the next statement
            self._wait(connection)

    def _rows(self, connection: Connection) -> Iterator[list[memoryview]]:
        """The rows of a copy as libpq gives them, one by one, in lists of some _PIECE_BYTES.

        What is done here is done for each row: copying the views while they are joined is cheaper than one by one.
        """
        get_row = connection.pgconn.get_copy_data
        rows: list[memoryview] = []
        held_bytes = 0
        while (received := get_row(1))[0] >= 0:
            size_bytes, row = received
            if not size_bytes:
                self._wait(connection)
                continue
            rows.append(row)
            held_bytes += size_bytes
            if held_bytes >= _PIECE_BYTES:
                yield rows
                rows, held_bytes = [], 0
        yield rows

    def _result(self, connection: Connection) -> pq.abc.PGresult:
        protocol = connection.pgconn
        while protocol.is_busy():
            self._wait(connection)
        result = protocol.get_result()
        if result is None:
            raise psycopg.OperationalError("the server ended the conversation")
        return result

    def _wait(self, connection: Connection) -> None:
        """Till the server says something. Raises OperationalError if it is dead, or deaf."""
        protocol = connection.pgconn
        poll = select.poll()
        poll.register(protocol.socket, select.POLLIN)
        protocol.flush()
        while not poll.poll(self._silence_seconds * 1000):
            if not self._at_work(connection.info.backend_pid):
                raise psycopg.OperationalError(f"the connection has been silent for {self._silence_seconds:.0f} s")
        protocol.consume_input()

    def _at_work(self, backend: int) -> bool:
        """Whether the server says, on another connection, that it works on our statement and does not wait for us."""
        query = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE pid = %s AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'"
        )
        with closing(connected(self._conninfo)) as other, _deadline(other):
            row = other.execute(query.encode(), [backend]).fetchone()
        return row is not None and row[0] == 1


def _again(take: Callable[[int], bytes], least_bytes: int) -> bytes:
    """What take gives, which has failed once: it is tried again for about a minute."""
    import tenacity  # noqa: PLC0415 - most runs fail never

    patiently = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda e: isinstance(e, SourceUnreachable) and not isinstance(e, SnapshotLost)
        ),
        stop=tenacity.stop_after_attempt(6),
        wait=tenacity.wait_exponential_jitter(initial=1, max=20),
        reraise=True,
    )
    text: bytes = patiently(take, least_bytes)
    return text


class Copying:
    """The result of a query as COPY text, whatever happens to the connection as long as the snapshot lives.

    The same query in the same snapshot gives the same text if its order is fixed; so when a connection fails, the
    query is given again and what was passed on already is skipped, and held against the sum of it.
    """

    def __init__(self, reader: Reader, query: str) -> None:
        """Take who reads, and what COPY takes."""
        self._reader = reader
        self._query = query
        self._pieces: Iterator[bytes] | None = None
        self._passed_bytes = self._passed_crc32 = 0
        self.failures: list[str] = []
        """What was said of the connections that failed."""

    def take(self, least_bytes: int) -> bytes:
        """The next rows, at least so many bytes of them unless the result ends; b"" behind its end.

        Raises SourceUnreachable if every new connection fails too; SnapshotLost, SourceError, VerificationError.
        """
        try:
            text = self._take(least_bytes)
        except SnapshotLost:
            raise
        except SourceUnreachable:
            text = _again(self._take, least_bytes)
        self._passed_bytes += len(text)
        self._passed_crc32 = zlib_ng.crc32(text, self._passed_crc32)
        return text

    def _take(self, least_bytes: int) -> bytes:
        if self._pieces is None:
            self._pieces = self._from_where_it_stopped()
        held: list[bytes] = []
        held_bytes = 0
        try:
            while held_bytes < least_bytes and (piece := next(self._pieces, None)) is not None:
                held.append(piece)
                held_bytes += len(piece)
        except SourceUnreachable as error:
            self._pieces = None
            self.failures.append(error.message)
            raise
        return b"".join(held)

    def _from_where_it_stopped(self) -> Iterator[bytes]:
        """What lies behind that which was passed on when this was called."""
        lacking, passed_crc32, crc32 = self._passed_bytes, self._passed_crc32, 0
        for piece in self._reader.copy(self._query):
            skipped = piece[:lacking]
            lacking -= len(skipped)
            crc32 = zlib_ng.crc32(skipped, crc32)
            if not lacking and len(skipped) < len(piece):
                if crc32 != passed_crc32:
                    break
                yield piece[len(skipped) :]
        if lacking or crc32 != passed_crc32:
            raise VerificationError(
                f"{self._reader.place}: the same query gave another text the second time. Run again; if it happens "
                "again, the table is changed by something that no snapshot keeps out."
            )
