"""Verify's check of records: every rule finds the line that breaks it, and nothing in a line that does not."""

import json
from typing import Any

import pytest

from oldump.records.record import PARTS
from oldump.stages.verify.findings import OUT_OF_ORDER, Findings
from oldump.stages.verify.hashes import BloomFilter, hashes_of
from oldump.stages.verify.record_order import FileOrder
from oldump.stages.verify.record_rules import WRONG_SPACING, RecordRules, problems_in
from oldump.stages.verify.records import RecordsChecker, check_records
from oldump.stages.verify.totals import FileTotals

RULES = RecordRules("2022-08-01")
MOMENT = "2010-01-01T00:00:00"
HASH = "0a1b2$" + "0123456789abcdef" * 2


def record(key: str = "/works/OL1W", revision: int = 1, **members: Any) -> bytes:
    """A correct record, if the members are correct."""
    document = {
        "type": {"key": "/type/work"},
        "key": key,
        "revision": revision,
        "last_modified": {"type": "/type/datetime", "value": MOMENT},
        **members,
    }
    columns = (document["type"]["key"], key, str(revision), document["last_modified"]["value"])
    return "\t".join((*columns, json.dumps(document))).encode()


def findings_in(*lines: bytes, order: FileOrder = FileOrder(), rules: RecordRules = RULES) -> list[tuple[str, str]]:  # noqa: B008 - immutable
    """The kind and text of each finding in a segment of these lines."""
    result, _ = check_records(b"".join(line + b"\n" for line in lines), "f", rules, order)
    return [(finding.kind.value, finding.what) for finding in result.findings.shown]


def checker(name: str, authors: BloomFilter | None = None) -> RecordsChecker:
    """The checker of a file of records."""
    return RecordsChecker(name, f"{name}.txt.gz", "2022-08-01", authors or BloomFilter(32 << 20))


def test_a_correct_record_has_no_findings() -> None:
    """Neither the fast path nor the slow path finds anything."""
    assert findings_in(record(), record("/works/OL2W")) == []
    assert list(problems_in(record(), RULES)) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (record().replace(b"\t", b"", 1), ("columns", "4 columns instead of 5")),
        (record().replace(b"\t", b"\tx\t", 1), ("columns", "6 columns instead of 5")),
        (record().replace(b"/type/work\t", b"/type/\xff\t", 1), ("columns", "a column is not UTF-8")),
        (record().replace(b"/works/OL1W\t", b"/works/\x07\t", 1), ("columns", "a control character in a column")),
        (record("/people/mary"), ("private", "a person's page that is not a list")),
        (record("/people/mary/lists/OL1X"), ("private", "a person's page that is not a list")),
        (record("/admin/block"), ("private", "an administration page")),
        (record("/old/page"), ("private", "an obsolete page")),
        (record("/scan_record/b/OL1M"), ("private", "an obsolete page")),
        (record("works"), ("private", "its key does not start with /")),
        (record(type={"key": "/type/user"}), ("private", "a document of type /type/user")),
        (
            record(last_modified={"type": "/type/datetime", "value": "2022-08-01T00:00:00"}),
            ("cutoff", "last_modified is 2022-08-01T00:00:00"),
        ),
        (record(title="x").replace(b'"x"', b'"\xc3\xa9"'), ("non-canonical", "byte 0xc3 in the JSON")),
        (record().replace(b": ", b":  ", 1), ("non-canonical", WRONG_SPACING)),
        (record() + b"}", ("json", "the fifth column: not_a_json_object")),
        (
            record().replace(b"/type/work\t", b"/type/page\t"),
            ("mismatch", "type is /type/page, in the JSON /type/work"),
        ),
        (
            record().replace(b"/works/OL1W\t", b"/works/OL2W\t"),
            ("mismatch", "key is /works/OL2W, in the JSON /works/OL1W"),
        ),
        (record().replace(b"\t1\t", b"\t2\t"), ("mismatch", "revision is 2, in the JSON 1")),
        (record().replace(b'"revision": 1, ', b""), ("mismatch", "revision is 1, in the JSON missing")),
        (record(id=7), ("spelling", "a top-level id")),
        (record(link={"key": "/b/OL1M"}), ("spelling", "legacy key /b/OL1M")),
        (
            record(type={"key": "/type/redirect"}, location="/a/OL1A"),
            ("spelling", "legacy location /a/OL1A"),
        ),
        (
            record(on={"type": "/type/datetime", "value": "2008-04-30 20:50:18"}),
            ("spelling", "datetime with a space: 2008-04-30 20:50:18"),
        ),
        (record(x=[{"enc_password": HASH}]), ("account", "an account's members")),
        (record(x={"enc_password": "x", "lusername": "x"}), ("account", "an account's members")),
        (record(_key="account/mary", lusername="x"), ("account", "an account's members")),
        (record(x={"_key": "account-email/m", "type": "account-email"}), ("account", "an account's members")),
        (
            record(type={"key": "/type/account"}, email="mary@example.org"),
            ("account", "an e-mail address in a member email"),
        ),
        (record("/people/mary", note=HASH), ("account", "a string that looks like a password hash")),
    ],
)
def test_each_rule_finds_the_line_that_breaks_it(line: bytes, expected: tuple[str, str]) -> None:
    """Both paths report the same kind and text, and the neighbouring line has no finding."""
    assert expected in findings_in(line)
    assert expected in [(kind.value, what) for kind, what in problems_in(line, RULES) if kind]


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        (record(enc_password="x"), "a member enc_password"),  # noqa: S106 - not a password
        (record(lusername="x"), "a member lusername"),
        (record(title=HASH), "a string that looks like a password hash"),
        (record("/people/mary/lists/OL1L", name=HASH), "a string that looks like a password hash"),
        (record(_key="account/mary"), "a member _key, as account documents have"),
        (record(email="mary@example.org"), "an e-mail address in a member email"),
    ],
)
def test_what_an_editor_can_write_is_a_warning(line: bytes, warning: str) -> None:
    """In a document that is not an account's, what looks like account data is counted, and is no finding."""
    result, _ = check_records(line + b"\n", "f", RULES, FileOrder())
    assert not result.findings
    assert result.counts == {f"warning: {warning}": 1}


def test_a_withheld_key_is_found() -> None:
    """The same key in a member, or as a part of another key, is not."""
    rules = RecordRules("2022-08-01", withheld=frozenset({b"/works/OL1W"}))
    assert findings_in(record(), rules=rules) == [("private", "a key that the manifest lists as withheld")]
    assert findings_in(record("/works/OL11W", work={"key": "/works/OL1W"}), rules=rules) == []


@pytest.mark.parametrize(
    "line",
    [
        record("/people/mary/lists/OL1L", type={"key": "/type/list"}),
        record("/people", type={"key": "/type/page"}),
        record(type={"key": "/type/library"}, email="info@example.org"),
        record(on={"type": "/type/datetime", "value": "2008-04-30T20:50:18 x"}),
        record(title="a, b: c"),
    ],
)
def test_a_legal_exception_has_no_findings(line: bytes) -> None:
    """Lists, public addresses of libraries, and commas within strings are legal."""
    assert findings_in(line) == []


def test_a_record_of_another_part_is_found() -> None:
    """A part has the records of its types only; the dump has all."""
    rules = RecordRules("2022-08-01", PARTS.index("editions"))
    assert findings_in(record(), rules=rules) == [("part", "its type is /type/work")]


def test_order_is_checked_within_a_segment() -> None:
    """Numbers in keys are compared as numbers; a key occurs once outside the cdump."""
    one, two, ten = record("/works/OL1W"), record("/works/OL2W"), record("/works/OL10W")
    assert findings_in(one, two, ten) == []
    assert findings_in(two, one) == [("order", OUT_OF_ORDER)]
    assert findings_in(ten, two) == [("order", OUT_OF_ORDER)]
    assert findings_in(one, record(revision=2)) == [("duplicate", "the previous line has the same key")]


def test_the_cdump_has_every_revision_in_order() -> None:
    """A key may have several records there, by revision."""
    order = FileOrder(every_revision=True)
    assert findings_in(record(), record(revision=2), order=order) == []
    assert findings_in(record(revision=2), record(), order=order) == [("order", OUT_OF_ORDER)]


def test_the_dump_is_ordered_by_part() -> None:
    """Editions come before works, whatever their keys."""
    edition, order = record("/works/OL9W", type={"key": "/type/edition"}), FileOrder(by_part=True)
    assert findings_in(edition, record(), order=order) == []
    assert findings_in(record(), edition, order=order) == [("order", OUT_OF_ORDER)]


def test_a_segment_without_a_final_newline_is_found() -> None:
    """A segment consists of whole lines."""
    result, _ = check_records(record(), "f", RULES, FileOrder())
    assert [finding.what for finding in result.findings.shown] == ["the last line does not end with a newline"]


@pytest.mark.parametrize(("name", "kind"), [("works", "duplicate"), ("cdump", None)])
def test_order_is_checked_across_segments(name: str, kind: str | None) -> None:
    """A segment's first line is compared with the last line before it."""
    check, findings = checker(name), Findings()
    result = check.check_text(record() + b"\n")
    check.check_border(FileTotals(last=record(), records=7), result, findings)
    assert [(each.kind.value, each.line) for each in findings.shown] == [(kind, 8)] * (kind is not None)


def test_only_the_last_record_of_a_key_is_among_the_latest() -> None:
    """The cdump's set of each part has the latest records, but for the last one of the segment."""
    text = b"".join(each + b"\n" for each in (record(), record(revision=2), record("/works/OL2W")))
    result = checker("cdump").check_text(text)
    assert result.extra["works"].tolist() == hashes_of([record(revision=2)]).tolist()


def test_authors_are_collected_for_deworks() -> None:
    """Their documents can then be looked up."""
    authors = BloomFilter(32 << 20)
    check = checker("authors", authors)
    line = record("/authors/OL1A", type={"key": "/type/author"})
    check.collect(check.check_text(line + b"\n"))
    document = line.rsplit(b"\t", 1)[1]
    assert authors.missing(hashes_of([document, b"{}"])) == [1]
