"""Verify's reading of gzip files and indexes, and the check of a file's segments: every damage is named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import SEGMENT_BYTES, IndexEntry, index_path, segment_of
from oldump.stages.verify.file_check import FileCheck
from oldump.stages.verify.gzip_file import CompressedSegment, SegmentReader, SerialReader, inflated, is_whole
from oldump.stages.verify.index import read_index_totals
from oldump.stages.verify.segments import check_segment
from oldump.stages.verify.sums import sums_of_file
from oldump.stages.verify.tables import TableChecker

TEXTS = [b"/works/OL1W\t\\N\t5\t2020-01-01\n", b"/works/OL2W\t\\N\t4\t2020-01-01\n"]
Damage = Callable[[bytes], bytes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A seekable file of two segments of ratings."""
    path = tmp_path / "ratings.txt.gz"
    with SegmentWriter(path) as writer:
        for text in TEXTS:
            writer.append(segment_of(text, 0))
        writer.commit()
    return path


def checked(path: Path) -> FileCheck:
    """The check of a file that is read by its index."""
    checker = TableChecker("ratings", path.name, "2022-08-01")
    check = FileCheck(checker)
    with path.open("rb") as stream:
        reader = SegmentReader(path, stream)
        for piece in reader:
            assert isinstance(piece, CompressedSegment)
            check.add(piece.entry, check_segment(checker, piece))
    for problem in reader.problems(check.totals.crc32, check.totals.text_bytes):
        check.add_damage(problem)
    assert reader.sums() == sums_of_file(path)
    return check


def findings_of(check: FileCheck) -> list[tuple[str, str]]:
    """The kind and text of each finding."""
    return [(finding.kind.value, finding.what) for finding in check.findings.shown]


def test_a_whole_file_has_only_a_border_that_is_too_early(path: Path) -> None:
    """Both segments would fit into one, which the format requires; all else is right."""
    check = checked(path)
    assert findings_of(check) == [("borders", "the first line of the segment fits into the segment before")]
    assert (check.totals.records, check.totals.text_bytes) == (2, sum(map(len, TEXTS)))
    members = check.manifest_members(has_index=True)
    assert (members["first_key"], members["last_key"], members["segments"]) == ("/works/OL1W", "/works/OL2W", 2)
    assert "segments" not in check.manifest_members(has_index=False)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda data: b"\x1f\x8b\x08\x01" + data[4:], "the header is not that of the format"),
        (lambda data: data[:-1] + b"\x01", "the final block and the trailer do not match the text"),
        (lambda data: data[:10] + b"\xff" * 8 + data[18:], "the segment at byte 10 cannot be decompressed"),
    ],
)
def test_damaged_gzip_is_named(path: Path, damage: Damage, what: str) -> None:
    """And the file's totals are not believed."""
    path.write_bytes(damage(path.read_bytes()))
    check = checked(path)
    assert any(kind == "gzip" and text.startswith(what) for kind, text in findings_of(check))
    assert check.totals.has_damage


@pytest.mark.parametrize(
    ("damage", "problem", "line"),
    [
        (lambda data: b"", "does not end with a newline", 1),
        (lambda data: data[:-1], "does not end with a newline", 3),
        (lambda data: b"x" + data, "its first line is not the heading", 1),
        (lambda data: data + b"x\n", "not a line of an index: x", 4),
        (
            lambda data: data.replace(b"\t10\t", b"\t11\t", 1),
            "offset is 11, but the previous segment ends at byte 10",
            2,
        ),
        (lambda data: b"".join(data.splitlines(keepends=True)[:-1]), "its segments end at byte ", None),
    ],
)
def test_an_index_of_another_file_is_named(path: Path, damage: Damage, problem: str, line: int | None) -> None:
    """With the line where it shows, if it is one line."""
    index = index_path(path)
    index.write_bytes(damage(index.read_bytes()))
    totals = read_index_totals(path)
    assert (totals.problem or "").startswith(problem)
    assert totals.line == line


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda data: data, None),
        (lambda data: data + b"x", "bytes follow the end of the gzip member"),
        (lambda data: data[:-9], "the gzip member is truncated"),
        (lambda data: b"x" + data, "damaged after byte 0"),
    ],
)
def test_a_file_is_read_without_its_index(path: Path, damage: Damage, what: str | None) -> None:
    """Up to the damage, which is named."""
    path.write_bytes(damage(path.read_bytes()))
    with path.open("rb") as stream:
        reader = SerialReader(path, stream)
        text = b"".join(piece.data for piece in reader)
        problems = list(reader.problems(0, 0))
    assert is_whole(path) == (what is None)
    assert [problem[: len(what or "")] for problem in problems] == ([] if what is None else [what])
    assert text in {b"".join(TEXTS), b""}


def test_an_entry_that_differs_from_its_segment_is_named(path: Path) -> None:
    """Each member that differs has a finding of the index file."""
    with path.open("rb") as stream:
        first, _ = SegmentReader(path, stream)
    checker = TableChecker("ratings", path.name, "2022-08-01")
    check = FileCheck(checker)
    result = check_segment(checker, first)
    check.add(IndexEntry(b"/works/OL9W", 3, 10, len(first.data), len(TEXTS[0]), result.crc32), result)
    assert [(each.kind.value, each.file, each.line) for each in check.findings.shown] == [
        ("index", "ratings.txt.gz.index", 2)
    ] * 2


def test_a_segment_that_is_too_long_is_named(path: Path) -> None:
    """One line may be longer than a segment; several may not."""
    line = b"/works/OL1W\t\\N\t5\t2020-01-01\n"
    text = line * (SEGMENT_BYTES // len(line) + 1)
    checker = TableChecker("ratings", path.name, "2022-08-01")
    check = FileCheck(checker)
    with path.open("rb") as stream:
        first, _ = SegmentReader(path, stream)
    check.add(None, check_segment(checker, first)._replace(text_bytes=len(text), text=checker.check_text(text)))
    assert findings_of(check) == [("borders", f"the segment has {len(text):,} bytes of text")]


def test_a_segment_must_end_with_a_full_flush(path: Path) -> None:
    """Else it could not be read alone."""
    with path.open("rb") as stream:
        first, _ = SegmentReader(path, stream)
    assert inflated(first).damage is None
    assert inflated(first._replace(data=first.data[:-1])).damage == "does not end with a full flush"
    assert inflated(first._replace(data=first.data + b"\x03\x00")).damage == "contains a final block"
