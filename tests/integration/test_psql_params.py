"""A run reads the database that PSQL_PARAMS names, as oldump.sh did."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from commands.command import DATE, Ran, failed, oldump, private_of
from integration.conftest import Database, copied, filled
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module")
def library(database: Database) -> str:
    """Return a database with some rows in its table data."""
    return filled(database(), copy_blocks(200, seed=7))


def extracted(out: Path, *more: object, env: Mapping[str, str]) -> Ran:
    """Run `oldump run --only extract` without a source."""
    return oldump("run", DATE, "--out", out, "--only", "extract", *more, cwd=out.parent, env=env)


def test_the_database_that_it_names_is_read(library: str, tmp_path: Path) -> None:
    """The old form with -h, -p, -U and a database works, and --source takes precedence over it."""
    named = conninfo_to_dict(library)
    params = f"-h {named['host']} -p 5432 -U {named['user']} {named['dbname']}"
    elsewhere = {
        "PGHOST": "nowhere.invalid",
        "PGDATABASE": "nothing",
    }  # PSQL_PARAMS takes precedence over libpq's variables
    ran = extracted(
        tmp_path / "out", env={"PSQL_PARAMS": params, "PGPASSWORD": str(named.get("password", "")), **elsewhere}
    )
    assert ran.code == 0, ran.err
    assert gzip.decompress((private_of(tmp_path / "out") / "data.txt.gz").read_bytes()) == copied(library)
    assert f"using PSQL_PARAMS, which names host={named['host']}" in ran.err
    again = extracted(tmp_path / "out", "--source", library, env={"PSQL_PARAMS": "-h nowhere.invalid x"})
    assert again.code == 0, again.err
    assert "extract: already committed" in again.err


def test_its_password_is_shown_nowhere(library: str, tmp_path: Path) -> None:
    """A password in PSQL_PARAMS appears in no output and no file."""
    named = conninfo_to_dict(library)
    uri = f"postgresql://{named['user']}:s3cret@{named['host']}:1/{named['dbname']}"
    ran = extracted(tmp_path / "out", env={"PSQL_PARAMS": uri})
    failed(ran, 13)
    outputs = [
        ran.out.decode() + ran.err,
        *(path.read_text() for path in private_of(tmp_path / "out").glob("*") if path.is_file()),
    ]
    assert not [text for text in outputs if "s3cret" in text]


def test_other_psql_options_are_refused(tmp_path: Path) -> None:
    """Options that do not name a database are refused before anything is written."""
    failed(extracted(tmp_path / "out", env={"PSQL_PARAMS": "-h db -f x.sql openlibrary"}), 2, "PSQL_PARAMS", "-f")
    assert not (tmp_path / "out").exists()
