"""Input tables of tests: a fixed list of odd rows, and hypothesis strategies that mix them.

Uses nothing of src and nothing of the reference implementation. All tables are for the run of `DATE`.

Two records may tie on key, revision and last_modified, and are then ordered by their JSON, whose
escapes each implementation may spell in its own way. So that no order depends on that spelling,
only rows spelled as json.dumps spells share their last_modified with others; every other row has
a last_modified of its own.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

DATE = "2022-07-31"


# Documents of every odd kind


def _document(
    more: str = "",
    *,
    key: str | None = '"/works/OL1W"',
    type: str | None = '{"key": "/type/work"}',
    revision: str | None = "1",
    last_modified: str | None = '{"type": "/type/datetime", "value": "@WHEN@"}',
) -> str:
    """Return JSON text of a document from the JSON texts of its members; None omits a member.

    @WHEN@ is a placeholder for a time that no other document of the list has.
    """
    members = {"key": key, "type": type, "revision": revision, "last_modified": last_modified}
    texts = [f'"{name}": {text}' for name, text in members.items() if text is not None]
    return "{" + ", ".join(texts + [more] * bool(more)) + "}"


def _dated(value: str) -> str:
    """Return JSON text of a document with this value of last_modified."""
    return _document(last_modified=f'{{"type": "/type/datetime", "value": "{value}"}}')


def _typed(key: str) -> str:
    """Return JSON text of a type."""
    return f'{{"key": "{key}"}}'


def _placed(key: str, type_key: str = "/type/page") -> str:
    """Return JSON text of a document with this key (as JSON text) and type."""
    return _document(key=f'"{key}"', type=_typed(type_key))


_PLAIN = _document('"title": "A", "created": {"type": "/type/datetime", "value": "2009-12-11"}')

_KEYS = {
    # legacy
    "legacy author key": "/a/OL1A",
    "legacy edition key": "/b/OL1M",
    "legacy language key": "/l/eng",
    "legacy user list": "/user/foo/lists/OL1L",
    "legacy user": "/user/foo",
    "legacy prefix only": "/a/",
    "legacy prefix twice": "/a//a/OL1A",
    "legacy prefix without slash": "/a",
    "legacy prefix and more letters": "/abc/OL1A",
    "legacy prefix in upper case": "/A/OL1A",
    "legacy prefix in the middle": "/works/a/OL1W",
    "legacy prefix with escaped slashes": "\\/a\\/OL1A",
    "legacy prefix all escaped": "\\u002f\\u0061\\u002fOL1A",
    "users, not user": "/users/foo",
    # private and lists
    "user": "/people/foo",
    "people alone": "/people",
    "people and nothing": "/people/",
    "people in upper case": "/People/foo",
    "list": "/people/foo/lists/OL1L",
    "list of a person with odd letters": "/people/f\\u00f6\\n o/lists/OL1L",
    "list with escaped slashes": "\\/people\\/foo\\/lists\\/OL1L",
    "list with leading zeros": "/people/foo/lists/OL001L",
    "list subpage": "/people/foo/lists/OL1L/edits",
    "list of nobody": "/people//lists/OL1L",
    "list of a person with a slash": "/people/a/b/lists/OL1L",
    "list without digits": "/people/foo/lists/OLL",
    "list of another letter": "/people/foo/lists/OL1W",
    "list in lower case": "/people/foo/lists/OL1l",
    "list in Arabic-Indic digits": "/people/foo/lists/OL\\u0661L",
    "list in fullwidth digits": "/people/foo/lists/OL\uff11L",
    "list and a newline": "/people/foo/lists/OL1L\\n",
    "list of a longer path": "/x/people/foo/lists/OL1L",
    "all lists of a person": "/people/foo/lists",
    "list outside people": "/lists/OL1L",
    # admin and obsolete
    "admin page": "/admin/block",
    "admin root": "/admin",
    "admin and nothing": "/admin/",
    "administrators": "/administrators",
    "scan record": "/scan_record/b/OL1M",
    "scan": "/scan",
    "scan in the middle": "/works/scan",
    "old page": "/old/page",
    "old alone": "/old",
    "older": "/older/page",
    "no slash": "DUP/works/OL1W-DUP",
    "empty key": "",
    "blank before the slash": " /works/OL1W",
    "slash": "/",
    "two slashes": "//works/OL1W",
    # order
    "key without path": "/works",
    "key with empty name": "/works/",
    "deep path": "/works/OL1W/editions/OL2M",
    "leading zero": "/works/OL01W",
    "only zeros": "/works/OL000W",
    "zero": "/works/OL0W",
    "other letter": "/works/OL2Z",
    "lower letter": "/works/OL2w",
    "lower ol": "/works/ol2W",
    "two letters": "/works/OL2WX",
    "no letter": "/works/OL2",
    "no digits": "/works/OLW",
    "letter outside ASCII": "/works/OL2\\u00e9",
    "two endings": "/works/OL3WOL2W",
    "text before OL": "/works/fooOL2W",
    "ending and a newline": "/works/OL2W\\n",
    "ending and a blank": "/works/OL2W ",
    "negative number": "/works/OL-2W",
    "Arabic-Indic number": "/works/OL\\u0662W",
    "mixed digits": "/works/OL1\u0662W",
    "64 bits": "/works/OL9223372036854775807W",
    "beyond 64 bits": "/works/OL18446744073709551616W",
    "40 digits": "/works/OL1" + "0" * 39 + "W",
    "40 digits and a leading zero": "/works/OL01" + "0" * 39 + "W",
    "5,000 digits": "/works/OL" + "7" * 5000 + "W",
    "internet archive": "/books/ia:foo00bar",
    "ending without a slash before it": "/OL2W",
    "component that sorts before a slash": "/works!/OL2W",
    "component that goes on": "/works-old/OL2W",
    # characters
    "tab in key": "/works/a\\tb",
    "newline in key": "/works/a\\nb",
    "carriage return in key": "/works/a\\rb",
    "other controls in key": "/works/\\u0000\\u0001\\u000b\\u001f\\b\\f",
    "backslash in key": "/works/a\\\\tb",
    "backslash at the end of key": "/works/a\\\\",
    "quote in key": '/works/\\"a\\"',
    "DEL in key": "/works/\x7f",
    "raw letters in key": "/works/é語😀",
    "escaped letters in key": "/works/\\u00e9\\u8a9e\\ud83d\\ude00",
    "high surrogate in key": "/works/\\ud83d",
    "low surrogate in key": "/works/\\ude00\\ud83d",
    "surrogate before the number": "/works/\\ud83dOL2W",
    "private use above surrogates in key": "/works/\\uffff",
    "line separators in key": "/works/\\u0085\\u2028\\u2029",
    "raw line separators in key": "/works/\u0085\u2028\u2029",
    "escaped DEL in key": "/works/\\u007f",
    "controls of Latin-1 in key": "/works/\\u0080\\u009f",
    "first after the controls of Latin-1 in key": "/works/\\u00a0",
    "tab in the first component": "/wor\\tks/OL2W",
    "blanks in key": "/works/a b",
    "key that is a whole member": '/works/\\"key\\": \\"/a/OL1A\\"',
}

_TYPES = {
    "type work": "/type/work",
    "type list": "/type/list",
    "type redirect": "/type/redirect",
    "type delete": "/type/delete",
    "type author": "/type/author",
    "type edition": "/type/edition",
    "type page": "/type/page",
    "type user under another key": "/type/user",
    "type user escaped": "\\/type\\/\\u0075ser",
    "type usergroup": "/type/usergroup",
    "type users": "/type/user/",
    "type i18n": "/type/i18n",
    "type nobody foresaw": "/type/é\\t\\ud83d",
    "type in upper case": "/type/Work",
    "type and a newline": "/type/work\\n",
    "type and a next line": "/type/work\\u0085",
    "type with a legacy prefix": "/l/eng",
    "type empty": "",
    "type with escaped slashes": "\\/type\\/edition",
}

_LAST_MODIFIED = {
    "datetime spaced": "2008-04-30 20:50:18.033121",
    "datetime with two spaces": "2008-04-30  20:50:18.033121",
    "datetime with T and a space": "2008-04-30T20:50:18 .033121",
    "datetime with escaped space": "2008-04-30\\u002020:50:18.033122",
    "datetime with escaped T": "2008-04-30\\u005420:50:18.033123",
    "datetime of a day": "2008-04-30",
    "datetime with a space first": " 2008-04-30",
    "datetime empty": "",
    "datetime of words": "yesterday",
    "datetime with a tab": "2008-04-30\\t20:50",
    "datetime with a newline at the end": "2008-04-30T20:50\\n",
    "datetime with a surrogate": "2008-04-30\\ud83d",
    "datetime with a control of Latin-1": "2008-04-30T20:50\\u0080",
    "datetime of letters": "2008-04-30é",
    "datetime with a legacy prefix": "/a/OL1A",
    "last moment": "2022-07-31T23:59:59.999999",
    "last moment spaced": "2022-07-31 23:59:59.999999",
    "last moment of nines": "2022-07-31T23:59:59.9999999999",
    "midnight": "2022-08-01T00:00:00",
    "midnight spaced": "2022-08-01 00:00:00.000000",
    "midnight as a day": "2022-08-01",
    "month after": "2022-08",
    "month before as a day": "2022-06-31",
    "year after": "2023-01-01T00:00:00.000000",
    "year 10000": "10000-01-01T00:00:00",
}

# Members besides the four that every document has.
_MORE = {
    # keys at depth
    "legacy keys at depth": '"a": {"b": [{"key": "/a/OL1A"}, [{"c": {"key": "/l/eng"}}]]}',
    "every legacy prefix in a list": (
        '"x": [{"key": "/a/OL1A"}, {"key": "/b/OL1M"}, {"key": "/l/eng"}, {"key": "/user/foo"}]'
    ),
    "legacy key in a key": '"x": {"key": {"key": "/a/OL1A"}}',
    "legacy keys in a list named key": '"x": {"key": ["/a/OL1A", {"key": "/b/OL1M"}]}',
    "key is a number at depth": '"x": {"key": 1}',
    "key is null at depth": '"x": {"key": null}',
    "escaped member name": '"x": {"k\\u0065y": "/a/OL1A"}',
    "escaped slashes at depth": '"x": {"key": "\\/a\\/OL1A"}',
    "escaped legacy letter": '"x": {"key": "/\\u0061/OL1A"}',
    "legacy key without spaces": '"x":{"key":"/a/OL1A"}',
    "legacy key with many spaces": '"x": { "key"\t:\n "/a/OL1A" }',
    "strings that only look like keys": '"x": "\\"key\\": \\"/a/OL1A\\"", "y": "/a/OL1A"',
    "a string that is half a member": '"x": ["key", "/a/OL1A", "key\\": \\"/a/"]',
    "member names that end in key": (
        '"monkey": "/a/OL1A", "a \\"key": "/a/OL2A", "\\\\key": "/a/OL3A", "Key": "/a/OL4A",'
        ' "key ": "/a/OL5A", "keys": "/a/OL6A"'
    ),
    "modern keys at depth": '"x": [{"key": "/authors/OL1A"}, {"key": "/people/foo"}]',
    "authors with a plain type": ('"authors": [{"type": "/type/author_role", "author": {"key": "/a/OL1A"}}]'),
    "authors with a type object": (
        '"authors": [{"type": {"key": "/type/author_role"}, "author": {"key": "/authors/OL1A"}}]'
    ),
    "legacy key beside a datetime": (
        '"x": {"type": "/type/datetime", "key": "/a/OL1A", "value": "2008-04-30 20:50:18"}'
    ),
    # datetimes
    "spaced datetime at depth": ('"x": [[{"y": {"type": "/type/datetime", "value": "2008-04-30 20:50:18.033121"}}]]'),
    "spaced datetime with its value first": (
        '"created": {"value": "2008-04-30 20:50:18.033121", "type": "/type/datetime"}'
    ),
    "spaced datetime with escapes": (
        '"created": {"t\\u0079pe": "\\/type\\/datetime", "v\\u0061lue": "2008-04-30\\u002020:50"}'
    ),
    "spaced datetime without spaces": ('"created":{"type":"/type/datetime","value":"2008-04-30 20:50:18"}'),
    "datetime of three spaces": '"x": {"type": "/type/datetime", "value": "a b c d"}',
    "datetime of one space": '"x": {"type": "/type/datetime", "value": " "}',
    "datetime of other blanks": ('"x": {"type": "/type/datetime", "value": "2008-04-30\\t20:50\\u00a0 18"}'),
    "datetime with a number": '"x": {"type": "/type/datetime", "value": 20080430}',
    "datetime with an object": ('"x": {"type": "/type/datetime", "value": {"type": "/type/datetime", "value": "a b"}}'),
    "datetime without a value": '"x": {"type": "/type/datetime"}',
    "datetime with values nearby": (
        '"x": {"type": "/type/datetime", "values": "a b", "y": {"value": "c d"}, "value": "e f"}'
    ),
    "spaces outside datetimes": (
        '"x": {"type": "/type/text", "value": "a b"}, "y": {"value": "2008-04-30 20:50:18"},'
        ' "z": "2008-04-30 20:50:18", "value": "a b"'
    ),
    "datetime as a type object": ('"x": {"type": {"key": "/type/datetime"}, "value": "2008-04-30 20:50:18"}'),
    "look-alike types of datetimes": (
        '"x": [{"type": "/type/datetime ", "value": "a b"}, {"type": "type/datetime",'
        ' "value": "a b"}, {"type": "/type/datetimes", "value": "a b"},'
        ' {"Type": "/type/datetime", "value": "a b"}, {"type": ["/type/datetime"], "value": "a b"}]'
    ),
    # id and location
    "id": '"id": 1234567',
    "id at depth": '"x": {"id": 1}, "y": [{"id": {"id": null}}]',
    "id at the top and at depth": '"id": {"id": 1, "key": "/a/OL1A"}, "x": {"id": 2}',
    "id escaped": '"\\u0069d": "x"',
    "id is a long object": '"id": {"a": [1, {"b": "}\\"]"}], "c": ","}, "z": 1',
    "names that look like id": '"ID": 1, "ids": 2, "ocaid": "foo00bar", "id ": 3, "": 4',
    "location of a work": '"location": "/a/OL1A"',
    # JSON values
    "empty lists and objects": '"a": [], "b": {}, "c": [[], {}], "d": ""',
    "literals": '"a": true, "b": false, "c": null',
    "number spellings": ('"a": [1e400, -1e400, 1E5, 1e+5, 1.0, 1.50, -0, -0.0, 0.1e-7, 1e-400, 0, 100000.0]'),
    "numbers beyond 64 bits": f'"a": [9223372036854775808, -18446744073709551617, 1{"0" * 60}]',
    "number of 5,000 digits": '"a": 1' + "0" * 4999 + ', "b": 0.' + "3" * 5000,
    "strings of punctuation": (
        '"a": ", ", "b": ": ", "c": ",", "d": ":", "e": "\\",\\"", "f": "\\":\\"", "g": "{}[]", "h": " ,  :  "'
    ),
    "strings that end in quotes and backslashes": (
        '"a": "a\\\\", "b": "\\\\\\"", "c": "\\\\\\\\", "d": "\\"", "e": "\\\\\\\\\\"", "f\\\\": "\\\\", "g\\"": ":"'
    ),
    "every short escape": '"a": "\\" \\\\ \\/ \\b \\f \\n \\r \\t"',
    "text that looks like COPY escapes": '"a": "\\\\n \\\\N \\\\. \\\\x41 \\\\101"',
    "escaped controls": '"a": "\\u0000\\u0001\\u0008\\u0009\\u000a\\u001f\\u007f\\u0080\\u009f"',
    "raw DEL": '"a": "\x7f"',
    "raw UTF-8": '"tïtle": "é語\u2028\u2029\u0085\u00a0\ufeff\uffff\U0010ffff😀"',
    "escaped letters in lower case": '"a": "\\u00e9\\u8a9e\\ud83d\\ude00"',
    "escaped letters in upper case": '"a": "\\u00E9\\u8A9E\\uD83D\\uDE00"',
    "letters that need no escape": '"a": "\\u0041\\u002F\\u0022\\u005C\\u0020"',
    "high surrogate": '"title": "\\ud83d"',
    "low surrogate": '"title": "\\ude00"',
    "surrogates in the wrong order": '"title": "\\ude00\\ud83d"',
    "high surrogate and a letter": '"title": "\\ud83dé\\ud83d\\u0041\\ud83d\\ud83d\\ude00"',
    "surrogate in a member name": '"\\ud83d": 1',
    "half a surrogate in upper case": '"title": "\\uD83D"',
    "escaped escapes": '"a": "\\\\u00e9\\\\\\u00e9\\\\\\\\u00e9"',
    "HTML": '"a": "<b class=\\"x\\">&amp;</b>\\r\\n"',
    "names that are numbers or empty": '"": "", "1": 1, " ": " "',
    "core names at depth": ('"x": {"key": 1, "type": 2, "revision": 3, "last_modified": 4, "id": 5, "location": 6}'),
    "latest revision": '"latest_revision": 7',
    "100 levels": '"a": ' + '{"b": ' * 50 + "[" * 50 + "]" * 50 + "}" * 50,
    "100,000 levels": '"a": ' + "[" * 100_000 + "]" * 100_000,
    "long string": '"a": "' + "é ' \\\\ \\\" " * 30_000 + '"',
    "long list": '"a": [' + ", ".join(['{"key": "/a/OL1A"}'] * 5_000) + "]",
    # not finite
    "NaN": '"a": NaN',
    "Infinity": '"a": [Infinity]',
    "minus Infinity": '"a": {"b": -Infinity}',
    "NaN in an id": '"id": NaN',
    "NaN in a string": '"a": "NaN", "b": "-Infinity", "NaN": 1',
    "nan in lower case": '"a": nan',
    "plus Infinity": '"a": +Infinity',
    "minus NaN": '"a": -NaN',
    "NaN before an error": '"a": NaN, "b": }',
    "NaN after an error": '"b": }, "a": NaN',
    # not JSON
    "raw tab in a string": '"a": "x\ty"',
    "raw newline in a string": '"a": "x\ny"',
    "raw control in a string": '"a": "x\x01y"',
    "raw escape character in a member name": '"a\x1b": 1',
    "trailing comma": '"a": 1,',
    "trailing comma in a list": '"a": [1,]',
    "two commas": '"a": 1,, "b": 2',
    "no colon": '"a" 1',
    "single quotes": "'a': 1",
    "name without quotes": "a: 1",
    "bad escape": '"a": "\\q"',
    "short escape of a code unit": '"a": "\\u12"',
    "escape of a code unit in other digits": '"a": "\\u\u0661\u0661\u0661\u0661"',
    "string without an end": '"a": "',
    "number with a leading zero": '"a": 01',
    "number with a plus": '"a": +1',
    "number without a fraction": '"a": 1.',
    "number without a whole": '"a": .5',
    "number without an exponent": '"a": 1e',
    "number in hexadecimal": '"a": 0x1',
    "number in Arabic-Indic digits": '"a": \u0661',
    "minus alone": '"a": -',
    "literal in upper case": '"a": True',
    "literal and more": '"a": nullx',
    "comment": '"a": 1 /* one */',
    "no-break space between tokens": '"a":\u00a01',
    "vertical tab between tokens": '"a":\x0b1',
    "form feed between tokens": '"a":\x0c1',
    "list closed by a brace": '"a": [1}',
}

_REVISIONS = {
    "revision true": "true",
    "revision false": "false",
    "revision null": "null",
    "revision 1.0": "1.0",
    "revision 1e0": "1e0",
    "revision is text": '"1"',
    "revision is a list": "[1]",
    "revision negative": "-1",
    "revision zero": "0",
    "revision minus zero": "-0",
    "revision 10": "10",
    "revision 9": "9",
    "revision 64 bits": "9223372036854775807",
    "revision beyond 64 bits": "18446744073709551616",
    "revision of 30 digits": "9" * 30,
    "revision of 5,000 digits": "9" * 5000,
    "revision NaN": "NaN",
}

_WITHOUT_LAST_MODIFIED = {
    "last_modified is text": '"2008-04-30T20:50:18"',
    "last_modified is null": "null",
    "last_modified is a list": '[{"type": "/type/datetime", "value": "2008"}]',
    "last_modified is empty": "{}",
    "last_modified is a number": '{"type": "/type/datetime", "value": 2008}',
    "last_modified is null within": '{"type": "/type/datetime", "value": null}',
    "last_modified without a type": '{"value": "2008-04-30 20:50:18.9"}',
    "last_modified of another type": '{"type": "/type/text", "value": "2008-04-30 20:50:18.8"}',
    "last_modified with its value first": ('{"value": "2008-04-30 20:50:18.7", "type": "/type/datetime"}'),
    "last_modified midnight without a type": '{"value": "2022-08-01 00:00:00"}',
}

_WHOLE = {
    "plain": _PLAIN,
    "no key": _document(key=None),
    "key null": _document(key="null"),
    "key a number": _document(key="1"),
    "key an object": _document(key='{"key": "/works/OL1W"}'),
    "key a list": _document(key='["/works/OL1W"]'),
    "key only at depth": _document('"x": {"key": "/works/OL1W"}', key=None),
    "no type": _document(type=None),
    "type null": _document(type="null"),
    "type text": _document(type='"/type/work"'),
    "type datetime as text": _document('"value": "a b"', type='"/type/datetime"'),
    "type a list": _document(type='[{"key": "/type/work"}]'),
    "type an empty object": _document(type="{}"),
    "type a number within": _document(type='{"key": 1}'),
    "type null within": _document(type='{"key": null}'),
    "type with more members": _document(type='{"id": 1, "key": "/type/work", "key2": "/a/"}'),
    "type a datetime": _document(type='{"key": "/type/work", "type": "/type/datetime", "value": "a b"}'),
    "no revision": _document(revision=None),
    "no last_modified": _document(last_modified=None),
    "nothing but an object": "{}",
    "no key nor type": _document(key=None, type=None),
    "no type nor revision": _document(type=None, revision=None),
    "no revision nor last_modified": _document(revision=None, last_modified=None),
    "private and without a type": _document(key='"/people/foo"', type=None),
    "private and after the cutoff": _document(
        key='"/people/foo"', last_modified='{"type": "/type/datetime", "value": "2023"}'
    ),
    "admin and after the cutoff": _document(
        key='"/admin/x"', last_modified='{"type": "/type/datetime", "value": "2023"}'
    ),
    "obsolete and after the cutoff": _document(
        key='"/old/x"', last_modified='{"type": "/type/datetime", "value": "2023"}'
    ),
    "user under an obsolete key": _placed("DUP/people/foo", "/type/user"),
    "user under an admin key": _placed("/admin/foo", "/type/user"),
    "user under a key of a list": _placed("/people/foo/lists/OL1L", "/type/user"),
    "list under another key": _placed("/works/OL1W", "/type/list"),
    "delete under a key of a user": _placed("/people/foo", "/type/delete"),
    "redirect to a legacy key": _document('"location": "/a/OL1A"', key='"/a/OL2A"', type=_typed("/type/redirect")),
    "redirect to a user": _document('"location": "/user/foo"', type=_typed("/type/redirect")),
    "redirect with escapes": _document('"loc\\u0061tion": "\\/b\\/OL1M"', type=_typed("\\/type\\/redirect")),
    "redirect before its type": (
        '{"location": "/b/OL1M", "key": "/b/OL2M", "last_modified": {"value": "@WHEN@"},'
        ' "revision": 2, "type": {"key": "/type/redirect"}}'
    ),
    "redirect to a modern key": _document('"location": "/authors/OL1A"', type=_typed("/type/redirect")),
    "redirect elsewhere": _document('"location": "/abc"', type=_typed("/type/redirect")),
    "redirect with a location at depth": _document('"x": {"location": "/a/OL1A"}', type=_typed("/type/redirect")),
    "redirect with an object": _document(
        '"location": {"key": "/a/OL1A", "location": "/a/OL1A"}', type=_typed("/type/redirect")
    ),
    "redirect with a number": _document('"location": 1', type=_typed("/type/redirect")),
    "redirect without a location": _document(type=_typed("/type/redirect")),
    "location with a type text": _document('"location": "/a/OL1A"', type='"/type/redirect"'),
    "members in another order": (
        '{"title": "A", "last_modified": {"value": "@WHEN@", "type": "/type/datetime"},'
        ' "revision": 3, "type": {"key": "/type/work"}, "key": "/works/OL1W"}'
    ),
    "id first": '{"id": 7, ' + _document()[1:],
    "id first and tight": '{"id":7,' + _document()[1:],
    "core names escaped": (
        '{"\\u006bey": "/works/OL1W", "t\\u0079pe": {"ke\\u0079": "/type/work"},'
        ' "revisio\\u006e": 4, "last_modifie\\u0064": {"v\\u0061lue": "@WHEN@"}}'
    ),
    # spacing
    "no spaces": (
        '{"key":"/works/OL1W","type":{"key":"/type/work"},"revision":1,'
        '"last_modified":{"type":"/type/datetime","value":"@WHEN@"},"a":[1,2,{"b":", : "}]}'
    ),
    "no space after commas": _PLAIN.replace(", ", ","),
    "no space after colons": _PLAIN.replace(": ", ":"),
    "two spaces after commas": _PLAIN.replace(", ", ",  "),
    "two spaces after colons": _PLAIN.replace(": ", ":  "),
    "spaces before commas and colons": _PLAIN.replace(",", " ,").replace('":', '" :'),
    "spaces on the wrong side": _PLAIN.replace(", ", " ,").replace('": ', '" :'),
    "spaces inside brackets": _document('"a": [ 1, [ ], { }, { "b": [2 ]} ], "c": {  }'),
    "space after the brace": _PLAIN.replace("{", "{ "),
    "space before the brace": _PLAIN.replace("}", " }"),
    "tabs": _PLAIN.replace(", ", ",\t").replace('": ', '":\t'),
    "newlines": _PLAIN.replace(", ", ",\n"),
    "carriage returns": _PLAIN.replace(", ", ",\r\n"),
    "one odd space at the very end": _PLAIN[:-1] + " }",
    "leading blank": " " + _PLAIN,
    "trailing blank": _PLAIN + " ",
    "leading newline": "\n" + _PLAIN,
    "trailing newline": _PLAIN + "\n",
    "trailing carriage return": _PLAIN + "\r",
    "blanks around": " \t\r\n" + _PLAIN + "\n\r\t ",
    "pretty": json.dumps(json.loads(_PLAIN), indent=4),
    # not an object
    "nothing": "",
    "only blanks": " \n",
    "BOM": "\ufeff" + _PLAIN,
    "BOM after": _PLAIN + "\ufeff",
    "no-break space before": "\u00a0" + _PLAIN,
    "list": "[" + _PLAIN + "]",
    "list of nothing": "[]",
    "text": '"/works/OL1W"',
    "number": "1",
    "null": "null",
    "true": "true",
    "NaN alone": "NaN",
    "minus Infinity alone": "-Infinity",
    "NaN in a list": "[NaN]",
    "cut off": _PLAIN[:-1],
    "cut in a string": _PLAIN[:30],
    "cut after NaN": '{"key": NaN',
    "two objects": _PLAIN + _PLAIN,
    "two objects and a newline": _PLAIN + "\n" + _PLAIN,
    "object and text": _PLAIN + " x",
    "brace too many": _PLAIN + "}",
    "NUL at the end": _PLAIN + "\x00",
    "NULL as text": "\\N",
    "end of data as text": "\\.",
    "JSON in JSON": json.dumps(_PLAIN),
    # the same key and revision, of one moment or of two
    "twin": _document('"a": 1', last_modified='{"value": "2010-06-01"}'),
    "twin with other JSON": _document('"a": 2', last_modified='{"value": "2010-06-01"}'),
    "twin with JSON that is a prefix": _document(last_modified='{"value": "2010-06-01"}'),
    "twin that is later": _document('"a": 0', last_modified='{"value": "2010-06-02"}'),
    "twin after the cutoff": _document('"a": 0', last_modified='{"value": "2022-08-02"}'),
    "twin under a legacy key": _document(
        key='"/a/OL1A"', type=_typed("/type/author"), last_modified='{"value": "2010-06-01"}'
    ),
    "twin under the new key": _document(
        key='"/authors/OL1A"', type=_typed("/type/author"), last_modified='{"value": "2010-06-01"}'
    ),
    "revision 2 as another type": _document(revision="2", type=_typed("/type/delete")),
    "revision 3 that is older": _document(
        revision="3", last_modified='{"type": "/type/datetime", "value": "2001-01-01"}'
    ),
    "revision 11 as a user": _document(revision="11", type=_typed("/type/user")),
}

_TEMPLATES: list[tuple[str, str]] = [
    *_WHOLE.items(),
    *((f"key: {name}", _placed(key)) for name, key in _KEYS.items()),
    *((name, _document(type=_typed(key))) for name, key in _TYPES.items()),
    *((name, _dated(value)) for name, value in _LAST_MODIFIED.items()),
    *((name, _document(revision=text)) for name, text in _REVISIONS.items()),
    *((name, _document(last_modified=text)) for name, text in _WITHOUT_LAST_MODIFIED.items()),
    *((f"member: {name}", _document(more)) for name, more in _MORE.items()),
]

ODD_DOCUMENTS: list[tuple[str, str]] = [
    (name, text.replace("@WHEN@", f"2010-01-01T00:00:00.{place:06d}")) for place, (name, text) in enumerate(_TEMPLATES)
]


# Rows as COPY writes them, or in other legal spellings


def copy_row(thing_id: int, revision: int, json_text: str) -> bytes:
    """Return the row as psql writes it, with its newline (PostgreSQL's CopyAttributeOutText)."""
    return _row(thing_id, revision, _as_psql(json_text))


def _row(thing_id: int, revision: int, column: bytes) -> bytes:
    return b"%d\t%d\t%b\n" % (thing_id, revision, column)


_COPY_LETTERS = {"\b": "b", "\t": "t", "\n": "n", "\v": "v", "\f": "f", "\r": "r", "\\": "\\"}


def _as_psql(text: str) -> bytes:
    """Use a backslash only where it is required."""
    return "".join(f"\\{_COPY_LETTERS[c]}" if c in _COPY_LETTERS else c for c in text).encode()


def _as_octal(text: str) -> bytes:
    """Use three octal digits for every byte except letters, digits and spaces."""
    return b"".join(
        bytes([byte]) if re.match(rb"[A-Za-z0-9 ]", bytes([byte])) else b"\\%03o" % byte for byte in text.encode()
    )


def _as_short_octal(text: str) -> bytes:
    """For bytes that need an escape, use as few octal digits as the next byte allows."""
    data = text.encode()
    written = b""
    for place, byte in enumerate(data):
        if chr(byte) not in _COPY_LETTERS:
            written += bytes([byte])
        elif data[place + 1 : place + 2] in tuple(b"%d" % digit for digit in range(8)):
            written += b"\\%03o" % byte
        else:
            written += b"\\%o" % byte
    return written


def _as_hex(text: str) -> bytes:
    """Use two hexadecimal digits, in either case, for every second byte and those that need it."""
    written = b""
    for place, byte in enumerate(text.encode()):
        if place % 2 and chr(byte) not in _COPY_LETTERS:
            written += bytes([byte])
        else:
            written += (b"\\x%02x" if place % 4 else b"\\x%02X") % byte
    return written


def _as_needless(text: str) -> bytes:
    """Put a backslash before every character whose meaning it does not change."""
    written = ""
    for character in text:
        if character in _COPY_LETTERS:
            written += "\\" + _COPY_LETTERS[character]
        elif character in "bfnrtvx01234567":
            written += character
        else:
            written += "\\" + character
    return written.encode()


_COPY_STYLES: tuple[Callable[[str], bytes], ...] = (
    _as_psql,
    _as_octal,
    _as_short_octal,
    _as_hex,
    _as_needless,
)

_GOOD = _as_psql(_document(last_modified='{"value": "2011-01-01"}'))
_GOOD_TOO = _as_psql(_document(last_modified='{"value": "2011-01-02"}'))

# Rows, or lines in place of rows, without newline, each odd as COPY text.
ODD_LINES: list[tuple[str, bytes]] = [
    ("empty line", b""),
    ("one column", b"1"),
    ("only JSON", _GOOD),
    ("two columns", b"1\t" + _GOOD),
    ("four columns", b"1\t1\t" + _GOOD + b"\t"),
    ("four columns, the last too many", b"1\t1\t" + _GOOD + b"\tx"),
    ("only tabs", b"\t\t"),
    ("raw tab in JSON", b"1\t1\t" + _GOOD.replace(b", ", b",\t")),
    ("JSON is NULL", b"1\t1\t\\N"),
    ("JSON is NULL and more", b"1\t1\t\\N " + _GOOD),
    ("JSON is the letter N", b"1\t1\tN"),
    ("JSON is NULL in octal", b"1\t1\t\\\\N"),
    ("all are NULL", b"\\N\t\\N\t\\N"),
    ("ids are NULL", b"\\N\t\\N\t" + _GOOD),
    ("ids are text", b"foo\t\t" + _GOOD),
    ("JSON is empty", b"1\t1\t"),
    ("lone backslash", b"1\t1\t" + _GOOD + b"\\"),
    ("lone backslash alone", b"\\"),
    ("three backslashes at the end", b"1\t1\t" + _GOOD + b"\\\\\\"),
    ("two backslashes at the end", b"1\t1\t" + _GOOD + b"\\\\"),
    ("lone backslash in two columns", b"1\t\\"),
    ("lone backslash and not UTF-8", b"1\t1\t\xff\\"),
    ("two columns and not UTF-8", b"1\t\xff"),
    ("NaN and not UTF-8", b"1\t1\t[NaN, \xff]"),
    ("raw 0xff", b"1\t1\t" + _GOOD.replace(b"work", b"w\xffrk")),
    ("0xff in octal", b"1\t1\t" + _GOOD.replace(b"work", b"w\\377rk")),
    ("0xff beyond a byte in octal", b"1\t1\t" + _GOOD.replace(b"work", b"w\\777rk")),
    ("0xff in hexadecimal", b"1\t1\t" + _GOOD.replace(b"work", b"w\\xffrk")),
    ("cut UTF-8", b"1\t1\t" + _GOOD.replace(b"work", b"w\xc3rk")),
    ("overlong UTF-8", b"1\t1\t" + _GOOD.replace(b"work", b"w\xc0\xafrk")),
    ("surrogate as UTF-8", b"1\t1\t" + _GOOD.replace(b"work", b"w\xed\xa0\xbdrk")),
    ("beyond Unicode", b"1\t1\t" + _GOOD.replace(b"work", b"w\xf4\x90\x80\x80rk")),
    ("Latin-1", b"1\t1\t" + _GOOD.replace(b"work", b"w\xf6rk")),
    ("thing id is not UTF-8", b"\xff\t1\t" + _GOOD),
    ("revision is not UTF-8", b"1\t\\377\t" + _GOOD),
    ("UTF-8 in octal", b"1\t1\t" + _GOOD_TOO.replace(b"work", b"w\\303\\266rk")),
    ("UTF-8 half in octal", b"1\t1\t" + _GOOD_TOO.replace(b"work", b"w\xc3\\266rk")),
    ("octal before a digit", b"1\t1\t" + _GOOD.replace(b"work", b"\\1019\\608")),
    ("octal beyond a byte", b"1\t1\t" + _GOOD.replace(b"work", b"\\501\\502")),
    ("digits that are not octal", b"1\t1\t" + _GOOD.replace(b"work", b"\\8\\9")),
    ("hexadecimal of one digit", b"1\t1\t" + _GOOD.replace(b"work", b"\\x9g\\xag")),
    ("hexadecimal of three digits", b"1\t1\t" + _GOOD.replace(b"work", b"\\x414\\X41")),
    ("hexadecimal without digits", b"1\t1\t" + _GOOD.replace(b"work", b"\\xg\\x")),
    ("tab escaped twice", b"1\t1\t" + _GOOD.replace(b"work", b"\\\\t\\\\\\\\")),
    ("tab in a string", b"1\t1\t" + _GOOD.replace(b"work", b"\\t")),
    ("escaped raw tab between tokens", b"1\t1\t" + _GOOD.replace(b", ", b",\\\t", 1)),
    ("escaped raw tab in a string", b"1\t1\t" + _GOOD.replace(b"work", b"w\\\trk")),
    ("escaped raw tab after a backslash", b"1\t1\t" + _GOOD.replace(b"work", b"w\\\\\\\trk")),
    ("raw tab after two backslashes", b"1\t1\\\\\t" + _GOOD),
    ("raw tab after two backslashes, one too many", b"1\t1\t" + _GOOD.replace(b", ", b",\\\\\t", 1)),
    ("escaped raw tab for the first border", b"1\\\t1\t" + _GOOD),
    ("escaped raw tab for the second border", b"1\t1\\\t" + _GOOD),
    ("escaped raw tab in the first column", b"\\\t1\t1\t" + _GOOD),
    ("escaped raw tab at the end", b"1\t1\t" + _GOOD + b"\\\t"),
    ("escaped raw tab and lone backslash", b"1\t1\t" + _GOOD + b"\\\t\\"),
    ("escaped raw tabs alone", b"\\\t\\\t\\\t"),
    ("tab in octal between tokens", b"1\t1\t" + _GOOD.replace(b", ", b",\\11")),
    ("newline in hexadecimal between tokens", b"1\t1\t" + _GOOD.replace(b", ", b",\\xa")),
    ("vertical tab between tokens", b"1\t1\t" + _GOOD.replace(b", ", b",\\v")),
    ("NUL in octal", b"1\t1\t" + _GOOD + b"\\000"),
    ("raw NUL", b"1\t1\t" + _GOOD + b"\x00"),
    ("carriage return at the end", b"1\t1\t" + _GOOD + b"\r"),
    ("end of data and a blank", b"\\. "),
    ("end of data and a carriage return", b"\\.\r"),
    ("end of data as JSON", b"1\t1\t\\."),
    ("end of data in the middle", b"1\t1\t" + _GOOD.replace(b"work", b"\\.")),
    ("quote escaped for COPY", b"1\t1\t" + _GOOD.replace(b'"', b'\\"')),
    ("all in hexadecimal", b"1\t1\t" + b"".join(b"\\x%02x" % byte for byte in _GOOD)),
    ("letters that are COPY escapes", b"1\t1\t" + _GOOD.replace(b"work", b"\\b\\f\\r")),
    ("NULL within text", b"1\t1\t" + _GOOD.replace(b"work", b"\\N\\a\\e\\0")),
]


# JSON in every spelling


class _Verbatim(str):
    """JSON text written unchanged: a number in one of its spellings."""


_Json: TypeAlias = "dict[str, _Json] | list[_Json] | str | bool | None"


@dataclass(frozen=True)
class _Spacing:
    """Spaces around the tokens of a JSON text."""

    before_comma: str = ""
    after_comma: str = " "
    before_colon: str = ""
    after_colon: str = " "
    inside: str = ""
    around: str = ""


_CANONICAL = _Spacing()
_SPACINGS = (
    _Spacing(after_comma="", after_colon=""),
    _Spacing(after_comma=""),
    _Spacing(after_colon=""),
    _Spacing(after_comma="  "),
    _Spacing(after_colon="  "),
    _Spacing(before_comma=" "),
    _Spacing(before_colon=" "),
    _Spacing(before_comma=" ", after_comma="", before_colon=" ", after_colon=""),
    _Spacing(inside=" "),
    _Spacing(around=" "),
    _Spacing(after_comma="\n", inside="\n"),
    _Spacing(after_comma="\t", after_colon="\t"),
    _Spacing("\r\n", "\t ", " ", "\n", "\t", "\r\n "),
)


def _plainly(character: str) -> str:
    """Return the string as json.dumps writes it."""
    return json.dumps(character)[1:-1]


def _in_upper_case(character: str) -> str:
    spelled = _plainly(character)
    return spelled.upper().replace("\\U", "\\u") if spelled.startswith("\\u") else spelled


def _raw(character: str) -> str:
    """Return the string unescaped where JSON and UTF-8 allow it."""
    may_stay = character >= "\x7f" and not "\ud800" <= character <= "\udfff"
    return character if may_stay else _plainly(character)


def _with_escaped_slashes(character: str) -> str:
    return "\\/" if character == "/" else _plainly(character)


def _all_escaped(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


_SPELLINGS = (_in_upper_case, _raw, _with_escaped_slashes, _all_escaped)


def _spelled(value: _Json, spacing: _Spacing, spelling: Callable[[str], str]) -> str:
    """Return JSON text of the value."""
    comma = spacing.before_comma + "," + spacing.after_comma
    colon = spacing.before_colon + ":" + spacing.after_colon
    inside = spacing.inside
    if isinstance(value, dict):
        members = [
            _spelled(name, spacing, spelling) + colon + _spelled(inner, spacing, spelling)
            for name, inner in value.items()
        ]
        return "{" + inside + comma.join(members) + inside + "}"
    if isinstance(value, list):
        items = [_spelled(item, spacing, spelling) for item in value]
        return "[" + inside + comma.join(items) + inside + "]"
    if isinstance(value, _Verbatim):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(map(spelling, value)) + '"'
    return json.dumps(value)


# Strategies


@dataclass(frozen=True)
class _Row:
    """A row to be written: its document and its spelling."""

    document: dict[str, _Json]
    spacing: _Spacing = _CANONICAL
    spelling: Callable[[str], str] = _plainly
    copy_style: Callable[[str], bytes] = _as_psql

    def written(self, place: int) -> bytes:
        """Return the row with its newline. If its spelling is odd, its time occurs nowhere else."""
        document = self.document
        if self.spelling is not _plainly:
            moment: _Json = f"2015-01-01T00:00:00.{place:06d}"
            document = document | {"last_modified": {"value": moment}}
        text = self.spacing.around + _spelled(document, self.spacing, self.spelling)
        return _row(place, 1, self.copy_style(text + self.spacing.around))


_few_keys = st.sampled_from(
    (
        "/works/OL1W",
        "/works/OL9W",
        "/works/OL10W",
        "/works/OL01W",
        "/works/OL1W-DUP",
        "/works",
        "/books/OL9M",
        "/books/OL10M",
        "/books/ia:foo00bar",
        "/authors/OL1A",
        "/authors/OL1\ud83dA",
        "/languages/eng",
        "/subjects/caf\u00e9",
        "/subjects/a\tb",
        "/subjects/a\x7fb",
        "/subjects/a\x85b",
        "/subjects/a\u2028b",
        "/works-old/OL1W",
        "/people/foo/lists/OL1L",
        "/people/foo",
        "/admin/x",
        "/old/x",
        "DUP/works/OL1W-DUP",
    )
)
_legacy_keys = st.sampled_from(
    ("/a/OL1A", "/b/OL9M", "/b/OL10M", "/l/eng", "/user/foo/lists/OL1L", "/user/foo", "/a/", "/a")
)
_type_keys = st.sampled_from(
    (
        "/type/work",
        "/type/edition",
        "/type/author",
        "/type/redirect",
        "/type/delete",
        "/type/list",
        "/type/page",
        "/type/language",
        "/type/user",
    )
)
_revisions = st.sampled_from(("1", "2", "3", "9", "10")).map(_Verbatim)
_moments = st.sampled_from(
    (
        "2009-12-11T01:57:19.964652",
        "2009-12-11T01:57:19",
        "2022-07-31T23:59:59.999999",
        "2022-08-01T00:00:00.000000",
        "2008-04-30 20:50:18.033121",
    )
)
_numbers = st.sampled_from(
    ("0", "-0", "1", "1.0", "1e5", "1E+5", "1e400", "-12.50", "18446744073709551616", "9" * 70)
).map(_Verbatim)
_wrong_numbers = st.sampled_from(("NaN", "-Infinity", "01", "1.", "+1", "nan")).map(_Verbatim)
_texts = st.lists(
    st.sampled_from(
        (
            "a",
            "key",
            '"',
            "\\",
            ", ",
            ": ",
            '": "',
            " ",
            "\u00e9",
            "\u8a9e",
            "\U0001f600",
            "\ud83d",
            "\ude00",
            "\t",
            "\n",
            "\r",
            "\x00",
            "\x01",
            "\x7f",
            "\u2028",
            "{",
            "}",
            "N",
            "/a/OL1A",
            "/user/x",
            "/type/datetime",
            "2008-04-30 20:50:18",
            "\\n",
            "7",
        )
    ),
    max_size=3,
).map("".join)
_datetimes = st.fixed_dictionaries({"type": st.just("/type/datetime"), "value": _moments | _texts})
_references = st.fixed_dictionaries({"key": _legacy_keys | _few_keys})


def _objects(values: SearchStrategy[_Json]) -> SearchStrategy[dict[str, _Json]]:
    names = ("key", "type", "value", "id", "location", "monkey", 'a "key', "t\u00eftle", "", "x")
    return st.dictionaries(st.sampled_from(names), values, max_size=3)


_values: SearchStrategy[_Json] = st.recursive(
    st.one_of(_texts, _numbers, st.none(), st.booleans(), _datetimes, _references),
    lambda values: st.lists(values, max_size=3) | _objects(values),
    max_leaves=4,
)
_more_members: SearchStrategy[dict[str, _Json]] = st.dictionaries(
    st.sampled_from(("title", "id", "location", "authors", "created", "value", "monkey", "x")),
    _values | _legacy_keys,
    max_size=3,
)


@st.composite
def _documents(draw: st.DrawFn, keys: SearchStrategy[str] = _few_keys, broken: bool = False) -> dict[str, _Json]:
    """Return a document that can become a record, or one with a wrong member that makes it a reject."""
    core: dict[str, _Json] = {
        "key": draw(keys),
        "type": {"key": draw(_type_keys)},
        "revision": draw(_revisions),
        "last_modified": {"type": "/type/datetime", "value": draw(_moments)},
    }
    if broken:
        name = draw(st.sampled_from(tuple(core)))
        core.pop(name)
        if draw(st.booleans()):
            core[name] = draw(_values | _wrong_numbers)
    members = list((core | draw(_more_members)).items())
    first = draw(st.integers(0, len(members) - 1))
    return dict(members[first:] + members[:first])


def _rows() -> SearchStrategy[_Row | bytes]:
    """Return a row of any kind, either to be written or as a line with its newline."""
    canonical = st.builds(_Row, _documents())
    spaced = st.builds(_Row, _documents(), st.sampled_from(_SPACINGS))
    legacy = st.builds(_Row, _documents(_legacy_keys))
    odd = st.builds(
        _Row,
        _documents(_few_keys | _legacy_keys),
        st.sampled_from((_CANONICAL, *_SPACINGS)),
        st.sampled_from((_plainly, *_SPELLINGS)),
        st.sampled_from(_COPY_STYLES),
    )
    broken = st.builds(_Row, _documents(broken=True))
    odd_documents = st.sampled_from(ODD_DOCUMENTS).map(lambda odd: copy_row(1, 1, odd[1]))
    odd_lines = st.sampled_from(ODD_LINES).map(lambda odd: odd[1] + b"\n")
    return st.one_of(canonical, spaced, legacy, odd, broken, odd_documents, odd_lines)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Return COPY text of up to 60 rows of every kind, for the run of `DATE`.

    There are few keys, so that revisions collide. The last newline may be missing, and the end-of-data line may follow.
    """
    # Lists are short by default (about five rows), and then few revisions collide.
    at_least = draw(st.sampled_from((0, 10, 30)))
    rows = draw(st.lists(_rows(), min_size=at_least, max_size=60))
    text = b"".join(row if isinstance(row, bytes) else row.written(place) for place, row in enumerate(rows))
    ending = draw(st.sampled_from(("", "no newline", "\\.\n", "\\.")))
    return text.removesuffix(b"\n") if ending == "no newline" else text + ending.encode()
