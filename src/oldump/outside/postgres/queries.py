"""The queries that stages send to a database, and the SQL that they share.

Does not: connect, or run a query.
"""

from datetime import date, timedelta
from typing import NamedTuple

SCANS_RANGES = 140_000
"""The first server version that can scan a part of a table by ctid: PostgreSQL 14."""


class Query(NamedTuple):
    """A query of a stage."""

    tables: tuple[str, ...]
    """The tables that it reads."""
    statement: str
    """The argument of COPY, such as '(SELECT …)'."""
    old_statement: str = ""
    """The statement for servers before SCANS_RANGES; empty if it is the same."""

    def statement_for(self, server_version: int) -> str:
        """Return the statement for a server of this version."""
        return self.old_statement if self.old_statement and server_version < SCANS_RANGES else self.statement


def lock(table: str) -> str:
    """Return a statement that keeps a table from being altered or dropped, but not from being written to."""
    return f"LOCK TABLE {table} IN ACCESS SHARE MODE"


def midnight_after(day: date) -> str:
    """Return the first moment after the day, in SQL."""
    return f"timestamp '{'infinity' if day == date.max else day + timedelta(days=1)}'"
