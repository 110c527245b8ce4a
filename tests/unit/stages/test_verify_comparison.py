"""Verify's comparison of files with each other, and with manifest and sums: every contradiction is named."""

import copy
import gzip
from pathlib import Path
from typing import Any

import pytest

from oldump.records.record import PARTS
from oldump.stages.verify.cross_checks import CheckedFile, CrossChecks
from oldump.stages.verify.hashes import BloomFilter, SetSum, hashes_of
from oldump.stages.verify.manifest import artifact_findings, file_findings, names_of, sums_findings
from oldump.stages.verify.records import DOCUMENTS
from oldump.stages.verify.sums import FileSums, sums_of_file
from oldump.stages.verify.totals import FileTotals
from unit.stages.published import DAY, publish

MANIFEST: dict[str, Any] = {
    "date": str(DAY),
    "cutoff": f"{DAY}T23:59:59.999999",
    "tool": {},
    "source": {},
    "skipped": [],
    "rows": {"rows": 4, "records": 2, "drops": {"private": 1}, "rejects": {"no_key": 1}, "same_revision": 0},
    "deworks": {"lines": 1, "works": 1, "editions": 0, "works_missing": 0, "editions_without_work": 0, "items": None},
    "artifacts": {names_of(DAY)["deworks"]: {}},
}
WORK = b"/type/work\t/works/OL1W\t1\t2020-01-01\t{}"


def summed(*lines: bytes) -> SetSum:
    """The sum of a set of lines."""
    found = SetSum()
    found.add(hashes_of(lines))
    return found


def totals(*lines: bytes, **sets: SetSum) -> FileTotals:
    """The totals of a file with these lines and further sets."""
    return FileTotals(records=len(lines), lines=summed(*lines), extra=sets)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, CheckedFile]:
    """A run with one work, whose files agree."""
    found = {
        "cdump": FileTotals(records=2, last=WORK),
        "dump": totals(WORK, works=summed(WORK)),
        "deworks": FileTotals(records=1, extra={"works": summed(b"{}")}),
        **{part: totals() for part in PARTS},
        "works": totals(WORK, documents=summed(b"{}")),
    }
    found["deworks"].counts["works"] = 1
    for name in found:
        (tmp_path / name).write_bytes(gzip.compress(WORK + b"\n"))
    return {name: CheckedFile(tmp_path / name, each) for name, each in found.items()}


def findings_in(files: dict[str, CheckedFile], **members: Any) -> list[tuple[str, str]]:
    """The kind and text of each contradiction."""
    manifest = copy.deepcopy(MANIFEST) | members
    return [(finding.kind.value, finding.what) for finding in CrossChecks(files, manifest).findings()]


def test_files_that_agree_have_no_findings(files: dict[str, CheckedFile]) -> None:
    """Nor has a file that was not read."""
    assert findings_in(files) == []
    assert findings_in({name: files[name] for name in ("works", "deworks")}) == []


def test_a_part_that_differs_from_the_latest_is_named_with_its_key(files: dict[str, CheckedFile]) -> None:
    """Both files are read again for it: the part has a record that is not the latest, and does not have the latest."""
    other = WORK.replace(b"\t1\t", b"\t2\t")
    files["works"].path.write_bytes(gzip.compress(other + b"\n"))
    files["works"].totals.lines = files["dump"].totals.extra["works"] = summed(other)
    assert findings_in(files) == [
        ("latest", "this record is not among the latest of the cdump"),
        ("latest", "the latest record of the cdump is not in the part"),
    ]


def test_a_dump_that_differs_from_its_parts_is_named(files: dict[str, CheckedFile]) -> None:
    """By its set of records, or by its text."""
    files["dump"].totals.extra["works"] = summed(b"x", b"y")
    files["dump"].totals.crc32 = 7
    assert [what for kind, what in findings_in(files) if kind == "dump"] == [
        f"1 records differ from the 2 of works in ol_dump_{DAY}.txt.gz",
        "its text is not the concatenated text of the parts",
    ]


def test_deworks_that_differ_from_the_parts_are_named(files: dict[str, CheckedFile]) -> None:
    """Documents are compared, not lines."""
    files["works"].totals.extra[DOCUMENTS] = summed(b"x")
    file = f"ol_dump_deworks_{DAY}.txt.gz"
    assert findings_in(files) == [("deworks", f"1 documents of works differ from the 1 in {file}")]


def test_damaged_files_are_not_compared(files: dict[str, CheckedFile]) -> None:
    """Their sums mean nothing; the damage itself is a finding."""
    files["dump"].totals.extra["works"] = summed(b"x")
    files["dump"].totals.has_damage = True
    assert findings_in(files) == []


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"cutoff": None}, f"the cutoff is None, but the date is {DAY}"),
        ({"tool": None}, "the member tool is missing or has a wrong type"),
        ({"rows": MANIFEST["rows"] | {"rows": 5}}, "5 rows, but records, drops and rejects add up to 4"),
        ({"rows": MANIFEST["rows"] | {"rows": 5, "records": 3}}, "rows.records is 3, but the cdump has 2"),
        ({"rows": MANIFEST["rows"] | {"same_revision": 1}}, "rows.same_revision is 1, found 0"),
        ({"rows": {}}, "rows does not have the form that the format requires"),
        ({"deworks": None}, "deworks is null but its file is listed, or vice versa"),
        ({"artifacts": {}}, "deworks is null but its file is listed, or vice versa"),
        ({"deworks": MANIFEST["deworks"] | {"lines": 2}}, "deworks.lines is 2, found 1"),
        ({"deworks": MANIFEST["deworks"] | {"items": "7"}}, "deworks.items is not a number"),
    ],
)
def test_a_manifest_that_contradicts_the_files_is_named(
    files: dict[str, CheckedFile], members: dict[str, Any], what: str
) -> None:
    """Each count by its member."""
    assert findings_in(files, **members) == [("manifest", what)]


def test_members_of_an_artifact_are_compared() -> None:
    """What differs, is missing, or unknown to the format."""
    found = artifact_findings("f", {"item": "i", "records": 1, "shade": "blue"}, {"records": 2, "md5": "x"})
    assert [finding.what for finding in found] == [
        "records is 1 in the manifest, found 2",
        "the manifest has no md5",
        "the manifest has a member shade that the format has not",
    ]


def test_files_and_the_manifests_list_are_compared(tmp_path: Path) -> None:
    """What is missing, not listed, skipped, or not of a run."""
    item = publish(tmp_path).dump_item
    (item / "notes.txt").touch()
    (item / f"ol_dump_authors_{DAY}.txt.gz").unlink()
    artifacts = {f"ol_dump_{name}_{DAY}.txt.gz": {"item": item.name} for name in ("authors", "ratings", "shades")}
    manifest = {"date": str(DAY), "artifacts": artifacts, "skipped": ["ratings"]}
    found = [(finding.kind.value, finding.file, finding.what) for finding in file_findings(manifest, item)]
    assert ("missing", f"ol_dump_authors_{DAY}.txt.gz", f"missing from {item.name}") in found
    assert ("unlisted", "notes.txt", f"in {item.name}, but not in the manifest") in found
    whats = [what for _, _, what in found]
    assert f"ol_dump_works_{DAY}.txt.gz is not listed" in whats
    assert f"ratings is listed as skipped, but so is its file ol_dump_ratings_{DAY}.txt.gz" in whats
    assert f"ol_dump_shades_{DAY}.txt.gz is not a file of a run" in whats


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{sha256}  f\n", []),
        ("{sha256}  f", ["does not end with a newline", "has no line for f"]),
        ("00  f\n", ["its checksum differs from SHA256SUMS"]),
        ("{sha256}  f\n{sha256}  f\n", ["an unknown or repeated file"]),
        ("{sha256}  f\n00  g\n", ["an unknown or repeated file"]),
        ("", ["has no line for f"]),
    ],
)
def test_sums_files_are_compared(tmp_path: Path, text: str, what: list[str]) -> None:
    """Each file has exactly one line with its checksum."""
    (tmp_path / "f").write_bytes(b"x")
    sums: FileSums = sums_of_file(tmp_path / "f")
    (tmp_path / "SHA256SUMS").write_text(text.format(sha256=sums.sha256), encoding="utf-8")
    assert [finding.what for finding in sums_findings(tmp_path, {"f": sums})] == what


def test_a_bloom_filter_never_misses_what_was_added() -> None:
    """And finds nearly all that was not."""
    known, others = BloomFilter(32 << 20), hashes_of(b"%d" % number for number in range(1_000, 2_000))
    known.add(hashes_of(b"%d" % number for number in range(1_000)))
    assert known.missing(hashes_of(b"%d" % number for number in range(1_000))) == []
    assert len(known.missing(others)) > 990
