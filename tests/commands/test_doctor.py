"""`oldump doctor`: a table of all checks, the first failure's exit code, one error line; and nothing is changed."""

from pathlib import Path

from commands.command import DATE, Ran, failed, oldump, private_of
from commands.doctor import verdicts
from commands.secret import SECRET
from oldump.run.lock import locked


def doctor(source: object, cwd: Path, *more: object) -> Ran:
    """What it says of a run into cwd / "out"."""
    return oldump("doctor", DATE, "--source", source, "--out", "out", *more, cwd=cwd)


def test_all_is_well(small: Path, tmp_path: Path) -> None:
    """Exit code 0, nothing on standard error, no file made."""
    ran = doctor(small, tmp_path)
    assert (ran.code, ran.err) == (0, "")
    checked = ("lock", "output folder", "source", "disk", "memory", "kernel", "clock", "date")
    assert verdicts(ran) == dict.fromkeys(checked, "ok")
    assert list(tmp_path.iterdir()) == []


def test_the_disks_arithmetic_is_shown(small: Path, tmp_path: Path) -> None:
    """Of a file there is nothing to extract."""
    assert b"(estimate: spill " in doctor(small, tmp_path).out


def test_what_is_committed_needs_no_room(small: Path, complete: Path, tmp_path: Path) -> None:
    """A run that is complete needs none."""
    assert b"none needed" in doctor(small, tmp_path).out
    assert b" + dump " in oldump("doctor", "2022-06-30", "--source", small, "--out", complete, cwd=tmp_path).out


def test_warnings_fail_nothing(small: Path, tmp_path: Path) -> None:
    """Neither much memory nor a date to come."""
    ran = oldump("doctor", "2999-12-31", "--source", small, "--out", "out", "--memory", "100T", cwd=tmp_path)
    assert (ran.code, ran.err) == (0, "")
    assert {what for what, verdict in verdicts(ran).items() if verdict == "warning"} == {"memory", "date"}


def test_all_checks_are_shown_though_the_first_one_fails(tmp_path: Path) -> None:
    """Nobody is sent back for each of them; the first one gives the exit code. No password is shown."""
    ran = doctor(f"postgresql://me:{SECRET}@127.0.0.1:1/openlibrary", tmp_path)
    failed(ran, 2, "covers_metadata needs a connection", "--coverstore")
    assert b"Connection refused" in ran.out
    assert SECRET not in ran.err + ran.out.decode()
    failures = [what for what, verdict in verdicts(ran).items() if verdict == "failure"]
    assert failures == ["coverstore", "archive database", "database"]
    assert b"--skip covers_metadata" in ran.out
    assert list(verdicts(ran))[-5:] == ["disk", "memory", "kernel", "clock", "date"]


def test_a_stage_that_is_skipped_needs_no_database(tmp_path: Path) -> None:
    """Nor does one that is not chosen."""
    source = "host=127.0.0.1 port=1"
    assert "coverstore" not in verdicts(doctor(source, tmp_path, "--skip", "covers_metadata"))
    ran = doctor(source, tmp_path, "--only", "dumps", "--only", "splice")
    assert (ran.code, "database" in verdicts(ran)) == (0, False)


def test_a_run_that_another_process_works_on_is_busy(small: Path, tmp_path: Path) -> None:
    """And stays at work."""
    lock = private_of(tmp_path / "out") / "lock"
    lock.parent.mkdir(parents=True)
    with locked(lock):
        failed(doctor(small, tmp_path), 32, "another process works on this run (pid ")
    assert doctor(small, tmp_path).code == 0


def test_a_source_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With the exit code that a run would give."""
    failed(doctor("no.txt", tmp_path), 11, "no.txt: cannot be read")


def test_a_run_says_what_preflight_found(small: Path, tmp_path: Path) -> None:
    """In its log, for whoever asks afterwards how much was expected."""
    assert oldump("run", DATE, "--source", small, "--out", "out", cwd=tmp_path).code == 0
    log = (private_of(tmp_path / "out") / "run.log").read_text(encoding="utf-8")
    assert log.index("preflight: disk: out: ") < log.index("dumps: started")


def test_a_run_that_has_nothing_to_do_looks_at_nothing(small: Path, complete: Path, tmp_path: Path) -> None:
    """It is complete, whatever the disk is like."""
    ran = oldump("run", DATE, "--source", small, "--out", complete, cwd=tmp_path)
    assert (ran.code, "preflight" in ran.err) == (0, False)


def test_an_overwrite_that_fails_in_preflight_changes_nothing(small: Path, complete: Path, tmp_path: Path) -> None:
    """The run that is there stays complete, and can be given again."""
    (tmp_path / "data.txt").write_bytes(b"BZh91AY&SY" + bytes(40))
    before = (private_of(complete) / "journal.jsonl").read_bytes()
    ran = oldump("run", DATE, "--source", "data.txt", "--out", complete, "--overwrite", cwd=tmp_path)
    failed(ran, 12, "is bzip2")
    assert (private_of(complete) / "journal.jsonl").read_bytes() == before
    assert oldump("run", DATE, "--source", small, "--out", complete, cwd=tmp_path).code == 0
