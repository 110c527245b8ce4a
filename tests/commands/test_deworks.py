"""`oldump deworks DUMP IA_METADATA`, and the stage in `oldump run`: the same bytes from both, and how they fail."""

import gzip
import json
from pathlib import Path

import pytest

from commands.command import (
    Ran,
    bash,
    failed,
    final_names,
    item_of,
    name_of,
    oldump,
    published,
    run,
    texts,
)
from commands.expected import DATA
from deworks_reference import deworks_of, same_line

WAYS = {
    "1 worker": ("--workers", 1),
    "3 workers": ("--workers", 3),
    "least memory": ("--workers", 3, "--memory", "192M"),
}

DUMP = rb"""
/type/author	/authors/OL1A	1	2010-01-01T00:00:00	{"key": "/authors/OL1A", "name": "A\u00e9"}
/type/edition	/books/OL9M	1	2010-01-01T00:00:00	{"key": "/books/OL9M", "works": [{"key": "/works/OL1W"}], "ocaid": "known"}
/type/edition	/books/OL10M	1	2010-01-01T00:00:00	{"key": "/books/OL10M", "works": [{"key": "/works/OL1W"}], "n": 1E+5}
/type/edition	/books/OL11M	1	2010-01-01T00:00:00	{"key": "/books/OL11M", "ocaid": "dark"}
/type/edition	/books/OL12M	1	2010-01-01T00:00:00	{"key": "/books/OL12M", "works": [{"key": "/works/OL7W"}]}
/type/redirect	/authors/OL2A	1	2010-01-01T00:00:00	{"key": "/authors/OL2A", "location": "/authors/OL1A"}
/type/redirect	/works/OL10W	1	2010-01-01T00:00:00	{"key": "/works/OL10W", "location": "/works/OL9W"}
/type/redirect	/works/OL9W	1	2010-01-01T00:00:00	{"key": "/works/OL9W", "location": "/works/OL1W"}
/type/work	/works/OL1W	1	2010-01-01T00:00:00	{"key": "/works/OL1W", "authors": [{"author": {"key": "/authors/OL2A"}}, {}, {"author": {"key": "/authors/OL3A"}}]}
""".removeprefix(b"\n")  # noqa: E501 - records are long
ITEMS = b"known\tIA1;IA2\tinlibrary\n"
# A work, a missing work, an edition without a work.
EXPECTED = rb"""
/works/OL1W	{"work": {"key": "/works/OL1W", "authors": [{"author": {"key": "/authors/OL2A"}}, {}, {"author": {"key": "/authors/OL3A"}}]}, "editions": [{"key": "/books/OL9M", "works": [{"key": "/works/OL1W"}], "ocaid": "known", "_ia_meta": {"boxid": ["IA1", "IA2"], "collection": ["inlibrary"]}}, {"key": "/books/OL10M", "works": [{"key": "/works/OL1W"}], "n": 1E+5}], "authors": [{"key": "/authors/OL1A", "name": "A\u00e9"}, {"key": "/authors/OL3A"}], "ia": [{"identifier": "known", "boxid": ["IA1", "IA2"], "collection": ["inlibrary"]}], "duplicates": {"/works/OL1W": ["/works/OL9W", "/works/OL10W"]}}
/works/OL7W	{"work": {}, "editions": [{"key": "/books/OL12M", "works": [{"key": "/works/OL7W"}]}], "authors": [], "ia": [], "duplicates": {}}
/books/OL11M	{"work": {}, "editions": [{"key": "/books/OL11M", "ocaid": "dark", "_ia_meta": {"collection": []}}], "authors": [], "ia": [], "duplicates": {}}
""".removeprefix(b"\n")  # noqa: E501 - records are long


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the hand-written dump and IA metadata."""
    (tmp_path / "dump.txt").write_bytes(DUMP)
    (tmp_path / "items.txt").write_bytes(ITEMS)
    (tmp_path / "spills").mkdir()
    return tmp_path


def deworks(folder: Path, *more: object) -> Ran:
    """Run the command on both files, with spill files in `spills`."""
    return oldump("deworks", "dump.txt", "items.txt", "--tmpdir", "spills", *more, cwd=folder)


def require_reference(dump: bytes, items: bytes, lines: bytes) -> None:
    """Fail at the first line that differs from the reference implementation's."""
    for line, wanted in zip(lines.splitlines(), deworks_of(dump, items), strict=True):
        assert same_line(line, wanted), (line, wanted)


def test_the_expected_lines_agree_with_the_reference() -> None:
    """The lines above come from the issue's text, not from what oldump once made."""
    assert EXPECTED.splitlines() == deworks_of(DUMP, ITEMS)


@pytest.mark.parametrize("way", WAYS)
def test_the_hand_written_dump_gives_the_expected_lines(way: str, folder: Path) -> None:
    """Byte for byte, with any number of workers and the least memory. No temporary file remains."""
    ran = deworks(folder, *WAYS[way])
    assert (ran.code, ran.out) == (0, EXPECTED), ran.err
    assert "deworks: 3 lines" in ran.err
    assert list((folder / "spills").iterdir()) == []


def test_files_may_be_compressed(folder: Path) -> None:
    """Both inputs may be gzipped, and the output too."""
    line = "gzip dump.txt items.txt && $OLDUMP deworks dump.txt.gz items.txt.gz | gzip -c > deworks.txt.gz"
    ran = bash(line, cwd=folder)
    assert ran.code == 0, ran.err
    assert gzip.decompress((folder / "deworks.txt.gz").read_bytes()) == EXPECTED


def test_a_dump_with_every_oddity_agrees_with_the_reference(folder: Path) -> None:
    """The input is the dump of table.txt, with all its odd rows."""
    (folder / "dump.txt").write_bytes((DATA / "dump.txt").read_bytes())
    ran = deworks(folder)
    assert ran.code == 0, ran.err
    require_reference((DATA / "dump.txt").read_bytes(), ITEMS, ran.out)


@pytest.mark.parametrize("missing", ["dump.txt", "items.txt"])
def test_a_missing_file_has_exit_code_11(missing: str, folder: Path) -> None:
    """The error names the file."""
    (folder / missing).unlink()
    failed(deworks(folder), 11, missing)


def test_an_empty_dump_has_exit_code_14(folder: Path) -> None:
    """An empty file is not a dump."""
    (folder / "dump.txt").write_bytes(b"")
    failed(deworks(folder), 14, "dump.txt", "neither works nor editions")


@pytest.mark.parametrize("text", [b"words\n", b"/type/redirect\twords\n", b"/type/work\t/works/OL1W\t1\t2010\twords\n"])
def test_a_file_that_is_not_a_dump_has_exit_code_20(text: bytes, folder: Path) -> None:
    """The error names the file; no traceback, and no spill file remains."""
    (folder / "dump.txt").write_bytes(text)
    failed(deworks(folder), 20, "dump.txt", "Check that it is the right file.")
    assert list((folder / "spills").iterdir()) == []


def test_a_file_that_is_not_ia_metadata_has_exit_code_20(folder: Path) -> None:
    """For example, if the two files are in the wrong order."""
    failed(oldump("deworks", "dump.txt", "dump.txt", cwd=folder), 20, "dump.txt", "three columns")


def test_a_cdump_has_exit_code_20(folder: Path) -> None:
    """The error names a repeated key."""
    (folder / "dump.txt").write_bytes(DUMP + DUMP)
    failed(deworks(folder), 20, "occurs in two records", "cdump")


# In a run


def test_a_run_from_a_file_warns_that_it_has_no_ia_metadata(small: Path, complete: Path, tmp_path: Path) -> None:
    """The log has a warning and the manifest null; the lines are those of the dump without IA metadata."""
    manifest = json.loads((item_of(complete) / "manifest.json").read_bytes())
    lines = gzip.decompress((item_of(complete) / name_of("deworks")).read_bytes())
    require_reference(texts(complete)["dump"], b"", lines)
    assert manifest["deworks"] == {
        "lines": lines.count(b"\n"),
        "works": texts(complete)["works"].count(b"\n"),
        "works_missing": manifest["deworks"]["works_missing"],
        "editions": texts(complete)["editions"].count(b"\n"),
        "editions_without_work": sum(line.startswith(b"/books/") for line in lines.splitlines()),
        "items": None,
    }
    assert "ia-metadata" in manifest["skipped"]
    ran = run(small, tmp_path / "again", cwd=tmp_path)
    assert sum("WARNING deworks: no archive metadata" in line for line in ran.err.splitlines()) == 1


def test_the_command_gives_the_lines_of_a_run(complete: Path, tmp_path: Path) -> None:
    """Its input is the run's dump and an empty file of IA metadata."""
    (tmp_path / "items.txt").write_bytes(b"")
    ran = oldump("deworks", item_of(complete) / name_of(None), "items.txt", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert ran.out == gzip.decompress((item_of(complete) / name_of("deworks")).read_bytes())


def test_a_run_may_skip_deworks(small: Path, complete: Path, tmp_path: Path) -> None:
    """The manifest lists it as skipped, there is no file, and all other files are the same."""
    run(small, tmp_path / "without", "--skip", "deworks", cwd=tmp_path)
    made, whole = published(tmp_path / "without"), published(complete)
    manifest = json.loads(made["manifest.json"])
    assert "deworks" in manifest["skipped"]
    assert manifest["deworks"] is None
    assert name_of("deworks") not in final_names(tmp_path / "without")
    lacking = {name_of("deworks"), f"{name_of('deworks')}.index"}
    assert whole.keys() - made.keys() == lacking
    sums = {"manifest.json", "SHA256SUMS", "MD5SUMS"}
    assert all(made[name] == whole[name] for name in whole.keys() - lacking - sums)


def test_nothing_is_added_to_a_complete_run(small: Path, tmp_path: Path) -> None:
    """Published files stay unchanged: the run says what is missing and how to make it."""
    run(small, "out", "--skip", "deworks", cwd=tmp_path)
    ran = oldump("run", "2022-07-31", "--source", small, "--out", "out", cwd=tmp_path)
    failed(ran, 2, "completed without deworks", "--skip deworks", "--overwrite")
