"""COPY text: what `psql -c 'copy data to stdout'` writes must work, byte for byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from examples import examples
from oldump.records.copytext import END_OF_DATA, NULL, ends_in_lone_backslash, escaped, fields, unescaped
from tables import copy_row

FIELDS = st.lists(
    st.sampled_from([b"\\", b"\\\\", b"n", b"x", b"4", b"7", b"1", b"8", b"a", b"N", b".", b"\xc3\xa9", b'"', b" "])
).map(b"".join)


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        (rb"\b\f\n\r\t\v\\", b"\b\f\n\r\t\v\\"),
        (rb"\\n\\\t", b"\\n\\\t"),
        (rb"\\\\n", rb"\\n"),
        (rb"\101\60\0", b"A0\0"),
        (rb"\1018\08", b"A8\x008"),
        (rb"\0617\61 ", b"171 "),
        (rb"\777\501", b"\xffA"),
        (rb"\x41\x4a\x4A\x9g", b"AJJ\tg"),
        (rb"\x414", b"A4"),
        (rb"\xg\X41", b"xgX41"),
        (rb"\8\9\a\"\/\N\.\ ", b'89a"/N. '),
        (b"\\\xc3\xa9", b"\xc3\xa9"),
        (b"\\\t\\\x7f\\\x1f", b"\t\x7f\x1f"),
        (b"plain", b"plain"),
        (b"", b""),
    ],
)
def test_escapes_are_decoded(field: bytes, meant: bytes) -> None:
    r"""`\\ \t \n \r \b \f \v`, octal and hexadecimal escapes; any other escaped character stands for itself."""
    assert unescaped(field) == meant


def test_pairs_of_backslashes_become_one() -> None:
    """The shortcut for fields with no other escapes agrees with the general rule."""
    for halves in range(4):
        assert unescaped(b"a" + rb"\\" * halves + b"n") == b"a" + b"\\" * halves + b"n"
    assert unescaped(rb"\\\n\\") == b"\\\n\\"
    assert unescaped(rb"\\a\\\\b\t") == b"\\a\\\\b\t"


@pytest.mark.parametrize(
    ("line", "split"),
    [
        (b"", [b""]),
        (b"1\t2\ta b", [b"1", b"2", b"a b"]),
        (b"\t\t", [b"", b"", b""]),
        (b"1\\\t2\t3", [rb"1\t2", b"3"]),
        (b"1\\\\\t2", [rb"1\\", b"2"]),
        (b"1\\\\\\\t2", [rb"1\\\t2"]),
        (b"\\\t\t\\\t", [rb"\t", rb"\t"]),
        (b"\\\\\t\\\t\\N", [rb"\\", rb"\t\N"]),
        (b"1\t\\", [b"1", b"\\"]),
    ],
)
def test_a_tab_after_a_backslash_does_not_end_a_field(line: bytes, split: list[bytes]) -> None:
    """It is escaped and stands for itself; after a pair of backslashes it is not escaped."""
    assert fields(line) == split


@settings(max_examples=examples(300), deadline=None)
@given(line=st.lists(st.sampled_from([b"\t", b"\\", b"\\\\", b"\\\t", b"t", b"1"])).map(b"".join))
def test_fields_are_split_as_the_reference_does(line: bytes) -> None:
    """The number of fields and their meaning agree."""
    if not ends_in_lone_backslash(line):
        assert [*map(unescaped, fields(line))] == [*map(reference.unescaped, reference.columns_of(line))]


@settings(max_examples=examples(300), deadline=None)
@given(field=FIELDS)
def test_fields_are_unescaped_as_the_reference_does(field: bytes) -> None:
    """For any field that does not end in a lone backslash."""
    if not ends_in_lone_backslash(field):
        assert unescaped(field) == reference.unescaped(field)


@settings(max_examples=examples(300), deadline=None)
@given(text=st.binary() | FIELDS)
def test_escaping_and_unescaping_gives_the_same_bytes(text: bytes) -> None:
    """For any bytes; the field has no tab, no newline and no lone backslash at its end."""
    field = escaped(text)
    assert unescaped(field) == text
    assert not set(field) & set(b"\b\t\n\v\f\r")
    assert not ends_in_lone_backslash(field)


def test_fields_are_escaped_as_postgresql_does() -> None:
    """Only backslashes and six control characters are escaped."""
    text = '\\ \b\t\n\v\f\r \0\x01\x0e\x1f\x7f" é語 N .'
    assert escaped(text.encode()) == (rb"\\ \b\t\n\v\f\r" + b" \0\x01\x0e\x1f\x7f" + '" é語 N .'.encode())
    assert copy_row(1, 2, text) == b"1\t2\t" + escaped(text.encode()) + b"\n"


def test_text_is_never_mistaken_for_a_marker() -> None:
    r"""A document `\N` or `\.` is written differently from NULL and the end-of-data marker."""
    assert escaped(NULL) == rb"\\N"
    assert escaped(END_OF_DATA) == rb"\\."


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"", False),
        (b"a", False),
        (b"\\", True),
        (b"\\\\", False),
        (b"a\\\\\\", True),
        (b"a\\\\\\\\", False),
        (b"\\a", False),
        (b"\\ ", False),
    ],
)
def test_a_lone_backslash_at_the_end_is_detected(line: bytes, expected: bool) -> None:
    """An odd number of backslashes at the end of the line."""
    assert ends_in_lone_backslash(line) is expected
