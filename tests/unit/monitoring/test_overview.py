"""How runs are judged from outside: dead, silent, late, of an earlier version, or with a damaged status."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from oldump.errors import ConfigurationError, RunLate
from oldump.monitoring.overview import (
    Expected,
    Looking,
    Seen,
    Verdict,
    facts_of,
    require_well,
    seen_run,
    seen_runs,
    table_of_runs,
    table_of_stages,
    told_line,
)
from oldump.run.folder import RunFolder
from oldump.run.history import remember
from oldump.run.journal import Artifact, Committed, Journal
from oldump.run.manifest import manifest_of
from oldump.run.owner import Owner
from oldump.run.status import StageStatus, State, Status
from unit.run.test_history import JULY
from unit.run.test_status import STATUS

DAY = date(2022, 7, 31)
NOW = datetime.fromisoformat(STATUS.updated) + timedelta(seconds=1)
LATE = datetime(2022, 8, 4, tzinfo=UTC)
DEAD = asdict(replace(Owner.ours(), started="1"))
FAR = asdict(replace(Owner.ours(), kernel="another"))
CDUMP = Artifact("ol_cdump_2022-07-31.txt.gz", "ol_cdump_2022-07-31", 700, 9_000, 42, 1, "", "", None)


RECEIPT: dict[str, object] = {
    "format": 1,
    "date": "2022-07-31",
    "archived": "2022-08-02T03:04:05+00:00",
    "previous": None,
    "files": [
        {
            "item": CDUMP.item,
            "name": CDUMP.name,
            "role": "cdump",
            "url": "",
            "size_bytes": CDUMP.size_bytes,
            "md5": CDUMP.md5,
            "sha256": CDUMP.sha256,
        }
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Of a run that is there."""
    folder = RunFolder(tmp_path, DAY)
    folder.private.mkdir()
    return folder


def put(folder: RunFolder, status: Status = STATUS, **more: object) -> None:
    """Let the run's status say so."""
    folder.status.write_bytes(replace(status, **more).written())  # type: ignore[arg-type] # any member


def seen(folder: RunFolder, now: datetime = NOW, *, archive: bool = False) -> Seen:
    """How the run looks."""
    return seen_run(folder, now, Expected(3, archive))


def complete(folder: RunFolder) -> None:
    """Let the journal say so."""
    journal = Journal(folder.journal)
    journal.commit(Committed("dumps", [CDUMP], {}, 12.0))
    journal.publish({})


# What a run is at


def test_a_run_runs_while_its_process_does(folder: RunFolder) -> None:
    """With what its status says."""
    put(folder, run_share=0.25, eta="2022-08-01T05:00:00+00:00", warnings=[])
    found = seen(folder)
    assert (found.state, found.told, found.is_running) == (Verdict.RUNNING, "", True)
    assert table_of_runs([found])[1] == ("2022-07-31", "running", "dumps", "25%", "ends 2022-08-01 05:00", "", "", "")
    assert "in about 1 h 30 min, 2022-08-01 05:00 UTC" in dict(facts_of(found))["ends"]


def test_a_process_that_was_killed_is_dead_at_once(folder: RunFolder) -> None:
    """Its last words are that it runs: fresh as they are, they are not believed."""
    put(folder, owner=DEAD)
    found = seen(folder)
    assert (found.state, found.is_running) == (Verdict.DEAD, False)
    assert "ended without a word, last seen at 2022-08-01T03:30:00+00:00 in dumps: gather" in found.told
    assert table_of_stages(found)[1][:2] == ("dumps", "dead")


@pytest.mark.parametrize(("age", "state"), [(59, Verdict.RUNNING), (61, Verdict.DEAD)])
def test_a_process_that_cannot_be_seen_is_judged_by_its_status(age: int, state: Verdict, folder: RunFolder) -> None:
    """On another machine, or in another container."""
    put(folder, owner=FAR)
    assert seen(folder, datetime.fromisoformat(STATUS.updated) + timedelta(seconds=age)).state is state


def test_a_process_that_lives_and_says_nothing_is_silent(folder: RunFolder) -> None:
    """Stopped by a debugger, say, or its disk is full: somebody should look."""
    put(folder)
    found = seen(folder, NOW + timedelta(minutes=2))
    assert (found.state, found.is_running) == (Verdict.SILENT, True)
    assert "no sign of life for 2 min 01 s, last seen in dumps: gather" in found.told


@pytest.mark.parametrize("state", [State.FAILED, State.STOPPED])
def test_what_ended_a_run_is_told_with_its_exit_code(state: State, folder: RunFolder) -> None:
    """Without looking into the log."""
    put(folder, state=state, error="no space left", exit_code=31, warnings=["almost full"])
    found = seen(folder)
    assert (found.state.value, found.told) == (state.value, "exit code 31: no space left")
    assert dict(facts_of(found))["warning"] == "almost full"


def test_a_complete_run_stays_complete_whatever_a_later_command_did(folder: RunFolder) -> None:
    """One that was refused, say, or --overwrite without room: it is told; begun anew, the run is what it is."""
    complete(folder)
    put(folder, state=State.FAILED, error="no room", exit_code=31)
    found = seen(folder, LATE)
    assert (found.state, found.late) == (Verdict.COMPLETE, None)
    assert found.told == "a command after it was complete: exit code 31: no room"
    Journal(folder.journal).begin({}, overwrite=True)
    assert seen(folder).state is Verdict.FAILED


def test_an_upload_that_was_killed_is_not_complete_although_its_run_is(folder: RunFolder) -> None:
    """The table of stages would say of an upload that nobody finishes that it is done."""
    complete(folder)
    put(folder, owner=DEAD, stages=[StageStatus("archive", "running", 2.0, None, None, {})])
    found = seen(folder, LATE)
    assert found.state is Verdict.COMPLETE
    assert table_of_stages(found)[1][:2] == ("archive", "dead")


def test_a_warning_is_news_while_the_run_goes_on(folder: RunFolder) -> None:
    """In the table of all runs; it is no problem to be woken for."""
    put(folder, warnings=["first", "last"])
    found = seen(folder)
    assert (found.newest, found.told) == ("last", "")
    assert told_line(found).endswith(", last")


# Without a status that says something


@pytest.mark.parametrize("damage", [None, b"", STATUS.written()[:200]])
def test_a_run_without_status_is_told_from_journal_and_lock(damage: bytes | None, folder: RunFolder) -> None:
    """As of an earlier version, or after a crash of the machine."""
    if damage is not None:
        folder.status.write_bytes(damage)
    folder.lock.write_bytes(b"")
    Journal(folder.journal).begin({"kind": "file"}, overwrite=False)
    assert seen(folder).state is Verdict.STOPPED
    folder.lock.write_bytes(Owner.ours().written())
    assert seen(folder).state is Verdict.RUNNING
    folder.lock.write_bytes(Owner(**DEAD).written())
    assert seen(folder).state is Verdict.DEAD
    complete(folder)
    found = seen(folder)
    assert (found.state, found.records, found.size_bytes, found.seconds) == (Verdict.COMPLETE, 42, 700, 12.0)
    assert table_of_stages(found)[1][:3] == ("dumps", "committed", "12 s")


def test_a_run_whose_private_folder_is_gone_is_told_from_manifest_and_history(tmp_path: Path) -> None:
    """It may be deleted after a run."""
    folder = RunFolder(tmp_path, DAY)
    item = tmp_path / "ol_dump_2022-07-31"
    item.mkdir()
    (found,) = seen_runs(tmp_path, NOW, Expected(3))
    assert (found.state, "manifest.json" in found.told) == (Verdict.FAILED, True)
    (item / "manifest.json").write_bytes(manifest_of(DAY, {}, {}, [CDUMP], []))
    remember(folder.history, JULY)
    (found,) = seen_runs(tmp_path, NOW, Expected(3))
    assert (found.state, found.records, found.seconds) == (Verdict.COMPLETE, 42, 3_600.0)
    assert [stage.name for stage in found.stages] == ["dumps", "splice"]


def test_a_status_that_is_no_file_is_a_problem_of_that_run_alone(folder: RunFolder) -> None:
    """It is no bug of ours that a folder, or a link that leads to itself, has its name."""
    folder.status.mkdir()
    found = seen(folder)
    assert (found.state, "status.json: Is a directory" in found.told) == (Verdict.FAILED, True)
    folder.status.rmdir()
    folder.status.symlink_to(folder.status.name)
    assert seen(folder).state is Verdict.FAILED


def test_a_status_with_moments_that_are_none_is_told_all_the_same(folder: RunFolder) -> None:
    """What it says of its end is then not known."""
    folder.status.write_bytes(replace(STATUS, eta="soon").written())
    assert ("ends", "not known: the status is damaged") in facts_of(seen(folder))


def test_a_damaged_journal_is_a_problem_of_that_run_alone(folder: RunFolder) -> None:
    """The others are listed all the same."""
    folder.journal.write_bytes(b"[]\n")
    RunFolder(folder.out, date(2022, 6, 30)).private.mkdir()
    found = seen_runs(folder.out, NOW, Expected(3))
    assert [run.state for run in found] == [Verdict.FAILED, Verdict.STOPPED]
    assert "journal.jsonl" in found[0].told


def as_another_user(look: Callable[[], bool]) -> bool:
    """What a process of a user without rights sees; of this one if it has none itself."""
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        os._exit(0 if look() else 1)
    return os.waitpid(child, 0)[1] == 0


def test_a_run_of_another_user_is_not_readable() -> None:
    """Its folder is private; whoever looks is told so, and sees the other runs."""
    with tempfile.TemporaryDirectory() as out:
        Path(out).chmod(0o755)
        folder = RunFolder(Path(out), DAY)
        folder.private.mkdir()
        put(folder)
        folder.private.chmod(0)
        assert as_another_user(
            lambda: [run.state for run in seen_runs(Path(out), NOW, Expected(3))] == [Verdict.CLOSED]
        )
        folder.private.chmod(0o700)


# What is late


def test_the_last_month_is_late_without_a_run(tmp_path: Path) -> None:
    """Nothing lies there, and that is the point: three whole days after its date it is listed."""
    assert seen_runs(tmp_path, LATE - timedelta(seconds=1), Expected(3)) == []
    (found,) = seen_runs(tmp_path, LATE, Expected(3))
    assert (found.date, found.state, found.late) == (DAY, Verdict.MISSING, "late: not complete 3 days after its date")
    assert seen_runs(tmp_path / "none", LATE, Expected(4)) == []
    assert seen_runs(tmp_path / "none", LATE, Expected(0))[0].late


def test_a_run_that_takes_too_long_is_late(folder: RunFolder) -> None:
    """Also while it runs; one that is complete is not."""
    put(folder, updated=LATE.isoformat())
    found = seen(folder, LATE)
    assert (found.state, bool(found.late)) == (Verdict.RUNNING, True)
    put(folder, state=State.COMPLETE)
    assert seen(folder, LATE).late is None


def test_earlier_months_are_never_late(tmp_path: Path) -> None:
    """The monitor would never be silent again."""
    RunFolder(tmp_path, date(2022, 5, 31)).private.mkdir()
    assert [run.late for run in seen_runs(tmp_path, LATE - timedelta(days=1), Expected(3))] == [None]


@pytest.mark.parametrize("state", [Verdict.DEAD, Verdict.SILENT, Verdict.FAILED])
def test_the_check_fails_for_what_somebody_should_look_at(state: Verdict) -> None:
    """Unless a later run is complete; a run that was stopped or goes on is no alarm."""
    bad = Seen(DAY, state, problem="full")
    earlier, later = (Seen(DAY + timedelta(days=days), Verdict.COMPLETE, is_done=True) for days in (-1, 1))
    for runs in ([bad], [bad, earlier]):
        with pytest.raises(RunLate, match=f"2022-07-31 is {state.value}: full") as caught:
            require_well(runs)
        assert caught.value.exit_code == 54
    require_well([later, bad])
    require_well([Seen(DAY, Verdict.RUNNING), Seen(DAY, Verdict.STOPPED), earlier])
    with pytest.raises(RunLate, match="late: so"):
        require_well([later, Seen(DAY, Verdict.MISSING, late="late: so")])


def test_a_run_is_archived_when_its_receipt_says_so(folder: RunFolder) -> None:
    """It is shown as such; a receipt that cannot be read is none."""
    put(folder, state=State.COMPLETE)
    receipt = folder.private / "archived.json"
    for text, shown in ((None, "complete"), ("{", "complete"), (json.dumps(RECEIPT), "archived")):
        if text:
            receipt.write_text(text, encoding="utf-8")
        found = seen(folder)
        assert (found.state, found.shown, found.as_json()["archived"]) == (
            Verdict.COMPLETE,
            shown,
            RECEIPT["archived"] if shown == "archived" else None,
        )
    assert ("archived", "2022-08-02 03:04 UTC") in facts_of(seen(folder))


def test_a_run_that_is_to_be_archived_is_late_until_it_is(folder: RunFolder) -> None:
    """And an upload that failed is an alarm before that, as it is not where nobody asks for one."""
    put(folder, state=State.FAILED, error="archive.org answers 403", exit_code=51)
    complete(folder)
    assert seen(folder, LATE).late is None
    require_well([seen(folder, LATE)])
    with pytest.raises(RunLate, match=r"2022-07-31 is complete: .*exit code 51: archive.org answers 403"):
        require_well([seen(folder, archive=True)])
    assert seen(folder, LATE, archive=True).late == "late: not archived 3 days after its date"
    (folder.private / "archived.json").write_text(json.dumps(RECEIPT), encoding="utf-8")
    require_well([seen(folder, LATE, archive=True)])


@pytest.mark.parametrize("changed", ["artifact", "sums"])
def test_a_run_is_not_archived_by_the_receipt_of_what_was_published_before(folder: RunFolder, changed: str) -> None:
    """Of a run that was made anew since, other files are at archive.org: it is late, and its failure is an alarm."""
    put(folder, state=State.FAILED, error="archive.org answers 403", exit_code=51)
    (folder.private / "archived.json").write_text(json.dumps(RECEIPT), encoding="utf-8")
    journal = Journal(folder.journal)
    journal.commit(Committed("dumps", [replace(CDUMP, sha256="new") if changed == "artifact" else CDUMP], {}, 12.0))
    journal.publish({"ol_dump_2022-07-31/SHA256SUMS": "new"} if changed == "sums" else {})
    found = seen(folder, LATE, archive=True)
    assert (found.shown, found.archived) == ("complete", None)
    assert found.late == "late: not archived 3 days after its date"
    with pytest.raises(RunLate, match="403"):
        require_well([seen(folder, archive=True)])


# Following


class Played:
    """Time in which statuses are put, one at each pause."""

    def __init__(self, folder: RunFolder, statuses: Iterator[Status | None]) -> None:
        """None: the status stays."""
        self.folder, self.statuses = folder, statuses

    def __call__(self, seconds: float) -> None:
        """Let the next one be put."""
        status = next(self.statuses)
        if status:
            put(self.folder, status)


def test_a_run_is_followed_until_it_ends(folder: RunFolder) -> None:
    """Whenever it changes, and not otherwise: through a status that is damaged for a moment, to its last one."""
    put(folder)
    folder.lock.write_bytes(Owner.ours().written())
    ended = replace(STATUS, state=State.FAILED, error="full", exit_code=31)
    played = Played(folder, iter([None, replace(STATUS, rows=2_000), None, ended]))
    looking = Looking(folder.out, Expected(3), clock=lambda: NOW, pause=played)
    assert looking.choose()
    found = [run for (run,) in looking.changes()]
    assert [run.status.rows for run in found if run.status] == [1_000, 2_000, 1_000]
    assert found[-1].told == "exit code 31: full"


def test_there_may_be_none_to_follow(folder: RunFolder) -> None:
    """None was named and none runs; one that was named and is not there is an error."""
    put(folder, state=State.COMPLETE)
    assert not Looking(folder.out, Expected(3), clock=lambda: NOW).choose()
    with pytest.raises(ConfigurationError, match="there is no run for 2021-01-31"):
        Looking(folder.out, Expected(3), date(2021, 1, 31), clock=lambda: NOW).now()


def test_machines_get_all_of_it(folder: RunFolder) -> None:
    """What was found, and the status as it is written."""
    put(folder, owner=DEAD)
    found = json.loads(json.dumps(seen(folder).as_json()))
    assert (found["date"], found["state"], found["status"]["state"]) == ("2022-07-31", "dead", "running")
    assert found["problem"]
    assert found["stages"][0]["steps"] == {"scatter": 10.0, "gather": 2.0}
