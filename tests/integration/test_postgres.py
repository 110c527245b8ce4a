"""`oldump run` against a real PostgreSQL: the dumps hold exactly what the table holds."""

import gzip
import json
import os
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from commands.command import (
    DATE,
    assert_same_records,
    environment,
    failed,
    final_names,
    item_of,
    oldump,
    private_of,
    published,
    texts,
)
from integration.conftest import DATA_ALONE, PSQL, Database, copied, filled, run_data
from oldump.records.copytext import fields, unescaped
from oldump.synth.table import copy_blocks
from reference import PARTS, Reference, dumps_of

REAL = Path(__file__).parents[3] / "shared" / "real" / "openlibrary-dev.sql"

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def synth(database: Database) -> str:
    """Return a database filled by synth, with all odd rows that PostgreSQL accepts."""
    return filled(database(), copy_blocks(3_000, odd_rows=46))


@pytest.fixture(scope="module")
def made(synth: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a complete run over it. Only read it."""
    out = tmp_path_factory.mktemp("made")
    run_data(synth, out, cwd=out)
    return out


def assert_equals_reference(out: Path, expected: Reference) -> None:
    """Require that the run's cdump, parts and dump equal those of the reference implementation."""
    text = texts(out)
    assert_same_records(text["cdump"], expected.cdump)
    for part in PARTS:
        assert_same_records(text[part], expected.parts[part])
    assert text["dump"] == b"".join(text[part] for part in PARTS)


def test_the_database_matches_the_reference(synth: str, made: Path) -> None:
    """A run from the database equals the reference over the server's own copy."""
    assert_equals_reference(made, dumps_of(copied(synth), DATE))


@pytest.mark.parametrize(
    "line",
    [b"1\\\t2\t3\t4", b"1\t2\t3\\\t4", b"1\\\\\t2\t3", b"1\\\\\\\t2\t3\\\\\t4", b"\\\t\t\\\t\t\\\x7f\\\x01\\\t"],
)
def test_the_server_splits_lines_as_we_do(database: Database, line: bytes) -> None:
    """A backslash before a tab makes it part of the field, as in PostgreSQL, which reads but never writes it."""
    with psycopg.connect(database()) as connection:
        connection.execute("CREATE TABLE fields (a text, b text, c text)")
        with connection.cursor().copy("COPY fields FROM STDIN") as copy:
            copy.write(line + b"\n")
        assert [*connection.execute("SELECT * FROM fields")] == [
            tuple(unescaped(field).decode() for field in fields(line))
        ]


def test_a_file_of_the_table_gives_the_same_dumps(synth: str, made: Path, tmp_path: Path) -> None:
    """The output of psql and our own data.txt.gz give the same dumps as the database."""
    with (tmp_path / "data.txt").open("wb") as stream:
        line = [str(PSQL), synth, "--no-psqlrc", "--quiet", "-c", "copy data to stdout"]
        subprocess.run(line, stdout=stream, check=True, env=environment())
    run_data("data.txt", "of-file", cwd=tmp_path)
    assert texts(tmp_path / "of-file") == texts(made)
    run_data(private_of(made) / "data.txt.gz", "of-extract", cwd=tmp_path)
    assert texts(tmp_path / "of-extract") == texts(made)


def test_extract_writes_what_psql_writes(synth: str, made: Path) -> None:
    """data.txt.gz is ordinary gzip of exactly the bytes that psql writes."""
    data = gzip.decompress((private_of(made) / "data.txt.gz").read_bytes())
    line = [str(PSQL), synth, "--no-psqlrc", "--quiet", "-c", "copy data to stdout"]
    assert data == subprocess.run(line, capture_output=True, check=True, env=environment()).stdout


def test_the_manifest_describes_the_snapshot(synth: str, made: Path) -> None:
    """The manifest has server version, snapshot, time and rows, but no host or role, because it is published."""
    source = json.loads((item_of(made) / "manifest.json").read_bytes())["source"]
    with psycopg.connect(synth) as connection:
        row = connection.execute("SELECT count(*), current_setting('server_version') FROM data").fetchone()
    assert row is not None
    assert (source["rows"], source["server_version"]) == row
    assert sorted(source) == ["kind", "lsn", "rows", "server_version", "snapshot", "started"]


def test_libpq_variables_name_the_server(synth: str, made: Path, tmp_path: Path) -> None:
    """Without --source, libpq's variables name the server."""
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    parameters = conninfo_to_dict(synth)
    variables = {variable: str(parameters[name]) for name, variable in names.items() if parameters.get(name)}
    ran = oldump("run", DATE, *DATA_ALONE, "--out", "out", cwd=tmp_path, env=variables)
    assert ran.code == 0, ran.err
    assert texts(tmp_path / "out") == texts(made)


def test_later_changes_are_not_in_the_run(database: Database, tmp_path: Path) -> None:
    """Later changes to the table affect neither the run nor its rerun."""
    source = filled(database(), copy_blocks(500))
    run_data(source, "out", "--only", "extract", cwd=tmp_path)
    expected = dumps_of(copied(source), DATE)
    with psycopg.connect(source) as connection:
        connection.execute("DELETE FROM data")
    run_data(source, "out", cwd=tmp_path)
    assert_equals_reference(tmp_path / "out", expected)


def test_a_complete_run_does_not_need_its_data(database: Database, tmp_path: Path) -> None:
    """A complete run does not need data.txt.gz: a rerun without it changes nothing."""
    source = filled(database(), copy_blocks(500))
    run_data(source, "out", cwd=tmp_path)
    before = published(tmp_path / "out")
    with psycopg.connect(source) as connection:
        connection.execute("DELETE FROM data")
    (private_of(tmp_path / "out") / "data.txt.gz").unlink()
    run_data(source, "out", cwd=tmp_path)
    assert published(tmp_path / "out") == before


def test_a_new_extract_replaces_everything_made_from_the_old_one(database: Database, tmp_path: Path) -> None:
    """If data.txt.gz is lost before the run is complete, everything is made from the new extract."""
    source = filled(database(), copy_blocks(500))
    run_data(source, "out", "--skip", "splice", cwd=tmp_path)
    with psycopg.connect(source) as connection:
        connection.execute("DELETE FROM data WHERE thing_id % 2 = 0")
    (private_of(tmp_path / "out") / "data.txt.gz").unlink()
    run_data(source, "out", cwd=tmp_path)
    assert_equals_reference(tmp_path / "out", dumps_of(copied(source), DATE))
    checked = subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=item_of(tmp_path / "out"), check=False)
    assert checked.returncode == 0
    rows = json.loads((item_of(tmp_path / "out") / "manifest.json").read_bytes())["source"]["rows"]
    assert rows == copied(source).count(b"\n")


@pytest.mark.skipif(not REAL.exists(), reason="the real data is not part of the project: ../shared/real is missing")
def test_real_data_matches_the_reference(database: Database, tmp_path: Path) -> None:
    """Open Library's development database gives the reference's dumps, read directly or as a file."""
    source = database()
    line = [str(PSQL), source, "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-f", str(REAL)]
    subprocess.run(line, check=True, capture_output=True, env=environment())
    text = copied(source)
    expected = dumps_of(text, DATE)
    assert expected.rows == 690
    run_data(source, "of-database", cwd=tmp_path)
    assert_equals_reference(tmp_path / "of-database", expected)
    (tmp_path / "data.txt").write_bytes(text)
    run_data("data.txt", "of-file", cwd=tmp_path)
    assert texts(tmp_path / "of-file") == texts(tmp_path / "of-database")


def test_a_table_without_rows_fails_the_run(database: Database, tmp_path: Path) -> None:
    """An empty table fails the run, because it suggests a wrong database."""
    failed(
        oldump("run", DATE, *DATA_ALONE, "--source", filled(database(), []), "--out", ".", cwd=tmp_path), 14, "no rows"
    )
    assert final_names(tmp_path) == []
    assert not (private_of(tmp_path) / "data.txt.gz").exists()


def test_a_database_that_does_not_exist_is_named(server: str, tmp_path: Path) -> None:
    """The error quotes the server's message."""
    source = make_conninfo(server, dbname="no_such")
    failed(
        oldump("run", DATE, *DATA_ALONE, "--source", source, "--out", ".", cwd=tmp_path), 13, '"no_such" does not exist'
    )
    assert final_names(tmp_path) == []


def test_a_table_that_does_not_exist_is_named(database: Database, tmp_path: Path) -> None:
    """The error is one line, though the server's message has several."""
    failed(
        oldump("run", DATE, *DATA_ALONE, "--source", database(), "--out", ".", cwd=tmp_path),
        10,
        '"data" does not exist',
    )
    assert final_names(tmp_path) == []


def test_a_table_with_other_columns_is_named(database: Database, tmp_path: Path) -> None:
    """The error names the missing column."""
    source = database()
    with psycopg.connect(source) as connection:
        connection.execute("CREATE TABLE data (id integer, text text)")
    failed(
        oldump("run", DATE, *DATA_ALONE, "--source", source, "--out", ".", cwd=tmp_path),
        10,
        '"thing_id"',
        "does not exist",
    )


def test_the_role_must_be_allowed_to_read(database: Database, tmp_path: Path) -> None:
    """A missing privilege is reported, and the password appears in no output and no file."""
    source = filled(database(), copy_blocks(300))
    name = conninfo_to_dict(source)["dbname"]
    with psycopg.connect(source) as connection:
        connection.execute(f"CREATE ROLE reader_{name} LOGIN PASSWORD 's3cr3t'")
    reader = make_conninfo(source, user=f"reader_{name}", password="s3cr3t")  # noqa: S106 - must not appear anywhere
    failed(
        oldump("run", DATE, *DATA_ALONE, "--source", reader, "--out", ".", cwd=tmp_path),
        10,
        "permission denied for table data",
    )
    with psycopg.connect(source) as connection:
        connection.execute(f"GRANT SELECT ON data TO reader_{name}")
    ran = run_data(reader, ".", cwd=tmp_path)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"s3cr3t" in each for each in (ran.err.encode(), ran.out, *written))


def test_another_server_for_the_same_run_is_refused(synth: str, database: Database, tmp_path: Path) -> None:
    """A run is refused if it was started from another database."""
    run_data(synth, ".", "--only", "extract", cwd=tmp_path)
    other = filled(database(), copy_blocks(10))
    failed(oldump("run", DATE, *DATA_ALONE, "--source", other, "--out", ".", cwd=tmp_path), 2, "--overwrite")


def test_the_run_leaves_no_session_behind(synth: str, tmp_path: Path) -> None:
    """A run leaves no session on the server."""
    (tmp_path / "out").mkdir()
    run_data(synth, "out", "--only", "extract", cwd=tmp_path)
    with psycopg.connect(synth) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert connection.execute(query).fetchone() == (0,)
    assert os.listdir(private_of(tmp_path / "out") / "making")  # noqa: PTH208 - checks only that it is not empty
