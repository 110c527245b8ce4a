"""Shared snapshots: the stages of one database read the same moment, all of them again if the snapshot is lost."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tenacity

from oldump.errors import SnapshotLost, SourceUnreachable
from oldump.outside.postgres.snapshot import SnapshotConnection

log = logging.getLogger("oldump")

_MOST_ATTEMPTS = 5


def in_one_snapshot(conninfo: str, tables: list[str], copy: Callable[[SnapshotConnection], None]) -> None:
    """Call `copy` with a connection that holds a snapshot; again with a new one if the snapshot is lost.

    Raises SourceError, and SnapshotLost after the last attempt.
    """
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(SnapshotLost),
        stop=tenacity.stop_after_attempt(_MOST_ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=5, max=60),
        before_sleep=_log_retry,
        reraise=True,
    ):
        with attempt, _snapshot(conninfo, tables, is_retry=attempt.retry_state.attempt_number > 1) as connection:
            copy(connection)


@contextmanager
def _snapshot(conninfo: str, tables: list[str], *, is_retry: bool) -> Iterator[SnapshotConnection]:
    """Open a snapshot. Raises SourceError; SnapshotLost if a new snapshot may help.

    A new one may help if a retry cannot connect, because the server may be restarting, and if a reader cannot connect
    and the snapshot is gone too.
    """
    try:
        connection = SnapshotConnection(conninfo, tables)
    except SourceUnreachable as error:
        if is_retry:
            raise SnapshotLost(str(error)) from error
        raise
    with connection:
        try:
            yield connection
        except SourceUnreachable:
            connection.require_alive()
            raise


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    seconds = state.next_action.sleep if state.next_action else 0
    log.warning("snapshot lost; copying everything from this database again in %.0f s: %s", seconds, error)
