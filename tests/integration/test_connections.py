"""What becomes of an extract whose connections fail: the same rows, or a clear end."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from psycopg.conninfo import make_conninfo

from commands.command import DATE, private_of, started
from integration.amid import AMID
from integration.conftest import Proxied, extract, psql
from oldump.errors import SnapshotLost, SourceUnreachable, VerificationError
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


def taken(copying: ResumableCopy, least_bytes: int = 100_000) -> list[bytes]:
    """All that it gives, take by take."""
    return list(iter(lambda: copying.take(least_bytes), b""))


def test_a_copy_may_be_taken_in_many_pieces(wide: str) -> None:
    """A range, or a table, that is longer than what is taken at a time."""
    with SnapshotConnection(wide) as snapshot, snapshot.reader() as reader:
        pieces = taken(ResumableCopy(reader, ALL))
    assert len(pieces) > 10
    assert b"".join(pieces) == psql(wide, "copy data to stdout")


def test_another_text_the_second_time_is_found_out(wide: str, proxied: Proxied) -> None:
    """A query whose result changes, as no snapshot's does: what was passed on does not fit what would follow."""
    proxy = proxied(wide)
    proxy.when(1, AMID, lambda: proxy.cut(1))
    with SnapshotConnection(wide) as snapshot, SnapshotReader(proxy.conninfo, snapshot.exported) as reader:
        copying = ResumableCopy(reader, "(SELECT random(), data FROM data)")
        with pytest.raises(VerificationError, match="different text the second time"):
            taken(copying)


@pytest.mark.parametrize("passed_bytes", [1, 1_000, AMID, 5_000_000])
def test_a_copy_goes_on_where_its_connection_was_cut(wide: str, proxied: Proxied, passed_bytes: int) -> None:
    """While it is made, before the first row, or amid them: not a byte is missing, doubled or changed."""
    proxy = proxied(wide)
    proxy.when(1, passed_bytes, lambda: proxy.cut(1))
    with SnapshotConnection(wide) as snapshot, SnapshotReader(proxy.conninfo, snapshot.exported) as reader:
        copying = ResumableCopy(reader, ALL)
        assert b"".join(taken(copying)) == psql(wide, "copy data to stdout")
    assert len(copying.failures) == 1
    assert proxy.connections == 2


def test_a_copy_whose_connection_goes_deaf(wide: str, proxied: Proxied) -> None:
    """The server says on another connection that it only waits for us: then a new one is made."""
    proxy = proxied(wide)
    proxy.when(1, AMID, lambda: proxy.deafen(1))
    with (
        SnapshotConnection(wide) as snapshot,
        SnapshotReader(proxy.conninfo, snapshot.exported, silence_seconds=0.3) as reader,
    ):
        copying = ResumableCopy(reader, ALL)
        assert b"".join(taken(copying)) == psql(wide, "copy data to stdout")
    assert len(copying.failures) == 1
    assert "silent" in copying.failures[0]


def test_a_server_that_is_at_work_may_be_silent(wide: str, proxied: Proxied) -> None:
    """A long sort says nothing for long: that is no failure."""
    proxy = proxied(wide)
    with (
        SnapshotConnection(wide) as snapshot,
        SnapshotReader(proxy.conninfo, snapshot.exported, silence_seconds=1.0) as reader,
    ):
        copying = ResumableCopy(reader, "(SELECT 1 FROM pg_sleep(3.5))")
        assert taken(copying) == [b"1\n"]
    assert copying.failures == []
    assert proxy.connections > 2


def test_a_server_that_limits_transactions(wide: str) -> None:
    """A snapshot is held, and read in, for hours: as pg_dump, oldump lifts what would end it."""
    limits = ("transaction_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    source = make_conninfo(wide, options=" ".join(f"-c {name}=300" for name in limits))
    with SnapshotConnection(source) as snapshot, snapshot.reader() as reader:
        copying = ResumableCopy(reader, "(SELECT 1 FROM pg_sleep(1))")
        assert taken(copying) == [b"1\n"]
        snapshot.require_alive()
    assert copying.failures == []


def test_a_server_that_is_deaf_from_the_beginning(wide: str, proxied: Proxied) -> None:
    """It accepts and says nothing: an end in time, on one line."""
    proxy = proxied(wide)
    proxy.when(1, 0, lambda: proxy.deafen(1))
    with pytest.raises(SourceUnreachable, match=r"port=.*timeout") as error:
        SnapshotConnection(f"{proxy.conninfo} connect_timeout=2")
    assert "\n" not in str(error.value)


def test_the_snapshot_ends_with_its_connection(wide: str, proxied: Proxied) -> None:
    """Whoever holds it notices, and whoever wants to read in it too; a retry of the same would not help."""
    proxy = proxied(wide)
    with SnapshotConnection(proxy.conninfo) as snapshot, snapshot.reader() as reader:
        snapshot.require_alive()
        proxy.cut(1)
        with pytest.raises(SnapshotLost, match="held the snapshot"):
            snapshot.require_alive()
        wait_until_none(wide, SESSIONS)  # the server has to notice first
        with pytest.raises(SnapshotLost, match="held the snapshot"):
            ResumableCopy(reader, ALL).take(1)


def test_a_snapshot_whose_connection_is_just_ending(wide: str, server: str) -> None:
    """Its name is still known to the server, and the process behind it gone: it is lost all the same."""
    with SnapshotConnection(wide) as snapshot:
        folder, name = psql(server, "show data_directory").decode().strip(), snapshot.exported
        path = Path(folder) / "pg_snapshots" / name
        text = path.read_bytes()
    wait_until_none(wide, SESSIONS)
    path.write_bytes(text)
    path.chmod(0o644)  # as root, the server runs as another user
    try:
        with SnapshotReader(wide, name) as reader, pytest.raises(SnapshotLost, match="could not import"):
            ResumableCopy(reader, ALL).take(1)
    finally:
        path.unlink()


@pytest.mark.parametrize(
    ("sqlstate", "hint"), [("55P03", "pg_locks"), ("57014", "timeout"), ("40001", "standby"), ("53300", "--jobs")]
)
def test_what_is_told_of_an_error(wide: str, sqlstate: str, hint: str) -> None:
    """A lock, a timeout or a conflict is no reason to look for the server: each message says what to do."""
    with SnapshotConnection(wide) as snapshot, pytest.raises(SourceUnreachable, match=rf"^[^\n]*: for once\. .*{hint}"):
        snapshot.fetch(f"DO $$ BEGIN RAISE 'for once' USING ERRCODE = '{sqlstate}'; END $$")


@pytest.mark.parametrize(
    ("parameter", "hint"), [({"dbname": "no_such"}, "psql -l"), ({"user": "nobody_here"}, "pg_hba.conf")]
)
def test_what_is_told_of_a_refused_connection(wide: str, parameter: dict[str, str], hint: str) -> None:
    """The server is up, and says what is wrong."""
    with pytest.raises(SourceUnreachable, match=hint):
        SnapshotConnection(make_conninfo(wide, **parameter))


def test_a_question_of_libpqs_is_no_end_of_a_sentence(tmp_path: Path) -> None:
    """It asks whether a server listens on that socket."""
    with pytest.raises(SourceUnreachable, match=r"on that socket\. Check host"):
        SnapshotConnection(f"host={tmp_path}")


def test_readers_go_where_the_snapshot_is(wide: str, proxied: Proxied) -> None:
    """Though the connection names several servers, and any of them will do."""
    proxies = [proxied(wide), proxied(wide)]
    ports = ",".join(str(proxy.port) for proxy in proxies)
    conninfo = make_conninfo(proxies[0].conninfo, host="127.0.0.1,127.0.0.1", port=ports, load_balance_hosts="random")
    with SnapshotConnection(conninfo) as snapshot:
        for _ in range(8):
            with snapshot.reader() as reader:
                assert taken(ResumableCopy(reader, "(SELECT 1)")) == [b"1\n"]
    assert sorted(proxy.connections for proxy in proxies) == [0, 9]


SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'pg_sleep[(]61' AND pid <> pg_backend_pid()"


class Interrupted(BaseException):
    """As a signal's handler raises it."""


@pytest.fixture
def interrupted_soon() -> Iterator[None]:
    """Whatever the test waits for after 0.5 s ends with Interrupted."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("interrupted_soon")
def test_a_copy_that_is_interrupted_ends_on_the_server(wide: str) -> None:
    """It would sort on for hours, and hold the snapshot."""
    with SnapshotConnection(wide) as snapshot, pytest.raises(Interrupted), snapshot.reader() as reader:
        ResumableCopy(reader, "(SELECT 1 FROM pg_sleep(61))").take(1)
    wait_until_none(wide, SLEEPING, seconds=5)


@pytest.mark.usefixtures("interrupted_soon")
def test_a_server_that_does_not_hear_the_end_is_not_waited_for(wide: str, proxied: Proxied) -> None:
    """Who gives Ctrl-C waits some seconds at most, and sees no other error."""
    proxy = proxied(wide)
    proxy.when(3, 0, lambda: proxy.deafen(3))  # the snapshot connection, the reader, and the one that cancels
    began = time.monotonic()
    with SnapshotConnection(proxy.conninfo) as snapshot, pytest.raises(Interrupted), snapshot.reader() as reader:
        ResumableCopy(reader, "(SELECT 1 FROM pg_sleep(61))").take(1)
    assert time.monotonic() < began + 10
    proxy.restart(0)


def test_a_server_looks_whether_its_client_is_there(wide: str) -> None:
    """A process that is killed can cancel nothing."""
    with SnapshotConnection(wide) as snapshot:
        assert snapshot.fetch("SHOW client_connection_check_interval") == [("10s",)]


def test_no_thread_is_left_of_a_deadline(wide: str) -> None:
    """Workers are forked behind short queries: a thread that is about to end would be in the way of that."""
    before = threading.active_count()
    with SnapshotConnection(wide) as snapshot:
        for _ in range(20):
            snapshot.fetch("SELECT 1")
            assert threading.active_count() == before


# Whole commands: preflight opens connection 1, the snapshot is connection 2, workers use the later ones.


def test_the_connection_of_a_worker_is_cut(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """The run finishes with the same rows, and tells of it."""
    proxy = proxied(wide)
    proxy.when(3, AMID, lambda: proxy.cut(3))
    ran, text = extract(proxy.conninfo, tmp_path / "out")
    assert text == psql(wide, "copy data to stdout")
    assert "a connection failed and was replaced" in ran.err


@pytest.mark.slow
def test_the_connection_of_a_worker_goes_deaf(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """The run waits for half a minute, and finishes with the same rows."""
    proxy = proxied(wide)
    proxy.when(3, AMID, lambda: proxy.deafen(3))
    ran, text = extract(proxy.conninfo, tmp_path / "out")
    assert text == psql(wide, "copy data to stdout")
    assert "has been silent for 30 s" in ran.err


def test_the_leading_connection_is_cut(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """What was copied is not committed: all is copied again, in another snapshot."""
    proxy = proxied(wide)
    proxy.when(3, AMID, lambda: proxy.cut(2))
    ran, text = extract(proxy.conninfo, tmp_path / "out")
    assert text == psql(wide, "copy data to stdout")
    assert "snapshot lost; copying everything from this database again" in ran.err


def test_the_server_restarts(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """All connections end, and for a while there are no new ones: all is copied again when it is back."""
    proxy = proxied(wide)
    proxy.when(4, AMID, lambda: proxy.restart(1.5))
    ran, text = extract(proxy.conninfo, tmp_path / "out")
    assert text == psql(wide, "copy data to stdout")
    assert "snapshot lost; copying everything from this database again" in ran.err


def test_a_stopped_extract_leaves_nothing(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """SIGTERM while a worker waits for the server: no file, no process, no session."""
    proxy = proxied(wide)
    line = ("run", DATE, "--source", proxy.conninfo, "--out", ".", "--only", "extract")
    workers: list[psutil.Process] = []

    def stop() -> None:
        proxy.deafen(3)
        workers.extend(psutil.Process(process.pid).children())
        process.terminate()

    proxy.when(3, AMID, stop)
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
