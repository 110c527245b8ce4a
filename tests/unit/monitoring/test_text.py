"""The tables and lines of `oldump status`."""

import json
from dataclasses import replace
from pathlib import Path

from oldump.monitoring.summary import RunCondition
from oldump.monitoring.text import run_facts, run_line, runs_table, stages_table
from oldump.run.folder import RunFolder
from oldump.run.status import ReportedState, StageStatus
from unit.monitoring.situations import DEAD, LATE, RECEIPT, assess, complete, write_status
from unit.run.examples import STATUS


def test_a_running_run_shows_its_progress_and_expected_end(folder: RunFolder) -> None:
    """In the table of runs and in its details."""
    write_status(folder, run_share=0.25, eta="2022-08-01T05:00:00+00:00", warnings=[])
    run = assess(folder)
    assert runs_table([run])[1] == ("2022-07-31", "running", "dumps", "25%", "ends 2022-08-01 05:00", "", "", "")
    assert dict(run_facts(run))["ends"] == "in about 1 h 30 min, 2022-08-01 05:00 UTC (no earlier run to compare with)"


def test_the_expected_end_names_the_run_that_it_is_based_on(folder: RunFolder) -> None:
    """It is only as good as that run is similar."""
    write_status(folder, eta="2022-08-01T05:00:00+00:00", forecast_from="2022-06-30")
    assert "(based on the run of 2022-06-30)" in dict(run_facts(assess(folder)))["ends"]


def test_a_damaged_end_is_not_known(folder: RunFolder) -> None:
    """The other facts are still shown."""
    folder.status.write_bytes(replace(STATUS, eta="soon").to_json())
    assert ("ends", "not known: the status file is damaged") in run_facts(assess(folder))


def test_warnings_are_shown_while_a_run_is_running(folder: RunFolder) -> None:
    """The last one in the table; a warning is not a problem."""
    write_status(folder, warnings=["first", "last"])
    run = assess(folder)
    assert (run.latest_message, run.problems) == ("last", "")
    assert run_line(run).endswith(", last")
    assert [value for name, value in run_facts(run) if name == "warning"] == ["first", "last"]


def test_the_stage_of_a_dead_run_is_dead(folder: RunFolder) -> None:
    """Its status still says that it runs."""
    write_status(folder, owner=DEAD)
    assert stages_table(assess(folder))[1][:2] == ("dumps", "dead")


def test_a_killed_upload_of_a_complete_run_is_dead(folder: RunFolder) -> None:
    """The run is complete, but the upload is not."""
    complete(folder)
    write_status(folder, owner=DEAD, stages=[StageStatus("archive", "running", 2.0, None, None, {})])
    run = assess(folder, LATE)
    assert run.condition is RunCondition.COMPLETE
    assert stages_table(run)[1][:2] == ("archive", "dead")


def test_an_archived_run_is_labelled_so(folder: RunFolder, receipt: Path) -> None:
    """With the time of the upload; in JSON the state stays `complete`."""
    write_status(folder, state=ReportedState.COMPLETE)
    run = assess(folder)
    assert run.label == "archived"
    assert ("archived", "2022-08-02 03:04 UTC") in run_facts(run)
    assert (run.as_json()["state"], run.as_json()["archived"]) == ("complete", RECEIPT["archived"])


def test_json_has_the_summary_and_the_status(folder: RunFolder) -> None:
    """Monitors get the problem that was found and the status as it was written."""
    write_status(folder, owner=DEAD)
    found = json.loads(json.dumps(assess(folder).as_json()))
    assert (found["date"], found["state"], found["status"]["state"]) == ("2022-07-31", "dead", "running")
    assert found["problem"]
    assert found["stages"][0]["steps"] == {"scatter": 10.0, "gather": 2.0}
