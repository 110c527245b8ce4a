"""The journal: what is committed, even after a crash in the midst of a line."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from oldump.errors import RunBusy
from oldump.run.journal import Artifact, Committed, Journal, still_has_its_digest

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


def test_a_journal_that_is_not_there_knows_nothing(tmp_path: Path) -> None:
    """Nothing is begun, committed or published; and no file is made."""
    journal = Journal(tmp_path / "journal.jsonl")
    assert (journal.begun, journal.stages, journal.published) == (None, {}, False)
    assert list(tmp_path.iterdir()) == []


def test_what_was_noted_is_read_back(path: Path) -> None:
    """Source, stages with artifacts and counts, and that it was published."""
    journal = Journal(path)
    assert journal.begun == {"kind": "file"}
    assert journal.stages == {"dumps": DUMPS, "splice": SPLICE}
    assert journal.artifacts() == [*DUMPS.artifacts, *SPLICE.artifacts]
    assert journal.published


def test_every_prefix_of_a_journal_can_be_read(path: Path) -> None:
    """Whatever byte a crash cut it at: whole lines count, and what is noted next is read back."""
    text = path.read_bytes()
    for end in range(len(text) + 1):
        path.write_bytes(text[:end])
        whole = text[: end + 1].count(b"\n")  # a line that lacks only its newline is whole
        journal = Journal(path)
        assert (journal.begun is not None) + len(journal.stages) + journal.published == whole
        journal.commit(DUMPS)
        assert Journal(path).stages["dumps"] == DUMPS


def test_noise_between_lines_is_passed_over(path: Path) -> None:
    """Bytes that a broken disk left are no reason to do all again."""
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\xff\0{]\n" + b"".join(lines[1:]))
    assert Journal(path).published


def test_beginning_anew_makes_all_before_it_history(path: Path) -> None:
    """In memory and on disk, where the lines stay."""
    lines = path.read_bytes()
    journal = Journal(path)
    journal.begin({"kind": "other"}, overwrite=True)
    for each in (journal, Journal(path)):
        assert (each.begun, each.overwrite, each.stages) == ({"kind": "other"}, True, {})
        assert (each.published, each.others) == (False, {})
    assert path.read_bytes().startswith(lines)


def test_a_stage_done_again_forgets_what_was_made_from_it(path: Path) -> None:
    """The stages that are named, and that all was published; not the others."""
    journal = Journal(path)
    journal.commit(replace(DUMPS, seconds=9.0), {"splice"})
    for each in (journal, Journal(path)):
        assert (list(each.stages), each.stages["dumps"].seconds, each.published) == (["dumps"], 9.0, False)
    journal.commit(SPLICE)
    journal.publish({})
    journal.commit(SPLICE)
    assert (list(Journal(path).stages), Journal(path).published) == (["dumps", "splice"], False)


def test_each_line_says_when(path: Path) -> None:
    """In UTC, for whoever reads it after a night."""
    for line in path.read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["at"].endswith("+00:00")


@pytest.mark.parametrize("harm", ["none", "changed", "shorter", "longer", "gone", "a folder"])
def test_an_artifact_counts_with_its_digest_only(harm: str, tmp_path: Path) -> None:
    """A stale file with the right name does not."""
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
    assert still_has_its_digest(path, artifact) == (harm == "none")


def test_nothing_is_noted_by_a_process_that_has_lost_its_lock(path: Path) -> None:
    """Another one may be writing: whatever is to be noted, the file stays as it is."""

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
