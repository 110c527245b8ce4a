"""A full disk at any write site ends the run with one clear line and exit code 31, and the next run resumes."""

from pathlib import Path

import pytest

from commands.command import cdump_of, failed, private_of, published, run
from faults.driver import Rule
from faults.faulty import Faulty, Tries, arguments_of, has_published

DUMP, CDUMP = "*/ol_dump_2022-07-31/", "*/ol_cdump_2022-07-31/"
SITES = {
    "lock": Rule("ENOSPC", path="*/lock"),
    "journal, its first line": Rule("ENOSPC", path="*/journal.jsonl"),
    "journal, fsync": Rule("ENOSPC", "fsync", "*/journal.jsonl"),
    "run folder, fsync": Rule("ENOSPC", "fsync", "*/run-2022-07-31"),
    "item folders": Rule("ENOSPC", "mkdir", "*/making/*"),
    "spill folder": Rule("ENOSPC", "mkdir", "*/spill"),
    "spill": Rule("ENOSPC", path="*/spill/*/spill-*"),
    "rejects": Rule("ENOSPC", path="*/rejects.txt.gz.part"),
    "rejects' index": Rule("ENOSPC", path="*/rejects.txt.gz.index.part"),
    "cdump": Rule("ENOSPC", path=f"{CDUMP}*.txt.gz.part"),
    "a part": Rule("ENOSPC", path=f"{DUMP}*_works_*.txt.gz.part"),
    "an index": Rule("ENOSPC", path=f"{DUMP}*_editions_*.index.part"),
    "an artifact, fsync": Rule("ENOSPC", "fsync", f"{DUMP}*_lists_*.txt.gz.part"),
    "an artifact, rename": Rule("ENOSPC", "rename", f"{DUMP}*_other_*.txt.gz"),
    "an item folder, fsync": Rule("ENOSPC", "fsync", CDUMP.rstrip("/")),
    "journal, dumps": Rule("ENOSPC", path="*/journal.jsonl", nth=2),
    "dump": Rule("ENOSPC", path=f"{DUMP}ol_dump_2022-07-31.txt.gz.part"),
    "redirects": Rule("FULL", "sqlite", "*/redirects.sqlite"),
    "deworks' spill": Rule("ENOSPC", path="*/spill/*/spill-*"),
    "deworks' second spill": Rule("ENOSPC", path="*/spill/*/spill-*", process=3),
    "deworks": Rule("ENOSPC", path=f"{DUMP}*_deworks_*.txt.gz.part"),
    "checksums": Rule("ENOSPC", path=f"{DUMP}*SUMS.part"),
    "manifest": Rule("ENOSPC", path=f"{DUMP}manifest.json.part"),
    "publication, the first item": Rule("ENOSPC", "rename", "*/out/ol_*"),
    "publication, the second item": Rule("ENOSPC", "rename", "*/out/ol_*", nth=2),
    "output folder, fsync": Rule("ENOSPC", "fsync", "*/out"),
    "journal, published": Rule("ENOSPC", path="*/journal.jsonl"),
}
"""In the order in which a run reaches them: each try gets a little further than the one before."""


@pytest.fixture(scope="module")
def tries(tmp_path_factory: pytest.TempPathFactory) -> Tries:
    """Return the output folder that all write sites share."""
    return Tries(tmp_path_factory.mktemp("write-sites"))


@pytest.mark.parametrize("site", SITES)
def test_a_full_disk_at_a_write_site(site: str, table: Path, tries: Tries, faulty: Faulty) -> None:
    """The run ends with exit code 31 and an error that names the file; nothing is published too early."""
    rule = SITES[site]
    ran = tries.one(site, [rule], table, faulty)
    assert ran.code == 31, ran.err
    failed(ran, 31, "no space left", rule.path.split("*")[-1].removesuffix(".part"))
    assert "publi" in site or "output" in site or not has_published(tries.out)


def test_a_run_after_a_full_disk_at_every_write_site(table: Path, undisturbed: dict[str, bytes], tries: Tries) -> None:
    """Each try kept the stages committed before it, so the last run has nothing left to do."""
    tries.require(list(SITES))
    last = run(table, tries.out, cwd=tries.folder)
    assert "started" not in last.err
    assert published(tries.out) == undisturbed
    assert not list(tries.out.rglob("*.part"))


def test_a_log_or_status_that_cannot_be_written_does_not_fail_the_run(
    table: Path, undisturbed: dict[str, bytes], tmp_path: Path, faulty: Faulty
) -> None:
    """A log, status or history file that cannot be written does not fail a run; standard error reports it."""
    out = tmp_path / "out"
    rules = [Rule("ENOSPC", path=path) for path in ("*/run.log", "*/status.json.new", "*/history.jsonl")]
    ran = faulty(rules, *arguments_of(table, out), cwd=tmp_path)
    assert (ran.code, "Traceback" in ran.err) == (0, False), ran.err
    assert "cannot add this run to the history" in ran.err
    assert not (out / "run-2022-07-31" / "status.json").exists()
    assert published(out) == undisturbed


def test_a_full_disk_while_an_overfull_bucket_is_sorted(table: Path, tmp_path: Path, faulty: Faulty) -> None:
    """A full disk while a worker writes an overfull bucket's sorted runs is reported with the file's name."""
    code = (
        "import pathlib, sys; from unit.stages.making import OVERFULL, made; from oldump.errors import StorageFull\n"
        f"try: made(pathlib.Path({str(table)!r}), pathlib.Path('out'), budget=OVERFULL)\n"
        "except StorageFull as error: sys.exit(f'{error}')"
    )
    ran = faulty([Rule("ENOSPC", path="*/spill/*/runs-*")], "-c", code, cwd=tmp_path)
    assert (ran.code, "/spill/dumps/runs-" in ran.err, "no space left" in ran.err) == (1, True, True), ran.err
    ran = faulty([Rule("ENOSPC", path="nothing")], "-c", code, cwd=tmp_path)
    assert ran.code == 0, ran.err


def test_a_disk_that_fills_up_during_a_run_stops_it(
    table: Path, undisturbed: dict[str, bytes], tmp_path: Path, faulty: Faulty
) -> None:
    """A disk that fills up stops the run with the free and needed bytes; the run resumes once there is space."""
    out = tmp_path / "out"
    ran = faulty([Rule("FULL", "disk", nth=4)], *arguments_of(table, out), cwd=tmp_path)
    failed(ran, 31, "disk full: ", "has 1.0 kB free, the run still needs about", "Free space and rerun")
    assert "dumps: committed" in ran.err
    ran = run(table, out, cwd=tmp_path)
    assert "dumps: already committed" in ran.err
    assert published(out) == undisturbed


@pytest.mark.parametrize(
    "rule",
    [
        Rule("EROFS", "mkdir", "*/run-2022-07-31"),
        Rule("EROFS", path="*/lock"),
        Rule("EROFS", "mkdir", "*/making/*"),
        Rule("EROFS", "open", f"{CDUMP}*"),
    ],
    ids=["run folder", "lock", "item folders", "cdump"],
)
def test_a_read_only_file_system(
    rule: Rule, table: Path, undisturbed: dict[str, bytes], tmp_path: Path, faulty: Faulty
) -> None:
    """A file system that is or becomes read-only ends the run with exit code 30 and a hint."""
    out = tmp_path / "out"
    ran = faulty([rule], *arguments_of(table, out), cwd=tmp_path)
    failed(ran, 30, "Read-only file system", "Fix the cause and rerun")
    assert not cdump_of(out).exists()
    run(table, out, cwd=tmp_path)
    assert published(out) == undisturbed
    assert (private_of(out) / "rejects.txt.gz").exists()
