"""The reference implementation meets each clause of the record contract, on examples worked out by hand."""

import json
import re

import pytest
from hypothesis import given, settings

from examples import examples
from reference import PARTS, Reference, dumps_of, key_order, respelled, same_record, unescaped
from tables import DATE, ODD_DOCUMENTS, ODD_LINES, copy_row, tables

WHEN = '{"type": "/type/datetime", "value": "2010-01-01T00:00:00"}'


def document(
    more: str = "",
    key: str = "/works/OL1W",
    type_key: str = "/type/work",
    revision: str = "1",
    last_modified: str = WHEN,
) -> str:
    """Return JSON text in the contract's encoding, with the text of more members at its end."""
    return (
        f'{{"key": "{key}", "type": {{"key": "{type_key}"}}, "revision": {revision},'
        f' "last_modified": {last_modified}{more and ", " + more}}}'
    )


def dated(value: str) -> str:
    """Return the text of a last_modified."""
    return f'{{"type": "/type/datetime", "value": "{value}"}}'


def made_of(*texts: str) -> Reference:
    """Return what the reference makes of rows with these documents."""
    return dumps_of(b"".join(copy_row(1, 1, text) for text in texts), DATE)


def json_of(text: str) -> str:
    """Return the JSON column of the document's one record."""
    (line,) = made_of(text).cdump.splitlines()
    return line.split(b"\t", 4)[4].decode("ascii")


def keys_of(dump: bytes) -> list[str]:
    """Return the key columns of a dump."""
    return [line.split(b"\t")[1].decode() for line in dump.split(b"\n")[:-1]]


def columns_of(dump: bytes, column: int) -> list[str]:
    """Return one column of a dump, counted from 0."""
    return [line.split(b"\t", 4)[column].decode() for line in dump.split(b"\n")[:-1]]


def outcome(line: bytes) -> str:
    """Return the outcome of a line: its reason, or "kept"."""
    reference = dumps_of(line + b"\n", DATE)
    assert reference.rows == 1
    if reference.rejects:
        ((line_number, reason, raw),) = reference.rejects
        assert (line_number, raw) == (1, line)
        return reason
    return next(iter(reference.drops), "kept")


def outcome_of(text: str) -> str:
    """Return the outcome of a document: its reason, or "kept"."""
    return outcome(copy_row(1, 1, text).removesuffix(b"\n"))


# Columns and JSON


def test_a_record_has_five_columns() -> None:
    """Type key, key, revision, last_modified, JSON, with tabs between and a newline at the end."""
    assert made_of(document('"title": "A"', revision="7")).cdump == (
        b"/type/work\t/works/OL1W\t7\t2010-01-01T00:00:00\t"
        b'{"key": "/works/OL1W", "type": {"key": "/type/work"}, "revision": 7, "last_modified":'
        b' {"type": "/type/datetime", "value": "2010-01-01T00:00:00"}, "title": "A"}\n'
    )


def test_members_keep_their_order() -> None:
    """Members keep their stored order."""
    text = (
        '{"b": 1, "revision": 1, "a": 2, "last_modified": {"value": "2010"},'
        ' "type": {"key": "/type/work"}, "key": "/works/OL1W"}'
    )
    assert json_of(text) == text


@pytest.mark.parametrize(
    "spaced",
    [
        '"a":[1,{"b":2}],"c":{}',
        '"a"  :  [ 1 , { "b" : 2 } ]  ,  "c" : { }',
        '"a":\n\t[1,\r\n{"b":2}],"c":{\n}\t',
    ],
)
def test_tokens_are_spaced_as_json_dumps_does(spaced: str) -> None:
    """One space after a comma or colon, and no other space between tokens."""
    assert json_of(f" \n{document(spaced)}\t ") == document('"a": [1, {"b": 2}], "c": {}')


@pytest.mark.parametrize("number", ["1e400", "-1E+5", "1.50", "-0", "-0.0", "18446744073709551616", "1" * 6000])
def test_numbers_keep_their_spelling(number: str) -> None:
    """No number is rounded, shortened or rejected, whatever its length."""
    text = document(f'"a": {number}, "b": [{number}]')
    assert json_of(text) == text


def test_json_is_ascii() -> None:
    """Other characters are escaped; those beyond U+FFFF as two code units."""
    assert json_of(document('"é": "語😀\x7f"')) == document('"\\u00e9": "\\u8a9e\\ud83d\\ude00\\u007f"')


def test_lone_surrogates_stay() -> None:
    """A lone surrogate is legal in JSON and is kept."""
    text = document('"title": "\\ud83d", "\\ude00": "\\ude00\\ud83d"')
    assert json_of(text) == text


def test_text_that_looks_like_tokens_stays() -> None:
    """Commas, colons, quotes and backslashes within strings are not tokens."""
    text = document('"a": ",", "b": ":", "c": "a\\\\", "d": "\\\\\\"", "e\\"": "\\",  \\"x\\":"')
    assert json_of(text) == text


def test_odd_but_legal_documents_stay() -> None:
    """Empty lists, plain strings as types in lists of authors, a missing created."""
    text = document('"authors": [{"type": "/type/author_role", "author": {"key": "/authors/OL1A"}}], "a": []')
    assert json_of(text) == text


def test_controls_and_surrogates_in_columns_are_escaped() -> None:
    """Columns are UTF-8; a control character or lone surrogate is escaped as in JSON."""
    (line,) = made_of(
        document(
            key="/works/\\ta\\n\\u0001\\u001f\\r\\ud83d é\\u8a9e😀\\\\t\x7f\x85\u2028",
            type_key="/type/\\t",
            last_modified=dated("2010\\n"),
        )
    ).cdump.split(b"\n")[:-1]
    type_key, key, revision, last_modified, _ = line.decode().split("\t")
    assert type_key == "/type/\\t"
    assert key == "/works/\\ta\\n\\u0001\\u001f\\r\\ud83d é語😀\\t\\u007f\\u0085\\u2028"
    assert revision == "1"
    assert last_modified == "2010\\n"


@pytest.mark.parametrize(
    ("escaped", "others"),
    [
        ("\x7f", "~"),
        ("\x80\x85\x9f", "\xa0\xad"),
        ("\u2028\u2029", "\u2027\u202a\u202e\u200b\ufeff\u3000"),
        ("\udfff\ud800", "\ud7ff\ue000"),
    ],
)
def test_what_is_escaped_in_a_column_and_what_is_not(escaped: str, others: str) -> None:
    """DEL, the Latin-1 control characters, line separators and lone surrogates are; other characters are not."""
    spelled = json.dumps(escaped)[1:-1]
    assert keys_of(made_of(document(key=f"/works/{spelled}{others}")).cdump) == [f"/works/{spelled}{others}"]
    assert keys_of(made_of(document(key=f"/works/{json.dumps(others)[1:-1]}")).cdump) == [f"/works/{others}"]


@pytest.mark.parametrize(("stored", "column"), [("-1", "-1"), ("-0", "0"), ("9" * 5000, "9" * 5000)])
def test_revisions_are_integers_of_any_size(stored: str, column: str) -> None:
    """The revision is written as a decimal integer; the JSON keeps its spelling."""
    cdump = made_of(document(revision=stored)).cdump
    assert columns_of(cdump, 2) == [column]
    assert columns_of(cdump, 4) == [document(revision=stored)]


# Normalisation


@pytest.mark.parametrize(
    ("stored", "published"),
    [
        ("/a/OL1A", "/authors/OL1A"),
        ("/b/OL1M", "/books/OL1M"),
        ("/l/eng", "/languages/eng"),
        ("/user/foo", "/people/foo"),
        ("\\/a\\/OL1A", "/authors/OL1A"),
        ("/a/", "/authors/"),
        ("/a//a/x", "/authors//a/x"),
        ("/a", "/a"),
        ("/A/OL1A", "/A/OL1A"),
        ("/users/foo", "/users/foo"),
        ("x/a/OL1A", "x/a/OL1A"),
        (" /a/OL1A", " /a/OL1A"),
    ],
)
def test_old_prefixes_of_keys_are_rewritten_at_any_depth(stored: str, published: str) -> None:
    """A string member `key` with an old prefix gets the new one; no other member changes."""
    assert json_of(document(f'"x": [[{{"y": {{"key": "{stored}"}}}}]]')) == document(
        f'"x": [[{{"y": {{"key": "{published}"}}}}]]'
    )


def test_the_document_key_and_type_are_rewritten() -> None:
    """The columns show the keys after the rewrite."""
    cdump = made_of(document(key="/a/OL1A", type_key="/l/x")).cdump
    assert cdump.startswith(b"/languages/x\t/authors/OL1A\t")
    assert columns_of(cdump, 4) == [document(key="/authors/OL1A", type_key="/languages/x")]


def test_an_escaped_member_name_is_a_key_too() -> None:
    """Names are compared decoded, not as spelled."""
    assert json_of(document('"x": {"k\\u0065y": "/a/OL1A"}')) == document('"x": {"key": "/authors/OL1A"}')


def test_other_values_are_not_rewritten() -> None:
    """Similar text in strings, other names, and keys that are not strings stay."""
    text = document(
        '"x": "\\"key\\": \\"/a/OL1A\\"", "monkey": "/a/OL1A", "a \\"key": "/a/OL1A",'
        ' "Key": "/a/OL1A", "y": {"key": ["/a/OL1A"]}, "z": ["key", "/a/OL1A"]'
    )
    assert json_of(text) == text


@pytest.mark.parametrize(
    ("stored", "published"),
    [
        ("2008-04-30 20:50:18.033121", "2008-04-30T20:50:18.033121"),
        ("2008-04-30T20:50:18.033121", "2008-04-30T20:50:18.033121"),
        ("a b c", "aTb c"),
        ("2008-04-30\\u002020:50", "2008-04-30T20:50"),
        ("", ""),
    ],
)
def test_the_first_space_of_a_datetime_becomes_t(stored: str, published: str) -> None:
    """In every object whose type is the string /type/datetime, at any depth, in any order."""
    assert json_of(
        document(
            f'"x": [{{"type": "/type/datetime", "value": "{stored}"}},'
            f' {{"value": "{stored}", "y": 1, "t\\u0079pe": "\\/type\\/datetime"}}]'
        )
    ) == document(
        f'"x": [{{"type": "/type/datetime", "value": "{published}"}},'
        f' {{"value": "{published}", "y": 1, "type": "/type/datetime"}}]'
    )


def test_spaces_outside_datetimes_stay() -> None:
    """Only the string `value` beside the string type /type/datetime changes."""
    text = document(
        '"x": {"type": "/type/text", "value": "a b"}, "value": "a b", "y": {"value": "a b"},'
        ' "z": {"type": {"key": "/type/datetime"}, "value": "a b"},'
        ' "w": {"type": "/type/datetime", "values": "a b", "value": ["a b"]}'
    )
    assert json_of(text) == text


def test_last_modified_is_normalised_before_it_is_a_column() -> None:
    """The column has the T; without the type the value stays unchanged."""
    spaced = made_of(document(last_modified=dated("2008-04-30 20:50")))
    untyped = made_of(document(last_modified='{"value": "2008-04-30 20:50"}'))
    assert columns_of(spaced.cdump, 3) == ["2008-04-30T20:50"]
    assert columns_of(untyped.cdump, 3) == ["2008-04-30 20:50"]


def test_the_top_level_id_is_removed() -> None:
    """Any value and spelling of the name; ids at depth stay."""
    assert json_of(document('"i\\u0064": {"a": [1]}, "x": {"id": 1}')) == document('"x": {"id": 1}')


@pytest.mark.parametrize(
    ("stored", "published"),
    [
        ("/a/OL1A", "/authors/OL1A"),
        ("/b/OL1M", "/books/OL1M"),
        ("/l/eng", "/languages/eng"),
        ("/user/foo", "/people/foo"),
        ("/works/OL1W", "/works/OL1W"),
    ],
)
def test_the_location_of_a_redirect_is_rewritten(stored: str, published: str) -> None:
    """Old redirects lead to the current keys."""
    assert json_of(document(f'"location": "{stored}"', type_key="/type/redirect")) == document(
        f'"location": "{published}"', type_key="/type/redirect"
    )


def test_other_locations_stay() -> None:
    """Those of other types, those at depth, and those that are not strings."""
    work = document('"location": "/a/OL1A"')
    nested = document(
        '"location": {"location": "/a/OL1A"}, "x": {"location": "/a/OL1A"}',
        type_key="/type/redirect",
    )
    assert json_of(work) == work
    assert json_of(nested) == nested


# Drops


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("/people/foo", "private_page"),
        ("/user/foo", "private_page"),
        ("/people/", "private_page"),
        ("/people", "kept"),
        ("/people/foo/lists/OL1L", "kept"),
        ("/user/foo/lists/OL12L", "kept"),
        ("/people/foo/lists", "private_page"),
        ("/people/foo/lists/OL1L/edits", "private_page"),
        ("/people/foo/lists/OL1L\\n", "private_page"),
        ("/people//lists/OL1L", "private_page"),
        ("/people/a/b/lists/OL1L", "private_page"),
        ("/people/foo/lists/OLL", "private_page"),
        ("/people/foo/lists/OL\\u0661L", "private_page"),
        ("/people/foo/lists/OL1W", "private_page"),
        ("/admin/x", "admin_page"),
        ("/admin", "kept"),
        ("/administrators", "kept"),
        ("/scan_record/b/OL1M", "obsolete_page"),
        ("/scan", "obsolete_page"),
        ("/old/x", "obsolete_page"),
        ("/old", "kept"),
        ("/older", "kept"),
        ("DUP/works/OL1W-DUP", "obsolete_page"),
        ("", "obsolete_page"),
        ("/books/ia:foo00bar", "kept"),
    ],
)
def test_pages_are_dropped_by_key(key: str, expected: str) -> None:
    """Private, admin and obsolete pages, each under its own reason."""
    assert outcome_of(document(key=key, type_key="/type/page")) == expected


@pytest.mark.parametrize("key", ["/works/OL1W", "/people/foo/lists/OL1L", "/admin/x", "x"])
def test_users_are_private_under_any_key(key: str) -> None:
    """Every document of type /type/user is dropped."""
    assert outcome_of(document(key=key, type_key="/type/user")) == "private_page"
    assert outcome_of(document(key="/works/OL1W", type_key="/type/usergroup")) == "kept"


@pytest.mark.parametrize(
    ("last_modified", "expected"),
    [
        ("2022-07-31T23:59:59.999999", "kept"),
        ("2022-07-31 23:59:59.999999", "kept"),
        ("2022-08", "kept"),
        ("2022-08-01", "after_cutoff"),
        ("2022-08-01T00:00:00", "after_cutoff"),
        ("2022-08-01 00:00:00", "after_cutoff"),
        ("2023-01-01T00:00:00", "after_cutoff"),
    ],
)
def test_records_after_the_cutoff_are_dropped(last_modified: str, expected: str) -> None:
    """The last moment of the date is kept, the first of the next day is not."""
    assert outcome_of(document(last_modified=dated(last_modified))) == expected


def test_the_cutoff_of_a_leap_year() -> None:
    """The next day follows the calendar."""
    row = copy_row(1, 1, document(last_modified=dated("2024-02-29T12:00:00")))
    assert dumps_of(row, "2024-02-28").drops == {"after_cutoff": 1}
    assert dumps_of(row, "2024-02-29").drops == {}


def test_only_the_first_reason_counts() -> None:
    """A row is dropped once, under the first of private, admin, obsolete and cutoff."""
    late = dated("2023-01-01")
    reference = made_of(
        document(key="/people/x", last_modified=late),
        document(key="/admin/x", last_modified=late),
        document(key="/old/x", last_modified=late),
        document(key="/old/x"),
    )
    assert reference.drops == {"private_page": 1, "admin_page": 1, "obsolete_page": 2}
    assert reference.cdump == b""


# Rejects


GOOD = copy_row(1, 1, document()).removesuffix(b"\n")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (GOOD, "kept"),
        (GOOD + b"\\", "lone_backslash"),
        (GOOD + b"\\\\\\", "lone_backslash"),
        (GOOD + b"\\\\", "not_a_json_object"),
        (b"\xff\\", "lone_backslash"),
        (b"", "not_three_columns"),
        (b"1\t1", "not_three_columns"),
        (b"1\t\xff", "not_three_columns"),
        (GOOD + b"\t", "not_three_columns"),
        (GOOD + b"\\\t", "kept"),
        (GOOD + b"\\\\\t", "not_three_columns"),
        (GOOD.replace(b", ", b",\\\t", 1), "kept"),
        (GOOD.replace(b"work", b"\\\t"), "not_a_json_object"),
        (GOOD.replace(b"\t", b"\\\t", 1), "not_three_columns"),
        (GOOD.replace(b"\t", b"\\\\\t", 1), "kept"),
        (GOOD.replace(b"work", b"w\xffrk"), "not_utf8"),
        (GOOD.replace(b"work", b"w\\377rk"), "not_utf8"),
        (GOOD.replace(b"work", b"w\xed\xa0\xbdrk"), "not_utf8"),
        (GOOD.replace(b"work", b"w\\xc3\\266rk"), "kept"),
        (b"\xff" + GOOD, "not_utf8"),
        (GOOD.replace(b"\t1\t", b"\t\\xff\t"), "not_utf8"),
        (b"1\t1\t[NaN, \xff", "not_utf8"),
        (b"1\t1\t\\N", "not_a_json_object"),
        (b"1\t1\t\\\\N", "not_a_json_object"),
        (b"1\t1\t", "not_a_json_object"),
        (GOOD.replace(b"work", b"\\t"), "not_a_json_object"),
        (GOOD + b"\r", "kept"),
        (GOOD + b"\\000", "not_a_json_object"),
    ],
)
def test_lines_are_rejected(line: bytes, expected: str) -> None:
    """Each kind of damage has its own reason; the first one tested counts."""
    assert outcome(line) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NaN", "not_finite"),
        ("[-Infinity]", "not_finite"),
        (document('"a": {"b": Infinity}'), "not_finite"),
        (document('"id": NaN'), "not_finite"),
        ('{"a": NaN', "not_finite"),
        (document('"a": "NaN"'), "kept"),
        (document('"a": nan'), "not_a_json_object"),
        ('{"b": }, "a": NaN}', "not_a_json_object"),
        ("[]", "not_a_json_object"),
        ("1", "not_a_json_object"),
        ("null", "not_a_json_object"),
        ("\ufeff" + document(), "not_a_json_object"),
        (document() + document(), "not_a_json_object"),
        (document('"a": "\x01"'), "not_a_json_object"),
        (document('"a": 1,'), "not_a_json_object"),
        (document('"a": 01'), "not_a_json_object"),
        (document('"a": ' + "[" * 100 + "]" * 100), "kept"),
        (document('"a": ' + "[" * 100_000 + "]" * 100_000), "not_a_json_object"),
        ("{}", "no_key"),
        (document().replace('"/works/OL1W"', "1"), "no_key"),
        (document().replace('"/works/OL1W"', "null"), "no_key"),
        (document().replace('{"key": "/type/work"}', '"/type/work"'), "no_type"),
        (document().replace('"/type/work"', "1"), "no_type"),
        (document().replace('"type": {"key"', '"x": {"key"'), "no_type"),
        (document(revision="true"), "no_revision"),
        (document(revision="1.0"), "no_revision"),
        (document(revision="1e0"), "no_revision"),
        (document(revision='"1"'), "no_revision"),
        (document(revision="null"), "no_revision"),
        (document(revision="0"), "kept"),
        (document(revision="null", last_modified="null"), "no_revision"),
        (document(last_modified='"2010-01-01"'), "no_last_modified"),
        (document(last_modified='{"value": 2010}'), "no_last_modified"),
        (document(last_modified="{}"), "no_last_modified"),
        (document(last_modified='{"value": ""}'), "kept"),
        (document(key="/people/x", revision="null"), "no_revision"),
    ],
)
def test_documents_are_rejected(text: str, expected: str) -> None:
    """The first missing member counts, in the order of the columns."""
    assert outcome_of(text) == expected


def test_rejects_keep_their_lines() -> None:
    """Line number from 1, reason, and the line unchanged."""
    reference = dumps_of(GOOD + b"\nx\\t\n\n" + GOOD + b"\n\\\n", DATE)
    assert reference.rejects == [
        (2, "not_three_columns", b"x\\t"),
        (3, "not_three_columns", b""),
        (5, "lone_backslash", b"\\"),
    ]
    assert reference.rows == 5


# COPY


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (rb"\b\f\n\r\t\v\\", b"\b\f\n\r\t\v\\"),
        (rb"\\n\\\t", b"\\n\\\t"),
        (rb"\101\60\0", b"A0\0"),
        (rb"\1018\08", b"A8\x008"),
        (rb"\0617\61 ", b"171 "),
        (rb"\777\501", b"\xffA"),
        (rb"\x41\x4a\x4A\x9g", b"AJJ\tg"),
        (rb"\x414", b"A4"),
        (rb"\xg\X41\x", b"xgX41x"),
        (rb"\8\9\a\"\/\N\.\ ", b'89a"/N. '),
        (b"\\\t\\\x7f", b"\t\x7f"),
        (b"\\\xc3\xa9", b"\xc3\xa9"),
        (b"plain", b"plain"),
    ],
)
def test_copy_escapes(column: bytes, text: bytes) -> None:
    """Letters, octal and hexadecimal; any other character stands for itself."""
    assert unescaped(column) == text


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\\.\n", b"\n\\."])
def test_the_end_of_a_table(end: bytes) -> None:
    r"""A last line without newline is a row; `\.` is not."""
    reference = dumps_of(GOOD + b"\n" + GOOD + end, DATE)
    assert reference.rows == 2
    assert reference.rejects == []


@pytest.mark.parametrize("copy_text", [b"", b"\\.\n"])
def test_an_empty_table(copy_text: bytes) -> None:
    """No rows, and all seven parts, empty."""
    assert dumps_of(copy_text, DATE) == Reference(
        cdump=b"", parts=dict.fromkeys(PARTS, b""), dump=b"", drops={}, rejects=[],
        same_revision=0, rows=0,
    )  # fmt: skip


def test_copy_rows_are_those_of_psql() -> None:
    """Backslashes where they are required, raw bytes elsewhere."""
    assert copy_row(12, 3, '"a\\n" é\t\n\r\b\f\v\x01\x7f') == (b'12\t3\t"a\\\\n" \xc3\xa9\\t\\n\\r\\b\\f\\v\x01\x7f\n')


# Order, latest, parts


def test_keys_are_ordered_by_number() -> None:
    """First path component, text before the number, number as a number, key."""
    in_order = [
        "/",
        "/authors/OL2A",
        "/books/OL9M",
        "/books/OL10M",
        "/books/OL18446744073709551616M",
        "/books/ia:foo",
        "/people/a/lists/OL9L",
        "/people/a/lists/OL10L",
        "/people/b/lists/OL1L",
        "/works",
        "/works/OL0W",
        "/works/OL01W",
        "/works/OL1A",
        "/works/OL1W",
        "/works/OL2W",
        "/works/OL-2W",
        "/works/OL1WX",
        "/works/OL1W\\n",
        "/works/OLW",
        "/works/\\u00e9",
        "/works-old/OL1W",
    ]
    expected = [key.replace("\\u00e9", "é") for key in in_order]
    reference = made_of(*(document(key=key, type_key="/type/page") for key in sorted(in_order)))
    assert keys_of(reference.cdump) == expected
    assert keys_of(reference.dump) == expected


def test_the_component_comes_before_the_rest_of_the_key() -> None:
    """As bytes "/works-old" sorts before "/works/", by component it does not."""
    reference = made_of(document(key="/works-old/OL1W"), document(key="/works/OL1W"))
    assert keys_of(reference.cdump) == ["/works/OL1W", "/works-old/OL1W"]


def test_keys_are_ordered_as_utf_8() -> None:
    """U+FFFF sorts before U+1F600, unlike in UTF-16."""
    reference = made_of(
        document(key="/x/\\ud83d\\ude00"),
        document(key="/x/\\uffff"),
        document(key="/x/z"),
    )
    assert keys_of(reference.cdump) == ["/x/z", "/x/\uffff", "/x/😀"]


def test_keys_are_ordered_by_their_columns() -> None:
    """An escaped character sorts as its backslash: between Z and a, whatever it encodes."""
    reference = made_of(
        document(key="/x/a"),
        document(key="/x/\\ud83d"),
        document(key="/x/\\t"),
        document(key="/x/Z"),
        document(key="/x\\ty/z"),
        document(key="/x-y/z"),
    )
    assert keys_of(reference.cdump) == ["/x/Z", "/x/\\t", "/x/\\ud83d", "/x/a", "/x-y/z", "/x\\ty/z"]


def test_keys_with_equal_columns_are_the_same() -> None:
    """A column does not distinguish a tab from a backslash before a t."""
    reference = made_of(
        document(key="/x/\\t", type_key="/type/page"), document(key="/x/\\\\t", type_key="/type/page", revision="2")
    )
    assert keys_of(reference.cdump) == ["/x/\\t", "/x/\\t"]
    assert columns_of(reference.dump, 2) == ["2"]
    again = made_of(document(key="/x/\\t", type_key="/type/page"), document(key="/x/\\\\t", type_key="/type/page"))
    assert again.same_revision == 1


@pytest.mark.parametrize("odd", ["\\ud83d", "\\u0001", "\\n", "\\u007f", "\\u0085"])
def test_a_finished_cdump_can_be_sorted_again(odd: str) -> None:
    """Sorting by the columns leaves a finished cdump unchanged."""
    reference = made_of(
        *(document(key=f"/x/{key}") for key in (odd, "Z", "a", f"OL2{odd}W", f"{odd}OL2W", f"OL2W{odd}"))
    )
    lines = reference.cdump.splitlines(keepends=True)
    assert sorted(lines, key=lambda line: key_order(line.split(b"\t")[1].decode())) == lines


def test_the_cdump_is_ordered_by_revision_then_time_then_json() -> None:
    """Revisions as numbers; ties by last_modified, then by the bytes of the JSON."""
    later = dated("2011-01-01")
    late_but_small = '{"!": 0, ' + document(revision="10", last_modified=later)[1:]
    texts = [
        document(revision="2", last_modified=later),
        document('"a": 1', revision="10"),
        document('"a": 2', revision="10"),
        late_but_small,
        document(revision="18446744073709551616"),
    ]
    reference = made_of(*reversed(texts))
    assert columns_of(reference.cdump, 4) == texts
    assert reference.same_revision == 2
    assert columns_of(reference.dump, 4) == texts[-1:]


def test_the_latest_of_two_of_the_same_revision_is_the_later() -> None:
    """Later by last_modified, then by JSON bytes, whatever the order of the rows."""
    first = document()
    last = '{"!": 0, ' + document(last_modified=dated("2010-01-02"))[1:]
    small, great = document('"a": 1', key="/works/OL2W"), document('"a": 2', key="/works/OL2W")
    for reference in (made_of(first, last, small, great), made_of(great, small, last, first)):
        assert columns_of(reference.dump, 4) == [last, great]
        assert reference.same_revision == 2


def test_duplicates_of_a_record_are_kept() -> None:
    """N equal records count n - 1 pairs, and the cdump has n."""
    reference = made_of(document(), document(), document(), document(revision="2"))
    assert len(keys_of(reference.cdump)) == 4
    assert reference.same_revision == 2
    assert len(keys_of(reference.dump)) == 1


def test_old_and_new_keys_name_one_document() -> None:
    """Keys are compared after the rewrite."""
    reference = made_of(
        document(key="/a/OL1A", type_key="/type/author", revision="2"),
        document(key="/authors/OL1A", type_key="/type/author"),
    )
    assert columns_of(reference.cdump, 2) == ["1", "2"]
    assert columns_of(reference.dump, 2) == ["2"]


def test_a_dropped_revision_hides_nothing() -> None:
    """The latest record is the highest revision that is kept."""
    reference = made_of(
        document(),
        document(revision="2", last_modified=dated("2022-08-01")),
        document(revision="3", type_key="/type/user"),
    )
    assert columns_of(reference.dump, 2) == ["1"]


def test_the_type_of_the_latest_decides_the_part() -> None:
    """Seven parts; unforeseen types go to other; the dump is the parts in alphabetical order."""
    texts = {
        "authors": document(key="/authors/OL1A", type_key="/type/author"),
        "deletes": document(key="/works/OL1W", type_key="/type/delete", revision="2"),
        "editions": document(key="/books/OL1M", type_key="/type/edition"),
        "lists": document(key="/people/a/lists/OL1L", type_key="/type/list"),
        "other": document(key="/authors/x", type_key="/type/unforeseen"),
        "redirects": document(key="/books/OL2M", type_key="/type/redirect"),
        "works": document(key="/authors/OL2A", type_key="/type/work"),
    }
    reference = made_of(document(), *texts.values())
    assert list(reference.parts) == list(texts)
    assert {name: columns_of(part, 4) for name, part in reference.parts.items()} == {
        name: [text] for name, text in texts.items()
    }
    assert columns_of(reference.dump, 4) == list(texts.values())


# Comparing records


RECORD = b'/type/work\t/works/OL1W\t1\t2010\t{"a\\u00e9": "/x", "b": [1.0, null]}\n'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\\u00e9", b"\\u00E9"),
        (b"/x", b"\\/x"),
        (b"/x", b"\\u002fx"),
        (b'"b"', b'"\\u0062"'),
        (b"", b""),
    ],
)
def test_records_may_spell_escapes_differently(old: bytes, new: bytes) -> None:
    """An escape may be spelled as stored."""
    assert same_record(RECORD, RECORD.replace(old, new))
    assert same_record(RECORD.replace(old, new), RECORD)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"/type/work", b"/type/edition"),
        (b"/works/OL1W", b"/works/OL2W"),
        (b"/works/OL1W", b"/works/OL\\u0031W"),
        (b"\t1\t", b"\t01\t"),
        (b"2010\t", b"2011\t"),
        (b"2010\t", b"2010 "),
        (b"\n", b""),
        (b"\n", b"\n\n"),
        (b"\\u00e9", b"\\u00e8"),
        (b"\\u00e9", b"\xc3\xa9"),
        (b"\\u00e9", b"\\\\u00e9"),
        (b"1.0", b"1.00"),
        (b"1.0", b"1"),
        (b"1.0", b'"1.0"'),
        (b"1.0", b"NaN"),
        (b"null", b"false"),
        (b", null", b",null"),
        (b": ", b":"),
        (b"[1", b"[ 1"),
        (b"}", b"} "),
        (b"}", b""),
        (b'"b": [', b'"b": 0, "b": ['),
        (b'"a\\u00e9": "/x", "b": [1.0, null]', b'"b": [1.0, null], "a\\u00e9": "/x"'),
    ],
)
def test_records_differ_by_everything_else(old: bytes, new: bytes) -> None:
    """Columns, values, order, numbers, spacing, bytes beyond ASCII, the newline."""
    damaged = RECORD.replace(old, new)
    assert damaged != RECORD
    assert not same_record(RECORD, damaged)
    assert not same_record(damaged, RECORD)


def test_a_record_that_breaks_the_contract_equals_no_record() -> None:
    """Not even itself: two equal mistakes are not agreement."""
    tight = RECORD.replace(b": ", b":")
    assert not same_record(tight, tight)
    for control in (b"\x7f", b"\x1f", b"\t"):
        damaged = RECORD.replace(b"/x", control)
        assert not same_record(damaged, damaged)
    assert not same_record(b"x\n", b"x\n")


# The tables


def test_odd_documents_and_lines_have_unique_names() -> None:
    """A failure can be found by its name."""
    names = [name for name, _ in ODD_DOCUMENTS + ODD_LINES]
    assert len(set(names)) == len(names)


def test_odd_documents_have_distinct_member_names() -> None:
    """JSON does not define repeated names, so the tables omit them."""

    def once(members: list[tuple[str, object]]) -> dict[str, object]:
        assert len(dict(members)) == len(members)
        return dict(members)

    for _, text in ODD_DOCUMENTS:
        try:
            json.loads(text, object_pairs_hook=once, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            continue


def test_odd_rows_cover_every_reason() -> None:
    """Every reason to drop or reject occurs, and each row has its expected outcome."""
    lines = [copy_row(1, 1, text).removesuffix(b"\n") for _, text in ODD_DOCUMENTS]
    fates = {outcome(line) for line in lines + [line for _, line in ODD_LINES]}
    assert fates == {
        "kept", "private_page", "admin_page", "obsolete_page", "after_cutoff", "lone_backslash",
        "not_three_columns", "not_utf8", "not_finite", "not_a_json_object", "no_key", "no_type",
        "no_revision", "no_last_modified",
    }  # fmt: skip


def test_odd_spellings_never_decide_an_order() -> None:
    """A row with unusual escapes ties with no other row."""
    ties: dict[tuple[bytes, ...], set[bytes]] = {}
    spelled_oddly = set()
    rows = [copy_row(1, 1, text) for _, text in ODD_DOCUMENTS]
    for row in rows + [line + b"\n" for _, line in ODD_LINES]:
        for record in dumps_of(row, DATE).cdump.split(b"\n")[:-1]:
            place = tuple(record.split(b"\t")[1:4])
            ties.setdefault(place, set()).add(record)
            if any_string_is_spelled_oddly(unescaped(row.split(b"\t")[2])):
                spelled_oddly.add(place)
    assert spelled_oddly
    assert [place for place in spelled_oddly if len(ties[place]) > 1] == []


def any_string_is_spelled_oddly(stored: bytes) -> bool:
    """Whether json.dumps would spell a string of the stored JSON differently."""
    strings = re.findall(r'"[^"\\]*(?:\\.[^"\\]*)*"', stored.decode())
    return any(json.dumps(json.loads(string)) != string for string in strings)


@settings(max_examples=examples(40), deadline=None)
@given(copy_text=tables())
def test_every_row_is_counted_and_every_record_is_well_formed(copy_text: bytes) -> None:
    """Rows are records, drops and rejects; the dump is a subset of the cdump with each key once."""
    reference = dumps_of(copy_text, DATE)
    records = reference.cdump.split(b"\n")[:-1]
    assert reference.rows == len(records) + sum(reference.drops.values()) + len(reference.rejects)
    latest = reference.dump.split(b"\n")[:-1]
    assert set(latest) <= set(records)
    assert len(latest) == len({record.split(b"\t")[1] for record in records})
    for record in records:
        assert record.count(b"\t") == 4
        assert same_record(record, record)
        column = record.split(b"\t")[4]
        assert respelled(column).encode() == column


@settings(max_examples=examples(40), deadline=None)
@given(copy_text=tables())
def test_the_order_of_rows_does_not_matter(copy_text: bytes) -> None:
    """The same rows give the same bytes in any order."""
    there = dumps_of(copy_text, DATE)
    lines = copy_text.split(b"\n")
    rows = lines[: there.rows]
    back = dumps_of(b"".join(row + b"\n" for row in reversed(rows)), DATE)
    assert (back.cdump, back.parts, back.dump) == (there.cdump, there.parts, there.dump)
    assert (back.drops, back.same_revision) == (there.drops, there.same_revision)
