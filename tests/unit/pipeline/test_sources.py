"""Sources: what a setting names, and that no password is shown or recorded."""

from pathlib import Path

import pytest

from oldump.errors import ConfigurationError, SourceMissing
from oldump.pipeline.sources import (
    checked_connection_of,
    connection_of,
    description_of,
    file_of,
    has_password,
    is_database,
    is_file,
    naming,
    public_parameters_of,
    status_of,
)
from oldump.settings import Settings

SECRET = "s3cr3t"  # noqa: S105 - of no account


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("-", "standard input"),
        ("data.txt.gz", "file"),
        ("", "database"),
        ("dbname=openlibrary", "database"),
        ("postgresql://me@host/openlibrary", "database"),
        ("x" * 5_000, "file"),
    ],
)
def test_a_source_is_a_file_standard_input_or_a_database(source: str, kind: str) -> None:
    """An empty one is libpq's default database."""
    assert is_database(source) == (kind == "database")
    assert is_file(source) == (kind == "file")


def test_a_file_that_exists_is_no_connection(tmp_path: Path) -> None:
    """Whatever its name looks like."""
    path = tmp_path / "dbname=openlibrary"
    path.write_bytes(b"")
    assert is_file(str(path))
    assert (file_of(str(path)), file_of("-")) == (path, None)


def test_only_the_source_has_a_default_connection() -> None:
    """The other databases are left out if they are not configured."""
    settings = Settings.of(source="", coverstore="dbname=covers")
    assert connection_of("source", settings) == ""
    assert connection_of("coverstore", settings) == "dbname=covers"
    assert connection_of("archive_database", settings) is None
    assert connection_of("source", Settings.of(source="-")) is None


def test_a_connection_that_libpq_cannot_parse_is_refused_with_its_flag() -> None:
    """So that the operator knows which of three connections to correct."""
    with pytest.raises(ConfigurationError, match=r"^--coverstore: "):
        checked_connection_of("coverstore", Settings.of(source="-", coverstore="hots=here"))
    with pytest.raises(ConfigurationError, match=r"^--source: wrong\. Correct it\."), naming("source"):
        raise ConfigurationError("wrong", "Correct it.")


def test_a_password_is_noticed_and_not_shown() -> None:
    """In either form of connection."""
    for given in (f"postgresql://me:{SECRET}@host/openlibrary", f"host=host user=me password={SECRET}"):
        assert has_password("source", given)
        assert SECRET not in str(public_parameters_of("source", given))
        assert SECRET not in str(description_of(Settings.of(source=given)))
    assert not has_password("source", "host=host user=me")
    assert not has_password("source", "-")


def test_a_file_is_described_by_name_size_and_time(tmp_path: Path) -> None:
    """A file that is replaced is noticed, one that is moved is not."""
    path = tmp_path / "data.txt"
    path.write_bytes(b"12345")
    settings = Settings.of(source=str(path), level=3)
    before = description_of(settings)
    assert before | {"modified": ""} == {
        "kind": "file",
        "name": "data.txt",
        "size_bytes": 5,
        "modified": "",
        "level": 3,
    }
    path.write_bytes(b"123456")
    assert description_of(settings) != before


def test_standard_input_and_other_databases_are_described() -> None:
    """By their kind, and by their public parameters."""
    description = description_of(Settings.of(source="-", coverstore=f"dbname=covers password={SECRET}"))
    assert description["kind"] == "standard input"
    assert "dbname=covers" in description["coverstore"]
    assert SECRET not in description["coverstore"]


def test_a_missing_file_is_named_unless_it_may_be_a_password() -> None:
    """A mistyped connection looks like the name of a file."""
    with pytest.raises(SourceMissing, match=r"^no\.txt: cannot be read"):
        status_of("no.txt")
    with pytest.raises(SourceMissing, match=r"^The source: cannot be read"):
        status_of(f"me:{SECRET}@host")
