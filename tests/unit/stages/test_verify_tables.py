"""Verify's check of table dumps: shape, cutoff and order, within and across segments."""

import pytest

from oldump.stages.verify.findings import OUT_OF_ORDER, Findings
from oldump.stages.verify.tables import TableChecker
from oldump.stages.verify.totals import FileTotals

RATINGS = TableChecker("ratings", "ratings.txt.gz", "2022-08-01")
ONE, TWO = b"/works/OL1W\t\\N\t5\t2020-01-01", b"/works/OL2W\t/books/OL1M\t4\t2022-07-31"


def findings_in(*lines: bytes) -> list[tuple[str, str]]:
    """The kind and text of each finding in a segment of these lines."""
    result = RATINGS.check_text(b"".join(line + b"\n" for line in lines))
    return [(finding.kind.value, finding.what) for finding in result.findings.shown]


def test_correct_lines_have_no_findings() -> None:
    """A day that is the cutoff's is within it."""
    assert findings_in(ONE, TWO) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"x",), ("table", "not a line of ratings: b'x'")),
        ((TWO.replace(b"2022-07-31", b"2022-08-01"),), ("cutoff", "its date is after the cutoff")),
        ((TWO, ONE), ("order", OUT_OF_ORDER)),
    ],
)
def test_each_rule_finds_the_line_that_breaks_it(lines: tuple[bytes, ...], expected: tuple[str, str]) -> None:
    """One finding each."""
    assert findings_in(*lines) == [expected]


@pytest.mark.parametrize(("last", "first", "count"), [(ONE, TWO, 0), (TWO, ONE, 1), (b"x", ONE, 0), (ONE, ONE, 0)])
def test_order_is_checked_across_segments(last: bytes, first: bytes, count: int) -> None:
    """A line without the table's shape has a finding of its own, and is not compared."""
    findings = Findings()
    RATINGS.check_border(FileTotals(last=last), RATINGS.check_text(first + b"\n"), findings)
    assert len(findings.shown) == count
