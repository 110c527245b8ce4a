"""PostgreSQL, through psycopg: connections, and tables as COPY text.

Library errors become SourceUnreachable (a retry may help) or SourceError here. A password never leaves this module.

Does not: know what is in a table, or what becomes of the text.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from oldump.errors import ConfigurationError, SourceError, SourceUnreachable

_SHOWN = ("service", "host", "port", "dbname", "user")
# A dead server is noticed within a minute; a table that is being altered is not waited for in vain.
_TIMEOUTS = {
    "connect_timeout": "15",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "5",
    "tcp_user_timeout": "45000",
}
_OPTIONS = "-c client_encoding=UTF8 -c lock_timeout=60s -c statement_timeout=0 -c default_transaction_read_only=on"


@dataclass(frozen=True)
class Snapshot:
    """The moment that a table was copied at, as the manifest names it."""

    server_version: str
    snapshot: str
    started: str


def looks_like_conninfo(source: str) -> bool:
    """Whether the text is a connection URI or key=value words, rather than a path."""
    return "://" in source or "=" in source.split("/", 1)[0]


def shown(conninfo: str) -> dict[str, str]:
    """What may be shown of a connection: no password. Raises ConfigurationError."""
    parameters = {**_defaults(), **_parameters(conninfo)}
    return {name: str(parameters[name]) for name in _SHOWN if parameters.get(name)}


def _defaults() -> dict[str, str]:
    """What libpq's own variables and files say."""
    defaults = psycopg.pq.Conninfo.get_defaults()
    return {each.keyword.decode(): each.val.decode(errors="replace") for each in defaults if each.val}


def _parameters(conninfo: str) -> dict[str, str | int | None]:
    try:
        parameters = dict(conninfo_to_dict(conninfo))
    except psycopg.ProgrammingError:
        # from None: libpq's message repeats the text, and with it perhaps a password
        raise ConfigurationError(
            "The source is not a connection that libpq understands. Write postgresql://USER@HOST:PORT/DBNAME, or "
            "'host=HOST dbname=DBNAME user=USER', and the password in a password file."
        ) from None
    if "://" in conninfo and any("@" in str(parameters.get(name)) for name in ("host", "port", "dbname")):
        # Where libpq sees two @, or a slash before it, what it takes for host or database is the password's end.
        raise ConfigurationError(
            "The source is a URI with an @ where none belongs. Write @ as %40 and / as %2F in a password, or better "
            "put it in a password file."
        )
    return parameters


def place_of(conninfo: str) -> str:
    """The database, for a message: no password."""
    return " ".join(f"{name}={value}" for name, value in shown(conninfo).items()) or "libpq's default database"


@contextmanager
def connected(conninfo: str) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """A connection in a read-only transaction on one snapshot. Raises SourceError, ConfigurationError."""
    parameters = _parameters(conninfo)
    options = " ".join(filter(None, (str(parameters.pop("options", "") or ""), _OPTIONS)))
    place = place_of(conninfo)
    try:
        with psycopg.connect(make_conninfo("", **{**_TIMEOUTS, **parameters, "options": options})) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield connection
    except psycopg.OperationalError as error:
        raise SourceUnreachable(
            f"{place}: {_one_line(error)}. Check host, port, role and password file, and that the server is up."
        ) from error
    except psycopg.Error as error:
        raise SourceError(
            f"{place}: {_one_line(error)}. Check that the tables are there and that the role may read them."
        ) from error


def _one_line(error: psycopg.Error) -> str:
    if error.diag.message_primary:
        return error.diag.message_primary
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip()).rstrip(".")


def snapshot_of(connection: "psycopg.Connection[tuple[object, ...]]") -> Snapshot:
    """The transaction's snapshot, which all its copies share."""
    query = "SELECT current_setting('server_version'), txid_current_snapshot()::text, to_json(now())#>>'{}'"
    version, snapshot, started = connection.execute(query).fetchone() or ("", "", "")
    return Snapshot(str(version), str(snapshot), str(started))


def estimated_bytes(connection: "psycopg.Connection[tuple[object, ...]]", table: str) -> int:
    """The size of a table with its oversized fields. Fields are compressed there: its text is larger."""
    row = connection.execute("SELECT pg_table_size(%s::regclass)", (table,)).fetchone()
    return int(str(row[0])) if row else 0


class TableCopy:
    """The rows of a table as COPY text, to be read once."""

    def __init__(self, connection: "psycopg.Connection[tuple[object, ...]]", query: str) -> None:
        """Take a query for COPY: 'data (thing_id, revision, data)' or '(SELECT …)'."""
        self._connection = connection
        self._query = query
        self.rows_sent: int | None = None
        """What the server says it sent; None before the end."""

    def __iter__(self) -> Iterator[bytes]:
        """The text in pieces of whole rows."""
        with self._connection.cursor() as cursor:
            with cursor.copy(f"COPY {self._query} TO STDOUT".encode()) as copy:
                for row in copy:
                    yield bytes(row)
            self.rows_sent = cursor.rowcount
