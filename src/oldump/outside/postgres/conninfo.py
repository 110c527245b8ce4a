"""Connection settings of PostgreSQL: parse them, complete them as libpq does, and show them without passwords.

Does not: connect.
"""

import os
from collections.abc import Mapping

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from oldump.errors import ConfigurationError

Parameters = dict[str, str | int | None]
"""Connection parameters by libpq's names."""

_PUBLIC = ("service", "host", "port", "dbname", "user")
_LOCATION_VARIABLES = {"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE"}
"""The parameters that locate the database, and the environment variables that libpq reads them from."""
_SERVICE_VARIABLES = {"service": "PGSERVICE", "servicefile": "PGSERVICEFILE"}


def looks_like_conninfo(source: str) -> bool:
    """Whether the text is a connection URI or key=value words, rather than a path."""
    return "://" in source or "=" in source.split("/", 1)[0]


def parse_conninfo(conninfo: str) -> Parameters:
    """Return the parameters in a connection string. Raises ConfigurationError, which does not repeat the string."""
    try:
        parameters = dict(conninfo_to_dict(conninfo))
    except (psycopg.ProgrammingError, UnicodeError):  # a variable may hold bytes that are not UTF-8
        # from None: libpq's message repeats the text, which may contain a password
        raise ConfigurationError(
            "not a connection that libpq understands",
            "Write postgresql://USER@HOST:PORT/DBNAME, or 'host=HOST dbname=DBNAME user=USER', and put the password "
            "in a password file.",
        ) from None
    if "://" in conninfo and any("@" in str(parameters.get(name)) for name in ("host", "port", "dbname")):
        # With two @, or a slash before the @, libpq takes the end of the password for the host or the database.
        raise ConfigurationError(
            "a URI with a misplaced @",
            "Write @ as %40 and / as %2F in a password, or better put the password in a password file.",
        )
    return parameters


def with_defaults(parameters: Mapping[str, str | int | None]) -> Parameters:
    """Return the parameters, completed from libpq's environment variables and service file.

    Raises ConfigurationError if host, port or database looks like a URI, which may contain a password.
    """
    completed = {**_defaults(parameters), **parameters}
    for name, variable in _LOCATION_VARIABLES.items():
        text = str(completed.get(name) or "")
        is_abstract_socket = text.startswith("@") and name == "host"
        if "://" in text or "@" in text[1:] or (text.startswith("@") and not is_abstract_socket):
            where = "its" if parameters.get(name) else f"{variable}, or the service file's"
            raise ConfigurationError(
                f"{where} {name} has :// or @ in it, as a URI with a password may have",
                f"Set {name} to a {name} alone, and pass a whole URI in a setting of oldump.",
            )
    return completed


def _defaults(parameters: Mapping[str, str | int | None]) -> dict[str, str]:
    """Return libpq's defaults: from the service that the parameters name, from variables, and built in."""
    named = {_SERVICE_VARIABLES[name]: str(parameters[name]) for name in _SERVICE_VARIABLES if parameters.get(name)}
    before = {variable: os.environ.get(variable) for variable in named}
    try:
        os.environ.update(named)  # libpq lists only the settings of the service that the variables name
        defaults = pq.Conninfo.get_defaults()
    finally:
        for variable, value in before.items():
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value
    return {each.keyword.decode(): each.val.decode(errors="replace") for each in defaults if each.val}


def public_parameters(conninfo: str) -> dict[str, str]:
    """Return the parameters that may be shown, never a password. Raises ConfigurationError."""
    parameters = with_defaults(parse_conninfo(conninfo))
    return {name: str(parameters[name]) for name in _PUBLIC if parameters.get(name)}


def has_password(conninfo: str) -> bool:
    """Whether the connection string itself contains a password. Raises ConfigurationError."""
    return looks_like_conninfo(conninfo) and bool(parse_conninfo(conninfo).get("password"))


def place_of(conninfo: str) -> str:
    """Return the server and database for a message, without the password. Raises ConfigurationError."""
    return " ".join(f"{name}={value}" for name, value in public_parameters(conninfo).items()) or (
        "libpq's default database"
    )
