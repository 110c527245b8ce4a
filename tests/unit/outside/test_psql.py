"""PSQL_PARAMS means to oldump what it means to psql, and what psql would do otherwise is refused."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from oldump.errors import ConfigurationError
from oldump.outside.psql import connection_in
from oldump.pipeline.sources import with_psql_params
from oldump.settings import Settings


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No oldump.toml, and no variables that say something of a source."""
    monkeypatch.chdir(tmp_path)
    for name in ("OLDUMP_SOURCE", "PSQL_PARAMS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("  -w -X -q ", {}),
        ("-h db openlibrary", {"host": "db", "dbname": "openlibrary"}),
        (
            "-h db -p 6432 -U reader openlibrary",
            {"host": "db", "port": "6432", "user": "reader", "dbname": "openlibrary"},
        ),
        ("openlibrary -h db", {"host": "db", "dbname": "openlibrary"}),
        ("openlibrary reader", {"dbname": "openlibrary", "user": "reader"}),
        ("-d openlibrary reader", {"dbname": "openlibrary", "user": "reader"}),
        ("-U reader openlibrary", {"dbname": "openlibrary", "user": "reader"}),
        ("-hdb -p6432 -Xh db2", {"host": "db2", "port": "6432"}),
        (
            "--host=db --port 6432 --username=reader --dbname=x",
            {"host": "db", "port": "6432", "user": "reader", "dbname": "x"},
        ),
        ("--user=reader --db x", {"user": "reader", "dbname": "x"}),
        ("-h db -- -x", {"host": "db", "dbname": "-x"}),
        (
            "-h other -p 1 postgresql://reader@db:6432/x",
            {"host": "db", "port": "6432", "user": "reader", "dbname": "x"},
        ),
        ("-p 6432 -d 'host=db dbname=x'", {"host": "db", "port": "6432", "dbname": "x"}),
        ("-h 'it''s' -U DOMAIN\\reader", {"host": "its", "user": "DOMAIN\\reader"}),
        ("-h /run/postgresql service=library", {"host": "/run/postgresql", "service": "library"}),
    ],
)
def test_what_psql_would_connect_to(text: str, expected: dict[str, str]) -> None:
    """Options, operands and connection strings, in psql's order of precedence."""
    assert conninfo_to_dict(connection_in(text)) == expected


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("-h db -c select openlibrary", "-c"),
        ("-W openlibrary", "-W"),
        ("--set=upto=2022-07-31 openlibrary", "--set"),
        ("-h", "-h"),
        ("openlibrary reader third", "1 after"),
        ("-d openlibrary reader third", "1 after"),
        ("-h 'db openlibrary", "quote"),
        ("postgresql://reader@db:nonsense:/x=%zz", "libpq"),
        ("-h \udcff openlibrary", "UTF-8"),
        ("postgresql://\udcff/openlibrary", "UTF-8"),
    ],
)
def test_what_is_refused(text: str, word: str) -> None:
    """Whatever psql would do besides connecting, or would not understand, is named."""
    with pytest.raises(ConfigurationError, match=word):
        connection_in(text)


def test_a_refusal_shows_no_password() -> None:
    """Of what is refused, nothing but the option's name is repeated."""
    for text in ("--set=s3cret=1 x", "x y s3cret", "-h 's3cret", "postgresql://u:s3cret@h:x:y/%zz"):
        with pytest.raises(ConfigurationError) as refused:
            connection_in(text)
        assert "s3cret" not in str(refused.value)


def test_a_source_goes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag, variable or file; only where none of them names one, PSQL_PARAMS does, and after it libpq."""
    monkeypatch.setenv("PSQL_PARAMS", "-h db openlibrary")
    assert with_psql_params(Settings.of(source="data.txt")).source == "data.txt"
    assert conninfo_to_dict(with_psql_params(Settings.of()).source) == {"host": "db", "dbname": "openlibrary"}
    Path("oldump.toml").write_text('source = "dbname=toml"\n', encoding="utf-8")
    assert with_psql_params(Settings.of()).source == "dbname=toml"
    monkeypatch.setenv("OLDUMP_SOURCE", "dbname=variable")
    assert with_psql_params(Settings.of()).source == "dbname=variable"
    monkeypatch.setenv("PSQL_PARAMS", "--nonsense")
    assert with_psql_params(Settings.of()).source == "dbname=variable"  # it is not even read
