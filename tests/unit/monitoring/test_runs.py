"""The condition of a run as seen from outside, also when files are missing, damaged or left by a dead process."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from oldump.monitoring.health import Expectation, assess_runs
from oldump.monitoring.summary import RunCondition
from oldump.run.folder import RunFolder
from oldump.run.history import append_run
from oldump.run.journal import Committed, Journal
from oldump.run.manifest import render_manifest
from oldump.run.owner import Owner
from oldump.run.status import ReportedState
from unit.monitoring.situations import CDUMP, DAY, DEAD, ELSEWHERE, LATE, NOW, assess, complete, write_status
from unit.run.examples import JULY, STATUS


def test_a_run_is_running_while_its_process_is_alive(folder: RunFolder) -> None:
    """The status of a living process is believed."""
    write_status(folder)
    run = assess(folder)
    assert (run.condition, run.problems, run.is_running) == (RunCondition.RUNNING, "", True)


def test_a_run_whose_process_was_killed_is_dead_at_once(folder: RunFolder) -> None:
    """A recent status that says `running` is not believed if its process has ended."""
    write_status(folder, owner=DEAD)
    run = assess(folder)
    assert (run.condition, run.is_running) == (RunCondition.DEAD, False)
    assert "ended without reporting, last status 2022-08-01T03:30:00+00:00 in dumps: gather" in run.problems


@pytest.mark.parametrize(("age", "condition"), [(59, RunCondition.RUNNING), (61, RunCondition.DEAD)])
def test_a_process_elsewhere_is_alive_while_its_status_is_recent(
    age: int, condition: RunCondition, folder: RunFolder
) -> None:
    """A process on another machine or in another container cannot be seen."""
    write_status(folder, owner=ELSEWHERE)
    assert assess(folder, datetime.fromisoformat(STATUS.updated) + timedelta(seconds=age)).condition is condition


def test_a_living_process_that_does_not_update_its_status_is_silent(folder: RunFolder) -> None:
    """It may be stopped by a debugger, or its disk may be full: somebody should look."""
    write_status(folder)
    run = assess(folder, NOW + timedelta(minutes=2))
    assert (run.condition, run.is_running) == (RunCondition.SILENT, True)
    assert run.problems == "no status update for 2 min 01 s, last activity dumps: gather"


@pytest.mark.parametrize("state", [ReportedState.FAILED, ReportedState.STOPPED])
def test_the_problem_of_an_ended_run_has_its_exit_code(state: ReportedState, folder: RunFolder) -> None:
    """Nobody has to read the log for it."""
    write_status(folder, state=state, error="no space left", exit_code=31)
    run = assess(folder)
    assert (run.condition.value, run.problems) == (state.value, "exit code 31: no space left")


def test_a_later_command_leaves_a_complete_run_complete(folder: RunFolder) -> None:
    """Its failure is a problem of the complete run. Once it has started the run again, the run is not complete."""
    complete(folder)
    write_status(folder, state=ReportedState.FAILED, error="no free space", exit_code=31)
    run = assess(folder, LATE)
    assert (run.condition, run.late) == (RunCondition.COMPLETE, None)
    assert run.problems == "a later command did not finish: exit code 31: no free space"
    Journal(folder.journal).begin({}, overwrite=True)
    assert assess(folder).condition is RunCondition.FAILED


@pytest.mark.parametrize("damage", [None, b"", STATUS.to_json()[:200]])
def test_without_a_status_lock_and_journal_decide(damage: bytes | None, folder: RunFolder) -> None:
    """Earlier versions wrote no status, and a crash of the machine may damage it."""
    if damage is not None:
        folder.status.write_bytes(damage)
    folder.lock.write_bytes(b"")
    Journal(folder.journal).begin({"kind": "file"}, overwrite=False)
    assert assess(folder).condition is RunCondition.STOPPED
    folder.lock.write_bytes(Owner.current().to_json())
    assert assess(folder).condition is RunCondition.RUNNING
    folder.lock.write_bytes(Owner(**DEAD).to_json())
    assert assess(folder).condition is RunCondition.DEAD
    complete(folder)
    run = assess(folder)
    assert (run.condition, run.records, run.size_bytes, run.seconds) == (RunCondition.COMPLETE, 42, 700, 12.0)
    assert [(stage.name, stage.state, stage.seconds) for stage in run.stages] == [("dumps", "committed", 12.0)]


def test_without_a_private_folder_manifest_and_history_decide(tmp_path: Path) -> None:
    """The private folder may be deleted after a run."""
    folder = RunFolder(tmp_path, DAY)
    item = tmp_path / "ol_dump_2022-07-31"
    item.mkdir()
    (run,) = assess_runs(tmp_path, NOW, Expectation(3))
    assert (run.condition, "manifest.json" in run.problems) == (RunCondition.FAILED, True)
    (item / "manifest.json").write_bytes(render_manifest(DAY, {}, {}, [CDUMP], []))
    append_run(folder.history, JULY)
    (run,) = assess_runs(tmp_path, NOW, Expectation(3))
    assert (run.condition, run.records, run.seconds) == (RunCondition.COMPLETE, 42, 3_600.0)
    assert [stage.name for stage in run.stages] == ["dumps", "splice"]


def test_an_unreadable_status_is_a_failed_run(folder: RunFolder) -> None:
    """A folder or a circular link in place of the file is not a bug."""
    folder.status.mkdir()
    run = assess(folder)
    assert (run.condition, "status.json: Is a directory" in run.problems) == (RunCondition.FAILED, True)
    folder.status.rmdir()
    folder.status.symlink_to(folder.status.name)
    assert assess(folder).condition is RunCondition.FAILED


def test_a_damaged_journal_affects_only_its_run(folder: RunFolder) -> None:
    """All other runs are listed."""
    folder.journal.write_bytes(b"[]\n")
    RunFolder(folder.out, date(2022, 6, 30)).private.mkdir()
    runs = assess_runs(folder.out, NOW, Expectation(3))
    assert [run.condition for run in runs] == [RunCondition.FAILED, RunCondition.STOPPED]
    assert "journal.jsonl" in runs[0].problems


def as_another_user(check: Callable[[], bool]) -> bool:
    """Run a check in a process without privileges; as this user if it has none."""
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        os._exit(0 if check() else 1)
    return os.waitpid(child, 0)[1] == 0


def test_the_run_of_another_user_is_not_readable() -> None:
    """Its private folder is closed; it is listed all the same."""
    with tempfile.TemporaryDirectory() as out:
        Path(out).chmod(0o755)
        folder = RunFolder(Path(out), DAY)
        folder.private.mkdir()
        write_status(folder)
        folder.private.chmod(0)
        assert as_another_user(
            lambda: [run.condition for run in assess_runs(Path(out), NOW, Expectation(3))] == [RunCondition.UNREADABLE]
        )
        folder.private.chmod(0o700)


@pytest.mark.parametrize("changed", ["artifact", "sums"])
def test_a_receipt_of_earlier_files_does_not_count(folder: RunFolder, changed: str, receipt: Path) -> None:
    """After --overwrite the files at archive.org are those of the earlier run."""
    write_status(folder, state=ReportedState.COMPLETE)
    complete(folder)
    assert assess(folder).archived
    journal = Journal(folder.journal)
    journal.commit(Committed("dumps", [replace(CDUMP, sha256="new") if changed == "artifact" else CDUMP], {}, 12.0))
    journal.publish({"ol_dump_2022-07-31/SHA256SUMS": "new"} if changed == "sums" else {})
    assert (assess(folder).label, assess(folder).archived) == ("complete", None)


def test_a_damaged_receipt_does_not_count(folder: RunFolder, receipt: Path) -> None:
    """The run is then not archived, as far as is known."""
    write_status(folder, state=ReportedState.COMPLETE)
    assert assess(folder).label == "archived"
    receipt.write_text("{", encoding="utf-8")
    assert (assess(folder).condition, assess(folder).archived) == (RunCondition.COMPLETE, None)
