"""Verify's fast path finds what its slow path finds, and its privacy rules agree with the reference's."""

from hypothesis import given, settings
from hypothesis import strategies as st

from oldump.records.record import record_order
from oldump.records.rows import ConvertedRows
from oldump.stages.verify.privacy import reason_withheld
from oldump.stages.verify.record_order import FileOrder
from oldump.stages.verify.record_rules import RecordRules, problems_in
from oldump.stages.verify.records import check_records
from oldump.synth.table import copy_blocks
from reference import Number, Record, drop_reason

RULES = RecordRules("2022-08-01")
RECORDS = sorted(
    ConvertedRows(b"".join(copy_blocks(400, odd_rows=60)), RULES.first_day_after).records, key=record_order
)
NAMES = st.sampled_from(["people", "mary", "lists", "OL1L", "OL1M", "admin", "old", "scan_record", "books", "", "a"])
TYPES = st.sampled_from(["/type/user", "/type/list", "/type/page"])
PIECES = st.sampled_from(
    [
        b" ",
        b"\t",
        b'"',
        b"\\",
        b"\\u0061",
        b"\xc3\xa9",
        b"\x7f",
        b'"key": "/a/x", ',
        b'"id": 1, ',
        b'"enc_password": 1, ',
        b"1",
    ]
)


@settings(deadline=None)  # an odd row is 3 MB long
@given(st.integers(0, len(RECORDS) - 1), st.integers(0, 2_000), PIECES)
def test_the_fast_path_finds_what_the_slow_path_finds(place: int, at: int, piece: bytes) -> None:
    """Wherever bytes are inserted, each line of a segment has the findings that it has alone."""
    lines = RECORDS[max(0, place - 3) : place + 3]
    number = min(3, place)
    at %= len(lines[number]) + 1
    lines[number] = lines[number][:at] + piece + lines[number][at:]
    result, _ = check_records(b"".join(line + b"\n" for line in lines), "f", RULES, FileOrder(every_revision=True))
    found = [
        (each.line, each.kind, each.what) for each in result.findings.shown if each.kind not in {"order", "duplicate"}
    ]
    expected = [
        (n, kind, what) for n, line in enumerate(lines, start=1) for kind, what in problems_in(line, RULES) if kind
    ]
    assert sorted(map(str, found)) == sorted(map(str, expected))


@given(
    st.lists(NAMES, max_size=6), st.sampled_from(["/", ""]), st.sampled_from(["/type/user", "/type/list", "/type/page"])
)
def test_verify_withholds_what_the_reference_drops(names: list[str], start: str, type_key: str) -> None:
    """Two independent implementations of the privacy rules agree."""
    key = start + "/".join(names)
    record = Record(type_key, key, Number("1", is_integer=True), "2010-01-01", "{}")
    assert (reason_withheld(type_key, key) is None) == (drop_reason(record, "2022-07-31") is None)
