"""The four old commands, in the pipes that people have built with them, against `oldump run`."""

import gzip
import random
from pathlib import Path

import pytest

from commands.command import (
    DATE,
    Ran,
    assert_same_records,
    bash,
    cdump_of,
    failed,
    item_of,
    name_of,
    oldump,
    texts,
)
from commands.conftest import Table
from commands.expected import DATA
from reference import PARTS, dumps_of

NO_RECORDS = {
    "six columns": b"/type/work\t/works/OL1W\t1\t2010-01-01\t{}\t{}\n",
    "words": b"Reading from database ...\n",
}


@pytest.fixture(scope="module")
def piped(synth: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the old procedure has run, line by line as in issue 2."""
    folder = tmp_path_factory.mktemp("piped")
    (folder / "data.txt.gz").write_bytes(gzip.compress(synth.text, 1))
    (folder / "tmp").mkdir()
    for line in (
        f"$OLDUMP cdump data.txt.gz {DATE} | gzip -c > c.txt.gz",
        "gzip -cd c.txt.gz | $OLDUMP sort --tmpdir tmp | $OLDUMP dump | gzip -c > d.txt.gz",
        f"gzip -cd d.txt.gz | $OLDUMP split --format ol_dump_%s_{DATE}.txt.gz",
        "gzip -cd c.txt.gz | $OLDUMP sort | gzip -c > s.txt.gz",
    ):
        ran = bash(line, cwd=folder)
        assert (ran.code, ran.out) == (0, b""), ran.err
    return folder


def lines_of(path: Path) -> list[bytes]:
    """Return the lines of a gzip file."""
    return gzip.decompress(path.read_bytes()).splitlines(keepends=True)


def test_cdump_keeps_the_order_of_the_rows(synth: Table, piped: Path) -> None:
    """The records are those of `run`, in the order of the rows."""
    one_by_one = [dumps_of(line + b"\n", DATE).cdump for line in synth.text.split(b"\n")[:2_000]]
    expected = [record for record in one_by_one if record]
    assert_same_records(b"".join(lines_of(piped / "c.txt.gz")[: len(expected)]), b"".join(expected))


def test_cdump_and_sort_give_the_cdump_of_run(piped: Path, made: Path) -> None:
    """Byte for byte; cdump alone gives the same records."""
    of_run = lines_of(cdump_of(made))
    assert lines_of(piped / "s.txt.gz") == of_run
    assert sorted(lines_of(piped / "c.txt.gz")) == sorted(of_run)


def test_sort_and_dump_give_the_latest_of_run(piped: Path, made: Path) -> None:
    """The records are sorted by key; the dump of `run` has the same records, sorted by part first."""
    of_run = lines_of(item_of(made) / name_of(None))
    latest = lines_of(piped / "d.txt.gz")
    assert sorted(latest) == sorted(of_run)
    kept = set(latest)
    assert latest == [line for line in lines_of(cdump_of(made)) if line in kept]


@pytest.mark.parametrize("part", PARTS)
def test_split_gives_the_files_of_run(part: str, piped: Path, made: Path) -> None:
    """The .gz files and their indexes are equal, byte for byte."""
    for name in (name_of(part), f"{name_of(part)}.index"):
        assert (piped / name).read_bytes() == (item_of(made) / name).read_bytes()


def test_sort_leaves_no_intermediate_files(piped: Path) -> None:
    """It removes everything that it writes to --tmpdir."""
    assert list((piped / "tmp").iterdir()) == []


def test_the_commands_read_files_too(made: Path, tmp_path: Path) -> None:
    """A file argument, gzip or plain, has the same effect as standard input."""
    cdump = cdump_of(made)
    by_file = oldump("dump", cdump, cwd=tmp_path)
    by_pipe = oldump("dump", cwd=tmp_path, stdin=gzip.decompress(cdump.read_bytes()))
    assert (by_file.code, by_file.out) == (0, by_pipe.out), by_file.err
    (tmp_path / "c.txt").write_bytes(gzip.decompress(cdump.read_bytes()))
    assert oldump("sort", "c.txt", cwd=tmp_path).out == (tmp_path / "c.txt").read_bytes()
    dash = oldump("cdump", "-", DATE, cwd=tmp_path, stdin=(DATA / "table.txt").read_bytes())
    assert dash.out == oldump("cdump", DATA / "table.txt", DATE, cwd=tmp_path).out
    split = oldump("split", item_of(made) / name_of(None), "--format", "%s.txt", cwd=tmp_path)
    assert split.code == 0, split.err
    assert {part: (tmp_path / f"{part}.txt").read_bytes() for part in PARTS} == {
        part: text for part, text in texts(made).items() if part in PARTS
    }


def test_cdump_without_a_date_keeps_all(tmp_path: Path) -> None:
    """Without a date there is no cutoff, as in the old script; the year 9999 has the same effect."""
    table = DATA / "table.txt"
    without, late = oldump("cdump", table, cwd=tmp_path), oldump("cdump", table, "9999-12-31", cwd=tmp_path)
    assert b"2022-08-01T00:00:00" in without.out
    assert without.out == late.out
    assert len(without.out) > len(oldump("cdump", table, DATE, cwd=tmp_path).out)


def test_cdump_writes_a_file_of_rejects(tmp_path: Path) -> None:
    """By default rejects.txt.gz in the current folder; the log has their number."""
    ran = oldump("cdump", DATA / "table.txt", DATE, cwd=tmp_path)
    assert "11 not_three_columns" not in ran.err
    assert "not_three_columns" in ran.err
    assert gzip.decompress((tmp_path / "rejects.txt.gz").read_bytes()) == (DATA / "rejects.txt").read_bytes()
    oldump("cdump", DATA / "table.txt", DATE, "--rejects", "elsewhere.gz", cwd=tmp_path)
    assert (tmp_path / "elsewhere.gz").read_bytes() == (tmp_path / "rejects.txt.gz").read_bytes()


@pytest.mark.parametrize("workers", [1, 3])
def test_sort_accepts_any_order(workers: int, tmp_path: Path) -> None:
    """Its output has the order of the cdump."""
    cdump = (DATA / "cdump.txt").read_bytes()
    lines = cdump.splitlines(keepends=True)
    random.Random(7).shuffle(lines)
    ran = oldump("sort", "--workers", workers, cwd=tmp_path, stdin=b"".join(lines))
    assert (ran.code, ran.out) == (0, cdump), ran.err


def test_dump_refuses_records_that_are_not_in_order(tmp_path: Path) -> None:
    """The error names the first line out of order and has a hint."""
    lines = (DATA / "cdump.txt").read_bytes().splitlines(keepends=True)
    lines[3], lines[4] = lines[4], lines[3]
    ran = oldump("dump", cwd=tmp_path, stdin=b"".join(lines))
    failed(ran, 22, "standard input: line 5 (/authors/OL10A)", "oldump sort")


@pytest.mark.parametrize("command", ["sort", "dump", "split"])
@pytest.mark.parametrize("line", NO_RECORDS)
def test_a_line_that_is_not_a_record_is_named(command: str, line: str, tmp_path: Path) -> None:
    """For a stray log line: exit code 20, the line's number, and no part under its final name."""
    records = (DATA / "cdump.txt").read_bytes().splitlines(keepends=True)
    ran = oldump(command, cwd=tmp_path, stdin=b"".join([*records[:7], NO_RECORDS[line], *records[7:]]))
    failed(ran, 20, "standard input: line 8 is not a record")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["sort", "dump", "split"])
@pytest.mark.parametrize("revision", ["one", "NaN", "-Infinity", "1.5", " 1_0 "])
def test_a_revision_that_is_not_an_integer_is_named(command: str, revision: str, tmp_path: Path) -> None:
    """It has no place in the order, whatever numbers Python would accept."""
    record = b"/type/work\t/works/OL1W\t%b\t2010-01-01\t{}\n"
    records = record % b"1" + 2 * (record % revision.encode())
    failed(oldump(command, cwd=tmp_path, stdin=records), 20, "standard input: line 2 is not a record")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["cdump -", "sort", "dump", "split"])
def test_empty_input_is_an_error(command: str, tmp_path: Path) -> None:
    """When the previous step failed, its empty output must not give a result."""
    failed(oldump(*command.split(), cwd=tmp_path), 14, "standard input: ", "no r")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name_format", ["parts.txt.gz", "%s/%s.txt.gz"])
def test_split_needs_one_placeholder_in_the_name(name_format: str, tmp_path: Path) -> None:
    """Otherwise the parts would overwrite each other."""
    records = (DATA / "cdump.txt").read_bytes()
    failed(oldump("split", "--format", name_format, cwd=tmp_path, stdin=records), 2, "%s must occur once")


def test_split_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """One error line names the folder."""
    records = (DATA / "cdump.txt").read_bytes()
    failed(oldump("split", "--format", "no/%s.txt.gz", cwd=tmp_path, stdin=records), 30, "no/authors.txt.gz")


def ended_quietly(ran: Ran) -> bool:
    """Whether the command reported no error."""
    return "ERROR" not in ran.err and "Traceback" not in ran.err and "Exception" not in ran.err


@pytest.mark.parametrize(
    "command",
    ["cdump data.txt", "sort cdump.txt.gz", "dump cdump.txt.gz", "synth --rows 20000"],
)
def test_a_broken_pipe_ends_quietly(command: str, synth: Table, made: Path, tmp_path: Path) -> None:
    """`| head -1` is no error: the exit code is that of SIGPIPE, as for cat, without a message."""
    (tmp_path / "data.txt").symlink_to(synth.path)
    (tmp_path / "cdump.txt.gz").symlink_to(cdump_of(made))
    ran = bash(f"$OLDUMP {command} | head -1; exit ${{PIPESTATUS[0]}}", cwd=tmp_path)
    assert ran.out.count(b"\n") == 1
    assert ended_quietly(ran), ran.err
    assert ran.code == 141


@pytest.mark.parametrize(
    "command",
    ["cdump data.txt", "sort cdump.txt.gz", "dump cdump.txt.gz", "synth --rows 3000"],
)
def test_a_full_disk_at_standard_output_is_an_error(command: str, synth: Table, made: Path, tmp_path: Path) -> None:
    """Records that did not fit must not be lost silently."""
    (tmp_path / "data.txt").symlink_to(synth.path)
    (tmp_path / "cdump.txt.gz").symlink_to(cdump_of(made))
    failed(bash(f"$OLDUMP {command} > /dev/full", cwd=tmp_path), 31, "standard output: no space left")


def test_synth_is_the_same_for_the_same_arguments(tmp_path: Path) -> None:
    """The same number of rows or documents, seed, odd and broken rows give the same table."""
    arguments = ("synth", "--rows", 500, "--seed", 5, "--odd-rows", 10, "--broken-rows", 10)
    first = oldump(*arguments, cwd=tmp_path)
    assert (first.code, first.out.count(b"\n")) == (0, 500), first.err
    assert oldump(*arguments, cwd=tmp_path).out == first.out
    things = oldump("synth", "--things", 100, cwd=tmp_path)
    assert len({line.split(b"\t")[0] for line in things.out.splitlines()}) == 100


@pytest.mark.parametrize(
    "arguments", ["", "--rows 5 --things 5", "--rows 5 --odd-rows 6"], ids=["neither", "both", "too many odd"]
)
def test_synth_refuses_invalid_arguments(arguments: str, tmp_path: Path) -> None:
    """One line has a hint."""
    failed(oldump("synth", *arguments.split(), cwd=tmp_path), 2, "Give")
