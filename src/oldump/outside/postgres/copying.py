"""The results of queries as COPY text, read in a snapshot that another connection holds.

A reader that receives nothing asks the server on a second connection whether it still works on the query, one reader
of a snapshot at a time; so a dead server is noticed within a minute. `ResumableCopy` hides broken connections as long
as the snapshot exists.

Does not: take the snapshot, or interpret the text.
"""

import multiprocessing
import select
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from multiprocessing.synchronize import Lock
from typing import Self

import psycopg
from psycopg import pq
from zlib_ng import zlib_ng

from oldump.errors import SnapshotLost, SourceError, SourceUnreachable, VerificationError
from oldump.outside.postgres.conninfo import place_of
from oldump.outside.postgres.session import Connection, connect, deadline, is_limit, translated_errors

SILENCE_SECONDS = 30.0
"""How long a copy may send nothing before the server is asked whether it still works on it."""
_CANCEL_SECONDS = 3.0
"""The limit for telling a server to cancel a copy."""
_PIECE_BYTES = 1 << 18
_BUFFER_QUERY = f"SELECT repeat(' ', {_PIECE_BYTES})".encode()
"""Its result enlarges libpq's buffer, which is 16 KiB until a longer message arrives."""
_SNAPSHOT_LOST = (
    psycopg.errors.UndefinedObject,
    psycopg.errors.InvalidParameterValue,
    psycopg.errors.ObjectNotInPrerequisiteState,
)
"""The answers of servers to SET TRANSACTION SNAPSHOT if no session holds the snapshot."""


class SnapshotReader:
    """A connection that reads in a snapshot that another one holds, and reconnects after an error. Use it with `with`.

    Not for several threads.
    """

    def __init__(
        self, conninfo: str, exported: str, silence_seconds: float = SILENCE_SECONDS, asking: Lock | None = None
    ) -> None:
        """Read from the server `conninfo` in the snapshot `exported`; connect when needed.

        asking: held while a silent reader asks the server; readers in other processes share it.
        """
        self.place = place_of(conninfo)
        self._conninfo = conninfo
        self._exported = exported
        self._silence_seconds = silence_seconds
        self._asking = asking or multiprocessing.Lock()
        self._connection: Connection | None = None

    def copy(self, query: str) -> Iterator[bytes]:
        """Yield the result of a query as COPY text, in pieces of whole rows.

        query: the argument of COPY, such as '(SELECT …)'. Raises SourceUnreachable, SnapshotLost, SourceError, and
        VerificationError if the server reports another number of rows than arrived.
        """
        connection = self._connected()
        try:
            with translated_errors(self.place):
                yield from self._copied(connection, f"COPY {query} TO STDOUT")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Cancel the current query and close the connection, so that the server releases snapshot and locks."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            try:
                if connection.info.transaction_status == pq.TransactionStatus.ACTIVE:
                    _cancel(connection)
            finally:
                connection.close()

    def __enter__(self) -> Self:
        """Return this reader, which connects when needed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            connection = connect(self._conninfo)
            try:
                with translated_errors(self.place), deadline(connection):
                    connection.execute(f"SET TRANSACTION SNAPSHOT '{self._exported}'".encode())
                    connection.execute("SET statement_timeout = 0")
                    connection.execute(_BUFFER_QUERY)
            except SourceError as error:
                connection.close()
                if isinstance(error.__cause__, _SNAPSHOT_LOST):
                    raise SnapshotLost(
                        f"{error.message}; the connection that held the snapshot is lost", error.hint
                    ) from error
                raise
            self._connection = connection
        return self._connection

    def _copied(self, connection: Connection, statement: str) -> Iterator[bytes]:
        protocol = connection.pgconn
        protocol.send_query(statement.encode())
        begun = self._result(connection)
        if begun.status != pq.ExecStatus.COPY_OUT:
            raise psycopg.errors.error_from_result(begun)
        count = 0
        for rows in self._rows(connection):
            count += len(rows)
            yield b"".join(rows)
        ended = self._result(connection)
        if ended.status != pq.ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(ended)
        if count != ended.command_tuples:
            raise VerificationError(
                f"{self.place}: the server sent {ended.command_tuples:,} rows, but {count:,} arrived", "Rerun."
            )
        while protocol.is_busy() or protocol.get_result():  # until it is ready for the next statement
            self._wait(connection)

    def _rows(self, connection: Connection) -> Iterator[list[memoryview]]:
        """Yield the rows of a copy in lists of about _PIECE_BYTES.

        This loop runs once per row: joining the views of many rows is cheaper than copying each row.
        """
        get_row = connection.pgconn.get_copy_data
        rows: list[memoryview] = []
        held_bytes = 0
        while (received := get_row(1))[0] >= 0:
            size_bytes, row = received
            if not size_bytes:
                self._wait(connection)
                continue
            rows.append(row)
            held_bytes += size_bytes
            if held_bytes >= _PIECE_BYTES:
                yield rows
                rows, held_bytes = [], 0
        yield rows

    def _result(self, connection: Connection) -> pq.abc.PGresult:
        protocol = connection.pgconn
        while protocol.is_busy():
            self._wait(connection)
        result = protocol.get_result()
        if result is None:
            raise psycopg.OperationalError("the server ended the connection")
        return result

    def _wait(self, connection: Connection) -> None:
        """Wait until the server sends something. Raises OperationalError if it does not respond."""
        protocol = connection.pgconn
        poll = select.poll()
        poll.register(protocol.socket, select.POLLIN)
        protocol.flush()
        while not poll.poll(self._silence_seconds * 1000):
            if not self._is_working(connection.info.backend_pid):
                raise psycopg.OperationalError(f"the connection has been silent for {self._silence_seconds:.0f} s")
        protocol.consume_input()

    def _is_working(self, backend: int) -> bool:
        """Whether the server says, on another connection, that it works on our query and does not wait for us.

        True also if that is unknown, because other readers are asking or the server accepts no more connections.
        """
        query = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE pid = %s AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'"
        )
        if not self._asking.acquire(timeout=self._silence_seconds):
            return True
        try:
            with closing(connect(self._conninfo)) as other, deadline(other):
                row = other.execute(query.encode(), [backend]).fetchone()
        except SourceUnreachable as error:
            if is_limit(error):
                return True
            raise
        finally:
            self._asking.release()
        return row is not None and row[0] == 1


def _cancel(connection: Connection) -> None:
    """Ask the server to cancel its query, briefly and without failing: it notices a closed connection by itself."""
    if psycopg.capabilities.has_cancel_safe():  # what older versions of libpq have may wait forever
        with suppress(psycopg.Error, OSError):
            connection.cancel_safe(timeout=_CANCEL_SECONDS)


class ResumableCopy:
    """The result of a query as COPY text, across broken connections as long as the snapshot exists.

    A query with a fixed order returns the same text again in the same snapshot. After a broken connection the query is
    sent again; the text that was already returned is skipped, and its checksum compared.
    """

    def __init__(self, reader: SnapshotReader, query: str) -> None:
        """Copy through `reader`; query: the argument of COPY."""
        self._reader = reader
        self._query = query
        self._pieces: Iterator[bytes] | None = None
        self._returned_bytes = self._returned_crc32 = 0
        self.failures: list[str] = []
        """The error messages of broken connections."""

    def take(self, least_bytes: int) -> bytes:
        """Return the next whole rows, at least `least_bytes` unless the result ends; b"" at the end.

        Raises SourceUnreachable if every new connection fails too; SnapshotLost, SourceError, VerificationError.
        """
        try:
            text = self._take(least_bytes)
        except SnapshotLost:
            raise
        except SourceUnreachable:
            text = _retry(self._take, least_bytes)
        self._returned_bytes += len(text)
        self._returned_crc32 = zlib_ng.crc32(text, self._returned_crc32)
        return text

    def _take(self, least_bytes: int) -> bytes:
        if self._pieces is None:
            self._pieces = self._remaining()
        held: list[bytes] = []
        held_bytes = 0
        try:
            while held_bytes < least_bytes and (piece := next(self._pieces, None)) is not None:
                held.append(piece)
                held_bytes += len(piece)
        except SourceUnreachable as error:
            self._pieces = None
            self.failures.append(error.message)
            raise
        return b"".join(held)

    def _remaining(self) -> Iterator[bytes]:
        """Send the query, and yield the text after what has already been returned."""
        to_skip, returned_crc32, crc32 = self._returned_bytes, self._returned_crc32, 0
        for piece in self._reader.copy(self._query):
            skipped = piece[:to_skip]
            to_skip -= len(skipped)
            crc32 = zlib_ng.crc32(skipped, crc32)
            if not to_skip and len(skipped) < len(piece):
                if crc32 != returned_crc32:
                    break
                yield piece[len(skipped) :]
        if to_skip or crc32 != returned_crc32:
            raise VerificationError(
                f"{self._reader.place}: the same query returned different text the second time",
                "Rerun; if it happens again, the table changes in a way that no snapshot prevents.",
            )


def _retry(take: Callable[[int], bytes], least_bytes: int) -> bytes:
    """Call `take` again for about a minute while it raises SourceUnreachable, but not SnapshotLost."""
    import tenacity  # noqa: PLC0415 - slow to import, and few runs need it

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(
            lambda e: isinstance(e, SourceUnreachable) and not isinstance(e, SnapshotLost)
        ),
        stop=tenacity.stop_after_attempt(6),
        wait=tenacity.wait_exponential_jitter(initial=1, max=20),
        reraise=True,
    )
    text: bytes = retrying(take, least_bytes)
    return text
