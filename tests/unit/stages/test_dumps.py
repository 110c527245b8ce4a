"""The stage dumps: counts, refusals, and no partial files.

tests/property/test_dumps.py compares its output with the reference implementation.
"""

import json
import os
import random
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from oldump.engine.budget import Budget
from oldump.engine.segments import read_index
from oldump.engine.text_stream import BLOCK_BYTES
from oldump.errors import SourceDamaged, SourceEmpty, SourceMissing, TooManyRejects, VerificationError
from oldump.records.record import PARTS
from oldump.run.progress import NoProgress
from oldump.stages.dumps.latest import CDUMP
from oldump.stages.dumps.stage import make_dumps
from oldump.synth.table import copy_blocks
from tables import copy_row
from unit.stages.making import (
    AMPLE,
    NAMES,
    OVERFULL,
    Form,
    Watching,
    folder_in,
    job,
    made,
    many_members,
    one_member,
    plain,
    rejects_of,
    require_reference,
    seekable,
)

SLICES = Budget(spill_bytes=20_000, bucket_bytes=40_000, bucket_shift=60)
"""Slices of 20 KB, so that one document goes through many of them."""
MARKER = b"\\.\n"


def row(key: str = "/works/OL1W", revision: int = 1, when: str = "2010-01-01T00:00:00", **more: object) -> bytes:
    """Return a row of a document."""
    kind = {"/works/": "work", "/books/": "edition", "/author": "author"}.get(key[:7], "page")
    document = {
        "key": key,
        "type": {"key": f"/type/{kind}"},
        "revision": revision,
        "last_modified": {"type": "/type/datetime", "value": when},
        **more,
    }
    return copy_row(1, revision, json.dumps(document))


def shuffled(rows: Iterable[bytes]) -> bytes:
    """Return the rows in another order."""
    every = list(rows)
    random.Random(7).shuffle(every)
    return b"".join(every)


def left(out: Path) -> set[str]:
    """Return the names of all files of a run except its source."""
    return {path.name for path in out.rglob("*") if path.is_file() and path.name != "data"}


# Documents that are hard for the engine


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("budget", [AMPLE, SLICES], ids=["ample", "slices"])
def test_a_document_with_hundreds_of_revisions(tmp_path: Path, budget: Budget, workers: int) -> None:
    """Exactly one revision is the latest, also across many slices of an overfull bucket."""
    rows = [row("/works/OL5W", revision, title="x" * 900) for revision in range(1, 401)]
    rows += [row(f"/works/OL{number}W", revision) for number in (4, 6, 10) for revision in (1, 2)]
    text = shuffled(rows)
    plain(tmp_path / "data", text)
    run = made(tmp_path / "data", tmp_path, workers, budget)
    require_reference(run, text)
    assert [line.split(b"\t")[1:3] for line in run.text("works").splitlines()] == [
        [b"/works/OL4W", b"2"],
        [b"/works/OL5W", b"400"],
        [b"/works/OL6W", b"2"],
        [b"/works/OL10W", b"2"],
    ]


@pytest.mark.parametrize("budget", [AMPLE, SLICES], ids=["ample", "slices"])
def test_a_document_that_changes_its_type(tmp_path: Path, budget: Budget) -> None:
    """Its latest record goes to the part of its latest type, also across slices."""
    rows = [row("/works/OL5W", revision, title="x" * 900) for revision in range(1, 60)]
    rows.append(row("/works/OL5W", 60, type={"key": "/type/redirect"}, location="/works/OL6W"))
    text = shuffled(rows)
    plain(tmp_path / "data", text)
    run = made(tmp_path / "data", tmp_path, budget=budget)
    require_reference(run, text)
    assert run.text("works") == b""
    assert run.text("redirects").count(b"\n") == 1


@pytest.mark.parametrize("budget", [AMPLE, OVERFULL], ids=["ample", "overfull"])
@pytest.mark.parametrize("form", [plain, many_members])
def test_a_record_of_10_mb(tmp_path: Path, budget: Budget, form: Form) -> None:
    """Longer than blocks, slots, frames, slices and segments: it and its neighbours are complete."""
    text = b"".join(row(f"/books/OL{number}M", title="\u00e9" * 5) for number in range(1, 50))
    text += row("/books/OL50M", title="x" * 10_000_000) + row("/books/OL51M")
    form(tmp_path / "data", text)
    run = made(tmp_path / "data", tmp_path, budget=budget)
    require_reference(run, text)
    assert [entry.records for entry in read_index(run.path("editions"))] == [49, 1, 1]


def test_the_same_revision_twice_is_counted(tmp_path: Path) -> None:
    """N records of one key and revision count n - 1; the later one, or else the larger JSON, is the latest."""
    rows = [
        row("/works/OL1W", 3, "2010-01-02T00:00:00", title="later"),
        row("/works/OL1W", 3, "2010-01-01T00:00:00", title="zzz"),
        row("/works/OL1W", 3, "2010-01-02T00:00:00", title="later"),
        row("/works/OL1W", 2),
        row("/about", 1, title="b"),
        row("/about", 1, title="a"),
        row("/about", 2),
        row("/works/OL2W", 3),
    ]
    text = shuffled(rows)
    for budget in (AMPLE, Budget(1, 1, 63)):
        plain(tmp_path / "data", text)
        run = made(tmp_path / "data", tmp_path, budget=budget)
        require_reference(run, text)
        assert run.counts.same_revision == 3
        assert b"later" in run.text("works").splitlines()[0]


# Artifacts


def test_artifacts_describe_their_files(tmp_path: Path) -> None:
    """Records, text, first and last key, types and the latest last_modified, of cdump and parts, also empty ones."""
    text = row("/books/OL9M", 2, "2011-05-05T00:00:00") + row("/books/OL10M", 1, "2010-01-01T00:00:00")
    text += row("/books/OL9M", 1, "2009-01-01T00:00:00") + row("/about", 7, "2012-01-01T00:00:00")
    plain(tmp_path / "data", text)
    run = made(tmp_path / "data", tmp_path)
    assert set(run.artifacts) == {CDUMP, *PARTS}
    cdump, editions, works = (run.artifacts[name] for name in (CDUMP, "editions", "works"))
    assert (cdump.item, editions.item) == run.folder.items
    assert (cdump.first_key, cdump.last_key, cdump.newest) == ("/about", "/books/OL10M", "2012-01-01T00:00:00")
    assert cdump.by_type == {"/type/edition": 3, "/type/page": 1}
    assert (editions.first_key, editions.last_key, editions.newest) == (
        "/books/OL9M",
        "/books/OL10M",
        "2011-05-05T00:00:00",
    )
    assert (works.records, works.segments, works.first_key, works.last_key, works.newest) == (0, 0, None, None, None)
    for name, artifact in run.artifacts.items():
        assert artifact.name == run.path(name).name
        assert artifact.size_bytes == run.path(name).stat().st_size
        assert artifact.text_bytes == len(run.text(name))
        assert artifact.records == run.text(name).count(b"\n") == sum(artifact.by_type.values())
        subprocess.run(["gzip", "-t", run.path(name)], check=True)


def test_only_the_artifacts_are_left(tmp_path: Path) -> None:
    """Each with its index; no temporary file, no process."""
    one_member(tmp_path / "data", b"".join(copy_blocks(500)))
    run = made(tmp_path / "data", tmp_path, budget=OVERFULL)
    names = {run.path(name).name for name in NAMES}
    assert left(tmp_path) == names | {f"{name}.index" for name in names}
    assert psutil.Process().children() == []


def test_leftovers_of_an_earlier_run_are_replaced(tmp_path: Path) -> None:
    """Its spill is removed, its artifacts and rejects are replaced."""
    plain(tmp_path / "data", b"broken\n" + row("/works/OL2W"))
    folder = made(tmp_path / "data", tmp_path).folder
    assert len(rejects_of(folder)) == 1
    spill = folder.checkpoint("dumps").parent
    spill.mkdir(parents=True)
    (spill / "spill-0").write_bytes(b"half a frame")
    (spill / "runs-0-0").write_bytes(b"half a frame")
    plain(tmp_path / "data", row("/works/OL1W"))
    run = made(tmp_path / "data", tmp_path)
    require_reference(run, row("/works/OL1W"))
    assert not folder.rejects.exists()


def test_a_table_from_a_pipe(tmp_path: Path) -> None:
    """A named pipe gives the same dumps as a file."""
    text = b"".join(copy_blocks(500))
    one_member(tmp_path / "data", text)
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["sh", "-c", 'cat "$0" > "$1"', tmp_path / "data", tmp_path / "pipe"]) as writer:
        run = made(tmp_path / "pipe", tmp_path)
        assert writer.wait(20) == 0
    require_reference(run, text)


# Rejects


def test_rejects_have_line_number_reason_and_row(tmp_path: Path) -> None:
    """Rows are kept as stored, so that they can be found in the source; lines count from 1."""
    rows = [row(f"/works/OL{number}W", title="x" * 3000) for number in range(1, 1001)]
    rows[0] = b"not three columns\n"
    rows[499] = b"1\t1\t{\xff}\n"
    rows[998] = b"1\t1\t[1, 2]\n"
    rows[999] = b'1\t1\t{"key": "/x"}\\\n'
    for form in (plain, many_members, seekable):
        form(tmp_path / "data", b"".join(rows))
        run = made(tmp_path / "data", tmp_path, workers=3)
        (tmp_path / "data.index").unlink(missing_ok=True)
        assert rejects_of(run.folder) == [
            (1, "not_three_columns", b"not three columns"),
            (500, "not_utf8", b"1\t1\t{\xff}"),
            (999, "not_a_json_object", b"1\t1\t[1, 2]"),
            (1000, "lone_backslash", b'1\t1\t{"key": "/x"}\\'),
        ]
        assert run.counts.records == 996
        assert run.folder.rejects.parent == run.folder.private


def test_as_many_rejects_as_allowed(tmp_path: Path) -> None:
    """The limit itself is allowed."""
    plain(tmp_path / "data", b"x\n" * 10 + row())
    assert made(tmp_path / "data", tmp_path, max_rejects=10).counts.rejects.total() == 10


def test_too_many_rejects(tmp_path: Path) -> None:
    """The error gives the counts by reason and the file of rejects, which is the only file left."""
    plain(tmp_path / "data", row() + b"x\n" * 10 + b"1\t1\t7\n" + row("/works/OL2W"))
    with pytest.raises(TooManyRejects, match=r"more than 10 rows .*10 not_three_columns.*--max-rejects") as caught:
        made(tmp_path / "data", tmp_path, max_rejects=10)
    folder = folder_in(tmp_path)
    assert str(folder.rejects) in str(caught.value)
    assert len(rejects_of(folder)) == 11
    assert left(tmp_path) == {"rejects.txt.gz", "rejects.txt.gz.index"}
    assert psutil.Process().children() == []


# Sources that are refused


@pytest.mark.parametrize("text", [b"", MARKER, b"\\."], ids=["empty", "marker", "marker without newline"])
@pytest.mark.parametrize("form", [plain, one_member])
def test_no_rows_at_all(tmp_path: Path, text: bytes, form: Form) -> None:
    """A failed export is not an empty table: nothing is made."""
    form(tmp_path / "data", text)
    with pytest.raises(SourceEmpty, match="data: contains no rows"):
        made(tmp_path / "data", tmp_path)
    assert left(tmp_path) == set()


def test_fewer_rows_than_were_extracted(tmp_path: Path) -> None:
    """A data file that lost rows after the extraction is refused, even if it is otherwise valid."""
    plain(tmp_path / "data", b"".join(copy_blocks(300, seed=1)))
    folder = folder_in(tmp_path)
    with pytest.raises(VerificationError, match=r"301 rows were extracted, 300 are in the file"):
        make_dumps(tmp_path / "data", folder, job(folder), NoProgress(), rows_expected=301)
    assert left(tmp_path) == set()
    assert make_dumps(tmp_path / "data", folder, job(folder), NoProgress(), rows_expected=300)[0].rows == 300


def test_only_dropped_rows(tmp_path: Path) -> None:
    """For example with a date before the first record: the error has the counts."""
    rows = [row("/people/foo"), row("/admin/x"), row("/works/OL1W", when="2030-01-01T00:00:00"), b"x\n"]
    plain(tmp_path / "data", b"".join(rows))
    with pytest.raises(SourceEmpty, match=r"no row became a record .*4 rows.*after_cutoff.*not_three_columns.*date"):
        made(tmp_path / "data", tmp_path)
    assert left(tmp_path) == {"rejects.txt.gz", "rejects.txt.gz.index"}


@pytest.mark.parametrize(
    "text",
    [
        row() + MARKER + row("/works/OL2W"),
        row() + MARKER + b"\n",
        row() + MARKER + MARKER,
        row(title="x" * (BLOCK_BYTES - len(row(title="")))) + MARKER + MARKER,
        row() + MARKER + b"no row",
        row() * 4000 + MARKER + row() * 20_000,
        MARKER + row(),
    ],
    ids=["row", "empty line", "marker", "marker in the next block", "no newline", "many blocks", "at the start"],
)
@pytest.mark.parametrize("form", [plain, one_member])
def test_text_after_the_end_of_data(tmp_path: Path, text: bytes, form: Form) -> None:
    """Two tables or two exports in one file are refused, with the number of rows before the second."""
    form(tmp_path / "data", text)
    with pytest.raises(SourceDamaged, match=r"data: text follows the end-of-data marker"):
        made(tmp_path / "data", tmp_path)
    assert left(tmp_path) == set()


def test_the_end_of_data_at_the_end(tmp_path: Path) -> None:
    """The marker makes no difference, also without a newline."""
    for ending in (b"", MARKER, b"\\."):
        plain(tmp_path / "data", row() + ending)
        assert made(tmp_path / "data", tmp_path).counts.rows == 1


def test_a_missing_source(tmp_path: Path) -> None:
    """The error names it, and nothing is made."""
    with pytest.raises(SourceMissing, match="data"):
        made(tmp_path / "data", tmp_path)
    assert left(tmp_path) == set()


@pytest.mark.parametrize("form", [one_member, many_members, seekable])
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_source(tmp_path: Path, form: Form, damage: str) -> None:
    """Half a table is never published: the error names the source, and no artifact remains."""
    form(tmp_path / "data", b"".join(copy_blocks(3000)))
    content = (tmp_path / "data").read_bytes()
    middle = len(content) * 2 // 3
    if damage == "truncated":
        (tmp_path / "data").write_bytes(content[:middle])
    else:
        (tmp_path / "data").write_bytes(content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :])
    with pytest.raises(SourceDamaged, match=str(tmp_path / "data")):
        made(tmp_path / "data", tmp_path)
    assert left(tmp_path) <= {"data.index"}
    assert psutil.Process().children() == []


def test_a_run_without_a_cutoff(tmp_path: Path) -> None:
    """day=None, as in `oldump cdump FILE` without a date: no row is too late."""
    plain(tmp_path / "data", row(when="2990-01-01T00:00:00"))
    folder = folder_in(tmp_path)
    counts, _ = make_dumps(tmp_path / "data", folder, replace(job(folder), day=None), NoProgress())
    assert counts.records == 1


def test_progress_of_both_steps(tmp_path: Path) -> None:
    """Both steps are reported; shares grow from above 0 to 1, rows to the total."""
    plain(tmp_path / "data", b"".join(copy_blocks(5000)))
    folder, watching = folder_in(tmp_path), Watching()
    make_dumps(tmp_path / "data", folder, job(folder, workers=1), watching)
    assert watching.steps == ["dumps scatter", "dumps gather"]
    shares = [done for _, done in watching.updates if done is not None]
    assert len(shares) == len(watching.updates)
    assert all(0 < share <= 1 for share in shares)
    assert shares[-1] == 1
    assert max(rows for rows, _ in watching.updates) == 5000
