"""An extract holds the tables as they were at one moment, over any number of connections."""

import gzip
import json
import subprocess
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from commands.command import DATE, bash, name_of, oldump, private_of, published, texts
from integration.conftest import PSQL, Database, Proxied, extract, filled, psql, run_data
from oldump.errors import SourceUnreachable
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.outside.synthetic_databases import fill
from oldump.pipeline import runner
from oldump.pipeline.choice import choose
from oldump.run.progress import NoProgress
from oldump.settings import Settings, date_of
from oldump.stages.tables import TABLE_OF
from oldump.synth.table import copy_blocks

REAL = Path(__file__).parents[3] / "shared" / "real" / "openlibrary-dev.sql"
OF_SOURCE = ("reading-log", "ratings", "wikidata", "extract")
DAY = date_of(DATE)

pytestmark = pytest.mark.postgres


def data_of(out: Path) -> bytes:
    """Return data.txt.gz as it is."""
    return (private_of(out) / "data.txt.gz").read_bytes()


class TableChanger(NoProgress):
    """An observer that copies the tables in the run's snapshot at the first report, then keeps changing them."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self.times = 0
        self.seen: dict[str, bytes] = {}

    def begin(self, stage: str, step: str) -> None:
        """Copy and change the tables."""
        if not self.seen:
            self._copy_in_snapshot()
        self._change()

    def update(self, rows: int, done: float | None) -> None:
        """Change the tables."""
        self._change()

    def _copy_in_snapshot(self) -> None:
        queries = {name: TABLE_OF[name].query_until(DAY).statement for name in OF_SOURCE[:3]} | {"data": "data"}
        with psycopg.connect(self._conninfo) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with psycopg.connect(self._conninfo) as other:
                (exported,) = other.execute("SELECT pg_ls_dir('pg_snapshots')").fetchall()
            connection.execute(f"SET TRANSACTION SNAPSHOT '{exported[0]}'".encode())
            for name, query in queries.items():
                with connection.cursor().copy(f"COPY {query} TO STDOUT".encode()) as copy:
                    self.seen[name] = b"".join(map(bytes, copy))

    def _change(self) -> None:
        self.times += 1
        remainder = self.times % 7
        with psycopg.connect(self._conninfo) as connection:
            connection.execute("UPDATE data SET revision = revision + 1 WHERE thing_id %% 7 = %s", [remainder])
            connection.execute("DELETE FROM data WHERE thing_id %% 11 = %s", [remainder])
            connection.execute("INSERT INTO data SELECT thing_id + 100000, revision, data FROM data LIMIT 500")
            connection.execute("DELETE FROM ratings WHERE work_id %% 7 = %s", [remainder])
            connection.execute(
                "INSERT INTO ratings (work_id, rating, created) VALUES (%s, 5, '2020-01-01')", [remainder]
            )
            connection.execute("UPDATE bookshelves_books SET bookshelf_id = 4 WHERE work_id %% 7 = %s", [remainder])
            connection.execute("UPDATE wikidata SET data = '{}'")


def test_rows_that_change_during_the_run(database: Database, tmp_path: Path) -> None:
    """Table dumps and data equal a copy taken in the run's snapshot, although rows change during the run."""
    source = fill(database(), copy_blocks(3_000)).openlibrary
    with psycopg.connect(source) as connection:
        for _ in range(5):  # until it is several ranges wide
            connection.execute("UPDATE data SET revision = revision")
    settings = Settings.of(source=source, out=tmp_path, workers=2, jobs=2)
    changer = TableChanger(source)
    assert runner.run(settings, DAY, choose(list(OF_SOURCE), [], settings), changer) is None
    assert gzip.decompress(data_of(tmp_path)) == changer.seen["data"]
    for name in OF_SOURCE[:3]:
        (path,) = private_of(tmp_path).glob(f"making/*/{name_of(name)}")
        assert gzip.decompress(path.read_bytes()) == changer.seen[name]
    assert changer.times > len(OF_SOURCE) + 2  # also during the extract
    assert psql(source, "copy data to stdout") != changer.seen["data"]


def test_any_number_of_connections(wide: str, tmp_path: Path) -> None:
    """data.txt.gz has the same bytes for 1 and 4 connections, and the text that psql writes."""
    _, text = extract(wide, tmp_path / "one", "--jobs", 1)
    extract(wide, tmp_path / "four", "--jobs", 4)
    assert data_of(tmp_path / "one") == data_of(tmp_path / "four")
    assert text == psql(wide, "copy data to stdout")


@pytest.mark.parametrize("version", ["13.5", "10.23"])
def test_an_old_server_is_read_in_ranges_of_documents(
    wide: str, proxied: Proxied, tmp_path: Path, version: str
) -> None:
    """An old server is read in ranges of thing ids, including rows with NULL or negative ones."""
    proxy = proxied(wide)
    proxy.server_version = version.encode()
    _, text = extract(proxy.conninfo, tmp_path / "one", "--jobs", 1)
    extract(proxy.conninfo, tmp_path / "four", "--jobs", 4)
    assert data_of(tmp_path / "one") == data_of(tmp_path / "four")
    assert text == psql(wide, "copy (select * from data order by thing_id, revision, data) to stdout")
    assert text.count(b"\n-") > 100
    assert text.count(b"\n\\N\t") > 5


def test_a_server_that_prefers_parallel_scans(wide: str, tmp_path: Path) -> None:
    """Rows keep their order even if the server prefers parallel scans."""
    urged = " ".join(
        f"-c {name}=0" for name in ("min_parallel_table_scan_size", "parallel_setup_cost", "parallel_tuple_cost")
    )
    source = make_conninfo(wide, options=urged)
    with SnapshotConnection(source) as snapshot, snapshot.reader() as reader:
        text = b"".join(reader.copy("(SELECT thing_id, revision, data FROM data WHERE ctid IS NOT NULL)"))
    assert text == psql(wide, "copy data to stdout")


def test_a_file_that_psql_wrote_through_gzip(database: Database, tmp_path: Path) -> None:
    """`psql | gzip` of the same database gives the same dumps, byte for byte."""
    source = filled(database(), copy_blocks(1_000, odd_rows=46))
    run_data(source, "of-database", cwd=tmp_path)
    (tmp_path / "psql").symlink_to(PSQL)
    ran = bash(f"./psql '{source}' -c 'copy data to stdout' | gzip > data.txt.gz", cwd=tmp_path)
    assert ran.code == 0, ran.err
    run_data("data.txt.gz", "of-file", cwd=tmp_path)
    assert texts(tmp_path / "of-file") == texts(tmp_path / "of-database")


@pytest.mark.skipif(not REAL.exists(), reason="the real data is not part of the project: ../shared/real is missing")
def test_real_data_over_any_number_of_connections(database: Database, tmp_path: Path) -> None:
    """Open Library's development database gives the same bytes for 1 and 4 connections."""
    source = database()
    subprocess.run([PSQL, source, "-qX", "-v", "ON_ERROR_STOP=1", "-f", REAL], check=True, capture_output=True)
    without = ("--skip", "covers_metadata", "--skip", "ia-metadata")
    for jobs in (1, 4):
        line = ("run", DATE, "--source", source, "--out", f"of-{jobs}", "--jobs", jobs, *without)
        ran = oldump(*line, cwd=tmp_path)
        assert ran.code == 0, ran.err
    one, four = (published(tmp_path / f"of-{jobs}") for jobs in (1, 4))
    assert data_of(tmp_path / "of-1") == data_of(tmp_path / "of-4")
    manifests = [json.loads(each.pop("manifest.json")) for each in (one, four)]
    assert one == four
    assert manifests[0]["artifacts"] == manifests[1]["artifacts"]
    assert {name_of(name) for name in OF_SOURCE[:3]} <= set(manifests[0]["artifacts"])


class ConnectionKiller(NoProgress):
    """An observer that ends the snapshot connection at the first report, when a worker cannot connect."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self.times = 0

    def begin(self, stage: str, step: str) -> None:
        """End the connection, once."""
        self.times += 1
        if self.times == 1:
            with psycopg.connect(self._conninfo) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            raise SourceUnreachable("the server is down")


def test_workers_that_find_no_server(database: Database, tmp_path: Path) -> None:
    """If workers cannot connect and the snapshot connection is lost, the extract starts again."""
    source = filled(database(), copy_blocks(300))
    settings = Settings.of(source=source, out=tmp_path, workers=1)
    killer = ConnectionKiller(source)
    runner.run(settings, DAY, choose(["extract"], [], settings), killer)
    assert killer.times == 2
    assert gzip.decompress(data_of(tmp_path)) == psql(source, "copy data to stdout")
