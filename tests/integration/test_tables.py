"""Table dumps: their content, and that all tables of a database come from one snapshot."""

import gzip
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from commands.command import DATE, Ran, failed, final_names, item_of, name_of, oldump, private_of, started
from integration.conftest import Database, Proxied
from oldump.errors import VerificationError
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.outside.synthetic_databases import TABLES as SCHEMA
from oldump.outside.synthetic_databases import Databases, fill
from oldump.run.folder import RunFolder
from oldump.run.journal import Journal
from oldump.run.progress import NoProgress
from oldump.settings import Settings, date_of
from oldump.stages.tables import TABLE_OF, TABLES, make_table
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.postgres

OF_SOURCE = ("reading-log", "ratings", "wikidata", "extract")
LAST, NEXT = "2022-07-31 23:59:59.999999", "2022-08-01 00:00:00"
"""The last moment of the run's date, and the next one."""
OTHERS = ("--skip", "covers_metadata", "--skip", "ia-metadata")
"""Options of a run that has only the source's database."""


@pytest.fixture
def empty(database: Database) -> str:
    """Return a database with all tables that a run may read, empty."""
    conninfo = database()
    execute(conninfo, SCHEMA)
    execute(conninfo, "CREATE TABLE cover (id integer, width integer, height integer, created timestamp, ip inet)")
    execute(
        conninfo,
        "CREATE TABLE metadata (identifier text, mediatype text, curatestate text, boxid text, collection text)",
    )
    return conninfo


@pytest.fixture(scope="module")
def databases(database: Database) -> Databases:
    """Return the demo's databases. Only read them."""
    return fill(database(), copy_blocks(2_000))


def execute(conninfo: str, *statements: str) -> None:
    """Change a database. :last and :next are LAST and NEXT."""
    with psycopg.connect(conninfo) as connection:
        for statement in statements:
            connection.execute(statement.replace(":last", f"'{LAST}'").replace(":next", f"'{NEXT}'").encode())


def made(name: str, conninfo: str, out: Path) -> bytes:
    """Return the text of a table dump."""
    folder = RunFolder(out, date_of(DATE))
    for item in folder.items:
        folder.made(item).mkdir(parents=True, exist_ok=True)
    table = TABLE_OF[name]
    with SnapshotConnection(conninfo, table.tables) as snapshot:
        artifact, failures = make_table(table, snapshot, folder, Settings.of(workers=1), NoProgress())
    assert failures == []
    text = gzip.decompress(folder.artifact(artifact.name, artifact.item).read_bytes())
    assert artifact.records == text.count(b"\n")
    return text


def run(databases: Databases, out: Path, *more: object) -> Ran:
    """Run `oldump run` over all databases."""
    others = ("--coverstore", databases.coverstore, "--archive-database", databases.archive)
    return oldump("run", DATE, "--source", databases.openlibrary, *others, "--out", out, *more, cwd=out.parent)


def snapshots_of(out: Path) -> dict[str, Any]:
    """Return the snapshot time of each stage of the source's database, from the journal."""
    stages = Journal(private_of(out) / "journal.jsonl").stages
    return {name: stages[name].counts["started"] for name in OF_SOURCE if name in stages}


# ------------------------------------------------------------------------------------------------- what is in them


def test_the_reading_log(empty: str, tmp_path: Path) -> None:
    r"""The reading log ends with the date, has days only, \N without an edition, numeric order and no user names."""
    execute(
        empty,
        "INSERT INTO bookshelves (id, name) VALUES (1, 'Want to Read'), (2, E'Odd\tshelf')",
        "INSERT INTO bookshelves_books (username, work_id, edition_id, bookshelf_id, created) VALUES "
        "('somebody', 10, NULL, 1, :last), ('somebody', 9, 10, 1, '2018-01-02 03:04:05'), "
        "('somebody', 9, 9, 2, '2018-01-02'), ('late', 11, NULL, 1, :next), ('undated', 12, NULL, 1, NULL)",
    )
    assert made("reading-log", empty, tmp_path).decode().splitlines() == [
        "/works/OL9W\t/books/OL9M\tOdd\\tshelf\t2018-01-02",
        "/works/OL9W\t/books/OL10M\tWant to Read\t2018-01-02",
        "/works/OL10W\t\\N\tWant to Read\t2022-07-31",
    ]


def test_ratings(empty: str, tmp_path: Path) -> None:
    """Ratings follow the same rules."""
    execute(
        empty,
        "INSERT INTO ratings (username, work_id, edition_id, rating, created) VALUES "
        "('somebody', 10, 3, 5, :last), ('somebody', 9, NULL, NULL, '2018-01-02 03:04:05'), "
        "('somebody', 9, -1, 1, '2018-01-02'), ('late', 9, 1, 1, :next)",
    )
    assert made("ratings", empty, tmp_path).decode().splitlines() == [
        "/works/OL9W\t/books/OL-1M\t1\t2018-01-02",
        "/works/OL9W\t\\N\t\\N\t2018-01-02",
        "/works/OL10W\t/books/OL3M\t5\t2022-07-31",
    ]


def test_covers(empty: str, tmp_path: Path) -> None:
    """Covers follow the same rules."""
    execute(empty, "INSERT INTO cover VALUES (10, NULL, NULL, :last), (9, 1, 2, '2008-04-01'), (8, 1, 2, :next)")
    execute(empty, "INSERT INTO cover VALUES (9, -1, -1, '2008-04-02'), (9, -1, -1, '2008-04-01')")
    assert made("covers_metadata", empty, tmp_path) == (
        b"9\t-1\t-1\t2008-04-01\n9\t-1\t-1\t2008-04-02\n9\t1\t2\t2008-04-01\n10\t\\N\t\\N\t2022-07-31\n"
    )


def test_wikidata(empty: str, tmp_path: Path) -> None:
    r"""The JSON is the last column, on one line and unescaped: backslashes and \u stay as they are, and NULL is \N."""
    texts = {
        "Q1": r'{"a": "\u00e9 \\ \" \n", "b": "é"}',
        "Q10": '\n {"a":\n\t[1,\r\n2]}\n',
        "Q2": None,
        "Q3": "[]",
        "Q4": '{"a": "\u2028 \u2029 \u0085 \x7f \u009f é \\\\"}',
    }
    with psycopg.connect(empty) as connection:
        for name, text in texts.items():
            connection.execute("INSERT INTO wikidata VALUES (%s, %s, %s)", [name, text, LAST])
        connection.execute("INSERT INTO wikidata VALUES ('Q9', '{}', %s)", [NEXT])
    text = made("wikidata", empty, tmp_path).decode()
    assert text.split("\n") == [
        "Q1\t2022-07-31\t" + str(texts["Q1"]),
        'Q10\t2022-07-31\t  {"a":  [1,  2]} ',
        "Q2\t2022-07-31\t\\N",
        "Q3\t2022-07-31\t[]",
        "Q4\t2022-07-31\t" + r'{"a": "\u2028 \u2029 \u0085 \u007f \u009f é \\"}',
        "",
    ]


def test_the_archives_items(empty: str, tmp_path: Path) -> None:
    """The archive's items are texts that are not dark, and are not published."""
    execute(
        empty,
        "INSERT INTO metadata VALUES ('foo00bar', 'texts', 'approved', 'IA1', 'a;b'), ('bar', 'texts', NULL, NULL, "
        "NULL), ('dark', 'texts', 'dark', 'IA2', NULL), ('song', 'audio', NULL, NULL, NULL), "
        "('', 'texts', NULL, 'IA3', NULL), (NULL, 'texts', NULL, 'IA4', NULL), ('bar', 'texts', NULL, 'b', ''), "
        "('bar', 'texts', NULL, 'B', ''), ('bar', 'texts', NULL, '', 'z')",
    )
    assert made("ia-metadata", empty, tmp_path) == b"bar\t\t\nbar\t\tz\nbar\tB\t\nbar\tb\t\nfoo00bar\tIA1\ta;b\n"
    assert not list(tmp_path.rglob("ol_dump_*.gz"))


def test_a_long_table(empty: str, tmp_path: Path) -> None:
    """A table longer than one read arrives complete and sorted."""
    execute(empty, "INSERT INTO cover SELECT 300000 - i, i, i, '2008-04-01' FROM generate_series(1, 300000) AS i")
    expected = b"".join(b"%d\t%d\t%d\t2008-04-01\n" % (300_000 - i, i, i) for i in range(300_000, 0, -1))
    assert made("covers_metadata", empty, tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "table", "row"),
    [
        ("ratings", "ratings", "'somebody', 9, 'Want to Read'::text, 1, timestamp '2020-01-01'"),
        ("ratings", "ratings", "'somebody', NULL::integer, 1, 1, timestamp '2020-01-01'"),
        ("covers_metadata", "cover", "'/works/OL1W'::text, 1, 2, timestamp '2020-01-01'"),
        ("wikidata", "wikidata", "'Q1', '\"text\"'::json, timestamp '2020-01-01'"),
    ],
    ids=["reading log", "no work", "keys", "no object"],
)
def test_a_line_of_another_shape_is_detected(empty: str, tmp_path: Path, name: str, table: str, row: str) -> None:
    """A line of another table's shape fails the stage, and no file gets its name."""
    columns = {
        "ratings": "username, work_id, rating, edition_id, created",
        "cover": "id, width, height, created",
        "wikidata": "id, data, updated",
    }
    execute(empty, f"DROP TABLE {table}", f"CREATE VIEW {table} ({columns[table]}) AS SELECT {row}")
    with pytest.raises(VerificationError, match=f"^{name}: .*a line that is not .* that {table} is the expected table"):
        made(name, empty, tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


# -------------------------------------------------------------------------------------------------- with the command


def test_swapped_tables_fail_the_run(empty: str, tmp_path: Path) -> None:
    """A view `ratings` that shows the reading log fails the run with its own exit code."""
    execute(
        empty,
        "DROP TABLE ratings",
        "CREATE VIEW ratings AS SELECT username, work_id, edition_id, shelf.name AS rating, reading.created "
        "FROM bookshelves_books AS reading JOIN bookshelves AS shelf ON shelf.id = bookshelf_id",
        "INSERT INTO bookshelves (id, name) VALUES (1, 'Want to Read')",
        "INSERT INTO bookshelves_books VALUES ('somebody', 1, 1, 1, false, NULL, '2020-01-01')",
    )
    failed(
        oldump("run", DATE, "--source", empty, "--out", ".", "--only", "ratings", cwd=tmp_path),
        40,
        "ratings: the database gave a line that is not work_key, edition_key, rating, date",
        "that ratings is the expected table",
    )
    assert final_names(tmp_path) == []


def test_ratings_for_a_reading_log_fail_the_run(empty: str, tmp_path: Path) -> None:
    """Ratings in place of the reading log fail the run: a shelf's name is never a number or NULL."""
    execute(
        empty,
        "DROP TABLE bookshelves_books, bookshelves",
        "CREATE VIEW bookshelves AS SELECT DISTINCT rating AS id, rating::text AS name FROM ratings",
        "CREATE VIEW bookshelves_books AS SELECT username, work_id, edition_id, rating AS bookshelf_id, created "
        "FROM ratings",
        "INSERT INTO ratings (username, work_id, edition_id, rating, created) VALUES "
        "('somebody', 7, NULL, 4, '2020-01-01')",
    )
    line = ("run", DATE, "--source", empty, "--out", ".", "--only", "reading-log")
    words = ("gave a line that is not work_key, edition_key, shelf, date", "bookshelves_books is the expected table")
    failed(oldump(*line, cwd=tmp_path), 40, *words)
    execute(empty, "UPDATE ratings SET rating = NULL")
    failed(oldump(*line, cwd=tmp_path), 40, *words)
    assert final_names(tmp_path) == []


def test_a_complete_run(databases: Databases, tmp_path: Path) -> None:
    """A complete run has all tables with their columns and names no user."""
    out = tmp_path / "out"
    ran = run(databases, out)
    assert ran.code == 0, ran.err
    assert all("[openlibrary.dump]" in line for line in ran.err.splitlines()), ran.err  # no Python warning
    manifest = json.loads((item_of(out) / "manifest.json").read_bytes())
    assert manifest["skipped"] == []
    artifacts = manifest["artifacts"]
    for table in TABLES:
        if table.is_published:
            assert artifacts[name_of(table.name)]["columns"] == list(table.columns)
            text = gzip.decompress((item_of(out) / name_of(table.name)).read_bytes())
            assert text.count(b"\n") == artifacts[name_of(table.name)]["records"] > 0
            assert b"reader" not in text  # synth's user names begin so
    assert {manifest["source"]["started"]} == set(snapshots_of(out).values())
    assert len(snapshots_of(out)) == 4


def test_empty_tables_and_skipped_ones(empty: str, tmp_path: Path) -> None:
    """An empty table gives a warning, and the manifest names skipped stages."""
    with psycopg.connect(empty) as connection, connection.cursor().copy("COPY data FROM STDIN") as copy:
        for block in copy_blocks(300):
            copy.write(block)
    ran = oldump("run", DATE, "--source", empty, "--out", ".", *OTHERS, "--skip", "wikidata", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "WARNING ratings: no rows" in ran.err
    assert gzip.decompress((item_of(tmp_path) / name_of("ratings")).read_bytes()) == b""
    manifest = json.loads((item_of(tmp_path) / "manifest.json").read_bytes())
    assert manifest["skipped"] == ["covers_metadata", "ia-metadata", "wikidata"]
    assert not (item_of(tmp_path) / name_of("wikidata")).exists()


@pytest.mark.parametrize(("flag", "stage"), [("coverstore", "covers_metadata"), ("archive-database", "ia-metadata")])
def test_a_database_that_is_not_named(databases: Databases, tmp_path: Path, flag: str, stage: str) -> None:
    """The run says how to name or skip a missing database before it copies anything."""
    others = {"coverstore": databases.coverstore, "archive-database": databases.archive}
    (other,) = (name for name in others if name != flag)
    line = ("run", DATE, "--source", databases.openlibrary, f"--{other}", others[other], "--out", ".")
    failed(oldump(*line, cwd=tmp_path), 2, f"--{flag}", f"--skip {stage}")
    assert not list(tmp_path.rglob("*.gz"))


def test_changed_items_of_a_skipped_stage_are_refused(databases: Databases, tmp_path: Path) -> None:
    """Deworks refuses items that changed since their commit, even if their stage is skipped."""
    assert run(databases, tmp_path, "--skip", "deworks", "--skip", "splice").code == 0
    items = private_of(tmp_path) / f"ia_metadata_dump_{DATE}.txt.gz"
    content = items.read_bytes()
    items.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    ran = run(databases, tmp_path, "--only", "deworks", "--skip", "ia-metadata")
    failed(ran, 30, "files of ia-metadata changed since they were committed")
    items.write_bytes(content)
    assert run(databases, tmp_path, "--only", "deworks", "--skip", "ia-metadata").code == 0


def test_a_run_that_was_killed_between_tables(databases: Databases, proxied: Proxied, tmp_path: Path) -> None:
    """After a kill between tables, all tables are copied again in one snapshot."""
    proxy = proxied(databases.openlibrary)
    line = ("run", DATE, "--source", proxy.conninfo, *OTHERS, "--out", ".", "--skip", "dumps")
    proxy.when(4, 1, lambda: process.kill())  # noqa: PLW0108 - the process starts later
    with started(*line, cwd=tmp_path) as process:
        process.communicate(timeout=60)
    (before,) = snapshots_of(tmp_path).items()
    assert before[0] == "reading-log"
    ran = oldump(*line[:-2], "--skip", "splice", cwd=tmp_path)
    assert ran.code == 0, ran.err
    (moment,) = set(snapshots_of(tmp_path).values())
    assert len(snapshots_of(tmp_path)) == 4
    assert moment > before[1]


def test_a_lost_table_dump(database: Database, tmp_path: Path) -> None:
    """If a table dump is lost, its whole database is copied again, and the dumps follow the new data."""
    databases = fill(database(), copy_blocks(500))
    out = tmp_path / "out"
    assert run(databases, out, "--skip", "splice").code == 0
    before = snapshots_of(out)
    execute(databases.openlibrary, "DELETE FROM data WHERE thing_id % 2 = 0")
    next(private_of(out).glob(f"making/*/{name_of('ratings')}")).unlink()
    failed(run(databases, out, "--only", "ratings"), 2, "ratings must be read in the same snapshot as", "extract")
    assert snapshots_of(out) == before
    ran = run(databases, out)
    assert ran.code == 0, ran.err
    manifest = json.loads((item_of(out) / "manifest.json").read_bytes())
    (moment,) = set(snapshots_of(out).values())
    assert manifest["source"]["started"] == moment
    with psycopg.connect(databases.openlibrary) as connection:
        assert connection.execute("SELECT count(*) FROM data").fetchone() == (manifest["source"]["rows"],)
