"""Tallies of records: counts, the latest date and digests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from examples import examples
from oldump.engine.text_lines import Lines
from oldump.records.tally import Tally, digests_of, newest_of, types_of


def record(
    type_key: str = "/type/work", key: str = "/works/OL1W", last_modified: str = "2010", text: str = "{}"
) -> bytes:
    """Return a record with these columns."""
    return f"{type_key}\t{key}\t1\t{last_modified}\t{text}".encode()


def tally(records: list[bytes]) -> Tally:
    """Return the tally of records."""
    lines = Lines.of(records)
    places = lines.text, lines.starts, lines.ends
    return Tally(len(records), types_of(records), newest_of(*places), int(digests_of(*places).sum()))


RECORDS = [
    record(),
    record("/type/edition", "/books/OL1M", "2012-01-01"),
    record("/type/edition", "/books/OL2M", "2011-01-01", '{"a": "9999"}'),
    record(key="/works/" + "x" * 300, last_modified="2009"),
    record("/type/\u00e9", "/\u00e9", "2010-\u00e9"),
]


def test_a_tally_counts() -> None:
    """Records, records by type, and the latest last_modified."""
    made = tally(RECORDS)
    assert made.records == 5
    assert made.by_type == {"/type/work": 2, "/type/edition": 2, "/type/\u00e9": 1}
    assert made.newest == "2012-01-01"


def test_no_records_give_an_empty_tally() -> None:
    """Without records there are no types and no latest date."""
    assert tally([]) == Tally()
    assert types_of([]) == {}


@pytest.mark.parametrize("length", [100, *range(128, 146), 160, 200, 1000])
def test_the_newest_is_found_after_keys_of_any_length(length: int) -> None:
    """Also after unusually long columns."""
    late = record(key="/works/" + "x" * length, last_modified="2013", text='{"a": 1}')
    assert tally([record(last_modified="2012"), late]).newest == "2013"
    assert tally([record(last_modified="2014"), late]).newest == "2014"


def test_the_digest_is_the_sum_of_the_records_digests() -> None:
    """XXH3-64 of each line without its newline, modulo 2**64, as the manifest documents it."""
    assert tally(RECORDS).digest == sum(map(xxh3_64_intdigest, RECORDS)) % 2**64
    assert tally([RECORDS[0]] * 1000).digest < 2**64


@pytest.mark.parametrize("at", range(len(RECORDS)))
def test_one_changed_byte_changes_the_digest(at: int) -> None:
    """So does a missing or repeated record."""
    digest = tally(RECORDS).digest
    damaged = [*RECORDS]
    damaged[at] = damaged[at][:-1] + b" "
    assert tally(damaged).digest != digest
    assert tally(RECORDS[:at] + RECORDS[at + 1 :]).digest != digest
    assert tally([*RECORDS, RECORDS[at]]).digest != digest


@settings(max_examples=examples(100), deadline=None)
@given(records=st.lists(st.sampled_from(RECORDS)), at=st.integers(0, 20))
def test_tallies_of_parts_add_up(records: list[bytes], at: int) -> None:
    """In any order, to the tally of the union."""
    there, back = tally(records[:at]), tally(records[at:])
    there.add(back)
    back.add(tally(records[:at]))
    assert there == back == tally(records) == tally(records[::-1])
