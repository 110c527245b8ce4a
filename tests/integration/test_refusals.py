"""A run that cannot read its database ends with one clear line, publishes nothing and shows no password."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from commands.command import DATE, Ran, failed, final_names, oldump, run, started
from integration.conftest import DATA_ALONE, Database, Proxied, filled, psql
from oldump.engine.commit import TEMPORARY_SUFFIX
from oldump.errors import StorageFull
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.outside.synthetic_databases import TABLES as SCHEMA
from oldump.run.folder import RunFolder
from oldump.run.progress import NoProgress
from oldump.settings import date_of
from oldump.stages.extract import extract
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.postgres

PASSWORD = "s3cr3t/of:the@server"  # noqa: S105 - must not appear anywhere
WRONG = "wr0ng"
ONLY_EXTRACT = ("--only", "extract")


@pytest.fixture(scope="module")
def locked(server: str, database: Database) -> Iterator[str]:
    """Yield the connection, without its password, of a role that may only read this database."""
    conninfo = database()
    name = conninfo_to_dict(conninfo)["dbname"]
    hba = Path(psql(server, "show hba_file").decode().strip())
    before = hba.read_text()
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(f"CREATE ROLE reader_{name} LOGIN PASSWORD '{PASSWORD}'".encode())
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_{name}".encode())
        with connection.cursor().copy("COPY data FROM STDIN") as copy:
            for block in copy_blocks(300):
                copy.write(block)
        hba.write_text(f"local all reader_{name} scram-sha-256\n{before}")
        connection.execute("SELECT pg_reload_conf()")
        yield make_conninfo(conninfo, user=f"reader_{name}")
        hba.write_text(before)
        connection.execute("SELECT pg_reload_conf()")


def refused(source: str, folder: Path, code: int, *words: str, password: str | None = None) -> str:
    """Require that a run fails with this code and message and leaves nothing under a final name."""
    variables = {"PGPASSWORD": password} if password else {}
    ran = oldump("run", DATE, "--source", source, "--out", ".", *DATA_ALONE, cwd=folder, env=variables)
    line = failed(ran, code, *words)
    assert final_names(folder) == []
    return line


def written(folder: Path) -> bytes:
    """Return the content of all files in the folder."""
    return b"\0".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_wrong_password(locked: str, tmp_path: Path) -> None:
    """The error quotes the server and does not show the password."""
    line = refused(locked, tmp_path, 13, "password authentication failed", password=WRONG)
    assert WRONG not in line
    assert WRONG.encode() not in written(tmp_path)


def test_no_password(locked: str, tmp_path: Path) -> None:
    """Without a password the run fails and does not prompt for one."""
    refused(locked, tmp_path, 13, "password")


@pytest.mark.parametrize("place", ["argument", "variable", "file"])
def test_a_password_is_shown_nowhere(locked: str, tmp_path: Path, place: str) -> None:
    """Neither a successful nor a failing run shows the password in output, log, journal or manifest."""
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "passwords").write_text("*:*:*:*:" + PASSWORD.replace(":", "\\:") + "\n")
    (tmp_path / "passwords").chmod(0o600)
    source = make_conninfo(locked, password=PASSWORD) if place == "argument" else locked
    variables = {
        "argument": {},
        "variable": {"PGPASSWORD": PASSWORD},
        "file": {"PGPASSFILE": str(tmp_path / "passwords")},
    }[place]

    def run_with_password(*more: object) -> Ran:
        ran = oldump("run", DATE, "--source", source, "--out", ".", *more, cwd=out, env=variables)
        assert PASSWORD not in ran.err + ran.out.decode()
        return ran

    failed(run_with_password(), 2, "--coverstore")
    ran = run_with_password("--skip", "covers_metadata", "--skip", "ia-metadata")
    assert ran.code == 0, ran.err
    failed(run_with_password("--level", 9, "--skip", "covers_metadata", "--skip", "ia-metadata"), 2, "level was 6")
    assert PASSWORD.encode() not in written(out)


def test_a_password_is_in_no_process_list(locked: str, proxied: Proxied, tmp_path: Path) -> None:
    """The password appears in no process's arguments, neither ours nor the server's."""
    proxy = proxied(locked)
    lists: list[str] = []

    def look() -> None:
        lists.extend(" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"]))
        process.terminate()

    proxy.when(3, 1_000, look)  # after the connections of preflight and the snapshot
    (tmp_path / "oldump.toml").write_text(f'source = "{make_conninfo(proxy.conninfo, password=PASSWORD)}"\n')
    with started("run", DATE, "--out", ".", *ONLY_EXTRACT, cwd=tmp_path) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert any("oldump" in line and DATE in line for line in lists)
    assert not any(PASSWORD in line for line in lists)


@pytest.mark.parametrize("place", ["variable", "service file", "words"])
def test_a_uri_where_a_name_belongs_is_shown_nowhere(server: str, tmp_path: Path, place: str) -> None:
    """A URI in place of a database name is refused without showing it, and the error names its source."""
    uri = f"postgresql://me:{WRONG}@127.0.0.1/openlibrary"
    (tmp_path / "services").write_text(f"[library]\ndbname={uri}\n")
    source, variables = {
        "variable": (f"host={conninfo_to_dict(server)['host']} user=postgres", {"PGDATABASE": uri}),
        "service file": ("service=library", {"PGSERVICEFILE": str(tmp_path / "services")}),
        "words": (f"host=127.0.0.1 dbname={uri}", {}),
    }[place]
    out = tmp_path / "out"
    out.mkdir()
    for command in (("run", DATE, "--out", ".", *DATA_ALONE), ("doctor", DATE, "--out", ".", *DATA_ALONE)):
        ran = oldump(*command, "--source", source, cwd=out, env=variables)
        line = failed(ran, 2, "--source: ", "a URI with" if place == "words" else "dbname has :// or @ in it")
        assert ("PGDATABASE" in line) == (place != "words")
        assert WRONG not in ran.err + ran.out.decode()
    assert WRONG.encode() not in written(out)


@pytest.mark.parametrize("place", ["flag", "variable"])
def test_the_flag_of_an_invalid_connection_is_named(server: str, tmp_path: Path, place: str) -> None:
    """The error about an invalid connection string names its flag and does not repeat the string."""
    given = f"hots=db password={WRONG}"
    for name, stage in {"coverstore": "covers_metadata", "archive-database": "ia-metadata"}.items():
        flags = (f"--{name}", given) if place == "flag" else ()
        variables = {f"OLDUMP_{name.upper().replace('-', '_')}": given} if place == "variable" else {}
        for line in (("run", DATE, "--source", server, "--out", ".", "--only", stage), ("ia-metadata",)):
            if line[0] in ("run", stage):
                ran = oldump(*line, *flags, cwd=tmp_path, env=variables)
                assert WRONG not in failed(ran, 2, f"--{name}: not a connection that libpq understands. Write ")


def test_a_missing_table(locked: str, database: Database, tmp_path: Path) -> None:
    """A missing table is reported before anything is copied."""
    source = filled(database(), copy_blocks(10))
    ran = oldump("run", DATE, "--source", source, "--out", ".", *DATA_ALONE[4:], cwd=tmp_path)
    failed(ran, 10, '"bookshelves_books" does not exist')
    assert final_names(tmp_path) == []


def test_a_missing_privilege(locked: str, tmp_path: Path) -> None:
    """The error names the table that the role may not read."""
    name = conninfo_to_dict(locked)["user"]
    owner = make_conninfo(locked, user="postgres")
    psql(owner, f"REVOKE ALL ON ratings FROM {name}")
    try:
        line = ("run", DATE, "--source", locked, "--out", ".", "--skip", "covers_metadata", "--skip", "ia-metadata")
        failed(oldump(*line, cwd=tmp_path, env={"PGPASSWORD": PASSWORD}), 10, "permission denied for table ratings")
    finally:
        psql(owner, f"GRANT SELECT ON ratings TO {name}")
    assert final_names(tmp_path) == []


def test_a_server_that_is_too_old(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """The error names the server's version and the required one."""
    proxy = proxied(wide)
    proxy.server_version = b"9.6.24"
    refused(proxy.conninfo, tmp_path, 10, "too old, 9.6.24", "PostgreSQL 10")


def test_a_refused_connection(wide: str, tmp_path: Path) -> None:
    """A refused connection is reported with its port."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    refused(make_conninfo(wide, host="127.0.0.1", port=port), tmp_path, 13, f"port={port}", "refused")


def test_a_full_disk(wide: str, tmp_path: Path) -> None:
    """A full disk (here /dev/full) during the extract leaves no partial file, and a rerun succeeds."""
    folder = RunFolder(tmp_path, date_of(DATE))
    folder.private.mkdir()
    (folder.private / f"data.txt.gz{TEMPORARY_SUFFIX}").symlink_to("/dev/full")
    failures: list[str] = []
    with SnapshotConnection(wide) as snapshot, pytest.raises(StorageFull, match=r"data\.txt\.gz.*no space left"):
        extract(snapshot, folder, 2, NoProgress(), failures.append)
    assert (list(folder.private.iterdir()), failures) == ([], [])
    run(wide, ".", *ONLY_EXTRACT, cwd=tmp_path)
    assert folder.data.exists()
