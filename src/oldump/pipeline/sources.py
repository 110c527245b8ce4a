"""The sources of rows and tables that the settings name: a file, standard input, or databases.

Does not: read them, or return a password for display.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oldump.errors import ConfigurationError, SourceMissing
from oldump.outside import psql
from oldump.outside.postgres import conninfo
from oldump.settings import Settings, flag_of

log = logging.getLogger("oldump")

DATABASES = {"source": "database", "coverstore": "coverstore", "archive_database": "archive database"}
"""The name of each database in the table of stages, by the setting that holds its connection."""


def with_psql_params(settings: Settings) -> Settings:
    """Return the settings, with the source from PSQL_PARAMS if none is set. oldump.sh used that variable.

    Raises ConfigurationError.
    """
    connection = psql.connection_in(os.environ.get(psql.VARIABLE, "")) if not settings.source else ""
    if not connection:
        return settings
    with naming("source"):
        log.info("--source is not set: using %s, which names %s", psql.VARIABLE, conninfo.place_of(connection))
    return settings.model_copy(update={"source": connection})


def is_file(source: str) -> bool:
    """Whether the source is a file."""
    return source != "-" and not is_database(source)


def is_database(source: str) -> bool:
    """Whether the source is a PostgreSQL connection. An empty source is libpq's default database."""
    if source == "-" or os.path.isfile(source):  # noqa: PTH113 - Path.is_file raises on text too long for a name
        return False
    return not source or conninfo.looks_like_conninfo(source)


def file_of(source: str) -> Path | None:
    """Return the path of a source that is a file, None for standard input."""
    return None if source == "-" else Path(source)


def connection_of(database: str, settings: Settings) -> str | None:
    """Return the connection of a setting; None if it holds none."""
    given = str(getattr(settings, database))
    if database == "source":
        return given if is_database(given) else None
    return given or None


def checked_connection_of(database: str, settings: Settings) -> str | None:
    """Return the connection of a setting, after libpq has parsed it. Raises ConfigurationError, naming the flag."""
    given = connection_of(database, settings)
    if given is not None:
        public_parameters_of(database, given)
    return given


def public_parameters_of(database: str, given: str) -> dict[str, str]:
    """Return a connection's parameters without the password. Raises ConfigurationError, naming the flag."""
    with naming(database):
        return conninfo.public_parameters(given)


def has_password(database: str, given: str) -> bool:
    """Whether a setting's value is a connection that contains a password. Raises ConfigurationError."""
    with naming(database):
        return is_database(given) and conninfo.has_password(given)


@contextmanager
def naming(database: str) -> Iterator[None]:
    """Name the flag in the message of a ConfigurationError about its connection."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{flag_of(database)}: {error.message}", error.hint) from error


def description_of(settings: Settings) -> dict[str, Any]:
    """Return the journal's description of a run's inputs: enough to notice a change, without passwords."""
    others = {
        database: " ".join(f"{name}={value}" for name, value in public_parameters_of(database, connection).items())
        for database in DATABASES
        if database != "source" and (connection := connection_of(database, settings))
    }
    return {**_description_of_source(settings.source), **others, "level": settings.level}


def _description_of_source(source: str) -> dict[str, Any]:
    if source == "-":
        return {"kind": "standard input"}
    if is_database(source):
        return {"kind": "database", **public_parameters_of("source", source)}
    status = status_of(source)
    modified = datetime.fromtimestamp(status.st_mtime_ns / 1e9, UTC).isoformat()
    return {"kind": "file", "name": Path(source).name, "size_bytes": status.st_size, "modified": modified}


def status_of(source: str) -> os.stat_result:
    """Return the file status of a source that should be a file. Raises SourceMissing."""
    try:
        return Path(source).stat()
    except OSError as error:
        name = "The source" if "@" in source else source  # a mistyped connection may contain a password
        raise SourceMissing(
            f"{name}: cannot be read ({error.strerror})",
            "Use a file, '-' for standard input, or a PostgreSQL connection such as postgresql://USER@HOST/DBNAME.",
        ) from error
