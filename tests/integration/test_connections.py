"""Failing connections during an extract lead to the same rows or to a clear error."""

import multiprocessing
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from commands.command import DATE, private_of, started
from integration.conftest import Database, Proxied, extract, psql
from integration.mid_copy import MID_COPY_BYTES
from oldump.errors import SnapshotLost, SourceError, SourceUnreachable, VerificationError
from oldump.outside.postgres.copying import ResumableCopy, SnapshotReader
from oldump.outside.postgres.snapshot import SnapshotConnection

pytestmark = pytest.mark.postgres

SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
ALL = "(SELECT thing_id, revision, data FROM data)"


def wait_until_none(conninfo: str, query: str, seconds: float = 60.0) -> None:
    """Wait until the query counts no session; fail after this many seconds."""
    end = time.monotonic() + seconds
    while psql(conninfo, query) != b"0\n":
        assert time.monotonic() < end, query
        time.sleep(0.01)


def pieces_of(copying: ResumableCopy, least_bytes: int = 100_000) -> list[bytes]:
    """Return all pieces of the copy."""
    return list(iter(lambda: copying.take(least_bytes), b""))


def test_a_long_copy_arrives_in_pieces(wide: str) -> None:
    """A range that is longer than one read arrives complete in several pieces."""
    with SnapshotConnection(wide) as snapshot, snapshot.reader() as reader:
        pieces = pieces_of(ResumableCopy(reader, ALL))
    assert len(pieces) > 10
    assert b"".join(pieces) == psql(wide, "copy data to stdout")


def test_a_changed_text_after_a_cut_is_detected(wide: str, proxied: Proxied) -> None:
    """A resumed copy fails if its text differs from what was already passed on."""
    proxy = proxied(wide)
    proxy.when(1, MID_COPY_BYTES, lambda: proxy.cut(1))
    with SnapshotConnection(wide) as snapshot, SnapshotReader(proxy.conninfo, snapshot.exported) as reader:
        copying = ResumableCopy(reader, "(SELECT random(), data FROM data)")
        with pytest.raises(VerificationError, match="different text the second time"):
            pieces_of(copying)


@pytest.mark.parametrize("passed_bytes", [1, 1_000, MID_COPY_BYTES, 5_000_000])
def test_a_copy_resumes_where_its_connection_was_cut(wide: str, proxied: Proxied, passed_bytes: int) -> None:
    """A copy resumes after a cut, before the first row or between rows, without losing or repeating a byte."""
    proxy = proxied(wide)
    proxy.when(1, passed_bytes, lambda: proxy.cut(1))
    with SnapshotConnection(wide) as snapshot, SnapshotReader(proxy.conninfo, snapshot.exported) as reader:
        copying = ResumableCopy(reader, ALL)
        assert b"".join(pieces_of(copying)) == psql(wide, "copy data to stdout")
    assert len(copying.failures) == 1
    assert proxy.connections == 2


def test_a_copy_whose_connection_goes_silent(wide: str, proxied: Proxied) -> None:
    """A silent connection is replaced when the server reports that it only waits for the client."""
    proxy = proxied(wide)
    proxy.when(1, MID_COPY_BYTES, lambda: proxy.silence(1))
    with (
        SnapshotConnection(wide) as snapshot,
        SnapshotReader(proxy.conninfo, snapshot.exported, silence_seconds=0.3) as reader,
    ):
        copying = ResumableCopy(reader, ALL)
        assert b"".join(pieces_of(copying)) == psql(wide, "copy data to stdout")
    assert len(copying.failures) == 1
    assert "silent" in copying.failures[0]


def test_a_busy_server_may_be_silent(wide: str, proxied: Proxied) -> None:
    """A server that is busy for long is not treated as failed."""
    proxy = proxied(wide)
    with (
        SnapshotConnection(wide) as snapshot,
        SnapshotReader(proxy.conninfo, snapshot.exported, silence_seconds=1.0) as reader,
    ):
        copying = ResumableCopy(reader, "(SELECT 1 FROM pg_sleep(3.5))")
        assert pieces_of(copying) == [b"1\n"]
    assert copying.failures == []
    assert proxy.connections > 2


def test_one_reader_asks_at_a_time(wide: str, proxied: Proxied) -> None:
    """While another reader asks about its silence, a silent reader opens no connection and keeps waiting."""
    proxy = proxied(wide)
    asking = multiprocessing.Lock()
    with (
        SnapshotConnection(wide) as snapshot,
        SnapshotReader(proxy.conninfo, snapshot.exported, 0.3, asking) as reader,
        asking,
    ):
        assert pieces_of(ResumableCopy(reader, "(SELECT 1 FROM pg_sleep(2))")) == [b"1\n"]
    assert proxy.connections == 1


def test_a_refused_question_is_no_failure(database: Database) -> None:
    """A silent reader keeps waiting if the server has too many connections for the one that asks."""
    source = database()
    role = f"narrow_{conninfo_to_dict(source)['dbname']}"
    psql(source, f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 2")
    try:
        with SnapshotConnection(make_conninfo(source, user=role)) as snapshot, snapshot.reader(0.3) as reader:
            copying = ResumableCopy(reader, "(SELECT 1 FROM pg_sleep(2))")
            assert pieces_of(copying) == [b"1\n"]
        assert copying.failures == []
    finally:
        psql(source, f"DROP ROLE {role}")


def test_a_server_that_limits_transactions(wide: str) -> None:
    """Like pg_dump, oldump lifts the server's limits that would end a long transaction."""
    limits = ("transaction_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    source = make_conninfo(wide, options=" ".join(f"-c {name}=300" for name in limits))
    with SnapshotConnection(source) as snapshot, snapshot.reader() as reader:
        copying = ResumableCopy(reader, "(SELECT 1 FROM pg_sleep(1))")
        assert pieces_of(copying) == [b"1\n"]
        snapshot.require_alive()
    assert copying.failures == []


def test_a_server_that_never_answers(wide: str, proxied: Proxied) -> None:
    """A server that accepts a connection and stays silent leads to an error of one line, in time."""
    proxy = proxied(wide)
    proxy.when(1, 0, lambda: proxy.silence(1))
    with pytest.raises(SourceUnreachable, match=r"port=.*timeout") as error:
        SnapshotConnection(f"{proxy.conninfo} connect_timeout=2")
    assert "\n" not in str(error.value)


def test_the_snapshot_ends_with_its_connection(wide: str, proxied: Proxied) -> None:
    """When the connection that holds the snapshot is lost, every user of the snapshot gets SnapshotLost."""
    proxy = proxied(wide)
    with SnapshotConnection(proxy.conninfo) as snapshot, snapshot.reader() as reader:
        snapshot.require_alive()
        proxy.cut(1)
        with pytest.raises(SnapshotLost, match="held the snapshot"):
            snapshot.require_alive()
        wait_until_none(wide, SESSIONS)  # wait until the server has noticed
        with pytest.raises(SnapshotLost, match="held the snapshot"):
            ResumableCopy(reader, ALL).take(1)


def test_a_snapshot_whose_connection_is_just_ending(wide: str, server: str) -> None:
    """A snapshot whose file still exists but whose process has ended is lost too."""
    with SnapshotConnection(wide) as snapshot:
        folder, name = psql(server, "show data_directory").decode().strip(), snapshot.exported
        path = Path(folder) / "pg_snapshots" / name
        text = path.read_bytes()
    wait_until_none(wide, SESSIONS)
    path.write_bytes(text)
    path.chmod(0o644)  # if the tests run as root, the server runs as another user
    try:
        with SnapshotReader(wide, name) as reader, pytest.raises(SnapshotLost, match="could not import"):
            ResumableCopy(reader, ALL).take(1)
    finally:
        path.unlink()


@pytest.mark.parametrize(
    ("sqlstate", "hint"), [("55P03", "pg_locks"), ("57014", "timeout"), ("40001", "standby"), ("53300", "--jobs")]
)
def test_hints_for_database_errors(wide: str, sqlstate: str, hint: str) -> None:
    """Each database error has a hint that fits its SQLSTATE."""
    with SnapshotConnection(wide) as snapshot, pytest.raises(SourceUnreachable, match=rf"^[^\n]*: for once\. .*{hint}"):
        snapshot.fetch(f"DO $$ BEGIN RAISE 'for once' USING ERRCODE = '{sqlstate}'; END $$")


def test_a_snapshot_that_is_too_old(wide: str) -> None:
    """A server that removes rows of an old snapshot leads to an error with a hint, and not to a retry."""
    with SnapshotConnection(wide) as snapshot, pytest.raises(SourceError, match="old_snapshot_threshold") as error:
        snapshot.fetch("DO $$ BEGIN RAISE 'snapshot too old' USING ERRCODE = '72000'; END $$")
    assert not error.value.retryable


@pytest.mark.parametrize(
    ("parameter", "hint"), [({"dbname": "no_such"}, "psql -l"), ({"user": "nobody_here"}, "pg_hba.conf")]
)
def test_hints_for_refused_connections(wide: str, parameter: dict[str, str], hint: str) -> None:
    """A refused connection has a hint that fits the reason."""
    with pytest.raises(SourceUnreachable, match=hint):
        SnapshotConnection(make_conninfo(wide, **parameter))


def test_a_question_in_a_libpq_message(tmp_path: Path) -> None:
    """A libpq message that ends with a question is joined with the hint correctly."""
    with pytest.raises(SourceUnreachable, match=r"on that socket\. Check host"):
        SnapshotConnection(f"host={tmp_path}")


def test_readers_connect_to_the_server_of_the_snapshot(wide: str, proxied: Proxied) -> None:
    """Readers connect to the server of the snapshot, even if the connection string names several servers."""
    proxies = [proxied(wide), proxied(wide)]
    ports = ",".join(str(proxy.port) for proxy in proxies)
    conninfo = make_conninfo(proxies[0].conninfo, host="127.0.0.1,127.0.0.1", port=ports, load_balance_hosts="random")
    with SnapshotConnection(conninfo) as snapshot:
        for _ in range(8):
            with snapshot.reader() as reader:
                assert pieces_of(ResumableCopy(reader, "(SELECT 1)")) == [b"1\n"]
    assert sorted(proxy.connections for proxy in proxies) == [0, 9]


SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep[(]61' AND pid <> pg_backend_pid()"


class Interrupted(BaseException):
    """An exception such as a signal handler raises."""


@pytest.fixture
def interrupted_soon() -> Iterator[None]:
    """Raise Interrupted in the test after 0.5 seconds."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("interrupted_soon")
def test_a_copy_that_is_interrupted_ends_on_the_server(wide: str) -> None:
    """An interrupted copy also ends on the server, where it would otherwise hold the snapshot for hours."""
    with SnapshotConnection(wide) as snapshot, pytest.raises(Interrupted), snapshot.reader() as reader:
        ResumableCopy(reader, "(SELECT 1 FROM pg_sleep(61))").take(1)
    wait_until_none(wide, SLEEPING, seconds=5)


@pytest.mark.timeout(40)  # shorter than the query's 61 seconds
@pytest.mark.usefixtures("interrupted_soon")
def test_an_interruption_does_not_wait_for_a_silent_server(wide: str, proxied: Proxied) -> None:
    """After an interruption, a server that does not answer the cancel request delays the end by seconds at most."""
    proxy = proxied(wide)
    proxy.when(3, 0, lambda: proxy.silence(3))  # the snapshot connection, the reader, and the one that cancels
    with SnapshotConnection(proxy.conninfo) as snapshot, pytest.raises(Interrupted), snapshot.reader() as reader:
        ResumableCopy(reader, "(SELECT 1 FROM pg_sleep(61))").take(1)
    proxy.restart(0)


def test_a_server_checks_that_its_client_exists(wide: str) -> None:
    """The server checks whether its client still exists, because a killed process cannot cancel its query."""
    with SnapshotConnection(wide) as snapshot:
        assert snapshot.fetch("SHOW client_connection_check_interval") == [("10s",)]


def test_no_deadline_thread_is_left(wide: str) -> None:
    """A finished query leaves no deadline thread, because workers are forked right after short queries."""
    before = threading.active_count()
    with SnapshotConnection(wide) as snapshot:
        for _ in range(20):
            snapshot.fetch("SELECT 1")
            assert threading.active_count() == before


# Whole commands: preflight opens connection 1, the snapshot is connection 2, workers use the later ones.


def test_the_connection_of_a_worker_is_cut(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """After a worker's connection is cut, the run finishes with the same rows and logs the failure."""
    proxy = proxied(wide)
    proxy.when(3, MID_COPY_BYTES, lambda: proxy.cut(3))
    ran, text = extract(proxy.conninfo, tmp_path / "out")
    assert text == psql(wide, "copy data to stdout")
    assert "a connection failed and was replaced" in ran.err


@pytest.mark.slow
def test_the_connection_of_a_worker_goes_silent(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """After a worker's connection goes silent for half a minute, the run finishes with the same rows."""
    proxy = proxied(wide)
    proxy.when(3, MID_COPY_BYTES, lambda: proxy.silence(3))
    ran, text = extract(proxy.conninfo, tmp_path / "out")
    assert text == psql(wide, "copy data to stdout")
    assert "has been silent for 30 s" in ran.err


def test_the_snapshot_connection_is_cut(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """After the snapshot connection is cut, all rows are copied again in a new snapshot."""
    proxy = proxied(wide)
    proxy.when(3, MID_COPY_BYTES, lambda: proxy.cut(2))
    ran, text = extract(proxy.conninfo, tmp_path / "out")
    assert text == psql(wide, "copy data to stdout")
    assert "snapshot lost; copying everything from this database again" in ran.err


def test_the_server_restarts(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """After the server restarts, all rows are copied again in a new snapshot."""
    proxy = proxied(wide)
    proxy.when(4, MID_COPY_BYTES, lambda: proxy.restart(1.5))
    ran, text = extract(proxy.conninfo, tmp_path / "out")
    assert text == psql(wide, "copy data to stdout")
    assert "snapshot lost; copying everything from this database again" in ran.err


def test_a_stopped_extract_leaves_nothing(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """SIGTERM while a worker waits for the server leaves no file, process or session."""
    proxy = proxied(wide)
    line = ("run", DATE, "--source", proxy.conninfo, "--out", ".", "--only", "extract")
    workers: list[psutil.Process] = []

    def stop() -> None:
        proxy.silence(3)
        workers.extend(psutil.Process(process.pid).children())
        process.terminate()

    proxy.when(3, MID_COPY_BYTES, stop)
    with started(*line, cwd=tmp_path) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert err.decode().splitlines()[-1].endswith("rerun to resume")
    assert [worker.is_running() for worker in workers] == [False, False]
    assert sorted(path.name for path in private_of(tmp_path).iterdir()) == [
        "journal.jsonl",
        "lock",
        "making",
        "run.log",
        "status.json",
    ]
    proxy.restart(0)
    wait_until_none(wide, SESSIONS)
