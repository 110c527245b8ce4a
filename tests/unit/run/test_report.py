"""What keeps the status: seconds by a clock that the test holds, and how a run ended."""

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from oldump.errors import BUG_EXIT_CODE, GateClosed, Stopped, failed_stage_of, log_fields_of
from oldump.run.folder import RunFolder
from oldump.run.forecast import Forecast
from oldump.run.journal import Committed, Journal
from oldump.run.measures import free_bytes, memory_bytes, size_bytes
from oldump.run.report import Outline, Report, reported
from oldump.run.status import State, Status
from oldump.run.stopwatch import RunClock
from unit.run.examples import FORECAST
from unit.stages.making import Watching, folder_in

NAMES = ["dumps", "splice", "verify"]
BEGUN = datetime(2022, 8, 1, tzinfo=UTC)
log = logging.getLogger("oldump")


class Hands:
    """A clock whose hands a test moves."""

    def __init__(self) -> None:
        """Begin at midnight."""
        self.seconds = 0.0

    @property
    def clock(self) -> RunClock:
        """What tells its time."""
        return RunClock(lambda: self.seconds, lambda: BEGUN + timedelta(seconds=self.seconds))


@pytest.fixture
def hands() -> Hands:
    """A clock."""
    return Hands()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Of a run."""
    folder = folder_in(tmp_path)
    folder.private.mkdir(exist_ok=True)
    return folder


def report_of(folder: RunFolder, hands: Hands, *, anew: bool = False, forecast: Forecast = FORECAST) -> Report:
    """What keeps the status of a run of three stages."""
    report = Report(folder, Watching(), clock=hands.clock)
    report.set_outline(Outline(NAMES, (), NAMES, forecast), Journal(folder.journal), restarted=anew)
    return report


def written(folder: RunFolder) -> Status:
    """What the file says."""
    status = Status.read_file(folder.status)
    assert status
    return status


def test_what_is_heard_is_told_and_passed_on(folder: RunFolder, hands: Hands) -> None:
    """Stage, step, rows, rates, shares and the end that is expected."""
    shown = Watching()
    report = Report(folder, shown, clock=hands.clock)
    report.set_outline(Outline(NAMES, (), NAMES, FORECAST), Journal(folder.journal), restarted=True)
    report.start_stage("dumps", resumed=False)
    report.begin("dumps", "scatter")
    for _ in range(10):
        hands.seconds += 3
        report.update(int(hands.seconds) * 10, hands.seconds / 90)
        report.status()
    status = report.status()
    assert (status.stage, status.step, status.rows) == ("dumps", "scatter", 300)
    assert (status.rows_per_second, status.mean_rows_per_second) == (10.0, 10.0)
    assert (status.step_share, status.stage_share, status.run_share) == (1 / 3, 30 / 130, 30 / 230)
    assert status.eta == (BEGUN + timedelta(seconds=230)).isoformat()
    assert status.forecast_from == "2022-06-30"
    assert [(each.name, each.state, each.seconds, each.forecast_seconds) for each in status.stages] == [
        ("dumps", "running", 30.0, 100.0),
        ("splice", "waiting", None, 10.0),
        ("verify", "waiting", None, 90.0),
    ]
    report.end("dumps")
    assert (shown.steps, shown.ended, len(shown.updates)) == (["dumps scatter"], ["dumps"], 10)


def test_the_recent_rate_is_of_the_last_half_minute(folder: RunFolder, hands: Hands) -> None:
    """A stage that stands still has none, while its mean falls slowly."""
    report = report_of(folder, hands)
    report.start_stage("dumps", resumed=False)
    report.begin("dumps", "scatter")
    for _ in range(40):
        hands.seconds += 2
        report.update(min(int(hands.seconds), 20), None)
        report.status()
    status = report.status()
    assert (status.rows_per_second, status.mean_rows_per_second) == (None, 0.2)


def stopped_in_the_gather(folder: RunFolder, hands: Hands) -> None:
    """A process scatters for 50 s and gathers for 20, and is killed."""
    report = report_of(folder, hands)
    report.start_stage("dumps", resumed=False)
    report.begin("dumps", "scatter")
    hands.seconds += 50
    report.begin("dumps", "gather")
    report.update(7, 0.5)
    hands.seconds += 20
    report.write()


def test_a_stage_that_goes_on_has_the_seconds_of_all_its_parts(folder: RunFolder, hands: Hands) -> None:
    """Of each step too; and the run those of all its processes, though not the time between them."""
    stopped_in_the_gather(folder, hands)
    hands.seconds += 1_000
    report = report_of(folder, hands)
    report.start_stage("dumps", resumed=True)
    report.begin("dumps", "gather")
    hands.seconds += 30
    report.update(20, 0.75)
    status = report.status()
    assert status.mean_rows_per_second == 20 / 50
    assert status.stages_by_name["dumps"].seconds == 100.0
    assert report.finish_stage("dumps") == 100.0
    assert report.step_seconds("dumps") == {"scatter": 50.0, "gather": 50.0}
    assert report.rows_of("dumps") == 20
    assert (report.seconds, report.began) == (100.0, BEGUN.isoformat())


@pytest.mark.parametrize("how", ["no checkpoint", "begun anew"])
def test_what_came_to_nothing_is_not_counted(how: str, folder: RunFolder, hands: Hands) -> None:
    """Of a stage that begins anew, or a run."""
    stopped_in_the_gather(folder, hands)
    hands.seconds += 1_000
    report = report_of(folder, hands, anew=how == "begun anew")
    report.start_stage("dumps", resumed=how == "begun anew")
    report.begin("dumps", "scatter")
    hands.seconds += 30
    assert report.finish_stage("dumps") == 30.0
    assert report.step_seconds("dumps") == {"scatter": 30.0}
    assert report.seconds == (30.0 if how == "begun anew" else 100.0)


def test_the_most_memory_is_that_of_all_commands_of_a_run(folder: RunFolder, hands: Hands) -> None:
    """An upload that goes on in the morning takes less than the night's sorting; a run begun anew has its own."""
    report_of(folder, hands).write()
    folder.status.write_bytes(replace(written(folder), most_memory_bytes=1 << 50).to_json())
    assert report_of(folder, hands).status().most_memory_bytes == 1 << 50
    assert (report_of(folder, hands, anew=True).status().most_memory_bytes or 0) < 1 << 50


def test_a_committed_stage_is_told_from_the_journal(folder: RunFolder, hands: Hands) -> None:
    """Whoever committed it."""
    Journal(folder.journal).commit(Committed("dumps", [], {}, 77.0))
    report = report_of(folder, hands)
    report.start_stage("splice", resumed=False)
    report.begin("splice", "copy")
    hands.seconds = 5
    report.update(1, 0.5)
    status = report.status()
    assert (status.stages_by_name["dumps"].state, status.stages_by_name["dumps"].seconds) == ("committed", 77.0)
    assert status.stage_share == 0.5


def end_with(error: BaseException, report: Report) -> None:
    """A run that ends in its scatter."""
    with reported(report):
        report.start_stage("dumps", resumed=False)
        report.begin("dumps", "scatter")
        raise error


@pytest.mark.parametrize(
    ("error", "state", "code", "told"),
    [
        (GateClosed("half is missing"), State.FAILED, 41, "half is missing"),
        (Stopped(15), State.STOPPED, 143, "stopped by SIGTERM"),
        (KeyError("bug"), State.FAILED, BUG_EXIT_CODE, "KeyError: 'bug'"),
        (GateClosed("a\udc80path"), State.FAILED, 41, r"a\udc80path"),
    ],
)
def test_the_last_status_says_how_it_ended(
    error: BaseException, state: State, code: int, told: str, folder: RunFolder, hands: Hands
) -> None:
    """With the error and its exit code; the error is passed on, and knows of which run it is."""
    report = report_of(folder, hands)
    with pytest.raises(type(error)):
        end_with(error, report)
    status = written(folder)
    assert (status.state, status.exit_code, status.error) == (state, code, told)
    assert (status.stage, status.eta, status.stages_by_name["dumps"].state) == ("dumps", None, state.value)
    assert log_fields_of(error) == {"run_date": "2022-07-31", "stage": "dumps"}
    assert failed_stage_of(error) == "dumps"


def test_a_complete_run_says_so_and_another_command_that_ends_well_is_stopped(folder: RunFolder, hands: Hands) -> None:
    """--only one stage: it is not complete, and nothing failed."""
    for is_complete, state in ((False, State.STOPPED), (True, State.COMPLETE)):
        with reported(report_of(folder, hands)) as report:
            assert written(folder).state is State.RUNNING
            if is_complete:
                report.mark_complete()
        status = written(folder)
        assert (status.state, status.exit_code, status.error) == (state, 0, None)
    assert written(folder).run_share == 1.0


def test_a_run_that_was_complete_keeps_its_status(folder: RunFolder, hands: Hands) -> None:
    """A second command on the date finds nothing to do: when it was made, and how long that took, is still told."""
    with reported(report_of(folder, hands)) as report:
        hands.seconds += 10
        report.mark_complete()
    before = folder.status.read_bytes()
    with reported(Report(folder, Watching(), clock=hands.clock)) as report:
        hands.seconds += 1_000
        assert written(folder).state is State.RUNNING
        report.mark_already_complete()
    assert folder.status.read_bytes() == before


def test_it_is_renewed_while_the_run_is_silent(folder: RunFolder) -> None:
    """By a thread: nobody tells of progress here."""
    report = Report(folder, Watching(), interval_seconds=0.02)
    with reported(report):
        before, end = folder.status.stat().st_ino, time.monotonic() + 5
        while folder.status.stat().st_ino == before and time.monotonic() < end:
            time.sleep(0.01)
        assert folder.status.stat().st_ino != before


def test_a_status_that_cannot_be_written_fails_no_run(folder: RunFolder, hands: Hands) -> None:
    """Neither at the beginning nor meanwhile nor at the end: here its temporary name is taken by a folder."""
    (folder.private / "status.json.new").mkdir()
    with reported(report_of(folder, hands)) as report:
        report.mark_complete()
    assert not folder.status.exists()


def test_a_run_that_another_process_has_taken_over_is_not_written_about(folder: RunFolder, hands: Hands) -> None:
    """That one's status stays."""
    folder.status.write_bytes(b"another's")
    with reported(Report(folder, Watching(), lambda: False, hands.clock)):
        pass
    assert folder.status.read_bytes() == b"another's"


def test_the_last_warnings_are_told(folder: RunFolder, hands: Hands) -> None:
    """Ten of them, and no other lines; the log is left as it was."""
    handlers, filters = list(log.handlers), list(log.filters)
    with reported(report_of(folder, hands)) as report:
        for number in range(12):
            log.warning("warning %d", number)
        log.error("error")
        log.info("line")
        warnings = report.status().warnings
    assert warnings == [f"warning {number}" for number in range(2, 12)]
    assert (log.handlers, log.filters) == (handlers, filters)


def test_memory_spill_and_room_are_measured(tmp_path: Path) -> None:
    """Of this process, at least; of a folder that is not there nothing is spilt, and no room is known."""
    memory = memory_bytes()
    assert memory is None or memory > 10 << 20
    (tmp_path / "spill").mkdir()
    (tmp_path / "spill" / "spill-0").write_bytes(bytes(1_000))
    assert size_bytes(tmp_path) == 1_000
    assert size_bytes(tmp_path / "none") == 0
    assert free_bytes(tmp_path)
    assert free_bytes(tmp_path / "none") is None
