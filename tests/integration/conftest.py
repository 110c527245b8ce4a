"""One real PostgreSQL server for all integration tests, and a new database for each test that needs one."""

import gzip
import itertools
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from commands.command import DATE, Ran, environment, oldump, private_of, run
from integration.proxy import Proxy
from oldump.outside.embedded_postgres import embedded_database, psql_program
from oldump.stages.tables import TABLES

PSQL = psql_program()
BIN = PSQL.parent

Database = Callable[[], str]
Proxied = Callable[[str], Proxy]
DATA_ALONE = tuple(word for table in TABLES for word in ("--skip", table.name))
"""Options of a run whose database has no table except data."""


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Yield the connection of a server that runs as long as the tests."""
    with tempfile.TemporaryDirectory(prefix="oldump-tests-") as folder, embedded_database(Path(folder)) as uri:
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")  # the tests' data need not survive a power failure
            connection.execute("SELECT pg_reload_conf()")
        yield uri


@pytest.fixture(scope="session")
def database(server: str) -> Database:
    """Return a function that creates an empty database and returns its connection as a URI."""
    numbers = itertools.count(1)

    def make() -> str:
        name = f"test_{next(numbers)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return make_conninfo(server, dbname=name)

    return make


@pytest.fixture
def proxied() -> Iterator[Proxied]:
    """Yield a function that starts a proxy in front of a database, for the duration of the test."""
    with ExitStack() as stack:
        yield lambda conninfo: stack.enter_context(Proxy(conninfo))


@pytest.fixture(scope="session")
def wide(database: Database) -> str:
    """Return a database whose table data is four ranges wide, with gaps and moved rows. Only read it."""
    conninfo = database()
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE data (thing_id integer, revision integer, data text)")
        # Thing ids: NULL, negative, and in several of the ranges in which an old server is read.
        insert = "INSERT INTO data SELECT {}, i % 3, repeat(md5(i::text), 30) FROM generate_series({}) AS i"
        connection.execute(insert.format("CASE WHEN i % 1000 > 0 THEN i * 2 - 500 END", "1, 16000"))
        connection.execute("UPDATE data SET revision = revision + 3 WHERE thing_id % 5 = 0")
        connection.execute("DELETE FROM data WHERE thing_id % 7 = 0")
        connection.execute("VACUUM data")
        connection.execute(insert.format("nullif(i, 17000)", "16001, 19000"))
        row = connection.execute(
            "SELECT pg_relation_size('data') / 8192, count(DISTINCT thing_id) FROM data"
        ).fetchone()
    assert row is not None
    assert row[0] > 2 * 1_024
    return conninfo


def filled(conninfo: str, blocks: Iterable[bytes]) -> str:
    """Insert these rows into table data, and return the connection."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE data (thing_id integer, revision integer, data text)")
        with connection.cursor().copy("COPY data FROM STDIN") as copy:
            for block in blocks:
                copy.write(block)
    return conninfo


def run_data(source: object, out: object, *more: object, cwd: Path) -> Ran:
    """Run `oldump run` for DATE over table data alone; it must succeed."""
    return run(source, out, *DATA_ALONE, *more, cwd=cwd)


def extract(source: str, out: Path, *more: object) -> tuple[Ran, bytes]:
    """Run `oldump run --only extract`, which must succeed; return its result and the text of data.txt.gz."""
    ran = oldump("run", DATE, "--source", source, "--out", out, "--only", "extract", *more, cwd=out.parent)
    assert ran.code == 0, ran.err
    return ran, gzip.decompress((private_of(out) / "data.txt.gz").read_bytes())


def psql(conninfo: str, command: str) -> bytes:
    """Return what psql writes to standard output."""
    line = [str(PSQL), conninfo, "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", "-c", command]
    return subprocess.run(line, capture_output=True, check=True, env=environment()).stdout


def copied(conninfo: str) -> bytes:
    """Return table data as the server copies it in one transaction, which is what psql would write."""
    with psycopg.connect(conninfo) as connection, connection.cursor().copy("COPY data TO STDOUT") as copy:
        return b"".join(map(bytes, copy))
