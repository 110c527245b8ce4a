"""Problems that an operator found: each stays fixed."""

import json
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from commands.command import DATE, Ran, bash, failed, final_names, item_of, oldump, private_of, started
from commands.processes import wait_for
from oldump.engine.blocks import SharedMemory, Source
from oldump.errors import SourceDamaged
from oldump.synth.table import copy_blocks


def run(source: object, out: object, *more: object, cwd: Path) -> Ran:
    """Run `oldump run`, which may fail."""
    return oldump("run", DATE, "--source", source, "--out", out, *more, cwd=cwd)


def test_a_table_truncated_within_a_row_is_refused(small: Path, tmp_path: Path) -> None:
    """When psql dies, half a row remains. The run fails and names the row instead of publishing the rest."""
    (tmp_path / "cut.txt").write_bytes(small.read_bytes()[:-20])
    failed(run(tmp_path / "cut.txt", tmp_path / "out", cwd=tmp_path), 12, "ends in the middle of row", "cut off")
    assert final_names(tmp_path / "out") == []
    failed(oldump("cdump", "cut.txt", cwd=tmp_path), 12, "ends in the middle of row")


def test_a_complete_last_row_needs_no_newline(small: Path, tmp_path: Path) -> None:
    """Some editors and tools omit it."""
    (tmp_path / "bare.txt").write_bytes(small.read_bytes().removesuffix(b"\n"))
    assert run(tmp_path / "bare.txt", tmp_path / "out", cwd=tmp_path).code == 0


@pytest.mark.parametrize("command", ["sort", "dump", "split"])
def test_truncated_records_are_refused(command: str, tmp_path: Path) -> None:
    """A previous step that died must not leave a record with truncated JSON."""
    record = b'/type/work\t/works/OL1W\t1\t2010-01-01T00:00:00\t{"title": "half'
    failed(oldump(command, cwd=tmp_path, stdin=record), 12, "ends in the middle of a record")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """An export that is still running is incomplete."""
    path = tmp_path / "data.txt"
    path.write_bytes(b"1\t1\t{}\n")
    source = Source(path, SharedMemory(1))
    source.require_unchanged()
    with path.open("ab") as stream:
        stream.write(b"2\t1\t{}\n")
    with pytest.raises(SourceDamaged, match="changed while it was read"):
        source.require_unchanged()


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS", "MD5SUMS", "ol_dump_works_2022-07-31.txt.gz.index"])
@pytest.mark.parametrize("harm", ["removed", "changed"])
def test_a_complete_run_has_every_file(name: str, harm: str, complete: Path, small: Path, tmp_path: Path) -> None:
    """A run is complete only with every file, not with its artifacts alone."""
    path = item_of(complete) / name
    path.unlink() if harm == "removed" else path.write_bytes(path.read_bytes() + b"\n")
    failed(run(small, complete, cwd=tmp_path), 30, name)


def test_overwrite_with_selected_stages_is_refused(complete: Path, small: Path, tmp_path: Path) -> None:
    """It would discard committed artifacts and then miss them."""
    before = (private_of(complete) / "journal.jsonl").read_bytes()
    failed(run(small, complete, "--overwrite", "--only", "splice", cwd=tmp_path), 2, "--overwrite", "--only")
    assert (private_of(complete) / "journal.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "source", ["postgresql:/reader:geheim@h/db", "reader:geheim@h/db", "postgres//reader:geheim@h"]
)
def test_a_mistyped_connection_is_not_shown(source: str, tmp_path: Path) -> None:
    """It may contain a password."""
    ran = run(source, tmp_path / "out", cwd=tmp_path)
    assert ran.code in (2, 11)
    assert "geheim" not in ran.err
    assert not any(b"geheim" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_the_private_folder_is_private(complete: Path) -> None:
    """The private folder contains the whole table, beside the published files."""
    assert stat.S_IMODE(private_of(complete).stat().st_mode) == 0o700


def test_cdump_keeps_an_existing_rejects_file(small: Path, tmp_path: Path) -> None:
    """Without rejects of its own, it leaves the file alone."""
    (tmp_path / "rejects.txt.gz").write_bytes(b"a run's own")
    clean = (
        b'1\t1\t{"key": "/works/OL1W", "type": {"key": "/type/work"}, "revision": 1, "last_modified": {"value": "2"}}\n'
    )
    assert oldump("cdump", "-", cwd=tmp_path, stdin=clean).code == 0
    assert (tmp_path / "rejects.txt.gz").read_bytes() == b"a run's own"


def test_sighup_stops_as_sigterm_does(tmp_path: Path) -> None:
    """When the terminal is gone (7369): exit code, log message, spill removed."""
    (tmp_path / "data.txt").write_bytes(b"".join(copy_blocks(25_000)))
    with started("run", "2022-07-31", "--source", "data.txt", "--out", "out", cwd=tmp_path) as process:
        log = private_of(tmp_path / "out") / "run.log"
        assert wait_for(lambda: log.exists() and b"started" in log.read_bytes())
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=10)
    assert process.returncode == 129
    assert "SIGHUP" in log.read_text()
    assert not (private_of(tmp_path / "out") / "spill").exists()


@pytest.mark.parametrize("closed", ["2>&-", ">&-"])
def test_a_closed_stream_fails_nothing(closed: str, small: Path, tmp_path: Path) -> None:
    """Cron jobs may start with closed standard streams."""
    line = f"{sys.executable} -m oldump run 2022-07-31 --source {small} --out {tmp_path / 'out'} {closed}"
    assert subprocess.run(["bash", "-c", line], cwd=tmp_path, check=False, capture_output=True).returncode == 0


def test_a_journal_of_another_version_is_named(small: Path, tmp_path: Path) -> None:
    """Another version's journal is reported by name, not as a bug."""
    private = private_of(tmp_path / "out")
    private.mkdir(parents=True)
    (private / "journal.jsonl").write_bytes(b'{"event": "committed", "stage": "dumps"}\n')
    failed(run(small, tmp_path / "out", cwd=tmp_path), 30, "journal.jsonl", "line 1")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_do_not_depend_on_the_umask(small: Path, tmp_path: Path, umask: int) -> None:
    """What is published is readable for all, what is private for the owner only."""
    table = tmp_path / "table.txt"
    table.write_bytes(small.read_bytes() + b"no row\n")
    out, maps = tmp_path / "new" / "out", tmp_path / "maps"
    line = f"umask {umask:o}; $OLDUMP run {DATE} --source {table} --out {out} --sitemaps {maps}"
    line += f" && $OLDUMP cdump {table} --rejects own.txt.gz > cdump.txt"
    ran = bash(f"export OLDUMP_GATE_NEWEST_DAYS=1000000; {line}", tmp_path)
    assert ran.code == 0, ran.err
    public = [out.parent, out, *(path for item in out.glob("ol_*") for path in (item, *item.iterdir()))]
    public += [maps, *maps.glob("*.gz")]
    assert len(public) > 20
    for path in public:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path
    private = private_of(out)
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    rejects = [*private.glob("rejects*"), *tmp_path.glob("own.txt.gz*")]
    assert len(rejects) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in rejects} == {0o600}


def test_a_date_that_has_not_ended_needs_a_reason(small: Path, tmp_path: Path) -> None:
    """Edits of the rest of the day would be missing. The manifest says so, also if the run ends on another day."""
    arguments = ("run", "2999-12-31", "--source", small, "--out", "out")
    failed(oldump(*arguments, cwd=tmp_path), 2, "2999-12-31 is not over yet", "--override-gate REASON")
    ran = oldump(*arguments, "--override-gate", "the server moves tonight", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert "WARNING 2999-12-31 is not over" in ran.err
    gate = json.loads((tmp_path / "out" / "ol_dump_2999-12-31" / "manifest.json").read_bytes())["gate"]
    assert [finding["rule"] for finding in gate["findings"]] == ["unfinished"]
    assert gate["override"] == "the server moves tonight"
