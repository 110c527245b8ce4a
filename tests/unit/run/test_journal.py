"""The journal: what is committed, even after a crash in the midst of a line."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from oldump.errors import RunBusy
from oldump.run.journal import Artifact, Committed, Journal, is_intact

ARTIFACT = Artifact("a.txt.gz", "item", 3, 30, 2, 1, "sha", "md5", "/a", "/z", "2022", "00", {"/type/work": 2})
DUMPS = Committed("dumps", [ARTIFACT], {"rows": 2}, 1.5)
SPLICE = Committed("splice", [replace(ARTIFACT, name="b.txt.gz")], {}, 0.5)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a complete journal lies."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin({"kind": "file"}, overwrite=False)
    journal.commit(DUMPS)
    journal.commit(SPLICE)
    journal.publish({})
    return tmp_path / "journal.jsonl"


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    """Reading it creates no file."""
    journal = Journal(tmp_path / "journal.jsonl")
    assert (journal.begun, journal.stages, journal.published) == (None, {}, False)
    assert list(tmp_path.iterdir()) == []


def test_a_journal_is_read_back(path: Path) -> None:
    """Its source, its stages with artifacts and counts, and the publication."""
    journal = Journal(path)
    assert journal.begun == {"kind": "file"}
    assert journal.stages == {"dumps": DUMPS, "splice": SPLICE}
    assert journal.artifacts() == [*DUMPS.artifacts, *SPLICE.artifacts]
    assert journal.published


def test_every_prefix_of_a_journal_can_be_read(path: Path) -> None:
    """A crash may cut it at any byte: complete lines count, and the next line is read back."""
    text = path.read_bytes()
    for end in range(len(text) + 1):
        path.write_bytes(text[:end])
        whole = text[: end + 1].count(b"\n")  # a line without its newline is complete
        journal = Journal(path)
        assert (journal.begun is not None) + len(journal.stages) + journal.published == whole
        journal.commit(DUMPS)
        assert Journal(path).stages["dumps"] == DUMPS


def test_garbage_between_lines_is_ignored(path: Path) -> None:
    """A damaged sector is no reason to repeat the run."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\xff\0{]\n" + b"".join(lines[1:]))
    assert Journal(path).published


def test_a_new_run_voids_all_earlier_lines(path: Path) -> None:
    """They stay in the file."""
    lines = path.read_bytes()
    journal = Journal(path)
    journal.begin({"kind": "other"}, overwrite=True)
    for each in (journal, Journal(path)):
        assert (each.begun, each.overwrite, each.stages) == ({"kind": "other"}, True, {})
        assert (each.published, each.others) == (False, {})
    assert path.read_bytes().startswith(lines)


def test_a_commit_invalidates_the_named_stages(path: Path) -> None:
    """And the publication; other stages stay committed."""
    journal = Journal(path)
    journal.commit(replace(DUMPS, seconds=9.0), {"splice"})
    for each in (journal, Journal(path)):
        assert (list(each.stages), each.stages["dumps"].seconds, each.published) == (["dumps"], 9.0, False)
    journal.commit(SPLICE)
    journal.publish({})
    journal.commit(SPLICE)
    assert (list(Journal(path).stages), Journal(path).published) == (["dumps", "splice"], False)


def test_each_line_has_its_time(path: Path) -> None:
    """In UTC."""
    for line in path.read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["at"].endswith("+00:00")


@pytest.mark.parametrize("harm", ["none", "changed", "shorter", "longer", "gone", "a folder"])
def test_an_artifact_is_intact_only_with_its_digest(harm: str, tmp_path: Path) -> None:
    """A stale file of that name is not."""
    path = tmp_path / "a.txt.gz"
    path.write_bytes(b"abc")
    artifact = replace(ARTIFACT, size_bytes=3, sha256=hashlib.sha256(b"abc").hexdigest())
    if harm in {"gone", "a folder"}:
        path.unlink()
    if harm == "a folder":
        path.mkdir()
    contents = {"changed": b"abd", "shorter": b"ab", "longer": b"abcd"}
    if harm in contents:
        path.write_bytes(contents[harm])
    assert is_intact(path, artifact) == (harm == "none")


def test_a_process_that_lost_its_lock_writes_nothing(path: Path) -> None:
    """Another process may be writing: the file stays unchanged."""

    def lost() -> None:
        raise RunBusy("taken over")

    before = path.read_bytes()
    journal = Journal(path, lost)
    with pytest.raises(RunBusy):
        journal.commit(DUMPS)
    with pytest.raises(RunBusy):
        journal.forget(["dumps"])
    with pytest.raises(RunBusy):
        journal.publish({})
    with pytest.raises(RunBusy):
        journal.begin({}, overwrite=True)
    assert path.read_bytes() == before
    assert journal.published


def test_a_journal_of_an_earlier_version_is_read(path: Path) -> None:
    """Its commits call the invalidated stages `worthless`: a run that it started can be resumed."""
    path.write_bytes(path.read_bytes().replace(b'"invalidated"', b'"worthless"'))
    line = {
        "event": "committed",
        "stage": "dumps",
        "artifacts": [],
        "counts": {},
        "seconds": 1,
        "worthless": ["splice"],
    }
    assert list(Journal(path).stages) == ["dumps", "splice"]
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    assert list(Journal(path).stages) == ["dumps"]
