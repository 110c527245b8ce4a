"""Rows: how blocks are converted, and that the fast path is both taken and correct."""

import json
from datetime import date

import pytest

from oldump.kernel.rows import CONVERTED, UNPROVED, RowReader
from oldump.records.document import MAX_DEPTH, Reject
from oldump.records.privacy import Drop, first_text_after
from oldump.records.record import PARTS, record_rank
from oldump.records.rows import TABLES, ConvertedRows, Rejection
from tables import copy_row

CUTOFF = first_text_after(date(2022, 7, 31))
WHEN = '"last_modified": {"type": "/type/datetime", "value": "2010-01-01T00:00:00"}'
CORE = f'"key": "/works/OL1W", "type": {{"key": "/type/work"}}, "revision": 1, {WHEN}'
REDIRECT = CORE.replace("/type/work", "/type/redirect")
READER = RowReader(TABLES)


def batch(*rows: bytes) -> ConvertedRows:
    """Convert the rows as one block."""
    return ConvertedRows(b"".join(rows), CUTOFF)


def text_of(*members: str) -> str:
    """Return the JSON in the record of a document with these members."""
    (record,) = batch(copy_row(1, 1, "{" + ", ".join(members) + "}")).records
    return record.split(b"\t")[4].decode("ascii")


def made_of(line: bytes) -> list[Rejection] | list[bytes]:
    """Return the rejects of a block with this one line, or else its records."""
    made = batch(line + b"\n")
    return made.rejects or made.records


GOOD = copy_row(1, 1, "{" + CORE + "}")
GOOD_RECORD = b"/type/work\t/works/OL1W\t1\t2010-01-01T00:00:00\t{" + CORE.encode() + b"}"


# Blocks


def test_all_records_of_a_withheld_key_are_dropped() -> None:
    """On both paths, in every revision, and also if it was the newest; no record of another key."""
    core = CORE.replace("/works/OL1W", "/b/OL1M").replace("2010", "2015")
    rows = [
        copy_row(1, 1, "{" + core + "}"),
        copy_row(1, 2, "{" + core.replace('"revision": 1', '"revision": 2') + "}"),
        copy_row(1, 3, '{"a":1,' + core + "}"),
        copy_row(2, 1, "{" + CORE + ', "work": {"key": "/books/OL1M"}}'),
        copy_row(3, 1, "{" + CORE.replace("2010-01-01T00:00:00", "/books/OL1M") + "}"),
    ]
    everything = ConvertedRows(b"".join(rows[:4]), CUTOFF)
    assert (len(everything.records), everything.newest[:4]) == (4, "2015")
    for withheld in ("/books/OL1M", "/b/OL1M"):
        made = ConvertedRows(b"".join(rows), CUTOFF, {withheld: "a reason"})
        assert made.drops == {Drop.WITHHELD: 3}
        assert made.records == ConvertedRows(b"".join(rows[3:]), CUTOFF).records
    assert ConvertedRows(b"".join(rows[:4]), CUTOFF, ["/books/OL1M"]).newest == "2010-01-01T00:00:00"


def test_rows_become_records_drops_and_rejects() -> None:
    """Every row is counted once; records keep the order of their rows, rejects have their index."""
    private = copy_row(1, 1, "{" + CORE.replace("/works/OL1W", "/people/x") + "}")
    odd = copy_row(1, 1, '{"a":1,' + CORE.replace("OL1W", "OL2W") + "}")
    made = batch(GOOD, b"x\n", private, odd, b"\n", private, GOOD)
    assert made.rows == 7
    assert [record.split(b"\t")[1] for record in made.records] == [b"/works/OL1W", b"/works/OL2W", b"/works/OL1W"]
    assert made.drops == {Drop.PRIVATE_PAGE: 2}
    assert made.rejects == [
        Rejection(1, Reject.NOT_THREE_COLUMNS, b"x"),
        Rejection(4, Reject.NOT_THREE_COLUMNS, b""),
    ]
    assert not made.ended
    assert not made.text_after_end


def test_ranks_and_parts_are_parallel_to_the_records() -> None:
    """Each record has one of each, on both paths."""
    types = ["work", "edition", "author", "redirect", "delete", "list", "shelf"]
    rows = [
        copy_row(1, 1, "{" + CORE.replace("OL1W", key).replace("/type/work", f"/type/{type_key}") + more)
        for key, type_key in zip(["OL1W", "OL2W", "OL3X", "OL04W", "ia:x", "OL5W", "OL6W"], types, strict=True)
        for more in ("}", " }")
    ]
    made = batch(*rows)
    assert made.ranks.tolist() == [record_rank(record) for record in made.records]
    parts = ["works", "editions", "authors", "redirects", "deletes", "lists", "other"]
    assert [PARTS[number] for number in made.part_numbers] == [part for part in parts for _ in range(2)]


@pytest.mark.parametrize(
    "key",
    [
        "/works/OL5W", "/works/OL0W", "/works/OL05W", "/works/OL00W", "/works/OL5A", "/works/OL5X", "/works/OL5w",
        "/works/OLW", "/works/OL5", "/works/OL-5W", "/works/OL5 W", "/works/OL5WW", "/works/ol5W", "/books/OL5M",
        "/books/OL5W", "/authors/OL5A", "/authors/XX5A", "/authors/5A", "/authors/OLx5A", "/author/OL5A", "/works/OL55",
        "/works/OL999999999999W", "/works/OL1000000000000W", "/works/OL1099511627774W", "/works/OL1099511627775W",
        "/works/OL18446744073709551616W", "/works/OL\\u0663W", "/works/OL\\uff15W", "/works/OL5\\u00b2W", "/12x", "/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("revision", ["1", "0", "-1", "1048574", "1048575", "1048576", "18446744073709551616"])
def test_the_fast_path_gives_the_same_ranks(key: str, revision: str) -> None:
    """For keys that resemble those of a large collection, and revisions that do not fit into a rank."""
    core = CORE.replace("/works/OL1W", key).replace('"revision": 1', f'"revision": {revision}')
    made = batch(*(copy_row(1, 1, "{" + core + end) for end in ("}", " }")), GOOD)
    assert made.ranks.tolist() == [record_rank(record) for record in made.records]
    assert made.records[0] == made.records[1]
    assert made.records[0].split(b"\t")[1:3] == [json.loads(f'"{key}"').encode(), revision.encode()]


@pytest.mark.parametrize(
    "last", ["2009", "2011", "2012 \\u00e9", "2012\\n", "2012\\ud83d", "2022-07-31T23:59:59.999999"]
)
@pytest.mark.parametrize("key", ["/works/OL2W", "/works/x"])
def test_the_newest_is_the_largest_column_of_the_records(key: str, last: str) -> None:
    """Dropped rows do not count."""
    moment = "2010-01-01T00:00:00"
    rows = [
        copy_row(1, 1, "{" + CORE.replace("/works/OL1W", key_of_row).replace(moment, last_modified) + more)
        for key_of_row, last_modified in ((key, last), ("/works/OL1W", moment), ("/people/x", "2021"), (key, "2023"))
        for more in ("}", " }")
    ]
    for some in (rows, rows[::-1], rows[:1], rows[1:2]):
        made = batch(*some)
        assert made.newest == max(record.split(b"\t")[3] for record in made.records).decode()
    assert batch(*rows[-4:]).newest == ""


def test_an_empty_block_has_no_rows() -> None:
    """No row and no reject; an empty line, however, is a row."""
    assert ConvertedRows(b"", CUTOFF).rows == 0
    assert ConvertedRows(b"", CUTOFF).rejects == []
    assert ConvertedRows(b"\n", CUTOFF).rows == 1


def test_the_last_line_may_have_no_newline() -> None:
    """It is a row like any other."""
    assert batch(GOOD, GOOD.rstrip(b"\n")).records == [GOOD_RECORD] * 2
    assert batch(GOOD.rstrip(b"\n")).records == [GOOD_RECORD]


@pytest.mark.parametrize("end", [b"\\.\n", b"\\."])
def test_the_end_of_data_ends_the_table(end: bytes) -> None:
    r"""`\.` is not a row, and a table may end with it."""
    made = batch(GOOD, end)
    assert (made.rows, made.records, made.rejects) == (1, [GOOD_RECORD], [])
    assert (made.ended, made.text_after_end) == (True, False)


@pytest.mark.parametrize("more", [GOOD, GOOD.rstrip(b"\n"), b"\n", b"x\n", b"\\.\n"])
def test_text_after_the_end_is_detected(more: bytes) -> None:
    """It gives no row, but it is reported."""
    made = batch(GOOD, b"\\.\n", more)
    assert (made.rows, made.records, made.rejects) == (1, [GOOD_RECORD], [])
    assert (made.ended, made.text_after_end) == (True, True)


@pytest.mark.parametrize("line", [b"\\. ", b" \\.", b"\\.\r", b"\\\\.", b"1\t1\t\\."])
def test_lines_that_resemble_the_end_are_rows(line: bytes) -> None:
    """A table must not end early."""
    made = batch(line + b"\n", GOOD)
    assert (made.rows, made.records, made.ended) == (2, [GOOD_RECORD], False)


# Lines


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", Reject.NOT_THREE_COLUMNS),
        (b"1", Reject.NOT_THREE_COLUMNS),
        (b"1\t1", Reject.NOT_THREE_COLUMNS),
        (GOOD[:-1] + b"\t", Reject.NOT_THREE_COLUMNS),
        (GOOD[:-1] + b"\\\\\t", Reject.NOT_THREE_COLUMNS),
        (GOOD[:-1].replace(b"\t", b"\\\t", 1), Reject.NOT_THREE_COLUMNS),
        (GOOD[:-1].replace(b"\t{", b"\\\t{"), Reject.NOT_THREE_COLUMNS),
        (GOOD[:-1].replace(b"work", b"\\\t"), Reject.NOT_A_JSON_OBJECT),
        (GOOD[:-1].replace(b", ", b",\t"), Reject.NOT_THREE_COLUMNS),
        (b"\t\t", Reject.NOT_A_JSON_OBJECT),
        (b"1\t\t", Reject.NOT_A_JSON_OBJECT),
        (b"1\t1\t{}", Reject.NO_KEY),
        (b"1\t1\t\\N", Reject.NOT_A_JSON_OBJECT),
        (b"\\", Reject.LONE_BACKSLASH),
        (GOOD[:-1] + b"\\", Reject.LONE_BACKSLASH),
        (GOOD[:-1] + b"\\\\\\", Reject.LONE_BACKSLASH),
        (GOOD[:-1] + b"\\\\", Reject.NOT_A_JSON_OBJECT),
        (b"1\t\\", Reject.LONE_BACKSLASH),
        (GOOD[:-1].replace(b"work", b"w\xffrk"), Reject.NOT_UTF8),
        (GOOD[:-1].replace(b"work", b"w\\377rk"), Reject.NOT_UTF8),
        (b"\xff" + GOOD[:-1], Reject.NOT_UTF8),
        (b"\\xff" + GOOD[:-1], Reject.NOT_UTF8),
        (GOOD[:-1].replace(b"1\t1\t", b"\xc3\t\xa9\t"), Reject.NOT_UTF8),
        (GOOD[:-1].replace(b"1\t1\t", b"1\t\xc3\t\xa9"), Reject.NOT_UTF8),
        (GOOD[:-1].replace(b'"revision": 1', b'"revision": 1.0'), Reject.NO_REVISION),
        (GOOD[:-1].replace(b'"revision": 1', b'"revision": true'), Reject.NO_REVISION),
        (GOOD[:-1].replace(b'"revision": 1', b'"revision": "1"'), Reject.NO_REVISION),
        (GOOD[:-1].replace(b'"revision": 1', b'"revision": 1e0'), Reject.NO_REVISION),
        (GOOD[:-1].replace(b'"revision": 1', b'"revision": 1, "a": NaN'), Reject.NOT_FINITE),
        (GOOD[:-1].replace(b'"revision": 1', b'"revision": 1, "a": -Infinity'), Reject.NOT_FINITE),
    ],
)
def test_rejected_lines_are_kept_as_stored(line: bytes, reason: Reject) -> None:
    """Each with its reason and its stored bytes, alone and between others."""
    assert made_of(line) == [Rejection(0, reason, line)]
    made = batch(GOOD, line + b"\n", GOOD)
    assert made.rejects == [Rejection(1, reason, line)]
    assert made.records == [GOOD_RECORD] * 2


@pytest.mark.parametrize(
    "line",
    [
        GOOD[:-1].replace(b", ", b",\\\t", 1),
        GOOD[:-1] + b"\\\t",
        b"\\\t" + GOOD[:-1],
        GOOD[:-1].replace(b"\t", b"\\\t1\t", 1),
        GOOD[:-1].replace(b"\t", b"\\\\\t", 1),
    ],
)
def test_a_tab_after_a_backslash_is_not_a_separator(line: bytes) -> None:
    """It stands for itself, as in PostgreSQL: a space between tokens, or part of the first column."""
    assert made_of(line) == [GOOD_RECORD]


@pytest.mark.parametrize("ids", [b"\t", b"foo\t", b"\\N\t\\N", b"1\t99", b"\\\\\t\\x41", b"\xc3\xa9\t\\303\\251"])
def test_the_first_two_columns_do_not_matter(ids: bytes) -> None:
    """A record is made from the document alone."""
    assert made_of(ids + b"\t" + GOOD.split(b"\t")[2].rstrip(b"\n")) == [GOOD_RECORD]


# Common documents


@pytest.mark.parametrize(
    ("stored", "published"),
    [
        ('"a": 1', '"a": 1'),
        ('"a": [1e5, 1E400, -0.0, 1.50, 123456789012345678901234567890]', None),
        ('"a": "\\u00e9\\u007f\\u001f\\ud83d\\ude00\\n\\\\ \\""', None),
        (
            '"x": {"key": "/a/OL1A"}, "y": [{"key": "/user/x"}]',
            '"x": {"key": "/authors/OL1A"}, "y": [{"key": "/people/x"}]',
        ),
        (
            '"created": {"type": "/type/datetime", "value": "2008-04-30 20:50:18.033121"}',
            '"created": {"type": "/type/datetime", "value": "2008-04-30T20:50:18.033121"}',
        ),
        ('"created": {"type": "/type/datetime", "value": "2008-04-30T20:50:18.033121"}', None),
        ('"created": {"type": "/type/datetime", "value": "2008-04-30T20:50:18"}', None),
        ('"id": 5, "a": 1', '"a": 1'),
        ('"id": "x", "a": 1', '"a": 1'),
    ],
)
def test_common_documents_take_the_fast_path(stored: str, published: str | None) -> None:
    """The kernel converts them completely."""
    for members in ((stored, CORE), (CORE, stored)):
        row = copy_row(1, 1, "{" + ", ".join(members) + "}")
        assert READER.read(row, CUTOFF.encode()).outcomes.tolist() == [CONVERTED]
        assert text_of(*members) == "{" + ", ".join(members).replace(stored, published or stored) + "}"


def test_del_is_escaped_in_the_json_too() -> None:
    """DEL is ASCII and legal in a stored string, but it is a control character."""
    assert text_of('"a": "\x7f"', '"\x7f": 1', CORE) == '{"a": "\\u007f", "\\u007f": 1, ' + CORE + "}"


def test_one_odd_row_does_not_slow_its_block() -> None:
    """Its neighbours still take the fast path."""
    for odd in (b"x\n", b"\xff\n", GOOD.replace(b", ", b","), GOOD[:-1] + b"}\n", copy_row(1, 1, '{"a": "\\/"}')):
        assert READER.read(GOOD + odd + GOOD, CUTOFF.encode()).outcomes.tolist() == [CONVERTED, UNPROVED, CONVERTED]
        made = batch(GOOD, odd, GOOD)
        assert (made.records[0], made.records[-1]) == (GOOD_RECORD, GOOD_RECORD)


# Documents that the fast path must leave to the slow path


@pytest.mark.parametrize(
    "stored",
    [
        '{"class": "/type/datetime", "value": "2008-04-30 20:50:18.033121"}',
        '{"subtype": "/type/datetime", "value": "2008-04-30 20:50:18.033121"}',
        '{"x": ["type", "/type/datetime"], "value": "2008-04-30 20:50:18.033121"}',
        '{"key": "/type/datetime", "value": "2008-04-30 20:50:18.033121"}',
        '{"type": "/type/datetimes", "value": "2008-04-30 20:50:18.033121"}',
        '{"type": ["/type/datetime"], "value": "2008-04-30 20:50:18.033121"}',
        '{"type": "/type/datetime", "values": "2008-04-30 20:50:18.033121"}',
        '{"type": "/type/datetime", "valid": "2008-04-30 20:50:18.033121"}',
        '{"type": "/type/datetime", "other": "2008-04-30 20:50:18.033121"}',
        '"\\"type\\": \\"/type/datetime\\", \\"value\\": \\"2008-04-30 20:50:18.033121\\""',
        '{"a \\"type": "/type/datetime", "value": "2008-04-30 20:50:18.033121"}',
        '{"type": "/type/datetime", "value": ["2008-04-30 20:50:18.033121"]}',
    ],
)
def test_only_datetimes_lose_their_space(stored: str) -> None:
    """Another member's name, another type, another value, or text that only looks like one."""
    for members in ((f'"x": {stored}', CORE), (CORE, f'"x": {stored}')):
        assert text_of(*members) == "{" + ", ".join(members) + "}"


@pytest.mark.parametrize(
    ("stored", "published"),
    [
        ('2008-04-30T20:50:\\" x', '2008-04-30T20:50:\\"Tx'),
        ('2008-04-30T20:50:18.1234\\" x', '2008-04-30T20:50:18.1234\\"Tx'),
        ('2008-04-30T20:50:18\\" x', '2008-04-30T20:50:18\\"Tx'),
        ('2008-04-30\\" x', '2008-04-30\\"Tx'),
        ('2008-04\\" 30', '2008-04\\"T30'),
        ("2008-04-30T20:50:18 .033121", "2008-04-30T20:50:18T.033121"),
        (" 008-04-30 20:50:18", "T008-04-30 20:50:18"),
        ("2008-04- 0 20:50:18", "2008-04-T0 20:50:18"),
        ("2008-04-3  20:50:18", "2008-04-3T 20:50:18"),
        ("2008-04-30T20:50:18.0331 1", "2008-04-30T20:50:18.0331T1"),
        ("2008-04-30T20:50:18.03312 ", "2008-04-30T20:50:18.03312T"),
        ("2008-04-30T20:50:18.033121 ", "2008-04-30T20:50:18.033121T"),
        ("2008-04-30T20:50:18.0 3312", "2008-04-30T20:50:18.0T3312"),
        ("2008-04-30T20:50:18.033121 Z", "2008-04-30T20:50:18.033121TZ"),
        ("2008-04-30T20:50 18", "2008-04-30T20:50T18"),
        ("2008-4-30 20:50 18", "2008-4-30T20:50 18"),
        ("2008 04-30 20:50:18", "2008T04-30 20:50:18"),
        ("2008-04-30  20:50:18", "2008-04-30T 20:50:18"),
        (" ", "T"),
        ("a b", "aTb"),
        ("2008-04-30\\u0020x", "2008-04-30Tx"),
        ("2008-04-30\\\\ x", "2008-04-30\\\\Tx"),
    ],
)
def test_datetimes_of_any_length_get_their_t(stored: str, published: str) -> None:
    """Wherever the first space is, and however close the value is to the end of the block."""
    shape = '"x": {"type": "/type/datetime", "value": "%s"}'
    for more in ((), ('"y": 1',), ('"y": "' + "y" * 40 + '"',), (CORE,)):
        core = () if CORE in more else (CORE,)
        assert text_of(*core, shape % stored, *more) == "{" + ", ".join((*core, shape % published, *more)) + "}"


@pytest.mark.parametrize(
    ("stored", "published"),
    [
        ('{"ke\\u0079": "/b/x"}', '{"key": "/books/x"}'),
        ('{"\\u006bey": "/b/x"}', '{"key": "/books/x"}'),
        ('{"t\\u0079pe": "/type/datetime", "value": "a b"}', '{"type": "/type/datetime", "value": "aTb"}'),
        ('{"type": "/t\\u0079pe/datetime", "value": "a b"}', '{"type": "/type/datetime", "value": "aTb"}'),
        ('{"type": "/type/datetime", "\\u0076alue": "a b"}', '{"type": "/type/datetime", "value": "aTb"}'),
    ],
)
def test_escaped_names_mean_what_they_mean(stored: str, published: str) -> None:
    """A member's name and type are compared by meaning, not by spelling."""
    assert text_of(CORE, f'"x": {stored}') == "{" + CORE + f', "x": {published}' + "}"


@pytest.mark.parametrize("spelled", ["/b\\/x", "\\/b\\/x", "/\\u0062/x", "\\u002fb/x", "/b\\u002Fx", "/b\\/"])
def test_escaped_old_keys_are_found_up_to_the_end_of_a_block(spelled: str) -> None:
    """An escape can hide a key or a location, whatever follows it."""
    published = "/books/x" if spelled.endswith("x") else "/books/"
    for members in ((CORE, f'"x": {{"key": "{spelled}"}}'), (REDIRECT, f'"location": "{spelled}"')):
        assert text_of(*members) == "{" + ", ".join(members).replace(spelled, published) + "}"


@pytest.mark.parametrize(
    "location", ["/a/OL1A", "/b/OL1M", "/l/eng", "/user/foo", "/a/", "/works/OL1W", "/a", "/users/x"]
)
def test_locations_of_redirects_are_rewritten_in_any_position(location: str) -> None:
    """First, in the middle, last; in redirects only."""
    rewrites = ("/a/", "/authors/"), ("/b/", "/books/"), ("/l/", "/languages/"), ("/user/", "/people/")
    expected = next((new + location[len(old) :] for old, new in rewrites if location.startswith(old)), location)
    for core, published in ((REDIRECT, expected), (CORE, location)):
        for order in ("lc", "cl", "lxc", "xlc", "cxl"):
            texts = {"l": f'"location": "{location}"', "c": core, "x": '"x": 1'}
            made = text_of(*(texts[each] for each in order))
            assert (
                made == "{" + ", ".join(texts[each] for each in order).replace(f'"{location}"', f'"{published}"') + "}"
            )


IDS = [
    "5",
    "-5",
    "0",
    "1.5",
    "1e5",
    '"x"',
    '""',
    '"a, b"',
    '"\\"id\\": 1"',
    "{}",
    '{"id": 1}',
    '[{"id": 1}]',
    "null",
    "true",
]


@pytest.mark.parametrize("value", IDS)
@pytest.mark.parametrize("name", ["id", "\\u0069d", "i\\u0064"])
def test_the_id_is_removed_in_any_position(name: str, value: str) -> None:
    """First, in the middle, last; with any value, and next to similar members."""
    top = f'"{name}": {value}'
    for others in ([CORE], [CORE, '"x": {"id": 7}'], ['"x": [{"id": 7}, {"a": 1, "id": 8}]', CORE], [CORE, '"xid": 1']):
        for at in range(len(others) + 1):
            assert text_of(*others[:at], top, *others[at:]) == "{" + ", ".join(others) + "}"


def test_two_ids_are_both_removed() -> None:
    """In any spelling."""
    for name in ("id", "\\u0069d"):
        assert text_of('"id": 1', CORE, f'"{name}": 2') == "{" + CORE + "}"
        assert text_of(f'"{name}": {{"id": 3}}', '"id": 1', CORE) == "{" + CORE + "}"


@pytest.mark.parametrize("value", IDS)
def test_nested_ids_stay(value: str) -> None:
    """Only the top-level id is removed."""
    for more in (f'"x": {{"id": {value}}}', f'"x": {{"id": {value}, "a": 1}}', f'"x": [{{"a": 1, "id": {value}}}]'):
        assert text_of(CORE, more) == "{" + CORE + ", " + more + "}"


@pytest.mark.parametrize(
    "stored",
    [
        '"a": "\\"key\\": \\"/a/OL1A\\""',
        '"a \\"key": "/a/OL1A"',
        '"a \\\\\\"key": "/a/OL1A"',
        '"monkey": "/a/OL1A"',
        '"a": ["key", "/a/OL1A"]',
        '"a": {"key": ["/a/OL1A"]}',
        '"a": {"key": " /a/OL1A"}',
        '"/a/": "/a/", "/user/": "/user/"',
        '"a": {"location": "/a/OL1A"}',
    ],
)
def test_text_that_resembles_an_old_key_stays(stored: str) -> None:
    """Text, other names, keys that are not strings."""
    for members in ((stored, CORE), (CORE, stored), (CORE, stored, '"x": {"key": "/works/OL1W"}')):
        assert text_of(*members) == "{" + ", ".join(members) + "}"
    (record,) = batch(copy_row(1, 1, "{" + REDIRECT + ", " + stored + "}")).records
    assert record.endswith(b"{" + (REDIRECT + ", " + stored).encode() + b"}")


@pytest.mark.parametrize(
    ("old", "new"), [("}", " }"), (", ", ","), (": ", ":"), (", ", ",  "), (", ", " , "), ("{", "{ "), ("}", "}  ")]
)
def test_non_canonical_documents_are_normalised(old: str, new: str) -> None:
    """For any spacing, alone and between others."""
    non_canonical = copy_row(1, 1, ("{" + CORE + "}").replace(old, new))
    assert batch(non_canonical).records == [GOOD_RECORD]
    assert batch(GOOD, non_canonical, GOOD).records == [GOOD_RECORD] * 3


def test_rows_that_are_json_only_together_are_rejected() -> None:
    """Two halves of a document are not documents, even if a comma between them would make one."""
    first, second = copy_row(1, 1, '{"a": [{}'), copy_row(1, 1, "{}]}")
    both = batch(GOOD, first, second, GOOD)
    assert both.records == [GOOD_RECORD] * 2
    assert [rejection.reason for rejection in both.rejects] == [Reject.NOT_A_JSON_OBJECT] * 2
    assert [rejection.row for rejection in batch(copy_row(1, 1, "{" + CORE + "}, {" + CORE + "}")).rejects] == [0]


@pytest.mark.parametrize("depth", [100, 900, 1_100, MAX_DEPTH - 1])
@pytest.mark.parametrize("brackets", ["[]", '{"a": |}'])
def test_deep_documents_are_kept_on_both_paths(depth: int, brackets: str) -> None:
    """What is too deep for the fast path is not too deep for the slow path."""
    opening, closing = (brackets[0], brackets[1]) if brackets == "[]" else brackets.split("|")
    deep = '"x": ' + opening * depth + "1" + closing * depth
    assert text_of(CORE, deep) == "{" + CORE + ", " + deep + "}"


@pytest.mark.parametrize("depth", [MAX_DEPTH, 20_000, 100_000])
def test_documents_that_are_too_deep_are_rejected(depth: int) -> None:
    """Their neighbours are not affected."""
    made = batch(GOOD, copy_row(1, 1, "{" + CORE + ', "x": ' + "[" * depth + "]" * depth + "}"), GOOD)
    assert [rejection.reason for rejection in made.rejects] == [Reject.NOT_A_JSON_OBJECT]
    assert made.records == [GOOD_RECORD] * 2


@pytest.mark.parametrize(
    ("more", "columns"),
    [
        ('"key": "/works/OL2W"', b"/type/work /works/OL2W 1 2010-01-01T00:00:00"),
        ('"type": {"key": "/type/user", "key": "/type/edition"}', b"/type/edition /works/OL1W 1 2010-01-01T00:00:00"),
        ('"revision": 2', b"/type/work /works/OL1W 2 2010-01-01T00:00:00"),
        ('"last_modified": {"value": "2009"}', b"/type/work /works/OL1W 1 2009"),
    ],
)
def test_the_last_of_a_repeated_name_counts(more: str, columns: bytes) -> None:
    """On both paths, so that no page evades privacy by repeating its key or type."""
    for end in ("}", " }"):
        made = batch(copy_row(1, 1, "{" + CORE + ", " + more + end), copy_row(1, 1, "{" + more + ", " + CORE + end))
        assert [record.split(b"\t")[:4] for record in made.records] == [
            columns.split(b" "),
            GOOD_RECORD.split(b"\t")[:4],
        ]
        for private in ('"key": "/people/x"', '"type": {"key": "/type/user"}'):
            assert batch(copy_row(1, 1, "{" + CORE + ", " + private + end)).drops == {Drop.PRIVATE_PAGE: 1}


@pytest.mark.parametrize(
    ("last_modified", "drops"),
    [
        ("2022-07-31T23:59:59.999999", {}),
        ("2022-07-31 23:59:59.999999", {}),
        ("2022-08-01T00:00:00", {Drop.AFTER_CUTOFF: 1}),
        ("2022-08-01 00:00:00", {Drop.AFTER_CUTOFF: 1}),
        ("2022-08-01", {Drop.AFTER_CUTOFF: 1}),
    ],
)
def test_rows_after_the_cutoff_are_dropped(last_modified: str, drops: dict[Drop, int]) -> None:
    """The last moment of the day is included, the next is not, on both paths."""
    for more in ("}", " }"):
        made = batch(copy_row(1, 1, "{" + CORE.replace("2010-01-01T00:00:00", last_modified) + more))
        assert made.drops == drops
        assert len(made.records) == 1 - len(drops)


@pytest.mark.parametrize("neighbour", [rb"\N", rb"a\b", b"1", b'"', b"/"])
def test_a_line_does_not_depend_on_the_next_one(neighbour: bytes) -> None:
    """However short its last value is."""
    line = rb'1	1	{"t": "caf\\u00E9", "key": "/works/OL5W", "revision": 1, "type": {"key": "/type/work"}, '
    line += b'"last_modified": {"type": "/type/datetime", "value": "2010-01-01T00:00:00"}}'
    alone = ConvertedRows(line + b"\n", CUTOFF).records
    following = neighbour + line[1:].replace(rb"\\u00E9", b"e")
    assert ConvertedRows(line + b"\n" + following + b"\n", CUTOFF).records[:1] == alone
    assert b"u00e9" in alone[0]
