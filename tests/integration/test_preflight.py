"""Preflight against a real PostgreSQL: what it detects before anything is read."""

import re
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
    """Return small databases with everything that a run reads, for this test alone."""
    return fill(database(), copy_blocks(300))


def flags_of(databases: Databases) -> list[str]:
    """Return the flags that name the databases."""
    names = {"--source": databases.openlibrary, "--coverstore": databases.coverstore}
    names |= {"--archive-database": databases.archive, "--out": "out"}
    return [word for pair in names.items() for word in pair]


def run_command(command: str, databases: Databases, cwd: Path, **other: str) -> Ran:
    """Run a command over these databases, with some replaced."""
    named = {**databases._asdict(), **other}
    return oldump(command, DATE, *flags_of(Databases(**named)), cwd=cwd)


def examined_after(databases: Databases, statement: str) -> Examination:
    """Apply a statement to Open Library's database and examine it."""
    with psycopg.connect(databases.openlibrary) as connection:
        connection.execute(statement.encode())
    return examine(databases.openlibrary, QUERIES)


def refused(examined: Examination, stage: str, words: str) -> bool:
    """Whether only this stage is refused, with this message."""
    return list(examined.refused) == [stage] and words in str(examined.refused[stage])


def test_sound_databases_pass(databases: Databases, tmp_path: Path) -> None:
    """Doctor finds no problem, and the run that follows succeeds."""
    ran = run_command("doctor", databases, tmp_path)
    assert ran.code == 0, ran.err
    assert set(verdicts(ran).values()) == {"ok"}
    assert [what for what in verdicts(ran) if what in STAGES] == STAGES
    assert b"data " in ran.out
    assert b"about 300 rows" in ran.out
    assert run_command("run", databases, tmp_path).code == 0


def test_an_examination_describes_the_server(databases: Databases) -> None:
    """The examination reports version, recovery state, table sizes and clock difference."""
    examined = examine(databases.openlibrary, QUERIES)
    assert examined.version >= 180_000
    assert not examined.in_recovery
    assert not examined.cancels_readers
    assert examined.conflict_delays == {}
    assert not examined.snapshots_expire
    assert not examined.refused
    assert examined.sizes["data"].rows == 300
    assert examined.sizes["data"].all_bytes > examined.sizes["data"].pages_bytes > 300 * 100
    assert abs(examined.ahead_seconds) < 5


def test_a_slow_local_clock_is_detected(databases: Databases) -> None:
    """A slow local clock is reported as a server clock that is ahead."""
    examined = examine(databases.openlibrary, {}, clock=lambda: 0.0)
    assert examined.ahead_seconds > 50 * 365 * 86_400


def test_a_missing_table_is_detected(databases: Databases) -> None:
    """A missing table is reported, and the other tables are still examined."""
    assert refused(examined_after(databases, "DROP TABLE bookshelves"), "reading-log", '"bookshelves" does not exist')


def test_a_wrong_column_is_detected(databases: Databases) -> None:
    """A missing column is detected by the query itself."""
    assert refused(
        examined_after(databases, "ALTER TABLE ratings RENAME rating TO stars"), "ratings", '"rating" does not'
    )


def test_a_wrong_type_is_detected(databases: Databases) -> None:
    """A date stored as text is detected, because it cannot be compared with the cutoff."""
    assert refused(
        examined_after(databases, "ALTER TABLE wikidata ALTER updated TYPE text"), "wikidata", "operator does not"
    )


def reader_of(databases: Databases, granted: str) -> str:
    """Create a role with these privileges and return its connection."""
    name = f"asker_{conninfo_to_dict(databases.openlibrary)['dbname']}"
    with psycopg.connect(databases.openlibrary) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN".encode())
        connection.execute(f"GRANT SELECT ON {granted} TO {name}".encode())
    return make_conninfo(databases.openlibrary, user=name)


def test_a_missing_privilege_is_detected(databases: Databases) -> None:
    """A missing SELECT privilege is detected for each table."""
    examined = examine(reader_of(databases, "ratings, wikidata, bookshelves, bookshelves_books"), QUERIES)
    assert refused(examined, "extract", "permission denied for table data")


def test_a_row_policy_is_detected(databases: Databases) -> None:
    """A row-level security policy is refused, because it would silently omit rows."""
    reader = reader_of(databases, "ratings, wikidata, bookshelves, bookshelves_books, data")
    examined_after(databases, "ALTER TABLE data ENABLE ROW LEVEL SECURITY")
    assert refused(examine(reader, QUERIES), "extract", "row-level security policy")


def test_the_limits_of_a_role_are_detected(databases: Databases, tmp_path: Path) -> None:
    """A role's connection limit is checked before the run; a superuser has only the server's limit."""
    assert [limit.what for limit in examine(databases.openlibrary, QUERIES).limits] == ["the server"]
    reader = reader_of(databases, "ratings, wikidata, bookshelves, bookshelves_books, data")
    examined_after(databases, f"ALTER ROLE {conninfo_to_dict(reader)['user']} CONNECTION LIMIT 2")
    ran = run_command("doctor", databases, tmp_path, openlibrary=reader)
    failed(
        ran, 2, "needs 4 connections (reading 2, snapshot 1, monitoring 1); the role allows 2, 0 are in use", "--jobs"
    )


def test_data_that_is_a_view_is_detected(databases: Databases, tmp_path: Path) -> None:
    """If data is a view, doctor reports that extract cannot divide it and that its size is unknown."""
    examined_after(databases, "ALTER TABLE data RENAME TO rows; CREATE VIEW data AS SELECT * FROM rows")
    ran = run_command("doctor", databases, tmp_path)
    failed(ran, 10, '"ctid" does not exist')
    assert verdicts(ran)["extract"] == "failure"
    assert b"the space needed cannot be estimated" in ran.out


def test_a_table_dump_of_a_view(databases: Databases, tmp_path: Path) -> None:
    """A table dump can be made from a view, whose size is unknown beforehand."""
    examined_after(databases, "ALTER TABLE ratings RENAME TO stars; CREATE VIEW ratings AS SELECT * FROM stars")
    ran = run_command("doctor", databases, tmp_path)
    assert verdicts(ran)["ratings"] == "ok"
    assert b"ratings unknown size" in ran.out
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
    """A run that preflight refuses writes only lock, log and status, and doctor reports the same."""
    examined_after(databases, statement)
    for command in ("doctor", "run"):
        failed(run_command(command, databases, tmp_path), 10, words)
    assert {path.name for path in private_of(tmp_path / "out").iterdir()} == {"lock", "run.log", "status.json"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"run-{DATE}"]


def test_all_databases_are_examined_before_the_first_is_read(databases: Databases, tmp_path: Path) -> None:
    """All databases are examined before the first one is copied."""
    ran = run_command("run", databases, tmp_path, coverstore=make_conninfo(databases.coverstore, dbname="no_such"))
    failed(ran, 13, '"no_such" does not exist')
    assert "extract: started" not in ran.err


def test_committed_stages_need_no_database(databases: Databases, tmp_path: Path) -> None:
    """A run resumes without the databases that it has already copied."""
    but_the_tables = ("--skip", "dumps", "--skip", "splice", "--skip", "deworks")
    assert oldump("run", DATE, *flags_of(databases), *but_the_tables, cwd=tmp_path).code == 0
    examined_after(databases, "DROP TABLE data")
    ran = oldump("run", DATE, *flags_of(databases), cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert re.search(r"preflight: disk: out: .* free, the run needs .* \(estimate: spill ", ran.err)
    assert "preflight: database" not in ran.err


def test_lost_data_needs_its_whole_database_again(databases: Databases, tmp_path: Path) -> None:
    """If data.txt.gz is lost, preflight examines all tables of its database again, for one snapshot."""
    assert oldump("run", DATE, *flags_of(databases), "--skip", "splice", cwd=tmp_path).code == 0
    (private_of(tmp_path / "out") / "data.txt.gz").unlink()
    examined_after(databases, "DROP TABLE ratings")
    failed(oldump("run", DATE, *flags_of(databases), cwd=tmp_path), 10, '"ratings" does not exist')
