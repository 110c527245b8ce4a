"""`oldump run` with working and with failing notification services has the same exit codes and files."""

import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from commands.command import DATE, LOG_PREFIX, Ran, failed, item_of, oldump, private_of, published
from commands.processes import PATIENCE, is_gone, is_scattering, running, wait_for
from listener import Listener, listening
from oldump.outside.metrics import figures_in
from oldump.synth.table import copy_blocks
from promtool import complaints

UUID = "0f4cafe0-secret"
KEY = "5e47key"


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A server that records notifications."""
    with listening() as server:
        yield server


@pytest.fixture
def everybody(listener: Listener, tmp_path: Path) -> Mapping[str, str]:
    """Return settings that name every service."""
    return {
        "OLDUMP_METRICS": str(tmp_path / "oldump.prom"),
        "OLDUMP_PING_URL": f"http://{listener.place}/{UUID}",
        "OLDUMP_SENTRY_DSN": f"http://{KEY}@{listener.place}/1",
        "OLDUMP_ON_SUCCESS": "echo $DUMP_OUTCOME $DUMP_FOLDER",
        "OLDUMP_ON_FAILURE": "echo $DUMP_OUTCOME $DUMP_EXIT_CODE; env",
    }


def run(source: object, cwd: Path, settings: Mapping[str, str], *more: object) -> Ran:
    """Run `oldump run` into cwd / "out", with every warning an error."""
    return oldump("run", DATE, "--source", source, "--out", "out", *more, cwd=cwd, env=settings)


def test_each_service_is_notified_of_success_and_failure(
    small: Path, complete_once: Path, listener: Listener, everybody: Mapping[str, str], tmp_path: Path
) -> None:
    """The files are those of a run without notifications; a failure keeps the metrics of the last success."""
    ran = run(small, tmp_path, everybody)
    assert (ran.code, "WARNING" in ran.err.replace("WARNING deworks", "")) == (0, False), ran.err
    assert published(tmp_path / "out") == published(complete_once)
    assert listener.paths == [f"/{UUID}/start", f"/{UUID}"]
    assert f"INFO on_success: success {item_of(tmp_path / 'out')}" in ran.err
    text = (tmp_path / "oldump.prom").read_text(encoding="utf-8")
    assert complaints(text) == []
    before = figures_in(text)
    assert before["oldump_rows"] == {"": 600}

    ran = oldump("run", "2022-08-31", "--source", "gone.txt", "--out", "out", cwd=tmp_path, env=everybody)
    failed(ran, 11, "gone.txt: cannot be read")
    assert "INFO on_failure: failure 11" in ran.err
    assert set(listener.paths[2:]) == {f"/{UUID}/start", f"/{UUID}/fail", "/api/1/envelope/"}
    after = figures_in((tmp_path / "oldump.prom").read_text(encoding="utf-8"))
    assert after["oldump_last_failure_exit_code"] == {"": 11}
    assert all(after[name] == value for name, value in before.items() if name != "oldump_last_start_timestamp_seconds")
    for text in (ran.err, *(path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("run.log"))):
        assert UUID not in text
        assert KEY not in text


def test_a_complete_run_notifies_success_and_a_usage_error_failure(
    small: Path, complete: Path, listener: Listener, everybody: Mapping[str, str], tmp_path: Path
) -> None:
    """A dry run notifies nobody. Wrong settings are reported, although they are read before the services' settings."""
    assert run(small, tmp_path, everybody, "--dry-run").code == 0
    assert listener.heard == []
    assert run(small, tmp_path, everybody).code == 0
    assert listener.paths == [f"/{UUID}/start", f"/{UUID}"]
    failed(run(small, tmp_path, everybody, "--workers", 0), 2, "workers")
    assert set(listener.paths[2:]) == {f"/{UUID}/start", f"/{UUID}/fail", "/api/1/envelope/"}


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table that takes some seconds, so that the run can be stopped in the middle."""
    path = tmp_path_factory.mktemp("large") / "data.txt"
    path.write_bytes(b"".join(copy_blocks(25_000)))
    return path


def test_a_stopped_run_notifies_in_time(
    large: Path, listener: Listener, everybody: Mapping[str, str], tmp_path: Path
) -> None:
    """Exit code 143, and the notification names the stage, within the ten seconds that a container has."""
    out = tmp_path / "out"
    line = ("run", DATE, "--source", str(large), "--out", str(out))
    settings = {**everybody, "OLDUMP_ON_FAILURE": "sleep 3600"}
    with running(*line, cwd=tmp_path, env=settings) as process:
        assert wait_for(lambda: is_scattering(out))
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 143, error
        assert is_gone(process.pid)
    assert "WARNING notification on_failure failed: timed out after 3 s" in error.decode()
    events = [heard.event for heard in listener.heard if heard.path.startswith("/api")]
    assert [event["tags"] for event in events] == [{"exit_code": "143", "stage": "dumps", "date": DATE}]
    assert [heard.body.endswith(b"exit code 143: stopped by SIGTERM") for heard in listener.heard][1] is True


def test_a_failed_notification_changes_neither_exit_code_nor_files(
    small: Path, complete_once: Path, listener: Listener, everybody: Mapping[str, str], tmp_path: Path
) -> None:
    """Each failure is a warning in the log."""
    listener.answers = [404]
    broken = {**everybody, "OLDUMP_METRICS": "nowhere/x.prom"}
    broken |= {"OLDUMP_ON_SUCCESS": "no-such-program", "OLDUMP_ON_FAILURE": "exit 9"}
    ran = run(small, tmp_path, broken)
    assert ran.code == 0
    assert published(tmp_path / "out") == published(complete_once)
    assert warned(ran) == {"metrics", "ping_url", "on_success"}
    ran = run("gone.txt", tmp_path, broken, "--overwrite")
    failed(ran, 11, "gone.txt")
    assert warned(ran) == {"metrics", "ping_url", "on_failure", "sentry_dsn"}
    log = (private_of(tmp_path / "out") / "run.log").read_text(encoding="utf-8")
    assert "WARNING notification on_failure failed: exited with code 9" in log


def warned(ran: Ran) -> set[str]:
    """Return the settings of the notifications that failed, according to the log."""
    return set(re.findall(rf"{re.escape(LOG_PREFIX)} WARNING notification (\w+) failed: ", ran.err))


def test_doctor_sends_test_notifications_on_request(
    small: Path, listener: Listener, everybody: Mapping[str, str], tmp_path: Path
) -> None:
    """Without the option it sends none."""
    line = ("doctor", DATE, "--source", small, "--out", "out")
    ran = oldump(*line, cwd=tmp_path, env=everybody)
    assert (ran.code, listener.heard) == (0, [])
    assert b"\nping_url " in ran.out
    listener.answers = [404]
    failed(oldump(*line, "--notify", cwd=tmp_path, env=everybody), 2, "ping_url: the answer was 404")
    assert sorted(listener.paths) == [f"/{UUID}/log", "/api/1/envelope/"]
