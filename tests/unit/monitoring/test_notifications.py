"""Who is told how a run ended; and that it ends as it did, whoever cannot be told."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NoReturn

import pytest
from pydantic import SecretStr

from listener import CLOSE, DRIP, HANG, Listener
from oldump.errors import GateClosed, OldumpError, RunBusy, attach_log_fields
from oldump.monitoring.notifications import Notices, Patience, announced
from oldump.outside.metrics import figures_in
from oldump.run.folder import RunFolder
from oldump.run.journal import Committed, Journal
from oldump.run.lock import locked
from oldump.settings import NotificationSettings
from unit.monitoring.test_metrics_file import artifact

DAY = "2022-07-31"
UUID = "0f4cafe0"
SHORT = Patience(start=0.5, end=0.5, hook=0.5, stopped=0.2)
LONG = 20.0
PATIENT = Patience(start=LONG, end=LONG, hook=LONG, stopped=LONG)


class Stopped(BaseException):
    """A signal, as the command line raises it."""


def code_of(error: BaseException) -> int:
    """As the command line has it."""
    if isinstance(error, OldumpError):
        return error.exit_code
    return 143 if isinstance(error, Stopped) else 70


@pytest.fixture
def told(listener: Listener, tmp_path: Path) -> NotificationSettings:
    """Everybody: a file of metrics, a switch, Sentry, two hooks that write their variables down."""
    return NotificationSettings.model_construct(
        out=tmp_path / "out",
        metrics=str(tmp_path / "oldump.prom"),
        ping_url=SecretStr(f"http://{listener.place}/{UUID}"),
        sentry_dsn=SecretStr(f"http://{UUID}@{listener.place}/1"),
        on_success=f"env | grep ^DUMP_ | sort > {tmp_path}/success",
        on_failure=f"env | grep ^DUMP_ | sort > {tmp_path}/failure",
    )


class _Lines(logging.Handler):
    """Keeps log lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.levelname} {record.getMessage()}")


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """The log's lines: level and message."""
    logger, handler = logging.getLogger("oldump"), _Lines()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def folder_of(told: NotificationSettings) -> RunFolder:
    """The run's, with its private folder made."""
    folder = RunFolder(told.out, date.fromisoformat(DAY))
    folder.private.mkdir(parents=True, exist_ok=True)
    return folder


def commit(told: NotificationSettings, *, published: bool = True) -> None:
    """A run, as far as the journal knows."""
    journal = Journal(folder_of(told).journal)
    counts = {"rows": 1, "drops": {}, "rejects": {}}
    journal.begin({}, overwrite=False)
    journal.commit(Committed("dumps", [artifact(f"ol_dump_{DAY}.txt.gz", 1)], counts, 1))
    if published:
        journal.publish({})


def fail(told: NotificationSettings, error: BaseException, patience: Patience = PATIENT, day: str = DAY) -> None:
    """A run that ends with this error, which comes out as it went in."""
    with pytest.raises(type(error)) as caught, announced(told, day, code_of, patience):
        raise error
    assert caught.value is error


def variables(told: NotificationSettings, name: str) -> dict[str, str]:
    """What a hook was told."""
    text = (Path(told.metrics).parent / name).read_text(encoding="utf-8")
    return dict(line.split("=", 1) for line in text.splitlines())


def metric(told: NotificationSettings, name: str) -> float | None:
    """One that has no label."""
    return figures_in(Path(told.metrics).read_text(encoding="utf-8")).get(f"oldump_{name}", {}).get("")


def test_a_complete_run_is_told_to_all_but_sentry(
    told: NotificationSettings, listener: Listener, tmp_path: Path
) -> None:
    """Beginning and end with the same run id; the hook of success alone."""
    with announced(told, DAY, code_of, PATIENT):
        assert metric(told, "last_start_timestamp_seconds")
        commit(told)
    assert listener.paths == [f"/{UUID}/start", f"/{UUID}"]
    assert len({heard.query for heard in listener.heard}) == 1
    assert listener.heard[1].body.startswith(b"2022-07-31: complete after ")
    assert variables(told, "success") == {
        "DUMP_DATE": DAY,
        "DUMP_ERROR": "",
        "DUMP_EXIT_CODE": "0",
        "DUMP_FOLDER": str(told.out / f"ol_dump_{DAY}"),
        "DUMP_LOG": str(told.out / f"run-{DAY}" / "run.log"),
        "DUMP_OUTCOME": "success",
        "DUMP_SECONDS": "0",
        "DUMP_STAGE": "",
    }
    assert not (tmp_path / "failure").exists()
    assert metric(told, "last_success_timestamp_seconds")


def test_a_failed_run_is_told_to_all(told: NotificationSettings, listener: Listener, tmp_path: Path) -> None:
    """Exit code, stage and error; no time of success."""
    error = GateClosed("/srv: half a table", "Look.")
    attach_log_fields(error, {"run_date": DAY, "stage": "gate"})
    with pytest.raises(GateClosed), announced(told, DAY, code_of, PATIENT):
        raise error
    assert sorted(listener.paths) == sorted([f"/{UUID}/start", f"/{UUID}/fail", "/api/1/envelope/"])
    (ping,) = (heard for heard in listener.heard if heard.path.endswith("/fail"))
    assert ping.body.endswith(b"with exit code 41: /srv: half a table. Look.")
    (event,) = (heard.event for heard in listener.heard if heard.path.startswith("/api"))
    assert event["tags"] == {"exit_code": "41", "stage": "gate", "date": DAY}
    hook = variables(told, "failure")
    assert (hook["DUMP_OUTCOME"], hook["DUMP_EXIT_CODE"], hook["DUMP_STAGE"]) == ("failure", "41", "gate")
    assert (hook["DUMP_ERROR"], hook["DUMP_FOLDER"]) == ("/srv: half a table. Look.", "")
    assert not (tmp_path / "success").exists()
    assert metric(told, "last_failure_exit_code") == 41
    assert metric(told, "last_success_timestamp_seconds") is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("by zero"), "exit code 70: a bug: ZeroDivisionError: by zero"),
        (Stopped("stopped by SIGTERM"), "exit code 143: stopped by SIGTERM"),
        (OldumpError("postgresql://me:s3cret@db: no"), "exit code 1: postgresql://me:***@db: no"),
        (OldumpError("\ud83d \0 half a character"), "half a character"),
    ],
)
def test_every_way_to_end_is_told(
    told: NotificationSettings, listener: Listener, error: BaseException, words: str
) -> None:
    """A bug, a signal; without secrets, whatever the text is made of."""
    fail(told, error)
    (ping,) = (heard for heard in listener.heard if heard.path.endswith("/fail"))
    assert words in ping.body.decode()
    assert variables(told, "failure")["DUMP_OUTCOME"] == "failure"


def test_a_run_that_is_not_complete_yet_is_no_success(
    told: NotificationSettings, listener: Listener, tmp_path: Path
) -> None:
    """A switch that it calmed would not notice that no dump was made."""
    with announced(told, DAY, code_of, PATIENT):
        commit(told, published=False)
    assert listener.paths == [f"/{UUID}/start", f"/{UUID}/log"]
    assert {path.name for path in tmp_path.iterdir()} == {"oldump.prom", "out"}
    assert metric(told, "last_success_timestamp_seconds") is None


def test_a_run_that_another_process_works_on_is_not_described_by_us(
    told: NotificationSettings, listener: Listener
) -> None:
    """It is told as a failure; but metrics and log are that process's."""
    with announced(told, DAY, code_of, PATIENT):
        commit(told)
    before, logged = Path(told.metrics).read_bytes(), folder_of(told).log.read_bytes()
    with locked(folder_of(told).lock):
        fail(told.model_copy(update={"on_failure": f"{told.on_failure}; echo told"}), RunBusy("busy"))
    assert Path(told.metrics).read_bytes() == before
    assert folder_of(told).log.read_bytes() == logged
    assert f"/{UUID}/fail" in listener.paths
    assert variables(told, "failure")["DUMP_EXIT_CODE"] == "32"


def test_a_date_that_is_none_is_told_too(told: NotificationSettings, listener: Listener) -> None:
    """As is every mistake on the way to a run."""
    fail(told, OldumpError("'July' is not a date"), day="July")
    assert listener.heard[0].body == b"no date: begins"
    assert variables(told, "failure")["DUMP_DATE"] == "no date"


def test_who_cannot_be_told_is_in_the_log(told: NotificationSettings, listener: Listener, lines: list[str]) -> None:
    """Each by the name of its setting, and the run ends as it does: here with success."""
    listener.answers = [404]
    broken = told.model_copy(update={"metrics": "/nowhere/x.prom", "on_success": "echo told; exit 3"})
    with announced(broken, DAY, code_of, PATIENT):
        commit(told)
    metrics = "WARNING metrics: nobody is told by it: /nowhere/x.prom.part: No such file or directory"
    assert [line.removesuffix(". Fix the cause and rerun.") for line in lines] == [
        metrics,
        "WARNING ping_url: nobody is told by it: the answer was 404 Not Found",
        metrics,
        "INFO on_success: told",
        "WARNING ping_url: nobody is told by it: the answer was 404 Not Found",
        "WARNING on_success: nobody is told by it: ended with exit code 3",
    ]
    assert "INFO on_success: told" in folder_of(told).log.read_text(encoding="utf-8")


@pytest.mark.parametrize("answer", [HANG, DRIP, CLOSE])
def test_who_does_not_answer_delays_nothing_for_long(
    told: NotificationSettings, listener: Listener, answer: int, lines: list[str]
) -> None:
    """Neither a switch, nor Sentry, nor a hook: all are waited for at the same time, and then killed."""
    listener.answers = [answer]
    began = time.monotonic()
    fail(told.model_copy(update={"on_failure": "sleep 3600"}), OldumpError("no"), SHORT)
    assert time.monotonic() - began < LONG
    warned = {line.split(":")[0] for line in lines}
    assert warned == {"WARNING ping_url", "WARNING sentry_dsn", "WARNING on_failure"}
    assert not any(UUID in line for line in lines)


def test_a_signal_while_others_are_told_changes_nothing(
    told: NotificationSettings, listener: Listener, lines: list[str]
) -> None:
    """A complete run stays a success: only some may not know."""

    def stop(number: int, _: object) -> NoReturn:
        raise Stopped(f"stopped by {signal.Signals(number).name}")

    before = signal.signal(signal.SIGTERM, stop)
    hooked = told.model_copy(update={"on_success": f"kill -TERM {os.getpid()}; sleep 3600"})
    began = time.monotonic()
    try:
        with announced(hooked, DAY, code_of, PATIENT):
            commit(told)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert time.monotonic() - began < LONG
    assert lines == ["WARNING stopped by SIGTERM while others were told how the run ended: some may not know"]


def test_a_signal_while_the_beginning_is_told_ends_the_run(told: NotificationSettings, listener: Listener) -> None:
    """And that is told."""

    def stop(number: int, _: object) -> NoReturn:
        raise Stopped("stopped by SIGALRM")

    listener.answers = [HANG, 200]
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    try:
        with pytest.raises(Stopped), announced(told, DAY, code_of, PATIENT):
            raise AssertionError
    finally:
        signal.signal(signal.SIGALRM, before)
    assert variables(told, "failure")["DUMP_EXIT_CODE"] == "143"


def test_a_trial_is_heard_by_all(told: NotificationSettings, listener: Listener, tmp_path: Path) -> None:
    """As what it is: nobody takes it for a run."""
    assert {check.verdict.value for check in Notices(told, DAY, PATIENT).tried()} == {"ok"}
    assert sorted(listener.paths) == [f"/{UUID}/log", "/api/1/envelope/"]
    assert {variables(told, name)["DUMP_OUTCOME"] for name in ("success", "failure")} == {"trial"}
    assert not Path(told.metrics).exists()


def test_a_trial_that_is_not_heard_is_a_failure(told: NotificationSettings, listener: Listener) -> None:
    """With the setting's name and what is wrong; doctor ends with exit code 2."""
    listener.answers = [404]
    found = {check.what: check for check in Notices(told, DAY, PATIENT).tried()}
    error = found["ping_url, tried"].error
    assert error is not None
    assert (error.exit_code, error.message) == (2, "ping_url: the answer was 404 Not Found")
    assert found["on_success, tried"].error is None
