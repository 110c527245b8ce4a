"""Notifications report how a run ended, and a failed notification never changes that."""

import logging
import os
import signal
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NoReturn

import pytest
from pydantic import SecretStr

from listener import CLOSE, DRIP, HANG, Listener
from oldump.errors import GateClosed, OldumpError, RunBusy, attach_log_fields
from oldump.monitoring.notifications import NotificationTimeouts, RunNotifier, notifying
from oldump.outside.metrics import figures_in
from oldump.run.folder import RunFolder
from oldump.run.journal import Committed, Journal
from oldump.run.lock import locked
from oldump.settings import NotificationSettings
from unit.monitoring.situations import artifact

DAY = "2022-07-31"
UUID = "0f4cafe0"
SHORT = NotificationTimeouts(start=0.5, end=0.5, hook=0.5, stopped=0.2)
LONG = 20.0
PATIENT = NotificationTimeouts(start=LONG, end=LONG, hook=LONG, stopped=LONG)


class Stopped(BaseException):
    """The exception that the command line raises for a signal."""


def code_of(error: BaseException) -> int:
    """Return the exit code as the command line does."""
    if isinstance(error, OldumpError):
        return error.exit_code
    return 143 if isinstance(error, Stopped) else 70


@pytest.fixture
def settings(listener: Listener, tmp_path: Path) -> NotificationSettings:
    """Settings with all notifications; the hooks write their variables to files."""
    return NotificationSettings.model_construct(
        out=tmp_path / "out",
        metrics=str(tmp_path / "oldump.prom"),
        ping_url=SecretStr(f"http://{listener.place}/{UUID}"),
        sentry_dsn=SecretStr(f"http://{UUID}@{listener.place}/1"),
        on_success=f"env | grep ^DUMP_ | sort > {tmp_path}/success",
        on_failure=f"env | grep ^DUMP_ | sort > {tmp_path}/failure",
    )


class _Lines(logging.Handler):
    """A handler that keeps log lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The lines of the log: level and message."""
    logger, handler = logging.getLogger("oldump"), _Lines()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def folder_of(settings: NotificationSettings) -> RunFolder:
    """Return the run's folder, with a private folder."""
    folder = RunFolder(settings.out, date.fromisoformat(DAY))
    folder.private.mkdir(parents=True, exist_ok=True)
    return folder


def commit(settings: NotificationSettings, *, published: bool = True) -> None:
    """Write the journal of a run."""
    journal = Journal(folder_of(settings).journal)
    counts = {"rows": 1, "drops": {}, "rejects": {}}
    journal.begin({}, overwrite=False)
    journal.commit(Committed("dumps", [artifact(f"ol_dump_{DAY}.txt.gz", 1)], counts, 1))
    if published:
        journal.publish({})


def fail(
    settings: NotificationSettings, error: BaseException, timeouts: NotificationTimeouts = PATIENT, day: str = DAY
) -> None:
    """Let a run fail with this error, which must be raised unchanged."""
    with pytest.raises(type(error)) as caught, notifying(settings, day, code_of, timeouts):
        raise error
    assert caught.value is error


def variables(settings: NotificationSettings, name: str) -> dict[str, str]:
    """Return the variables that a hook received."""
    text = (Path(settings.metrics).parent / name).read_text(encoding="utf-8")
    return dict(line.split("=", 1) for line in text.splitlines())


def metric(settings: NotificationSettings, name: str) -> float | None:
    """Return a figure without a label from the metrics file."""
    return figures_in(Path(settings.metrics).read_text(encoding="utf-8")).get(f"oldump_{name}", {}).get("")


def test_a_complete_run_is_reported_to_all_but_sentry(
    settings: NotificationSettings, listener: Listener, tmp_path: Path
) -> None:
    """Start and end have the same run id; only on_success runs."""
    with notifying(settings, DAY, code_of, PATIENT):
        assert metric(settings, "last_start_timestamp_seconds")
        commit(settings)
    assert listener.paths == [f"/{UUID}/start", f"/{UUID}"]
    assert len({heard.query for heard in listener.heard}) == 1
    assert listener.heard[1].body.startswith(b"2022-07-31: complete after ")
    assert variables(settings, "success") == {
        "DUMP_DATE": DAY,
        "DUMP_ERROR": "",
        "DUMP_EXIT_CODE": "0",
        "DUMP_FOLDER": str(settings.out / f"ol_dump_{DAY}"),
        "DUMP_LOG": str(settings.out / f"run-{DAY}" / "run.log"),
        "DUMP_OUTCOME": "success",
        "DUMP_SECONDS": "0",
        "DUMP_STAGE": "",
    }
    assert not (tmp_path / "failure").exists()
    assert metric(settings, "last_success_timestamp_seconds")


def test_a_failed_run_is_reported_to_all(settings: NotificationSettings, listener: Listener, tmp_path: Path) -> None:
    """With exit code, stage and error; the time of the last success is not set."""
    error = GateClosed("/srv: half a table", "Look.")
    attach_log_fields(error, {"run_date": DAY, "stage": "gate"})
    with pytest.raises(GateClosed), notifying(settings, DAY, code_of, PATIENT):
        raise error
    assert sorted(listener.paths) == sorted([f"/{UUID}/start", f"/{UUID}/fail", "/api/1/envelope/"])
    (ping,) = (heard for heard in listener.heard if heard.path.endswith("/fail"))
    assert ping.body.endswith(b"with exit code 41: /srv: half a table. Look.")
    (event,) = (heard.event for heard in listener.heard if heard.path.startswith("/api"))
    assert event["tags"] == {"exit_code": "41", "stage": "gate", "date": DAY}
    hook = variables(settings, "failure")
    assert (hook["DUMP_OUTCOME"], hook["DUMP_EXIT_CODE"], hook["DUMP_STAGE"]) == ("failure", "41", "gate")
    assert (hook["DUMP_ERROR"], hook["DUMP_FOLDER"]) == ("/srv: half a table. Look.", "")
    assert not (tmp_path / "success").exists()
    assert metric(settings, "last_failure_exit_code") == 41
    assert metric(settings, "last_success_timestamp_seconds") is None


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ZeroDivisionError("by zero"), "exit code 70: bug: ZeroDivisionError: by zero"),
        (Stopped("stopped by SIGTERM"), "exit code 143: stopped by SIGTERM"),
        (OldumpError("postgresql://me:s3cret@db: no"), "exit code 1: postgresql://me:***@db: no"),
        (OldumpError("\ud83d \0 half a character"), "half a character"),
    ],
)
def test_every_failure_is_reported(
    settings: NotificationSettings, listener: Listener, error: BaseException, text: str
) -> None:
    """Bugs and signals too; without secrets, and whatever characters the text has."""
    fail(settings, error)
    (ping,) = (heard for heard in listener.heard if heard.path.endswith("/fail"))
    assert text in ping.body.decode()
    assert variables(settings, "failure")["DUMP_OUTCOME"] == "failure"


def test_a_run_that_is_not_complete_yet_is_not_a_success(
    settings: NotificationSettings, listener: Listener, tmp_path: Path
) -> None:
    """Otherwise the dead man's switch would not notice that no dump was made."""
    with notifying(settings, DAY, code_of, PATIENT):
        commit(settings, published=False)
    assert listener.paths == [f"/{UUID}/start", f"/{UUID}/log"]
    assert {path.name for path in tmp_path.iterdir()} == {"oldump.prom", "out"}
    assert metric(settings, "last_success_timestamp_seconds") is None


def test_a_busy_run_keeps_the_metrics_and_log_of_the_other_process(
    settings: NotificationSettings, listener: Listener
) -> None:
    """It is reported as a failure to all others."""
    with notifying(settings, DAY, code_of, PATIENT):
        commit(settings)
    before, logged = Path(settings.metrics).read_bytes(), folder_of(settings).log.read_bytes()
    with locked(folder_of(settings).lock):
        fail(settings.model_copy(update={"on_failure": f"{settings.on_failure}; echo sent"}), RunBusy("busy"))
    assert Path(settings.metrics).read_bytes() == before
    assert folder_of(settings).log.read_bytes() == logged
    assert f"/{UUID}/fail" in listener.paths
    assert variables(settings, "failure")["DUMP_EXIT_CODE"] == "32"


def test_an_invalid_date_is_reported_too(settings: NotificationSettings, listener: Listener) -> None:
    """So is every error before the run starts."""
    fail(settings, OldumpError("'July' is not a date"), day="July")
    assert listener.heard[0].body == b"no date: started"
    assert variables(settings, "failure")["DUMP_DATE"] == "no date"


def test_a_failed_notification_is_logged(settings: NotificationSettings, listener: Listener, lines: list[str]) -> None:
    """With the name of its setting; the run itself succeeds."""
    listener.answers = [404]
    broken = settings.model_copy(update={"metrics": "/nowhere/x.prom", "on_success": "echo sent; exit 3"})
    with notifying(broken, DAY, code_of, PATIENT):
        commit(settings)
    metrics = "WARNING notification metrics failed: /nowhere/x.prom.part: No such file or directory"
    assert [line.removesuffix(". Fix the cause and rerun.") for line in lines] == [
        metrics,
        "WARNING notification ping_url failed: the answer was 404 Not Found",
        metrics,
        "INFO on_success: sent",
        "WARNING notification ping_url failed: the answer was 404 Not Found",
        "WARNING notification on_success failed: exited with code 3",
    ]
    assert "INFO on_success: sent" in folder_of(settings).log.read_text(encoding="utf-8")


@pytest.mark.parametrize("answer", [HANG, DRIP, CLOSE])
def test_a_notification_that_hangs_is_killed(
    settings: NotificationSettings, listener: Listener, answer: int, lines: list[str]
) -> None:
    """Be it a ping, Sentry or a hook that would run for an hour."""
    listener.answers = [answer]
    fail(settings.model_copy(update={"on_failure": "sleep 3600"}), OldumpError("no"), SHORT)
    warned = {line.split(" failed: ")[0] for line in lines}
    names = ("ping_url", "sentry_dsn", "on_failure")
    assert warned == {f"WARNING notification {name}" for name in names}
    assert not any(UUID in line for line in lines)


def test_a_signal_during_notifications_keeps_the_outcome(
    settings: NotificationSettings, listener: Listener, lines: list[str]
) -> None:
    """The run stays a success; the notifications are cut short."""

    def stop(number: int, _: object) -> NoReturn:
        raise Stopped(f"stopped by {signal.Signals(number).name}")

    before = signal.signal(signal.SIGTERM, stop)
    hooked = settings.model_copy(update={"on_success": f"kill -TERM {os.getpid()}; sleep 3600"})
    try:
        with notifying(hooked, DAY, code_of, PATIENT):
            commit(settings)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert lines == ["WARNING stopped by SIGTERM while sending notifications: some may not have been sent"]


def test_a_signal_during_the_first_notification_ends_the_run(
    settings: NotificationSettings, listener: Listener
) -> None:
    """The end is reported."""

    def stop(number: int, _: object) -> NoReturn:
        raise Stopped("stopped by SIGALRM")

    listener.answers = [HANG, 200]
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Stopped), notifying(settings, DAY, code_of, PATIENT):
            raise AssertionError
    finally:
        signal.signal(signal.SIGALRM, before)
    assert variables(settings, "failure")["DUMP_EXIT_CODE"] == "143"


def test_a_test_notification_reaches_all(settings: NotificationSettings, listener: Listener, tmp_path: Path) -> None:
    """It is recognizable as a test, and metrics do not change."""
    assert {check.status.value for check in RunNotifier(settings, DAY, PATIENT).send_test()} == {"ok"}
    assert sorted(listener.paths) == [f"/{UUID}/log", "/api/1/envelope/"]
    assert {variables(settings, name)["DUMP_OUTCOME"] for name in ("success", "failure")} == {"trial"}
    assert not Path(settings.metrics).exists()


def test_a_failed_test_notification_is_a_failed_check(settings: NotificationSettings, listener: Listener) -> None:
    """It names the setting; doctor ends with exit code 2."""
    listener.answers = [404]
    found = {check.name: check for check in RunNotifier(settings, DAY, PATIENT).send_test()}
    error = found["ping_url test"].error
    assert error is not None
    assert (error.exit_code, error.message) == (2, "ping_url: the answer was 404 Not Found")
    assert found["on_success test"].error is None
