"""Bad input and bad settings give one clear error line and a documented exit code; no traceback, no final file."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands.command import (
    COMMAND,
    DATE,
    SECONDS,
    Ran,
    environment,
    failed,
    final_names,
    oldump,
    private_of,
)
from commands.secret import SECRET
from oldump.errors import OldumpError
from oldump.pipeline import runner
from oldump.pipeline.choice import choose
from oldump.run.progress import NoProgress
from oldump.settings import Settings, date_of
from oldump.synth.table import copy_blocks

# Root may read and write every file, unless it gives up these capabilities: CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
# (capabilities(7)). PR_CAPBSET_DROP, prctl(2), removes them from every program executed afterwards.
_WITHOUT_PRIVILEGES = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for capability in (1, 2):
    if os.geteuid() == 0 and libc.prctl(24, capability, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
os.execv(sys.argv[1], sys.argv[1:])
"""


def unprivileged(*arguments: object, cwd: Path) -> Ran:
    """Run oldump as a user whom file modes restrict."""
    line = [sys.executable, "-c", _WITHOUT_PRIVILEGES, *COMMAND, *map(str, arguments)]
    ran = subprocess.run(line, cwd=cwd, env=environment(), capture_output=True, timeout=SECONDS, check=False)
    return Ran(ran.returncode, ran.stdout, ran.stderr.decode())


def try_run(source: object, cwd: Path, *more: object) -> Ran:
    """Run `oldump run` into cwd / "out"."""
    return oldump("run", DATE, "--source", source, "--out", "out", *more, cwd=cwd)


def damaged(name: str, rows: bytes) -> tuple[bytes, int, str]:
    """Return damaged sources: bytes, the expected exit code, and words of the expected error."""
    zipped = gzip.compress(rows, 6)
    middle = len(zipped) // 2
    kinds = {
        "truncated": (zipped[:middle], 12, "truncated"),
        "without its trailer": (zipped[:-8], 12, "truncated"),
        "second member truncated": (zipped + zipped[:middle], 12, "truncated"),
        "only the header": (zipped[:10], 12, "truncated"),
        "a bit flipped": (zipped[:middle] + bytes([zipped[middle] ^ 4]) + zipped[middle + 1 :], 12, "damaged gzip"),
        "a wrong checksum": (zipped[:-8] + bytes(4) + zipped[-4:], 12, "damaged gzip"),
        "text after the end": (zipped + b"and so on", 12, "damaged gzip"),
        "bzip2": (b"BZh91AY&SY" + bytes(40), 12, "is bzip2"),
        "zstd": (b"\x28\xb5\x2f\xfd" + bytes(40), 12, "is zstd"),
        "rows after the end": (rows + b"\\.\n" + rows, 12, "text follows the end-of-data marker"),
        "empty": (b"", 14, "no row"),
        "empty, compressed": (gzip.compress(b""), 14, "contains no rows"),
        "only the end-of-data marker": (b"\\.\n", 14, "contains no rows"),
        "only private pages": (_USER_PAGE, 14, "became a record"),
        "another table": (b"1\tWant to Read\tto be read\tf\t\\N\n" * 1001, 21, "1,001 not_three_columns"),
    }
    return kinds[name]


_USER_PAGE = (
    b'1\t1\t{"key": "/people/me", "type": {"key": "/type/user"}, '
    b'"last_modified": {"type": "/type/datetime", "value": "2010-01-01"}, "revision": 1}\n'
)
DAMAGES = (
    "truncated",
    "without its trailer",
    "second member truncated",
    "only the header",
    "a bit flipped",
    "a wrong checksum",
    "text after the end",
    "bzip2",
    "zstd",
    "rows after the end",
    "empty",
    "empty, compressed",
    "only the end-of-data marker",
    "only private pages",
    "another table",
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_source_fails_the_run(damage: str, small: Path, tmp_path: Path) -> None:
    """The error names it, with its exit code; nothing is made from its beginning."""
    content, code, words = damaged(damage, small.read_bytes())
    (tmp_path / "data.txt.gz").write_bytes(content)
    ran = try_run("data.txt.gz", tmp_path)
    failed(ran, code, "data.txt.gz", words)
    assert final_names(tmp_path) == []
    assert not (private_of(tmp_path / "out") / "spill").exists()


@pytest.mark.parametrize("damage", ["a bit flipped", "empty"])
def test_a_damaged_source_fails_cdump(damage: str, small: Path, tmp_path: Path) -> None:
    """From standard input too, the exit code tells a pipe's other commands."""
    content, code, words = damaged(damage, small.read_bytes())
    failed(oldump("cdump", "-", DATE, cwd=tmp_path, stdin=content), code, "standard input", words)


@pytest.mark.parametrize("harm", ["truncated", "a bit flipped", "index of another file", "index that is none"])
def test_damaged_seekable_gzip_fails_the_run(harm: str, complete: Path, tmp_path: Path) -> None:
    """A seekable gzip file is read segment by segment through its index; each segment is checked."""
    made = complete / f"ol_cdump_{DATE}" / f"ol_cdump_{DATE}.txt.gz"
    path = tmp_path / "records.txt.gz"
    data = bytearray(made.read_bytes())
    index = made.with_name(made.name + ".index").read_bytes()
    if harm == "a bit flipped":
        data[len(data) // 2] ^= 4
    path.write_bytes(data[: len(data) // 2] if harm == "truncated" else data)
    lines = {
        "index of another file": index.splitlines()[0] + b"\n/a\t1\t10\t5\t5\t00000000\n",
        "index that is none": b"?",
    }
    path.with_name(path.name + ".index").write_bytes(lines.get(harm, index))
    ran = oldump("sort", path, cwd=tmp_path)
    failed(ran, 12, "records.txt.gz")
    assert ran.out == b""


def missing(folder: Path) -> Path:
    """A file that does not exist."""
    return folder / "data.txt.gz"


def below_a_file(folder: Path) -> Path:
    """A path that uses a file as a folder."""
    (folder / "file").write_bytes(b"")
    return folder / "file" / "data.txt.gz"


def a_folder(folder: Path) -> Path:
    """A folder in place of a file."""
    (folder / "data.txt.gz").mkdir()
    return folder / "data.txt.gz"


def a_dangling_link(folder: Path) -> Path:
    """A link to a missing file."""
    (folder / "data.txt.gz").symlink_to("gone")
    return folder / "data.txt.gz"


def a_loop(folder: Path) -> Path:
    """A link to itself."""
    (folder / "data.txt.gz").symlink_to("data.txt.gz")
    return folder / "data.txt.gz"


def too_long(folder: Path) -> Path:
    """A name longer than any file name may be."""
    return folder / ("long" * 100)


PLACES = [missing, below_a_file, a_folder, a_dangling_link, a_loop, too_long]


@pytest.mark.parametrize(
    ("command", "make"), [("run", make) for make in PLACES] + [("cdump", make) for make in (a_folder, too_long)]
)
def test_a_source_that_cannot_be_read_is_named(make: Callable[[Path], Path], command: str, tmp_path: Path) -> None:
    """Exit code 10 or 11, and the path."""
    path = make(tmp_path)
    ran = try_run(path, tmp_path) if command == "run" else oldump("cdump", path, DATE, cwd=tmp_path)
    failed(ran, 10 if command == "cdump" and make in (a_loop, too_long) else 11, str(path))
    assert final_names(tmp_path / "out") == []


def test_a_source_without_read_permission_is_named(small: Path, tmp_path: Path) -> None:
    """This holds when root runs the tests too: root drops its capabilities first."""
    path = tmp_path / "data.txt"
    path.write_bytes(small.read_bytes())
    path.chmod(0)
    ran = unprivileged("run", DATE, "--source", path, "--out", tmp_path / "out", cwd=tmp_path)
    failed(ran, 11, str(path), "Permission denied")


def test_a_source_with_a_read_error_is_named(tmp_path: Path) -> None:
    """/proc/self/mem fails like a bad sector at offset 0: with an input/output error."""
    failed(try_run("/proc/self/mem", tmp_path), 10, "/proc/self/mem", "Input/output error")


def test_an_output_folder_without_write_permission_is_named(small: Path, tmp_path: Path) -> None:
    """A storage error, before any work."""
    (tmp_path / "out").mkdir(mode=0o555)
    ran = unprivileged("run", DATE, "--source", small, "--out", tmp_path / "out", cwd=tmp_path)
    failed(ran, 30, str(tmp_path / "out"), "Permission denied")


def test_an_output_folder_that_is_a_file_is_named(small: Path, tmp_path: Path) -> None:
    """A storage error, before any work."""
    (tmp_path / "out").write_bytes(b"")
    failed(try_run(small, tmp_path), 30, "out/run-", "Not a directory")


@pytest.mark.parametrize("date", ["2022-02-30", ""])
@pytest.mark.parametrize("command", ["run", "cdump", "plan"])
def test_a_bad_date_is_refused(date: str, command: str, small: Path, tmp_path: Path) -> None:
    """The empty date that a script passes if a variable is unset is refused too: it must not mean "no cutoff"."""
    arguments = ("cdump", small, date) if command == "cdump" else (command, date, "--source", small, "--out", "out")
    ran = oldump(*arguments, cwd=tmp_path)
    failed(ran, 2, f"{date!r} is not a date")
    assert list(tmp_path.iterdir()) == []


def test_a_bad_setting_is_refused(small: Path, tmp_path: Path) -> None:
    """Exit code 2, whatever the setting's source. tests/unit/test_settings.py covers all kinds."""
    failed(try_run(small, tmp_path, "--memory", "much"), 2, "memory: 'much' is not a size", "Check --memory")
    arguments = ("run", DATE, "--source", small, "--out", "out")
    failed(oldump(*arguments, cwd=tmp_path, env={"OLDUMP_WORKERS": "many"}), 2, "OLDUMP_WORKERS")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "oldump.toml").write_text("wrokers = 2", encoding="utf-8")
    failed(try_run(small, tmp_path), 2, "wrokers", "oldump.toml")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("flags", ["--no-such", "--workers two", "--date 2022-07-31", "--only"])
def test_an_unknown_flag_is_refused(flags: str, tmp_path: Path) -> None:
    """Usage errors of the command line have exit code 2 as well."""
    ran = oldump("run", *flags.split(), cwd=tmp_path)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("most", [0, 4, 5])
def test_too_many_rejects_fail_the_run(most: int, small: Path, tmp_path: Path) -> None:
    """One reject too many: exit code 21, nothing committed, and the error names the file of rejects and reasons."""
    data = tmp_path / "data.txt"
    data.write_bytes(small.read_bytes() + b"1\t1\t[]\n" * 5)
    ran = try_run(data, tmp_path, "--max-rejects", most)
    if most == 5:
        assert ran.code == 0, ran.err
        return
    error = failed(ran, 21, f"more than {most} rows cannot become records", "not_a_json_object", "--max-rejects")
    rejects = private_of(tmp_path / "out") / "rejects.txt.gz"
    assert str(private_of(Path("out")) / "rejects.txt.gz") in error
    lines = gzip.decompress(rejects.read_bytes()).splitlines()
    assert lines == [b"%d\tnot_a_json_object\t1\t1\t[]" % (601 + place) for place in range(most + 1)]
    assert final_names(tmp_path) == []
    assert b"committed" not in (private_of(tmp_path / "out") / "journal.jsonl").read_bytes()


def test_a_failed_run_can_be_rerun(small: Path, tmp_path: Path) -> None:
    """For example with a larger --max-rejects: it resumes as if it had not failed."""
    data = tmp_path / "data.txt"
    data.write_bytes(small.read_bytes() + b"1\t1\t[]\n" * 5)
    failed(try_run(data, tmp_path, "--max-rejects", 4), 21)
    assert try_run(data, tmp_path, "--max-rejects", 5).code == 0


def test_a_file_name_may_be_any_bytes(tmp_path: Path) -> None:
    """A name that is not UTF-8 appears in log and manifest with its invalid bytes escaped."""
    path = tmp_path / os.fsdecode(b"caf\xe9.txt")
    path.write_bytes(b"".join(copy_blocks(100)))
    ran = try_run(path, tmp_path)
    assert ran.code == 0, ran.err
    assert "Traceback" not in ran.err
    failed(try_run(os.fsdecode(b"\xe9.txt"), tmp_path / "out"), 11, "\\udce9.txt")


ONE_DATABASE = ("--skip", "covers_metadata", "--skip", "ia-metadata")
"""Options for a run that has the source's database only."""
SECRET_SOURCES = {
    "URI": (f"postgresql://me:{SECRET}@127.0.0.1:1/openlibrary", 13),
    "URI with parameters": (f"postgresql://me@127.0.0.1:1/openlibrary?password={SECRET}", 13),
    "words": (f"host=127.0.0.1 port=1 dbname=openlibrary user=me password={SECRET}", 13),
    "misspelled scheme": (f"postgress://me:{SECRET}@127.0.0.1:1/openlibrary", 2),
    "misspelled words": (f"hots=127.0.0.1 password={SECRET}", 2),
    "no port": (f"postgresql://me:{SECRET}@127.0.0.1:port/openlibrary", 13),
    "slash in the password": (f"postgresql://me:a/{SECRET}@127.0.0.1:1/openlibrary", 2),
    "at in the password": (f"postgresql://me:a@{SECRET}@127.0.0.1:1/openlibrary", 2),
    "unfinished": (f"postgresql://me:{SECRET}@[127.0.0.1:1/openlibrary", 2),
    "unquoted blank": (f"host=127.0.0.1 port=1 password=a {SECRET}", 2),
}


@pytest.mark.parametrize("kind", SECRET_SOURCES)
def test_no_password_is_in_an_error(kind: str, tmp_path: Path) -> None:
    """Neither if the database is unreachable nor if the connection string is invalid: not even the password's end."""
    source, code = SECRET_SOURCES[kind]
    settings = Settings.of(source=source, out=tmp_path / "out")
    with pytest.raises(OldumpError) as caught:
        runner.run(settings, date_of(DATE), choose(["extract"], [], settings), NoProgress())
    assert caught.value.exit_code == code
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in each for each in (str(caught.value).encode(), *written))
    assert ("127.0.0.1" in str(caught.value)) == (code == 13)


@pytest.mark.parametrize("kind", ["URI", "misspelled scheme"])
def test_no_password_is_in_any_output(kind: str, tmp_path: Path) -> None:
    """The command shows it in neither output, log nor journal."""
    source, code = SECRET_SOURCES[kind]
    ran = try_run(source, tmp_path, *ONE_DATABASE)
    failed(ran, code)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in each for each in (ran.err.encode(), ran.out, *written))
    assert final_names(tmp_path) == []
    assert ("every user of this machine can read the password in --source" in ran.err) == (kind == "URI")


def test_an_unreachable_database_is_named(tmp_path: Path) -> None:
    """The error has host and port; no server listens on port 1."""
    ran = try_run("host=127.0.0.1 port=1 dbname=openlibrary", tmp_path, *ONE_DATABASE)
    failed(ran, 13, "host=127.0.0.1 port=1", "Connection refused")
    ran = try_run(f"host={tmp_path}/no dbname=openlibrary", tmp_path, *ONE_DATABASE, "--overwrite")
    failed(ran, 13, "No such file")
