"""`oldump doctor`: a table of all checks, one error line, the first failure's exit code, and nothing changed."""

from pathlib import Path

from commands.command import DATE, Ran, failed, oldump, private_of
from commands.doctor import verdicts
from commands.secret import SECRET
from oldump.run.lock import locked


def doctor(source: object, cwd: Path, *more: object) -> Ran:
    """Run `oldump doctor` for a run into cwd / "out"."""
    return oldump("doctor", DATE, "--source", source, "--out", "out", *more, cwd=cwd)


def test_all_checks_pass(small: Path, tmp_path: Path) -> None:
    """Exit code 0, nothing on standard error, no new file."""
    ran = doctor(small, tmp_path)
    assert (ran.code, ran.err) == (0, "")
    checked = ("lock", "output folder", "source", "disk", "memory", "kernel", "clock", "date")
    assert verdicts(ran) == dict.fromkeys(checked, "ok")
    assert list(tmp_path.iterdir()) == []


def test_the_disk_estimate_is_shown(small: Path, tmp_path: Path) -> None:
    """A file needs no space for extracted rows."""
    assert b"(estimate: spill " in doctor(small, tmp_path).out


def test_a_complete_run_needs_no_space(small: Path, complete: Path, tmp_path: Path) -> None:
    """Nothing remains to be written."""
    assert b"none needed" in doctor(small, tmp_path).out
    assert b" + dump " in oldump("doctor", "2022-06-30", "--source", small, "--out", complete, cwd=tmp_path).out


def test_warnings_do_not_fail(small: Path, tmp_path: Path) -> None:
    """The exit code is 0 with a large --memory or a date in the future."""
    ran = oldump("doctor", "2999-12-31", "--source", small, "--out", "out", "--memory", "100T", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert {what for what, verdict in verdicts(ran).items() if verdict == "warning"} == {"memory", "date"}


def test_all_checks_are_shown_though_the_first_one_fails(tmp_path: Path) -> None:
    """One call shows every problem; the first one gives the exit code. No password is shown."""
    ran = doctor(f"postgresql://me:{SECRET}@127.0.0.1:1/openlibrary", tmp_path)
    failed(ran, 2, "covers_metadata needs a connection", "--coverstore")
    assert b"Connection refused" in ran.out
    assert SECRET not in ran.err + ran.out.decode()
    failures = [what for what, verdict in verdicts(ran).items() if verdict == "failure"]
    assert failures == ["coverstore", "archive database", "database"]
    assert b"--skip covers_metadata" in ran.out
    assert list(verdicts(ran))[-5:] == ["disk", "memory", "kernel", "clock", "date"]


def test_a_skipped_stage_needs_no_database(tmp_path: Path) -> None:
    """The databases of skipped or unselected stages are not checked."""
    source = "host=127.0.0.1 port=1"
    assert "coverstore" not in verdicts(doctor(source, tmp_path, "--skip", "covers_metadata"))
    ran = doctor(source, tmp_path, "--only", "dumps", "--only", "splice")
    assert (ran.code, "database" in verdicts(ran)) == (0, False)


def test_a_run_in_use_is_reported_as_busy(small: Path, tmp_path: Path) -> None:
    """The check does not disturb the other process."""
    lock = private_of(tmp_path / "out") / "lock"
    lock.parent.mkdir(parents=True)
    with locked(lock):
        failed(doctor(small, tmp_path), 32, "another process works on this run (pid ")
    assert doctor(small, tmp_path).code == 0


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    """The exit code is the one that the run would have."""
    failed(doctor("no.txt", tmp_path), 11, "no.txt: cannot be read")


def test_the_log_has_the_result_of_preflight(small: Path, tmp_path: Path) -> None:
    """It shows later how much space was expected."""
    assert oldump("run", DATE, "--source", small, "--out", "out", cwd=tmp_path).code == 0
    log = (private_of(tmp_path / "out") / "run.log").read_text(encoding="utf-8")
    assert log.index("preflight: disk: out: ") < log.index("dumps: started")


def test_a_complete_run_skips_preflight(small: Path, complete: Path, tmp_path: Path) -> None:
    """A run with nothing to do succeeds, whatever the state of the disk."""
    ran = oldump("run", DATE, "--source", small, "--out", complete, cwd=tmp_path)
    assert (ran.code, "preflight" in ran.err) == (0, False)


def test_an_overwrite_that_fails_in_preflight_changes_nothing(small: Path, complete: Path, tmp_path: Path) -> None:
    """The existing run stays complete and can be rerun."""
    (tmp_path / "data.txt").write_bytes(b"BZh91AY&SY" + bytes(40))
    before = (private_of(complete) / "journal.jsonl").read_bytes()
    ran = oldump("run", DATE, "--source", "data.txt", "--out", complete, "--overwrite", cwd=tmp_path)
    failed(ran, 12, "is bzip2")
    assert (private_of(complete) / "journal.jsonl").read_bytes() == before
    assert oldump("run", DATE, "--source", small, "--out", complete, cwd=tmp_path).code == 0
