"""Records: their five columns and their order."""

from decimal import Decimal
from itertools import permutations

import pytest

import reference
from oldump.records import keys
from oldump.records.document import Document, normalised
from oldump.records.record import (
    OTHER_NUMBER,
    PART_OF_TYPE,
    PARTS,
    column,
    columns,
    part_number,
    record_of,
    record_order,
    record_rank,
    revision_of,
)
from tables import DATE, copy_row

DOCUMENT = Document("/works/OL1W", "/type/work", "7", "2010-01-01T00:00:00", b'{"a": 1}')
RECORD = b'/type/work\t/works/OL1W\t7\t2010-01-01T00:00:00\t{"a": 1}'


def test_a_record_has_five_columns() -> None:
    """Type key, key, revision, last_modified, JSON; tabs between them."""
    assert record_of(DOCUMENT) == RECORD
    assert columns(RECORD) == (b"/type/work", b"/works/OL1W", b"7", b"2010-01-01T00:00:00", b'{"a": 1}')


@pytest.mark.parametrize("damaged", [b"", b"x", RECORD.replace(b"\t7", b""), RECORD + b"\t", b"\t" + RECORD])
def test_other_lines_are_refused(damaged: bytes) -> None:
    """A line with four or six columns is not a record."""
    for read in (columns, record_order, record_rank):
        with pytest.raises(ValueError, match="unpack"):
            read(damaged)


NO_REVISIONS = (
    b"", b"x", b"1e", b"0x1", b"NaN", b"sNaN", b"-Infinity", b"inf", b"1.5", b"1.0", b"1e3", b"+1", b"--1", b"-",
    b"1_0", b" 1", b"1 ", b"1\n", b"\xd9\xa1", b"\xff",
)  # fmt: skip


@pytest.mark.parametrize("revision", NO_REVISIONS)
def test_a_revision_that_is_not_an_integer_is_refused(revision: bytes) -> None:
    """Decimal accepts many of these, and NaN cannot even be compared."""
    with pytest.raises(ValueError, match="not a revision"):
        revision_of(revision)
    for read in (record_order, record_rank):
        with pytest.raises(ValueError, match="not a revision"):
            read(RECORD.replace(b"\t7\t", b"\t" + revision + b"\t"))


@pytest.mark.parametrize("revision", [b"0", b"-0", b"-12", b"18446744073709551616", b"9" * 5000, b"007"])
def test_a_revision_is_an_integer_of_any_length(revision: bytes) -> None:
    """Also beyond the limit of int()."""
    assert revision_of(revision) == Decimal(revision.decode())
    record = RECORD.replace(b"\t7\t", b"\t" + revision + b"\t")
    assert record_order(record)[1] == revision_of(revision)
    assert record_rank(record) == keys.rank(b"/works/OL1W", revision_of(revision))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/works/\u00e9\u8a9e\U0001f600", "/works/\u00e9\u8a9e\U0001f600"),
        ("\b\f\n\r\t", "\\b\\f\\n\\r\\t"),
        ("\0\x01\x0b\x1b\x1f", "\\u0000\\u0001\\u000b\\u001b\\u001f"),
        ("\ud83d", "\\ud83d"),
        ("\udfff\ud800", "\\udfff\\ud800"),
        ("~\x7f\x80\x85\x9f\xa0", "~\\u007f\\u0080\\u0085\\u009f\xa0"),
        ("\u2027\u2028\u2029\u202a", "\u2027\\u2028\\u2029\u202a"),
        ("\u200b\u202e\ud7ff\ue000\ufeff\uffff", "\u200b\u202e\ud7ff\ue000\ufeff\uffff"),
        ('\\n"\\', '\\n"\\'),
    ],
)
def test_control_characters_and_surrogates_are_escaped_in_columns(text: str, expected: str) -> None:
    """Control characters, line ends and lone surrogates are escaped as in JSON; nothing else is."""
    assert column(text) == expected.encode()
    record = record_of(Document("/" + text, "/t" + text, "1", text, b"{}"))
    assert record == f"/t{expected}\t/{expected}\t1\t{expected}\t{{}}".encode()
    assert len(columns(record)) == 5
    assert len(record.decode().splitlines()) == 1


def test_parts_are_in_alphabetical_order() -> None:
    """The dump is its parts one after another."""
    assert PARTS == ("authors", "deletes", "editions", "lists", "other", "redirects", "works") == reference.PARTS


@pytest.mark.parametrize(("type_key", "part"), [*reference.PART_OF_TYPE.items()])
def test_each_type_has_its_part(type_key: str, part: str) -> None:
    """The six types that have files of their own."""
    assert PARTS[part_number(type_key.encode())] == part
    assert PART_OF_TYPE[type_key.encode()] == part


@pytest.mark.parametrize("type_key", [b"/type/shelf", b"", b"work", b"/type/Work", b"/type/work\\n", b"/type/works"])
def test_an_unknown_type_goes_to_other(type_key: bytes) -> None:
    """It is not lost, and not mistaken for a similar type."""
    assert PARTS[part_number(type_key)] == "other"
    assert part_number(type_key) == OTHER_NUMBER


def test_records_are_ordered_by_key_revision_time_and_json() -> None:
    """Keys by number, revisions as numbers, then last_modified, then the bytes of the JSON."""
    in_order = [
        b"/t\t/books/OL9M\t10\t2010\t{}",
        b"/t\t/books/OL10M\t9\t2012\t{}",
        b"/z\t/books/OL10M\t10\t2010\t{}",
        b"/t\t/books/OL10M\t10\t2011\t{ }",
        b"/t\t/books/OL10M\t10\t2011\t{}",
        b"/t\t/books/OL10M\t18446744073709551616\t2001\t{}",
        b"/t\t/works/OL1W\t-2\t2001\t{}",
        b"/t\t/works/OL1W\t-1\t2001\t{}",
        b"/t\t/works/OL1W\t0\t2001\t{}",
    ]
    for shuffled in (in_order[::-1], in_order[1::2] + in_order[::2]):
        assert sorted(shuffled, key=record_order) == in_order
    ranks = [record_rank(record) for record in in_order]
    assert ranks == sorted(ranks)


def test_the_order_is_total() -> None:
    """Lines that differ only in type, or in how the revision is written, still have one order."""
    in_order = [
        b"/a\t/books/OL9M\t01\t2010\t{}",
        b"/a\t/books/OL9M\t1\t2010\t{}",
        b"/b\t/books/OL9M\t1\t2010\t{}",
    ]
    for shuffled in permutations(in_order):
        assert sorted(shuffled, key=record_order) == in_order


def test_the_rank_of_a_record_is_that_of_its_key_and_revision() -> None:
    """The other columns do not matter."""
    assert record_rank(RECORD) == keys.rank(b"/works/OL1W", Decimal(7))


def test_records_are_ordered_as_the_reference_orders_them() -> None:
    """For a few documents, in every input order."""
    texts = [
        f'{{"key": "{key}", "type": {{"key": "/type/page"}}, "revision": {revision}, '
        f'"last_modified": {{"value": "{moment}"}}}}'
        for key, revision, moment in [
            ("/works/OL9W", 1, "2010"),
            ("/works/OL10W", 2, "2009"),
            ("/works/OL10W", 10, "2008"),
            ("/works/\\ud83d", 1, "2010"),
            ("/works/OL9W", 1, "2011"),
        ]
    ]
    expected = reference.dumps_of(b"".join(copy_row(1, 1, text) for text in texts), DATE).cdump.split(b"\n")[:-1]
    records = [record_of(normalised(text.encode())) for text in texts]
    for shuffled in permutations(records):
        assert sorted(shuffled, key=record_order) == expected
