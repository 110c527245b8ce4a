"""Translate psql's arguments in PSQL_PARAMS, which the old scripts used, into a connection string.

The rules are psql's own: options may come before and after operands, be joined (-hHOST) and abbreviated (--user=USER).
The first operand is the database unless -d names it, the next one the role. If the database is a connection string,
it overrides the options.

Does not: connect, or read ~/.psqlrc, which psql would.
"""

import getopt
import shlex

from psycopg.conninfo import make_conninfo

from oldump.errors import ConfigurationError
from oldump.outside.postgres.conninfo import parse_conninfo

VARIABLE = "PSQL_PARAMS"
_PARAMETERS = {
    "-h": "host",
    "--host": "host",
    "-p": "port",
    "--port": "port",
    "-U": "user",
    "--username": "user",
    "-d": "dbname",
    "--dbname": "dbname",
}
_OPERANDS = ("dbname", "user")
_SHORT = "h:p:U:d:wXq"
_LONG = ["host=", "port=", "username=", "dbname=", "no-password", "no-psqlrc", "quiet"]
"""The options without a parameter ask psql for what oldump does anyway: never prompt, read no ~/.psqlrc, be quiet."""


def connection_in(text: str) -> str:
    """Return the connection that psql's arguments name, as key=value words; empty if they name nothing.

    Raises ConfigurationError, which repeats only names of options: an argument may contain a password.
    """
    parameters, operands = _read(text)
    for name in (each for each in _OPERANDS if each not in parameters):
        if operands:
            parameters[name] = operands.pop(0)
    if operands:
        raise ConfigurationError(
            f"{VARIABLE} has too many words: {len(operands)} after the database and the role",
            f"Write {VARIABLE}='-h HOST -p PORT -U USER DBNAME', or use --source.",
        )
    try:
        "".join(parameters.values()).encode()
    except UnicodeError:
        raise ConfigurationError(f"{VARIABLE} is not UTF-8", "Fix it, or use --source.") from None
    database = parameters.get("dbname", "")
    if "=" in database or database.startswith(("postgresql://", "postgres://")):
        own = {"dbname", *parse_conninfo(database)}
        return make_conninfo(database, **{name: value for name, value in parameters.items() if name not in own})
    return make_conninfo(**parameters)


def _read(text: str) -> tuple[dict[str, str], list[str]]:
    """Return the parameters that the options set, by libpq's names, and the operands."""
    try:
        options, operands = getopt.gnu_getopt(_words(text), _SHORT, _LONG)
    except getopt.GetoptError as error:
        dashes = "--" if len(error.opt) > 1 else "-"
        raise ConfigurationError(
            f"{VARIABLE}: {dashes}{error.opt} is not a connection option, or has no value",
            "Use -h HOST, -p PORT, -U USER and -d DBNAME; -w, -X and -q are ignored.",
        ) from None
    return {_PARAMETERS[name]: value for name, value in options if name in _PARAMETERS}, operands


def _words(text: str) -> list[str]:
    """Split the text like a shell that knows quotes, but no escapes and comments."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        return list(lexer)
    except ValueError:
        raise ConfigurationError(f"{VARIABLE} has an unterminated quote", "Fix it, or use --source.") from None
