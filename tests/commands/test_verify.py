"""`oldump verify` on complete and on damaged runs."""

import shutil
from pathlib import Path

import pytest

from commands.command import DATE, Ran, oldump, run
from damaged.damage import lines_of, remake
from oldump.synth.table import copy_blocks

WORKS = f"ol_dump_works_{DATE}.txt.gz"


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with a complete run. Copy it before use."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "data.txt").write_bytes(b"".join(copy_blocks(600)))
    run("data.txt", "out", cwd=folder)
    return folder / "out"


@pytest.fixture
def out(once: Path, tmp_path: Path) -> Path:
    """The test's own output folder with the run."""
    return shutil.copytree(once, tmp_path / "out")


def verify(folder: Path, *more: str) -> Ran:
    """Run `oldump verify FOLDER`."""
    return oldump("verify", folder, *more, cwd=folder.parent)


def damage(out: Path) -> None:
    """Change a byte in the middle of the works."""
    path = out / f"ol_dump_{DATE}" / WORKS
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("more", [(), ("--quick",)])
def test_a_complete_run_gets_one_line(out: Path, more: tuple[str, ...]) -> None:
    """There are no findings, and the line says so."""
    ran = verify(out, *more)
    assert ran.code == 0, ran.err
    assert b"nothing found" in ran.out + ran.err.encode()


@pytest.mark.parametrize("more", [(), ("--quick",)])
def test_a_damaged_run_gets_a_table_and_a_code_of_its_own(out: Path, more: tuple[str, ...]) -> None:
    """Quick and full check find a flipped bit, name the file and exit with 40."""
    damage(out)
    ran = verify(out, *more)
    assert ran.code == 40
    assert WORKS in ran.out.decode()


def test_quick_reads_no_records_and_says_so(out: Path) -> None:
    """Only the full check finds an invalid line in a file with matching sums."""
    item = out / f"ol_dump_{DATE}"
    first, *rest = lines_of(item / WORKS)
    remake(item / WORKS, [first.replace(b'": ', b'":  ', 1), *rest], item)
    assert b"non-canonical" not in verify(out, "--quick").out
    ran = verify(out)
    assert ran.code == 40
    assert b"non-canonical" in ran.out


def test_a_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    """The error says which folder is expected."""
    (tmp_path / "empty").mkdir()
    ran = verify(tmp_path / "empty")
    assert ran.code == 2
    assert "empty" in ran.err


def test_one_of_several_items_must_be_named(out: Path) -> None:
    """The error lists them."""
    shutil.copytree(out / f"ol_dump_{DATE}", out / "ol_dump_2022-06-30")
    ran = verify(out)
    assert ran.code == 2
    assert "2022-06-30" in ran.err
    assert DATE in ran.err
