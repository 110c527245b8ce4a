"""Verify's check of denormalized works: every rule finds the line that breaks it."""

import json
from typing import Any

import pytest

from oldump.records.document import MAX_DEPTH
from oldump.stages.verify.deworks import DeworksChecker, check_deworks
from oldump.stages.verify.deworks_line import split_line, split_meta, without_meta
from oldump.stages.verify.findings import OUT_OF_ORDER, Findings
from oldump.stages.verify.hashes import BloomFilter, hashes_of
from oldump.stages.verify.record_rules import WRONG_SPACING
from oldump.stages.verify.totals import FileTotals

AUTHOR = {"key": "/authors/OL1A", "name": "Mary", "type": {"key": "/type/author"}}
WORK = {"key": "/works/OL1W", "authors": [{"author": {"key": "/authors/OL1A"}}]}
META = {"boxid": ["B1"], "collection": ["c"]}
EDITION = {"key": "/books/OL1M", "works": [{"key": "/works/OL1W"}], "ocaid": "item", "_ia_meta": META}
IA = {"identifier": "item", **META}
FORM = "the line does not have the form that the format requires"


def line(key: str = "/works/OL1W", **members: Any) -> bytes:
    """A correct line, if the members are correct."""
    document = {"work": WORK, "editions": [EDITION], "authors": [AUTHOR], "ia": [IA], "duplicates": {}} | members
    return f"{key}\t{json.dumps(document)}".encode()


def authors() -> BloomFilter:
    """The filter with the one author."""
    known = BloomFilter(32 << 20)
    known.add(hashes_of([json.dumps(AUTHOR).encode()]))
    return known


def findings_in(*lines: bytes) -> list[tuple[str, str]]:
    """The kind and text of each finding in a segment of these lines."""
    result = check_deworks(b"".join(each + b"\n" for each in lines), "f", authors())
    return [(finding.kind.value, finding.what) for finding in result.findings.shown]


def test_a_correct_line_has_no_findings_and_is_counted() -> None:
    """Its documents are hashed, without what deworks adds to an edition."""
    result = check_deworks(line() + b"\n", "f", authors())
    assert result.findings.shown == []
    assert dict(result.counts) == {"works": 1, "editions": 1, "with_item": 1}
    bare = {name: value for name, value in EDITION.items() if name != "_ia_meta"}
    assert result.extra["editions"].tolist() == hashes_of([json.dumps(bare).encode()]).tolist()


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (line().replace(b'"work"', b'"wrok"', 1), FORM),
        (b"/works/OL1W", FORM),
        (line(work=WORK | {"key": "/works/OL2W"}), "the work has another key than the line"),
        (line(authors=[]), "0 authors, but the work names 1"),
        (line(authors=[AUTHOR | {"name": "Ann"}]), "an author's document is not in the part: "),
        (line(duplicates={"/books/OL9M": ["/books/OL8M"]}), "duplicates has a key that is not in the line"),
        (line(work={}, editions=[], authors=[], ia=[]), "neither a work nor an edition"),
        (
            line(editions=[EDITION | {"works": [{"key": "/works/OL2W"}]}]),
            "edition /books/OL1M belongs to another line",
        ),
        (
            line(editions=[{**EDITION, "_ia_meta": META | {"boxid": ["B2"]}}]),
            "ia does not match the editions' _ia_meta",
        ),
        (
            line(editions=[{n: v for n, v in EDITION.items() if n != "_ia_meta"}], ia=[]),
            "edition /books/OL1M has no _ia_meta",
        ),
        (line(work={"authors": []}), "a document cannot be read ("),
    ],
)
def test_each_rule_finds_the_line_that_breaks_it(broken: bytes, what: str) -> None:
    """With the text that says what is wrong."""
    found = findings_in(broken)
    assert any(kind == "deworks" and text.startswith(what) for kind, text in found), found


def test_encoding_is_checked() -> None:
    """Spaces and characters that json.dumps does not write are found."""
    assert findings_in(line().replace(b'"Mary"', b'"M\xc3\xa9ry"'))[-1][1] == "the JSON is not printable ASCII"
    assert ("non-canonical", WRONG_SPACING) in findings_in(line().replace(b'"name": ', b'"name":  '))


def test_order_is_checked_within_and_across_segments() -> None:
    """Lines of works come in the order of their keys, then editions without a work."""
    second = line("/works/OL2W", work={}, editions=[EDITION | {"works": [{"key": "/works/OL2W"}]}], authors=[])
    orphan = {"key": "/books/OL1M"}
    last = line("/books/OL1M", work={}, editions=[orphan], authors=[], ia=[])
    assert findings_in(line(), second, last) == []
    assert findings_in(second, line()) == [("order", OUT_OF_ORDER)]
    check, findings = DeworksChecker("f", authors()), Findings()
    totals = FileTotals(records=2, last=check.check_text(last + b"\n").last)
    check.check_border(totals, check.check_text(line() + b"\n"), findings)
    assert [(finding.kind.value, finding.line) for finding in findings.shown] == [("order", 3)]


def test_a_line_with_a_lone_surrogate_is_split() -> None:
    """Legal JSON that a strict decoder refuses."""
    found = split_line(line(work=WORK | {"title": "\ud83d"}))
    assert found is not None
    assert b"\\ud83d" in found.work


def test_a_line_is_split_at_the_limit_of_nesting() -> None:
    """An edition that dumps accept is no problem in deworks."""
    deep = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert findings_in(line().replace(b'"ocaid"', f'"deep": {deep}, "ocaid"'.encode())) == []


def test_meta_is_split_from_an_edition() -> None:
    """Wherever it is in the document."""
    text = json.dumps(EDITION).encode()
    bare, meta = split_meta(text, has_ocaid=True)
    assert (json.loads(bare).keys(), meta) == (EDITION.keys() - {"_ia_meta"}, json.dumps(META).encode())
    assert without_meta(text) == bare
    assert split_meta(b'{"_ia_meta": 1, "a": 2}', has_ocaid=True) == (b'{"a": 2}', b"1")
