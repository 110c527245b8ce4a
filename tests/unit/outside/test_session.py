"""The translation of psycopg's errors."""

import inspect

import psycopg
import pytest

from oldump.errors import SourceError, SourceUnreachable
from oldump.outside.postgres.session import translated, translated_errors


def concrete_errors() -> list[type[psycopg.Error]]:
    """Return every error that psycopg raises, for all SQLSTATEs too; its root is abstract."""
    found = {
        each
        for module in (psycopg, psycopg.errors)
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, psycopg.Error) and each is not psycopg.Error
    }
    return sorted(found, key=lambda each: each.__name__)


def test_every_error_of_psycopg_is_translated() -> None:
    """No error of the library reaches a stage as it is."""
    errors = concrete_errors()
    assert len(errors) > 200
    assert [each for each in errors if translated(each("no"), "db") is None] == []


@pytest.mark.parametrize("theirs", concrete_errors(), ids=lambda each: each.__name__)
def test_only_operational_errors_can_be_retried(theirs: type[psycopg.Error]) -> None:
    """A connection may come back; a table that does not exist stays missing."""
    ours = SourceUnreachable if issubclass(theirs, psycopg.OperationalError) else SourceError
    with pytest.raises(SourceError, match=r"^db: no\. .*\.$") as raised, translated_errors("db"):
        raise theirs("no")
    assert type(raised.value) is ours
    assert isinstance(raised.value.__cause__, theirs)


def test_an_error_that_is_not_mapped_is_not_hidden() -> None:
    """A new kind of error is a bug until the table lists it."""
    with pytest.raises(psycopg.Error, match="new"), translated_errors("db"):
        raise psycopg.Error("new")
