"""Which runs are late, and which need attention."""

import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from oldump.errors import RunLate
from oldump.monitoring.health import Expectation, assess_runs, require_healthy
from oldump.monitoring.summary import RunCondition, RunSummary
from oldump.run.folder import RunFolder
from oldump.run.manifest import render_manifest
from oldump.run.status import ReportedState
from oldump.stages.archive.pointer import previous_of
from unit.monitoring.situations import CDUMP, DAY, LATE, RECEIPT, assess, complete, write_status


def test_a_missing_run_is_late_three_days_after_its_date(tmp_path: Path) -> None:
    """It is listed although no file exists."""
    assert assess_runs(tmp_path, LATE - timedelta(seconds=1), Expectation(3)) == []
    (run,) = assess_runs(tmp_path, LATE, Expectation(3))
    assert (run.date, run.condition) == (DAY, RunCondition.MISSING)
    assert run.late == "late: not complete 3 days after its date"
    assert assess_runs(tmp_path / "none", LATE, Expectation(4)) == []
    assert assess_runs(tmp_path / "none", LATE, Expectation(0))[0].late


def test_a_run_in_progress_may_be_late(folder: RunFolder) -> None:
    """A complete run is not."""
    write_status(folder, updated=LATE.isoformat())
    run = assess(folder, LATE)
    assert (run.condition, bool(run.late)) == (RunCondition.RUNNING, True)
    write_status(folder, state=ReportedState.COMPLETE)
    assert assess(folder, LATE).late is None


def test_runs_of_earlier_months_are_never_late(tmp_path: Path) -> None:
    """Otherwise the monitor would raise an alarm forever."""
    RunFolder(tmp_path, date(2022, 5, 31)).private.mkdir()
    assert [run.late for run in assess_runs(tmp_path, LATE - timedelta(days=1), Expectation(3))] == [None]


@pytest.mark.parametrize("condition", [RunCondition.DEAD, RunCondition.SILENT, RunCondition.FAILED])
def test_bad_runs_need_attention_until_a_later_run_is_done(condition: RunCondition) -> None:
    """A run that is stopped or running does not; a late run always does."""
    bad = RunSummary(DAY, condition, problem="full")
    earlier, later = (RunSummary(DAY + timedelta(days=days), RunCondition.COMPLETE, is_done=True) for days in (-1, 1))
    for runs in ([bad], [bad, earlier]):
        with pytest.raises(RunLate, match=f"2022-07-31 is {condition.value}: full") as caught:
            require_healthy(runs)
        assert caught.value.exit_code == 54
    require_healthy([later, bad])
    require_healthy([RunSummary(DAY, RunCondition.RUNNING), RunSummary(DAY, RunCondition.STOPPED), earlier])
    with pytest.raises(RunLate, match="late: so"):
        require_healthy([later, RunSummary(DAY, RunCondition.MISSING, late="late: so")])


def test_where_archiving_is_expected_a_run_is_late_until_it_is_archived(folder: RunFolder) -> None:
    """Otherwise it is done when it is complete."""
    write_status(folder, state=ReportedState.COMPLETE)
    complete(folder)
    assert assess(folder, LATE).late is None
    assert assess(folder, LATE, archive=True).late == "late: not archived 3 days after its date"


def test_an_archived_run_is_done(folder: RunFolder, receipt: Path) -> None:
    """The receipt proves the upload, even if a later command failed."""
    write_status(folder, state=ReportedState.FAILED, error="archive.org answers 403", exit_code=51)
    complete(folder)
    require_healthy([assess(folder, LATE, archive=True)])


def test_a_failed_upload_needs_attention_where_archiving_is_expected(folder: RunFolder) -> None:
    """Even before the run is late."""
    write_status(folder, state=ReportedState.FAILED, error="archive.org answers 403", exit_code=51)
    complete(folder)
    require_healthy([assess(folder, LATE)])
    with pytest.raises(RunLate, match=r"2022-07-31 is complete: .*exit code 51: archive.org answers 403"):
        require_healthy([assess(folder, archive=True)])


def remove_private(folder: RunFolder, **latest: object) -> None:
    """Publish the run's manifest, delete its private folder, and write latest.json with these changes."""
    manifest = folder.published(folder.items[1]) / "manifest.json"
    manifest.parent.mkdir()
    manifest.write_bytes(render_manifest(DAY, {}, {}, [replace(CDUMP, sha256="1")], []))
    shutil.rmtree(folder.private)
    (folder.out / "latest.json").write_text(json.dumps(RECEIPT | latest), encoding="utf-8")


def files(sha256: str) -> list[dict[str, Any]]:
    """Return the uploaded cdump with this checksum, as latest.json lists it."""
    uploaded: list[dict[str, Any]] = json.loads(json.dumps(RECEIPT["files"]))
    return [file | {"sha256": sha256} for file in uploaded]


def test_an_archived_run_without_its_private_folder_is_done(folder: RunFolder) -> None:
    """Operators may delete it: latest.json and the manifest show that it is complete and archived."""
    remove_private(folder, files=files("1"))
    run = assess(folder, LATE, archive=True)
    assert (run.late, run.archived) == (None, RECEIPT["archived"])
    shutil.rmtree(folder.published(folder.items[1]))
    require_healthy([assess(folder, LATE, archive=True)])


def test_latest_json_of_the_next_run_names_it_too(folder: RunFolder) -> None:
    """An out-of-cycle dump does not make the month late."""
    remove_private(folder, date="2022-08-02", previous=str(DAY))
    require_healthy([assess(folder, LATE, archive=True)])


def test_latest_json_of_other_files_or_runs_is_no_evidence(folder: RunFolder) -> None:
    """The run was made again, and not uploaded since; or another one was."""
    remove_private(folder, files=files("2"))
    assert assess(folder, LATE, archive=True).late == "late: not archived 3 days after its date"
    (folder.out / "latest.json").write_text(json.dumps(RECEIPT | {"date": "2022-06-30"}), encoding="utf-8")
    assert assess(folder, LATE, archive=True).late == "late: not archived 3 days after its date"


def test_the_previous_run_is_known_without_its_private_folder(folder: RunFolder) -> None:
    """The next receipt names it as `previous`."""
    remove_private(folder)
    assert previous_of(RunFolder(folder.out, DAY + timedelta(days=31))) == DAY
    assert previous_of(folder) is None
