"""Documents: each clause of the record contract on the slow path, and what it must not change."""

import sys

import pytest

import reference
from oldump.records.document import Document, Reject, Rejected, normalised
from tables import ODD_DOCUMENTS

WHEN = '{"type": "/type/datetime", "value": "2010-01-01T00:00:00"}'


def document(
    more: str = "",
    key: str = '"/works/OL1W"',
    type: str = '{"key": "/type/work"}',
    revision: str = "1",
    last_modified: str = WHEN,
) -> str:
    """Return the canonical JSON of a document with further members at its end."""
    return (
        f'{{"key": {key}, "type": {type}, "revision": {revision}, "last_modified": {last_modified}'
        f"{more and ', ' + more}}}"
    )


def text_of(stored: str) -> str:
    """Return the normalised JSON of a document."""
    return normalised(stored.encode()).text.decode("ascii")


def reason_of(stored: str | bytes) -> Reject | None:
    """Return the reason for which the document is rejected; None if it is not."""
    try:
        normalised(stored.encode() if isinstance(stored, str) else stored)
    except Rejected as rejected:
        return rejected.reason
    return None


# Columns


def test_the_columns_are_read_from_the_document() -> None:
    """Key, type, revision and last_modified, after the rewrite."""
    stored = document(
        key='"/a/OL1A"',
        type='{"key": "/l/x"}',
        revision="12",
        last_modified='{"type": "/type/datetime", "value": "2008-04-30 20:50:18"}',
    )
    assert normalised(stored.encode())[:4] == ("/authors/OL1A", "/languages/x", "12", "2008-04-30T20:50:18")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [("0", "0"), ("-0", "0"), ("-1", "-1"), ("10", "10"), ("18446744073709551616", "18446744073709551616")],
)
def test_revisions_are_integers_of_any_size(stored: str, expected: str) -> None:
    """The column is a decimal integer, the JSON keeps the spelling."""
    made = normalised(document(revision=stored).encode())
    assert (made.revision, made.text.decode()) == (expected, document(revision=stored))
    assert normalised(document(revision="9" * 5000).encode()).revision == "9" * 5000


# Canonical form


@pytest.mark.parametrize(
    "spaced",
    ['"a":[1,{"b":2}],"c":{}', '"a"  :  [ 1 , { "b" : 2 } ]  ,  "c" : { }', '"a":\n\t[1,\r\n{"b":2}],"c":{\n}\t'],
)
def test_tokens_are_spaced_as_json_dumps_does(spaced: str) -> None:
    """One space after a comma or colon, and no other space between tokens."""
    assert text_of(f" \n{document(spaced)}\t ") == document('"a": [1, {"b": 2}], "c": {}')


def test_members_keep_their_order() -> None:
    """Members are printed in their stored order."""
    text = (
        '{"b": 1, "revision": 1, "a": 2, "last_modified": {"value": "2010"},'
        ' "type": {"key": "/type/work"}, "key": "/works/OL1W"}'
    )
    assert text_of(text) == text


@pytest.mark.parametrize("number", ["1e400", "-1E+5", "1.50", "-0", "-0.0", "18446744073709551616", "1" * 6000])
def test_numbers_keep_their_spelling(number: str) -> None:
    """No number is rounded, shortened or refused, whatever its length."""
    text = document(f'"a": {number}, "b": [{number}]')
    assert text_of(text) == text


@pytest.mark.parametrize(
    "more",
    [
        '"title": "\\ud83d", "\\ude00": "\\ude00\\ud83d"',
        '"a": [], "b": {}, "c": "", "d": null, "e": true, "f": false, "": 0',
        '"authors": [{"type": "/type/author_role", "author": {"key": "/authors/OL1A"}}]',
        '"a": ",", "b": ":", "c": "a\\\\", "d": "\\\\\\"", "e\\"": "\\",  \\"x\\":"',
        '"a": "1e5", "b": "NaN", "c": "-1"',
        '"id2": 1, "ocaid": "foo00bar", "x": {"id": 1}',
    ],
)
def test_unusual_but_legal_members_are_kept(more: str) -> None:
    """Lone surrogates, empty values, plain strings as types, and text that looks like tokens or numbers."""
    assert text_of(document(more)) == document(more)


def test_json_is_ascii() -> None:
    """Other characters are escaped; those beyond U+FFFF as two code units."""
    assert text_of(document('"\u00e9": "\u8a9e\U0001f600\x7f"')) == document(
        '"\\u00e9": "\\u8a9e\\ud83d\\ude00\\u007f"'
    )


def test_long_documents_are_read() -> None:
    """Records of 10 MB and more occur."""
    text = document(f'"a": "{"x" * 10_000_000}"')
    assert text_of(text) == text


# Keys


@pytest.mark.parametrize(
    ("stored", "published"),
    [
        ("/a/OL1A", "/authors/OL1A"),
        ("/b/OL1M", "/books/OL1M"),
        ("/l/eng", "/languages/eng"),
        ("/user/foo", "/people/foo"),
        ("\\/\\u0061\\/OL1A", "/authors/OL1A"),
        ("/a", "/a"),
        ("/users/foo", "/users/foo"),
        (" /a/OL1A", " /a/OL1A"),
    ],
)
def test_old_keys_are_rewritten_at_any_depth(stored: str, published: str) -> None:
    """In every object, also within lists of lists and within objects named key."""
    shape = '"x": [[{"y": {"key": "%s"}}]], "z": {"key": {"key": "%s"}}, "w": {"k\\u0065y": "%s"}'
    plain = shape.replace("\\u0065", "e")
    assert text_of(document(shape % (stored, stored, stored))) == document(plain % (published, published, published))


def test_only_keys_are_rewritten() -> None:
    """Similar text in strings, other names, and keys that are not strings stay."""
    text = document(
        '"x": "\\"key\\": \\"/a/OL1A\\"", "monkey": "/a/OL1A", "a \\"key": "/a/OL1A", "Key": "/a/OL1A",'
        ' "y": {"key": ["/a/OL1A"]}, "z": ["key", "/a/OL1A"], "/a/": "/a/", "location": "/a/OL1A"'
    )
    assert text_of(text) == text


@pytest.mark.parametrize(
    ("old", "new"),
    [("/a/OL1A", "/authors/OL1A"), ("/b/OL1M", "/books/OL1M"), ("/l/eng", "/languages/eng"), ("/user/x", "/people/x")],
)
def test_the_location_of_a_redirect_is_rewritten(old: str, new: str) -> None:
    """Redirects point to today's keys; locations of other documents stay."""
    redirect = '{"key": "/type/redirect"}'
    nested = '"x": {"location": "%s"}, "location": "%s"'
    assert text_of(document(nested % (old, old), type=redirect)) == document(nested % (old, new), type=redirect)
    no_text = document(f'"location": {{"location": "{old}"}}', type=redirect)
    assert text_of(no_text) == no_text
    work = document(f'"location": "{old}"')
    assert text_of(work) == work


# Datetimes and id


@pytest.mark.parametrize(
    ("stored", "published"),
    [
        ("2008-04-30 20:50:18.033121", "2008-04-30T20:50:18.033121"),
        ("2008-04-30T20:50:18.033121", "2008-04-30T20:50:18.033121"),
        ("a b c", "aTb c"),
        (" a", "Ta"),
        ("2008-04-30\\u002020:50", "2008-04-30T20:50"),
        ("", ""),
    ],
)
def test_the_first_space_of_a_datetime_becomes_t(stored: str, published: str) -> None:
    """In every object whose type is the string /type/datetime, at any depth, in any order."""
    shape = (
        '"x": [{"type": "/type/datetime", "value": "%s"}, {"value": "%s", "y": 1, "type": "/type/datetime"}],'
        ' "z": {"type": "\\/type\\/datetime", "values": "a b", "value": "%s"}'
    )
    plain = shape.replace("\\/", "/")
    assert text_of(document(shape % (stored, stored, stored))) == document(plain % (published, published, published))


def test_spaces_outside_datetimes_stay() -> None:
    """Only the string `value` beside the string type /type/datetime changes."""
    text = document(
        '"x": {"type": "/type/text", "value": "a b"}, "value": "a b", "y": {"value": "a b"},'
        ' "z": {"type": {"key": "/type/datetime"}, "value": "a b"}, "v": {"class": "/type/datetime", "value": "a b"},'
        ' "w": {"type": "/type/datetime", "values": "a b", "value": ["a b"]}'
    )
    assert text_of(text) == text
    untyped = document(last_modified='{"value": "2008-04-30 20:50"}')
    assert normalised(untyped.encode()).last_modified == "2008-04-30 20:50"


@pytest.mark.parametrize("name", ["id", "i\\u0064"])
@pytest.mark.parametrize("value", ["1", '"x"', "null", '{"id": [1, {"key": "/a/x"}]}', "[]", "1e400"])
def test_the_top_level_id_is_removed(name: str, value: str) -> None:
    """Whatever its value and spelling, first or last; nested ids stay."""
    assert text_of(document(f'"{name}": {value}, "x": {{"id": {value}}}').replace("/a/", "/")) == document(
        f'"x": {{"id": {value}}}'.replace("/a/", "/")
    )
    assert text_of(f'{{"{name}": {value}, {document()[1:]}') == document()
    assert text_of(document(f'"{name}": {value}')) == document()


# Rejects


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("NaN", Reject.NOT_FINITE),
        ("[-Infinity]", Reject.NOT_FINITE),
        (document('"a": {"b": Infinity}'), Reject.NOT_FINITE),
        (document('"id": NaN'), Reject.NOT_FINITE),
        ('{"a": NaN', Reject.NOT_FINITE),
        (document('"a": "NaN"'), None),
        (document('"a": nan'), Reject.NOT_A_JSON_OBJECT),
        ('{"b": }, "a": NaN}', Reject.NOT_A_JSON_OBJECT),
        ("", Reject.NOT_A_JSON_OBJECT),
        ("[]", Reject.NOT_A_JSON_OBJECT),
        ("1", Reject.NOT_A_JSON_OBJECT),
        ('"x"', Reject.NOT_A_JSON_OBJECT),
        ("null", Reject.NOT_A_JSON_OBJECT),
        ("[" + document() + "]", Reject.NOT_A_JSON_OBJECT),
        ("\ufeff" + document(), Reject.NOT_A_JSON_OBJECT),
        (document() + document(), Reject.NOT_A_JSON_OBJECT),
        (document()[:-1], Reject.NOT_A_JSON_OBJECT),
        (document('"a": "\x01"'), Reject.NOT_A_JSON_OBJECT),
        (document('"a": 1,'), Reject.NOT_A_JSON_OBJECT),
        (document('"a": 01'), Reject.NOT_A_JSON_OBJECT),
        (document('"a": ' + "[" * 100 + "]" * 100), None),
        (document('"a": ' + '{"a": ' * 900 + "1" + "}" * 900), None),
        (document('"a": ' + "[" * 100_000 + "]" * 100_000), Reject.NOT_A_JSON_OBJECT),
        ("{}", Reject.NO_KEY),
        (document(key="1"), Reject.NO_KEY),
        (document(key="null"), Reject.NO_KEY),
        (document(key='["/works/OL1W"]'), Reject.NO_KEY),
        (document('"x": {"key": "/works/OL1W"}').replace('"key": "/works/OL1W", ', "", 1), Reject.NO_KEY),
        (document(key='""'), None),
        (document(type='"/type/work"'), Reject.NO_TYPE),
        (document(type="null"), Reject.NO_TYPE),
        (document(type="{}"), Reject.NO_TYPE),
        (document(type='{"key": 1}'), Reject.NO_TYPE),
        (document(type='{"key": {"key": "/type/work"}}'), Reject.NO_TYPE),
        (document(type='[{"key": "/type/work"}]'), Reject.NO_TYPE),
        (document(type='{"key": ""}'), None),
        (document(revision="true"), Reject.NO_REVISION),
        (document(revision="false"), Reject.NO_REVISION),
        (document(revision="1.0"), Reject.NO_REVISION),
        (document(revision="1e0"), Reject.NO_REVISION),
        (document(revision="1E400"), Reject.NO_REVISION),
        (document(revision='"1"'), Reject.NO_REVISION),
        (document(revision="null"), Reject.NO_REVISION),
        (document(revision="[1]"), Reject.NO_REVISION),
        (document(revision="0"), None),
        (document(last_modified='"2010-01-01"'), Reject.NO_LAST_MODIFIED),
        (document(last_modified="null"), Reject.NO_LAST_MODIFIED),
        (document(last_modified="{}"), Reject.NO_LAST_MODIFIED),
        (document(last_modified='{"value": 2010}'), Reject.NO_LAST_MODIFIED),
        (document(last_modified='{"value": {"value": "2010"}}'), Reject.NO_LAST_MODIFIED),
        (document(last_modified='{"value": ""}'), None),
        (document(key="1", type="1", revision="null", last_modified="null"), Reject.NO_KEY),
        (document(type="1", revision="null", last_modified="null"), Reject.NO_TYPE),
        (document(revision="null", last_modified="null"), Reject.NO_REVISION),
        (document().encode().replace(b"work", b"w\xffrk"), Reject.NOT_UTF8),
        (document().encode().replace(b"work", b"w\xed\xa0\xbdrk"), Reject.NOT_UTF8),
        (b"[NaN, \xff]", Reject.NOT_UTF8),
        (document().encode().replace(b"work", b"w\xc3\xb6rk"), None),
    ],
)
def test_documents_are_rejected_for_their_first_defect(stored: str | bytes, expected: Reject | None) -> None:
    """The required members are checked in the order of the columns."""
    assert reason_of(stored) is expected


def test_reasons_are_named_as_in_the_manifest() -> None:
    """Operators search for these names in rejects.txt.gz."""
    assert {*Reject} == {
        "lone_backslash", "not_three_columns", "not_utf8", "not_finite", "not_a_json_object", "no_key", "no_type",
        "no_revision", "no_last_modified",
    }  # fmt: skip


def test_deep_nesting_leaves_the_recursion_limit_unchanged() -> None:
    """After a document that is kept and after one that is rejected."""
    limit = sys.getrecursionlimit()
    for depth in (1_500, 100_000):
        reason_of(document('"a": ' + "[" * depth + "]" * depth))
        assert sys.getrecursionlimit() == limit


# Against the reference implementation


@pytest.mark.parametrize(("name", "stored"), ODD_DOCUMENTS, ids=[name for name, _ in ODD_DOCUMENTS])
def test_odd_documents_agree_with_the_reference(name: str, stored: str) -> None:
    """Byte for byte: the slow path prints strings as json.dumps does."""
    try:
        expected: Document | str = _reference_document(stored)
    except reference.Reject as reject:
        expected = reject.reason
    assert (reason_of(stored) or normalised(stored.encode())) == expected


def _reference_document(stored: str) -> Document:
    record = reference.record_of(b"1\t1\t" + stored.encode().replace(b"\\", b"\\\\").replace(b"\t", b"\\t"))
    revision = "0" if record.revision.text == "-0" else record.revision.text
    return Document(record.key, record.type_key, revision, record.last_modified, record.json.encode("ascii"))
