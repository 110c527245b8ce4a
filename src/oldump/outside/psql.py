"""The connection that arguments of psql name, as the old scripts were given them in PSQL_PARAMS.

The rules are psql's own: options may stand before and behind operands, be joined (-hHOST) and shortened (--user=USER);
the first operand is the database unless -d names it, the next one the role; a database that is a connection string
goes before the options.

Does not: connect, or heed what psql itself reads besides (~/.psqlrc).
"""

import getopt
import shlex

from psycopg.conninfo import make_conninfo

from oldump.errors import ConfigurationError
from oldump.outside.postgres import parameters_of

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
"""What has no parameter asks of psql what oldump does anyway: it neither prompts nor reads ~/.psqlrc nor talks."""


def connection_in(text: str) -> str:
    """The connection that these arguments name, in key=value words; empty if they name nothing.

    Raises ConfigurationError, which repeats no argument but the name of an option: a password may be in one.
    """
    parameters, operands = _read(text)
    for name in (each for each in _OPERANDS if each not in parameters):
        if operands:
            parameters[name] = operands.pop(0)
    if operands:
        raise ConfigurationError(
            f"{VARIABLE} has more words than psql would take: {len(operands)} behind the database and the role",
            f"Write {VARIABLE}='-h HOST -p PORT -U USER DBNAME', or give --source.",
        )
    try:
        "".join(parameters.values()).encode()
    except UnicodeError:
        raise ConfigurationError(f"{VARIABLE} is not UTF-8", "Mend it, or give --source.") from None
    database = parameters.get("dbname", "")
    if "=" in database or database.startswith(("postgresql://", "postgres://")):
        weaker = {name: value for name, value in parameters.items() if name not in {"dbname", *parameters_of(database)}}
        return make_conninfo(database, **weaker)
    return make_conninfo(**parameters)


def _read(text: str) -> tuple[dict[str, str], list[str]]:
    """What the options say, by libpq's names, and the operands."""
    try:
        options, operands = getopt.gnu_getopt(_words(text), _SHORT, _LONG)
    except getopt.GetoptError as error:
        dashes = "--" if len(error.opt) > 1 else "-"
        raise ConfigurationError(
            f"{VARIABLE}: {dashes}{error.opt} is no option that names a connection, or lacks its value",
            "There are -h HOST, -p PORT, -U USER and -d DBNAME, and what may be left away: -w, -X, -q.",
        ) from None
    return {_PARAMETERS[name]: value for name, value in options if name in _PARAMETERS}, operands


def _words(text: str) -> list[str]:
    """As a shell would split it that takes quotes for what they are, and a backslash for itself."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters, lexer.escape = True, "", ""
    try:
        return list(lexer)
    except ValueError:
        raise ConfigurationError(
            f"{VARIABLE} has a quote without its other half", "Mend it, or give --source."
        ) from None
