"""Following a run until it ends."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest

from oldump.errors import ConfigurationError
from oldump.monitoring.health import Expectation
from oldump.monitoring.watch import RunWatcher
from oldump.run.folder import RunFolder
from oldump.run.owner import Owner
from oldump.run.status import ReportedState, Status
from unit.monitoring.situations import NOW, write_status
from unit.run.examples import STATUS


class ScriptedSleep:
    """A sleep function that writes the next status at each call."""

    def __init__(self, folder: RunFolder, statuses: Iterator[Status | None]) -> None:
        """Write these statuses; None keeps the current one."""
        self.folder, self.statuses = folder, statuses

    def __call__(self, seconds: float) -> None:
        """Write the next status."""
        status = next(self.statuses)
        if status:
            write_status(self.folder, status)


def test_a_run_is_followed_until_it_ends(folder: RunFolder) -> None:
    """Each change is yielded once, up to the final status."""
    write_status(folder)
    folder.lock.write_bytes(Owner.current().to_json())
    ended = replace(STATUS, state=ReportedState.FAILED, error="full", exit_code=31)
    sleep = ScriptedSleep(folder, iter([None, replace(STATUS, rows=2_000), None, ended]))
    watcher = RunWatcher(folder.out, Expectation(3), clock=lambda: NOW, sleep=sleep)
    assert watcher.select_running()
    runs = [run for (run,) in watcher.changes()]
    assert [run.status.rows for run in runs if run.status] == [1_000, 2_000, 1_000]
    assert runs[-1].problems == "exit code 31: full"


def test_no_run_is_selected_if_none_is_running(folder: RunFolder) -> None:
    """A complete run is not followed."""
    write_status(folder, state=ReportedState.COMPLETE)
    assert not RunWatcher(folder.out, Expectation(3), clock=lambda: NOW).select_running()


def test_a_run_that_does_not_exist_is_an_error(folder: RunFolder) -> None:
    """If its date is given."""
    with pytest.raises(ConfigurationError, match="there is no run for 2021-01-31"):
        RunWatcher(folder.out, Expectation(3), date(2021, 1, 31), clock=lambda: NOW).read()
