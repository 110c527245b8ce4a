"""One real PostgreSQL for all of these tests, with a database for whoever wants one."""

import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from golden.command import Ran, run
from oldump.demo import embedded_database
from oldump.stages.tables import TABLES

Database = Callable[[], str]
DATA_ALONE = tuple(word for table in TABLES for word in ("--skip", table.name))
"""What a run is told whose database has table data and no other."""


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The connection of a server that lives as long as the tests."""
    with tempfile.TemporaryDirectory(prefix="oldump-tests-") as folder, embedded_database(Path(folder)) as uri:
        yield uri


@pytest.fixture(scope="session")
def database(server: str) -> Database:
    """Makes an empty database; its connection as a URI."""
    numbers = itertools.count(1)

    def make() -> str:
        name = f"test_{next(numbers)}"
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return make_conninfo(server, dbname=name)

    return make


def filled(conninfo: str, blocks: Iterable[bytes]) -> str:
    """The database with these rows in its table data."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE data (thing_id integer, revision integer, data text)")
        with connection.cursor().copy("COPY data FROM STDIN") as copy:
            for block in blocks:
                copy.write(block)
    return conninfo


def run_data(source: object, out: object, *more: object, cwd: Path) -> Ran:
    """`oldump run` for DATE over table data alone, which must succeed."""
    return run(source, out, *DATA_ALONE, *more, cwd=cwd)


def copied(conninfo: str) -> bytes:
    """Table data as the server itself copies it out, in one transaction: what psql would write."""
    with psycopg.connect(conninfo) as connection, connection.cursor().copy("COPY data TO STDOUT") as copy:
        return b"".join(map(bytes, copy))
