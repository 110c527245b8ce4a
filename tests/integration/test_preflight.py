"""Preflight against a real PostgreSQL: what a server says before anything is read."""

from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from commands.command import DATE, Ran, failed, oldump, private_of
from commands.doctor import verdicts
from integration.conftest import Database
from oldump.outside.postgres.examination import Examination, examine
from oldump.outside.synthetic_databases import Databases, fill
from oldump.pipeline.demo import DAY
from oldump.stages import extract
from oldump.stages.tables import TABLES
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.postgres

QUERIES = {table.name: table.query_until(DAY) for table in TABLES if table.database == "source"}
QUERIES["extract"] = extract.QUERY
STAGES = ["reading-log", "ratings", "wikidata", "extract"]


@pytest.fixture
def databases(database: Database) -> Databases:
    """All that a run reads, small, and one's own to spoil."""
    return fill(database(), copy_blocks(300))


def places(databases: Databases) -> list[str]:
    """The flags that name them."""
    names = {"--source": databases.openlibrary, "--coverstore": databases.coverstore}
    names |= {"--archive-database": databases.archive, "--out": "out"}
    return [word for pair in names.items() for word in pair]


def told(command: str, databases: Databases, cwd: Path, **other: str) -> Ran:
    """What a command says of them, or of others."""
    named = {**databases._asdict(), **other}
    return oldump(command, DATE, *places(Databases(**named)), cwd=cwd)


def spoilt(databases: Databases, statement: str) -> Examination:
    """What is found after a change to Open Library's database."""
    with psycopg.connect(databases.openlibrary) as connection:
        connection.execute(statement.encode())
    return examine(databases.openlibrary, QUERIES)


def refused(examined: Examination, stage: str, words: str) -> bool:
    """Whether this stage alone is refused, with these words."""
    return list(examined.refused) == [stage] and words in str(examined.refused[stage])


def test_all_is_well(databases: Databases, tmp_path: Path) -> None:
    """Every stage may ask what it asks; the run that follows does."""
    ran = told("doctor", databases, tmp_path)
    assert ran.code == 0, ran.err
    assert set(verdicts(ran).values()) == {"ok"}
    assert [what for what in verdicts(ran) if what in STAGES] == STAGES
    assert b"data " in ran.out
    assert b"about 300 rows" in ran.out
    assert told("run", databases, tmp_path).code == 0


def test_a_server_says_what_it_is(databases: Databases) -> None:
    """Version, no standby, sizes of tables with rows counted, and a clock that is ours."""
    examined = examine(databases.openlibrary, QUERIES)
    assert examined.version >= 180_000
    assert not examined.in_recovery
    assert not examined.cancels_readers
    assert not examined.refused
    assert examined.sizes["data"].rows == 300
    assert examined.sizes["data"].all_bytes > examined.sizes["data"].pages_bytes > 300 * 100
    assert abs(examined.ahead_seconds) < 5


def test_a_clock_of_ours_that_is_slow_is_found(databases: Databases) -> None:
    """As the server's being ahead."""
    examined = examine(databases.openlibrary, {}, clock=lambda: 0.0)
    assert examined.ahead_seconds > 50 * 365 * 86_400


def test_a_missing_table_is_found(databases: Databases) -> None:
    """The others are asked all the same."""
    assert refused(spoilt(databases, "DROP TABLE bookshelves"), "reading-log", '"bookshelves" does not exist')


def test_a_wrong_column_is_found(databases: Databases) -> None:
    """By the query itself."""
    assert refused(spoilt(databases, "ALTER TABLE ratings RENAME rating TO stars"), "ratings", '"rating" does not')


def test_a_wrong_type_is_found(databases: Databases) -> None:
    """A date that is text cannot be held against the cutoff."""
    assert refused(spoilt(databases, "ALTER TABLE wikidata ALTER updated TYPE text"), "wikidata", "operator does not")


def reader_of(databases: Databases, granted: str) -> str:
    """A role that may read what is granted, and its connection."""
    name = f"asker_{conninfo_to_dict(databases.openlibrary)['dbname']}"
    with psycopg.connect(databases.openlibrary) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        connection.execute(f"GRANT SELECT ON {granted} TO {name}".encode())
    return make_conninfo(databases.openlibrary, user=name)


def test_a_missing_privilege_is_found(databases: Databases) -> None:
    """Of each table."""
    examined = examine(reader_of(databases, "ratings, wikidata, bookshelves, bookshelves_books"), QUERIES)
    assert refused(examined, "extract", "permission denied for table data")


def test_a_row_policy_is_found(databases: Databases) -> None:
    """It would silently leave rows out."""
    reader = reader_of(databases, "ratings, wikidata, bookshelves, bookshelves_books, data")
    spoilt(databases, "ALTER TABLE data ENABLE ROW LEVEL SECURITY")
    assert refused(examine(reader, QUERIES), "extract", "row-level security policy")


def test_the_limits_of_a_role_are_found(databases: Databases, tmp_path: Path) -> None:
    """Before the run meets them hours later; a superuser's connections have the server's limit alone."""
    assert [limit.what for limit in examine(databases.openlibrary, QUERIES).limits] == ["the server"]
    reader = reader_of(databases, "ratings, wikidata, bookshelves, bookshelves_books, data")
    spoilt(databases, f"ALTER ROLE {conninfo_to_dict(reader)['user']} CONNECTION LIMIT 2")
    ran = told("doctor", databases, tmp_path, openlibrary=reader)
    failed(ran, 2, "= 4 connections; the role allows 2, of which 0 are used", "--jobs")


def test_data_that_is_a_view_is_found(databases: Databases, tmp_path: Path) -> None:
    """It has no pages that could be divided, and no size: doctor says what extract would meet."""
    spoilt(databases, "ALTER TABLE data RENAME TO rows; CREATE VIEW data AS SELECT * FROM rows")
    ran = told("doctor", databases, tmp_path)
    failed(ran, 10, '"ctid" does not exist')
    assert verdicts(ran)["extract"] == "failure"
    assert b"the space needed cannot be estimated" in ran.out


def test_a_table_dump_of_a_view(databases: Databases, tmp_path: Path) -> None:
    """It can be read; how much it is nobody knows beforehand."""
    spoilt(databases, "ALTER TABLE ratings RENAME TO stars; CREATE VIEW ratings AS SELECT * FROM stars")
    ran = told("doctor", databases, tmp_path)
    assert verdicts(ran)["ratings"] == "ok"
    assert b"ratings of unknown size" in ran.out
    assert b"the space needed cannot be estimated" in ran.out


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DROP TABLE wikidata", '"wikidata" does not exist'),
        ("ALTER TABLE data RENAME data TO text", "data.data does not exist"),
    ],
)
def test_a_run_fails_before_anything_is_written(
    statement: str, words: str, databases: Databases, tmp_path: Path
) -> None:
    """In one line, with lock, log and status alone; a doctor says the same."""
    spoilt(databases, statement)
    for command in ("doctor", "run"):
        failed(told(command, databases, tmp_path), 10, words)
    assert {path.name for path in private_of(tmp_path / "out").iterdir()} == {"lock", "run.log", "status.json"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"run-{DATE}"]


def test_a_later_database_is_looked_at_before_the_first_is_read(databases: Databases, tmp_path: Path) -> None:
    """Else the copy of table data would be hours old when it turns out."""
    ran = told("run", databases, tmp_path, coverstore=make_conninfo(databases.coverstore, dbname="no_such"))
    failed(ran, 13, '"no_such" does not exist')
    assert "extract: started" not in ran.err


def test_what_is_committed_is_not_asked_for_again(databases: Databases, tmp_path: Path) -> None:
    """A run goes on without the databases that it has copied."""
    but_the_tables = ("--skip", "dumps", "--skip", "splice", "--skip", "deworks")
    assert oldump("run", DATE, *places(databases), *but_the_tables, cwd=tmp_path).code == 0
    spoilt(databases, "DROP TABLE data")
    ran = oldump("run", DATE, *places(databases), cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "preflight: disk: out: spill " in ran.err
    assert "preflight: database" not in ran.err


def test_data_that_is_gone_is_asked_for_again_with_all_of_its_database(databases: Databases, tmp_path: Path) -> None:
    """All of a database is of one moment: its table dumps are looked at too."""
    assert oldump("run", DATE, *places(databases), "--skip", "splice", cwd=tmp_path).code == 0
    (private_of(tmp_path / "out") / "data.txt.gz").unlink()
    spoilt(databases, "DROP TABLE ratings")
    failed(oldump("run", DATE, *places(databases), cwd=tmp_path), 10, '"ratings" does not exist')
