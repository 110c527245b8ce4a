"""Where the rows and tables come from: a file, standard input, or databases, as the settings name them.

Does not: read them, or show a password.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oldump.errors import ConfigurationError, SourceMissing
from oldump.outside import postgres, psql
from oldump.settings import Settings, flag_of

log = logging.getLogger("oldump")

DATABASES = {"source": "database", "coverstore": "coverstore", "archive_database": "archive database"}
"""What the settings that name databases are called in the table."""


def with_psql_params(settings: Settings) -> Settings:
    """The settings; those that name no source with the connection that PSQL_PARAMS names, as it did for oldump.sh.

    Raises ConfigurationError.
    """
    connection = psql.connection_in(os.environ.get(psql.VARIABLE, "")) if not settings.source else ""
    if not connection:
        return settings
    with naming("source"):
        log.info("--source is not given: %s names %s", psql.VARIABLE, postgres.place_of(connection))
    return settings.model_copy(update={"source": connection})


def is_file(source: str) -> bool:
    """Whether the rows come from a file."""
    return source != "-" and not is_database(source)


def is_database(source: str) -> bool:
    """Whether the rows come from PostgreSQL, rather than from a file or standard input."""
    if source == "-" or os.path.isfile(source):  # noqa: PTH113 - Path.is_file raises on text too long for a name
        return False
    return not source or postgres.looks_like_conninfo(source)


def file_of(source: str) -> Path | None:
    """The source's file, None for standard input."""
    return None if source == "-" else Path(source)


def connection_of(database: str, settings: Settings) -> str | None:
    """The connection that a setting gives; None if it gives none. An empty source is libpq's default database."""
    given = str(getattr(settings, database))
    if database == "source":
        return given if is_database(given) else None
    return given or None


def understood(database: str, settings: Settings) -> str | None:
    """The same, if libpq would understand it. Raises ConfigurationError, which names the flag."""
    given = connection_of(database, settings)
    if given is not None:
        shown_of(database, given)
    return given


def shown_of(database: str, given: str) -> dict[str, str]:
    """What may be shown of a setting's connection: no password. Raises ConfigurationError, which names the flag."""
    with naming(database):
        return postgres.shown(given)


def bears_password(database: str, given: str) -> bool:
    """Whether what is given for a setting is a connection with a password in it. Raises ConfigurationError."""
    with naming(database):
        return is_database(given) and postgres.has_password(given)


@contextmanager
def naming(database: str) -> Iterator[None]:
    """Name the flag in what is said against its connection."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{flag_of(database)}: {error.message}", error.hint) from error


def beginning(settings: Settings) -> dict[str, Any]:
    """What the journal says a run is made from: enough to notice that it is something else; no password."""
    others = {
        database: " ".join(f"{name}={value}" for name, value in shown_of(database, connection).items())
        for database in DATABASES
        if database != "source" and (connection := connection_of(database, settings))
    }
    return {**_described(settings.source), **others, "level": settings.level}


def _described(source: str) -> dict[str, Any]:
    if source == "-":
        return {"kind": "standard input"}
    if is_database(source):
        return {"kind": "database", **shown_of("source", source)}
    status = status_of(source)
    modified = datetime.fromtimestamp(status.st_mtime_ns / 1e9, UTC).isoformat()
    return {"kind": "file", "name": Path(source).name, "size_bytes": status.st_size, "modified": modified}


def status_of(source: str) -> os.stat_result:
    """What the system says of a source that should be a file. Raises SourceMissing."""
    try:
        return Path(source).stat()
    except OSError as error:
        name = "The source" if "@" in source else source  # a mistyped connection may have a password in it
        raise SourceMissing(
            f"{name}: cannot be read ({error.strerror})",
            "Give a file, '-' for standard input, or a PostgreSQL connection such as postgresql://USER@HOST/DBNAME.",
        ) from error
