"""What an operator ran into: each stays mended."""

import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands.command import DATE, Ran, failed, final_names, item_of, oldump, private_of, started
from oldump.engine.blocks import SharedMemory, Source
from oldump.errors import SourceDamaged
from oldump.synth.table import copy_blocks


def run(source: object, out: object, *more: object, cwd: Path) -> Ran:
    """What comes of a run, well or badly."""
    return oldump("run", DATE, "--source", source, "--out", out, *more, cwd=cwd)


def test_a_table_cut_off_in_mid_row_is_refused(small: Path, tmp_path: Path) -> None:
    """Psql that dies leaves half a row: the run fails, and says which row, rather than publishing what there is."""
    (tmp_path / "cut.txt").write_bytes(small.read_bytes()[:-20])
    failed(run(tmp_path / "cut.txt", tmp_path / "out", cwd=tmp_path), 12, "ends in the middle of row", "cut off")
    assert final_names(tmp_path / "out") == []
    failed(oldump("cdump", "cut.txt", cwd=tmp_path), 12, "ends in the middle of row")


def test_a_last_row_that_is_whole_needs_no_newline(small: Path, tmp_path: Path) -> None:
    """Some editors and tools leave it away."""
    (tmp_path / "bare.txt").write_bytes(small.read_bytes().removesuffix(b"\n"))
    assert run(tmp_path / "bare.txt", tmp_path / "out", cwd=tmp_path).code == 0


@pytest.mark.parametrize("command", ["sort", "dump", "split"])
def test_records_cut_off_are_refused(command: str, tmp_path: Path) -> None:
    """A step before that died must not become a record whose JSON ends anywhere."""
    record = b'/type/work\t/works/OL1W\t1\t2010-01-01T00:00:00\t{"title": "half'
    failed(oldump(command, cwd=tmp_path, stdin=record), 12, "ends in the middle of a record")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """An export that still runs is not whole."""
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
def test_a_complete_run_is_all_there(name: str, harm: str, complete: Path, small: Path, tmp_path: Path) -> None:
    """Complete means every file, not the artifacts alone."""
    path = item_of(complete) / name
    path.unlink() if harm == "removed" else path.write_bytes(path.read_bytes() + b"\n")
    failed(run(small, complete, cwd=tmp_path), 30, name)


def test_overwrite_with_a_choice_of_stages_is_refused(complete: Path, small: Path, tmp_path: Path) -> None:
    """It would forget what is committed, and then lack it."""
    before = (private_of(complete) / "journal.jsonl").read_bytes()
    failed(run(small, complete, "--overwrite", "--only", "splice", cwd=tmp_path), 2, "--overwrite", "--only")
    assert (private_of(complete) / "journal.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "source", ["postgresql:/reader:geheim@h/db", "reader:geheim@h/db", "postgres//reader:geheim@h"]
)
def test_a_mistyped_connection_is_not_repeated(source: str, tmp_path: Path) -> None:
    """It may have a password in it."""
    ran = run(source, tmp_path / "out", cwd=tmp_path)
    assert ran.code in (2, 11)
    assert "geheim" not in ran.err
    assert not any(b"geheim" in path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())


def test_the_private_folder_is_private(complete: Path) -> None:
    """The whole table lies in it, beside what is published."""
    assert stat.S_IMODE(private_of(complete).stat().st_mode) == 0o700


def test_cdump_deletes_nobodys_rejects(small: Path, tmp_path: Path) -> None:
    """Without rejects of its own it leaves such a file alone."""
    (tmp_path / "rejects.txt.gz").write_bytes(b"a run's own")
    clean = (
        b'1\t1\t{"key": "/works/OL1W", "type": {"key": "/type/work"}, "revision": 1, "last_modified": {"value": "2"}}\n'
    )
    assert oldump("cdump", "-", cwd=tmp_path, stdin=clean).code == 0
    assert (tmp_path / "rejects.txt.gz").read_bytes() == b"a run's own"


def test_hanging_up_stops_as_sigterm_does(tmp_path: Path) -> None:
    """A terminal that is gone (7369): exit code, message in the log, spill removed."""
    (tmp_path / "data.txt").write_bytes(b"".join(copy_blocks(25_000)))
    with started("run", "2022-07-31", "--source", "data.txt", "--out", "out", cwd=tmp_path) as process:
        log = private_of(tmp_path / "out") / "run.log"
        while process.poll() is None and not (log.exists() and b"started" in log.read_bytes()):
            time.sleep(0.001)
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=10)
    assert process.returncode == 129
    assert "SIGHUP" in log.read_text()
    assert not (private_of(tmp_path / "out") / "spill").exists()


@pytest.mark.parametrize("closed", ["2>&-", ">&-"])
def test_a_closed_stream_ends_nothing(closed: str, small: Path, tmp_path: Path) -> None:
    """Cron jobs are started in all sorts of ways."""
    line = f"{sys.executable} -m oldump run 2022-07-31 --source {small} --out {tmp_path / 'out'} {closed}"
    assert subprocess.run(["bash", "-c", line], cwd=tmp_path, check=False, capture_output=True).returncode == 0


def test_a_journal_of_another_shape_is_named(small: Path, tmp_path: Path) -> None:
    """Another version's journal is no bug of this one's."""
    private = private_of(tmp_path / "out")
    private.mkdir(parents=True)
    (private / "journal.jsonl").write_bytes(b'{"event": "committed", "stage": "dumps"}\n')
    failed(run(small, tmp_path / "out", cwd=tmp_path), 30, "journal.jsonl", "line 1")


def test_a_date_that_has_not_ended_is_warned_of(small: Path, tmp_path: Path) -> None:
    """What is written later that day would be missing."""
    ran = oldump("run", "2999-12-31", "--source", small, "--out", "out", cwd=tmp_path)
    assert ran.code == 0
    assert "WARNING 2999-12-31 is not over" in ran.err
