"""The report of a run: its status over time, by a clock that the test controls, and at its end."""

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
from oldump.run.measures import disk_space, memory_bytes, size_bytes
from oldump.run.report import Outline, Report, reported
from oldump.run.status import ReportedState, Status
from oldump.run.stopwatch import RunClock
from unit.run.examples import FORECAST
from unit.stages.making import Watching, folder_in

NAMES = ["dumps", "splice", "verify"]
BEGUN = datetime(2022, 8, 1, tzinfo=UTC)
log = logging.getLogger("oldump")


class ManualClock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        """Start at midnight."""
        self.seconds = 0.0

    @property
    def run_clock(self) -> RunClock:
        """The clock for a report."""
        return RunClock(lambda: self.seconds, lambda: BEGUN + timedelta(seconds=self.seconds))


@pytest.fixture
def clock() -> ManualClock:
    """A clock at midnight."""
    return ManualClock()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The folder of a run."""
    folder = folder_in(tmp_path)
    folder.private.mkdir(exist_ok=True)
    return folder


def report_of(folder: RunFolder, clock: ManualClock, *, anew: bool = False, forecast: Forecast = FORECAST) -> Report:
    """Return the report of a run with three stages."""
    report = Report(folder, Watching(), clock=clock.run_clock)
    report.set_outline(Outline(NAMES, (), NAMES, forecast), Journal(folder.journal), restarted=anew)
    return report


def written(folder: RunFolder) -> Status:
    """Return the status in the file."""
    status = Status.read_file(folder.status)
    assert status
    return status


def test_progress_is_reported_and_forwarded(folder: RunFolder, clock: ManualClock) -> None:
    """Stage, step, rows, rates, shares and the expected end."""
    shown = Watching()
    report = Report(folder, shown, clock=clock.run_clock)
    report.set_outline(Outline(NAMES, (), NAMES, FORECAST), Journal(folder.journal), restarted=True)
    report.start_stage("dumps", resumed=False)
    report.begin("dumps", "scatter")
    for _ in range(10):
        clock.seconds += 3
        report.update(int(clock.seconds) * 10, clock.seconds / 90)
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


def test_the_recent_rate_covers_30_seconds(folder: RunFolder, clock: ManualClock) -> None:
    """A stalled stage has none, while its mean rate falls slowly."""
    report = report_of(folder, clock)
    report.start_stage("dumps", resumed=False)
    report.begin("dumps", "scatter")
    for _ in range(40):
        clock.seconds += 2
        report.update(min(int(clock.seconds), 20), None)
        report.status()
    status = report.status()
    assert (status.rows_per_second, status.mean_rows_per_second) == (None, 0.2)


def stopped_in_the_gather(folder: RunFolder, clock: ManualClock) -> None:
    """Let a process scatter for 50 s and gather for 20 s, and end without a final status."""
    report = report_of(folder, clock)
    report.start_stage("dumps", resumed=False)
    report.begin("dumps", "scatter")
    clock.seconds += 50
    report.begin("dumps", "gather")
    report.update(7, 0.5)
    clock.seconds += 20
    report.write()


def test_a_resumed_stage_has_the_time_of_all_processes(folder: RunFolder, clock: ManualClock) -> None:
    """So has each step, and the run; the time between the processes does not count."""
    stopped_in_the_gather(folder, clock)
    clock.seconds += 1_000
    report = report_of(folder, clock)
    report.start_stage("dumps", resumed=True)
    report.begin("dumps", "gather")
    clock.seconds += 30
    report.update(20, 0.75)
    status = report.status()
    assert status.mean_rows_per_second == 20 / 50
    assert status.stages_by_name["dumps"].seconds == 100.0
    assert report.finish_stage("dumps") == 100.0
    assert report.step_seconds("dumps") == {"scatter": 50.0, "gather": 50.0}
    assert report.rows_of("dumps") == 20
    assert (report.seconds, report.began) == (100.0, BEGUN.isoformat())


@pytest.mark.parametrize("case", ["no checkpoint", "restarted"])
def test_discarded_work_does_not_count(case: str, folder: RunFolder, clock: ManualClock) -> None:
    """A stage without a checkpoint, or a run, starts from scratch."""
    stopped_in_the_gather(folder, clock)
    clock.seconds += 1_000
    report = report_of(folder, clock, anew=case == "restarted")
    report.start_stage("dumps", resumed=case == "restarted")
    report.begin("dumps", "scatter")
    clock.seconds += 30
    assert report.finish_stage("dumps") == 30.0
    assert report.step_seconds("dumps") == {"scatter": 30.0}
    assert report.seconds == (30.0 if case == "restarted" else 100.0)


def test_peak_memory_covers_all_commands_of_a_run(folder: RunFolder, clock: ManualClock) -> None:
    """An upload uses less than the sorting before it; a run started from scratch has its own peak."""
    report_of(folder, clock).write()
    folder.status.write_bytes(replace(written(folder), most_memory_bytes=1 << 50).to_json())
    assert report_of(folder, clock).status().most_memory_bytes == 1 << 50
    assert (report_of(folder, clock, anew=True).status().most_memory_bytes or 0) < 1 << 50


def test_committed_stages_come_from_the_journal(folder: RunFolder, clock: ManualClock) -> None:
    """Whichever process committed them."""
    Journal(folder.journal).commit(Committed("dumps", [], {}, 77.0))
    report = report_of(folder, clock)
    report.start_stage("splice", resumed=False)
    report.begin("splice", "copy")
    clock.seconds = 5
    report.update(1, 0.5)
    status = report.status()
    assert (status.stages_by_name["dumps"].state, status.stages_by_name["dumps"].seconds) == ("committed", 77.0)
    assert status.stage_share == 0.5


def end_with(error: BaseException, report: Report) -> None:
    """Let a run fail in its scatter."""
    with reported(report):
        report.start_stage("dumps", resumed=False)
        report.begin("dumps", "scatter")
        raise error


@pytest.mark.parametrize(
    ("error", "state", "code", "message"),
    [
        (GateClosed("half is missing"), ReportedState.FAILED, 41, "half is missing"),
        (Stopped(15), ReportedState.STOPPED, 143, "stopped by SIGTERM"),
        (KeyError("bug"), ReportedState.FAILED, BUG_EXIT_CODE, "KeyError: 'bug'"),
        (GateClosed("a\udc80path"), ReportedState.FAILED, 41, r"a\udc80path"),
    ],
)
def test_the_last_status_has_the_error(
    error: BaseException, state: ReportedState, code: int, message: str, folder: RunFolder, clock: ManualClock
) -> None:
    """And the exit code. The error is raised unchanged and carries date and stage for the log."""
    report = report_of(folder, clock)
    with pytest.raises(type(error)):
        end_with(error, report)
    status = written(folder)
    assert (status.state, status.exit_code, status.error) == (state, code, message)
    assert (status.stage, status.eta, status.stages_by_name["dumps"].state) == ("dumps", None, state.value)
    assert log_fields_of(error) == {"run_date": "2022-07-31", "stage": "dumps"}
    assert failed_stage_of(error) == "dumps"


def test_a_command_that_ends_well_is_complete_or_stopped(folder: RunFolder, clock: ManualClock) -> None:
    """With --only the run is not complete, but nothing failed."""
    for is_complete, state in ((False, ReportedState.STOPPED), (True, ReportedState.COMPLETE)):
        with reported(report_of(folder, clock)) as report:
            assert written(folder).state is ReportedState.RUNNING
            if is_complete:
                report.mark_complete()
        status = written(folder)
        assert (status.state, status.exit_code, status.error) == (state, 0, None)
    assert written(folder).run_share == 1.0


def test_a_run_that_was_complete_before_keeps_its_status(folder: RunFolder, clock: ManualClock) -> None:
    """A second command for the date has nothing to do; the times of the first one are kept."""
    with reported(report_of(folder, clock)) as report:
        clock.seconds += 10
        report.mark_complete()
    before = folder.status.read_bytes()
    with reported(Report(folder, Watching(), clock=clock.run_clock)) as report:
        clock.seconds += 1_000
        assert written(folder).state is ReportedState.RUNNING
        report.mark_already_complete()
    assert folder.status.read_bytes() == before


def test_the_status_is_rewritten_without_progress(folder: RunFolder) -> None:
    """A thread does that."""
    report = Report(folder, Watching(), interval_seconds=0.02)
    with reported(report):
        before, end = folder.status.stat().st_ino, time.monotonic() + 5
        while folder.status.stat().st_ino == before and time.monotonic() < end:
            time.sleep(0.01)
        assert folder.status.stat().st_ino != before


def test_a_failed_write_does_not_fail_the_run(folder: RunFolder, clock: ManualClock) -> None:
    """At no time: here a folder occupies the temporary name."""
    (folder.private / "status.json.new").mkdir()
    with reported(report_of(folder, clock)) as report:
        report.mark_complete()
    assert not folder.status.exists()


def test_a_run_taken_over_by_another_process_keeps_its_status(folder: RunFolder, clock: ManualClock) -> None:
    """It is the other process's status."""
    folder.status.write_bytes(b"another's")
    with reported(Report(folder, Watching(), lambda: False, clock.run_clock)):
        pass
    assert folder.status.read_bytes() == b"another's"


def test_the_last_warnings_are_in_the_status(folder: RunFolder, clock: ManualClock) -> None:
    """Ten warnings, and no other lines; the handlers of the log are restored."""
    handlers, filters = list(log.handlers), list(log.filters)
    with reported(report_of(folder, clock)) as report:
        for number in range(12):
            log.warning("warning %d", number)
        log.error("error")
        log.info("line")
        warnings = report.status().warnings
    assert warnings == [f"warning {number}" for number in range(2, 12)]
    assert (log.handlers, log.filters) == (handlers, filters)


def test_memory_spill_and_room_are_measured(tmp_path: Path) -> None:
    """Memory covers this process; a missing folder has no size, and its free space is unknown."""
    memory = memory_bytes()
    assert memory is None or memory > 10 << 20
    (tmp_path / "spill").mkdir()
    (tmp_path / "spill" / "spill-0").write_bytes(bytes(1_000))
    assert size_bytes(tmp_path.rglob("*")) == 1_000
    assert size_bytes([tmp_path / "none"]) == 0
    space = disk_space(tmp_path / "none" / "yet")
    assert space
    assert 0 < space.free_bytes <= space.total_bytes
