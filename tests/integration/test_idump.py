"""`oldump idump` and `oldump ia-metadata`: the records of a day, and the archive's texts."""

from collections.abc import Iterable
from pathlib import Path

import psycopg
import pytest

from commands.command import assert_same_records, failed, oldump
from integration.conftest import Database, filled
from oldump.outside.synthetic_databases import Databases, fill
from oldump.synth.table import copy_blocks
from reference import dumps_of

DAY = "2008-04-08"

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def databases(database: Database) -> Databases:
    """Return Open Library's databases, filled by synth."""
    return fill(database(), copy_blocks(4_000))


def copied(conninfo: str, query: str, *parameters: object) -> bytes:
    """Return the result of a query as COPY text."""
    with psycopg.connect(conninfo) as connection:
        text = psycopg.ClientCursor(connection).mogrify(query, parameters)
        with connection.cursor().copy(f"COPY ({text}) TO STDOUT") as copy:
            return b"".join(map(bytes, copy))


def busiest_days(conninfo: str) -> Iterable[str]:
    """Return the days with the most transactions."""
    with psycopg.connect(conninfo) as connection:
        query = "SELECT created::date::text FROM transaction GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 3"
        return [day for (day,) in connection.execute(query).fetchall()]


def test_idump_gives_the_records_of_a_day(databases: Databases, tmp_path: Path) -> None:
    """A day's idump has the records of its transactions, in their order, as the reference makes them."""
    for day in busiest_days(databases.openlibrary):
        ran = oldump("idump", day, "--source", databases.openlibrary, cwd=tmp_path)
        assert ran.code == 0, ran.err
        rows = copied(
            databases.openlibrary,
            "SELECT data.* FROM data JOIN version USING (thing_id, revision) "
            "JOIN transaction ON transaction.id = transaction_id WHERE transaction.created::date = %s",
            day,
        )
        in_order = oldump("sort", cwd=tmp_path, stdin=ran.out)
        assert_same_records(in_order.out, dumps_of(rows, "2100-01-01").cdump)
        moments = [line.split(b"\t")[3] for line in ran.out.splitlines()]
        assert moments == sorted(moments)  # synth's transactions have their documents' times
        assert len(moments) > 1


def test_a_day_begins_and_ends_at_midnight(database: Database, tmp_path: Path) -> None:
    """A day includes its first and last microsecond, and private pages are dropped."""
    source = database()
    moments = {
        "/works/OL1W": "2008-04-07 23:59:59.999999",
        "/works/OL2W": "2008-04-08 00:00:00",
        "/people/somebody": "2008-04-08 12:00:00",
        "/works/OL3W": "2008-04-08 23:59:59.999999",
        "/works/OL4W": "2008-04-09 00:00:00",
    }
    filled(source, [])
    with psycopg.connect(source) as connection:
        connection.execute("CREATE TABLE transaction (id integer, created timestamp)")
        connection.execute(
            "CREATE TABLE version (id integer, thing_id integer, revision integer, transaction_id integer)"
        )
        for number, (key, moment) in enumerate(moments.items()):
            text = (
                f'{{"key": "{key}", "type": {{"key": "/type/work"}}, "revision": 1, '
                f'"last_modified": {{"type": "/type/datetime", "value": "2020-01-01T00:00:00"}}}}'
            )
            connection.execute("INSERT INTO data VALUES (%s, 1, %s)", [number, text])
            connection.execute("INSERT INTO transaction VALUES (%s, %s)", [number, moment])
            connection.execute("INSERT INTO version VALUES (%s, %s, 1, %s)", [number, number, number])
    ran = oldump("idump", DAY, "--source", source, cwd=tmp_path)
    assert [line.split(b"\t")[1] for line in ran.out.splitlines()] == [b"/works/OL2W", b"/works/OL3W"]
    assert "dropped 1 as private_page" in ran.err


def test_a_day_without_records_is_an_error(databases: Databases, tmp_path: Path) -> None:
    """A day without records is an error, because it suggests a wrong day or database."""
    failed(oldump("idump", "1999-01-01", "--source", databases.openlibrary, cwd=tmp_path), 14, "1999-01-01")
    ran = oldump("idump", "9999-12-31", "--source", databases.openlibrary, cwd=tmp_path)
    failed(ran, 14, "9999-12-31")
    assert "WARNING 9999-12-31 is not over yet (UTC)" in ran.err


def test_a_revision_whose_document_is_missing_is_rejected(database: Database, tmp_path: Path) -> None:
    """A revision without a document is a reject, and fails the command if no rejects are allowed."""
    source = fill(database(), copy_blocks(500)).openlibrary
    (day, *_) = busiest_days(source)
    with psycopg.connect(source) as connection:
        connection.execute(
            "DELETE FROM data USING version, transaction WHERE data.thing_id = version.thing_id "
            "AND data.revision = version.revision AND transaction.id = transaction_id AND version.id = "
            "(SELECT min(version.id) FROM version JOIN transaction ON transaction.id = transaction_id "
            "WHERE transaction.created::date = %s)",
            [day],
        )
    ran = oldump("idump", day, "--source", source, cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "rejected 1" in ran.err
    assert "rejects.txt.gz" in ran.err
    failed(oldump("idump", day, "--source", source, "--max-rejects", 0, cwd=tmp_path), 21)


def test_idump_needs_a_database(tmp_path: Path) -> None:
    """A file is refused because it has no transactions."""
    (tmp_path / "data.txt").write_bytes(b"1\t1\t{}\n")
    failed(oldump("idump", DAY, "--source", "data.txt", cwd=tmp_path), 2, "not a file")


def test_ia_metadata_gives_the_texts_that_are_not_dark(databases: Databases, tmp_path: Path) -> None:
    """The archive's texts are sorted by identifier, without dark items, and missing values are empty."""
    with psycopg.connect(databases.archive) as connection:
        items = connection.execute(
            "SELECT identifier, mediatype, curatestate, boxid, collection FROM metadata"
        ).fetchall()
    expected = sorted(
        "\t".join((identifier, boxid or "", collection or "")).encode()
        for identifier, mediatype, curatestate, boxid, collection in items
        if mediatype == "texts" and curatestate != "dark"
    )
    ran = oldump("ia-metadata", "--archive-database", databases.archive, cwd=tmp_path)
    assert ran.out.splitlines() == expected
    assert {len(items), 0} & {len(expected)} == set()
    failed(
        oldump("ia-metadata", "--archive-database", databases.coverstore, cwd=tmp_path), 10, '"metadata" does not exist'
    )


def test_ia_metadata_requires_its_database(databases: Databases, tmp_path: Path) -> None:
    """ia-metadata never uses the database that libpq's variables name."""
    failed(oldump("ia-metadata", cwd=tmp_path, env={"PGHOST": "127.0.0.1"}), 2, "--archive-database")
