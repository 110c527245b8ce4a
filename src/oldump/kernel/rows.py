# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The fast path: convert rows of COPY text to records, and check existing records, in one pass over their bytes.

The pass over a row proves that its JSON is exactly what `json.dumps` prints, and collects the edits that turn it into
the record's JSON: one for each doubled backslash, legacy key, datetime with a space, and `id`. Then the record is
written, span by span. A row that cannot be proved is left to the slow path (`records.document`), for example because
an object repeats a name, or because of an escape sequence that `json.dumps` does not write. So both paths give the
same bytes.

Texts are arrays of bytes. Each line ends with a newline, at which all reading stops. Methods that read take the
position where they start and return the position after what they read, or _FAILED if only the slow path can decide.

This is plain Python that Cython compiles in its pure Python mode. Uncompiled, it gives the same results, but too slowly
to be useful.

Does not: know types, keys or collections. The caller passes them in as `Tables`.
"""

from typing import NamedTuple

import cython  # type: ignore[import-untyped] # it has stubs, but does not say so
import numpy as np

from oldump.kernel.arrays import Ranks
from oldump.kernel.spans import breaks

COMPILED: bool = cython.compiled
"""Whether this module is compiled. If it is not, the slow path is faster."""

# Outcomes of a row.
CONVERTED = 0
"""The record is written, and its rank and part are set."""
UNRANKED = 1
"""The record is written, but the caller must apply the drop rules and derive rank and part from its columns."""
UNPROVED = 2
"""The row must take the slow path."""
PRIVATE = 3
"""The row is a private page. Nothing is written."""

_CONVERTED = cython.declare(cython.uchar, CONVERTED)
_UNRANKED = cython.declare(cython.uchar, UNRANKED)
_UNPROVED = cython.declare(cython.uchar, UNPROVED)
_PRIVATE = cython.declare(cython.uchar, PRIVATE)

_FAILED = cython.declare(cython.Py_ssize_t, -1)
_UNSET = cython.declare(cython.Py_ssize_t, -1)
NO_MATCH = -1
"""The number for a text that no entry of the tables matches."""

_NO_MATCH = cython.declare(cython.int, NO_MATCH)

_MAX_DEPTH = cython.declare(cython.int, 64)
"""The deepest nesting of objects and arrays."""
_MAX_NAMES = cython.declare(cython.Py_ssize_t, 1 << 12)
"""The most names in all open objects together."""
_MAX_EDITS = cython.declare(cython.Py_ssize_t, 1 << 17)
"""The most edits of one document."""
_REVISION_DIGITS = cython.declare(cython.int, 9)
_NUMBER_DIGITS = cython.declare(cython.int, 11)
_MAX_GROWTH = cython.declare(cython.Py_ssize_t, 3)
"""A record is at most this many times as long as its row: its columns repeat members, and keys become longer."""
_HEAD_BYTES = cython.declare(cython.Py_ssize_t, 64)
"""Space for the tabs, the newline, and the longer prefix of a key."""
_BUFFER_BYTES = 1 << 20
_MAX_BUFFER_BYTES = 8 << 20
"""The largest buffer that is kept for the next block."""

_PLAIN = bytes(32 <= c < 127 and c not in b'"\\' for c in range(256))
"""For each byte, whether a string may contain it unescaped."""

# Kinds of member names.
_OTHER = cython.declare(cython.int, 0)
_KEY = cython.declare(cython.int, 1)
_TYPE = cython.declare(cython.int, 2)
_VALUE = cython.declare(cython.int, 3)
_ID = cython.declare(cython.int, 4)
_REVISION = cython.declare(cython.int, 5)
_LOCATION = cython.declare(cython.int, 6)
_LAST_MODIFIED = cython.declare(cython.int, 7)


class Tables(NamedTuple):
    """The types, collections and key spellings, from records.keys and records.record."""

    types: list[tuple[bytes, int]]
    """Type keys and the numbers of their parts."""
    collections: list[tuple[bytes, bytes, int]]
    """For each large collection: the prefix and the last letter of its keys, and the upper bits of their ranks."""
    legacy: list[tuple[bytes, bytes]]
    """Legacy key prefixes, each with its replacement."""
    revision_bits: int
    redirect: bytes
    """The type whose location may be a legacy key."""
    private: tuple[bytes, bytes]
    """The prefix of private keys in today's spelling, and a text that marks keys with that prefix as public."""
    marks: tuple[bytes, ...] = ()
    """Names of members that, at any depth, send a document to the slow path."""


class ConvertedBlock(NamedTuple):
    """The converted rows of a block. Each array has one entry per row, in the order of the rows."""

    text: memoryview
    """The records, each with its newline."""
    outcomes: np.ndarray[tuple[int], np.dtype[np.uint8]]
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    """The offset of the row's record in the text. For an unproved row: the offset of the row in the block."""
    ends: np.ndarray[tuple[int], np.dtype[np.int64]]
    """The offset after the newline, in the text or in the block as for starts."""
    ranks: np.ndarray[tuple[int], np.dtype[np.uint64]]
    """The ranks of converted rows."""
    parts: np.ndarray[tuple[int], np.dtype[np.uint8]]
    """The part numbers of converted rows."""
    newest: bytes
    """The latest last_modified of the converted rows."""


def _packed(texts: list[bytes]) -> bytes:
    """Concatenate texts, each after a byte with its length. A zero byte ends them."""
    return b"".join(bytes([len(text)]) + text for text in texts) + b"\0"


@cython.final
@cython.cclass
class Prefixes:
    """A list of prefixes to search for."""

    _bytes: bytes
    _packed: cython.p_uchar

    def __init__(self, texts: list[bytes]) -> None:
        self._bytes = _packed(texts)
        self._packed = self._bytes

    @cython.cfunc
    @cython.exceptval(check=False)
    def find(self, text: cython.p_uchar, start: cython.Py_ssize_t) -> cython.int:
        """Return the number of the first prefix that the text has at this position, or NO_MATCH."""
        number: cython.int = 0
        at: cython.Py_ssize_t = 0
        place: cython.Py_ssize_t
        size: cython.Py_ssize_t
        while self._packed[at] != 0:
            size = self._packed[at]
            place = 0
            while place < size and text[start + place] == self._packed[at + 1 + place]:
                place += 1
            if place == size:
                return number
            at += size + 1
            number += 1
        return _NO_MATCH


@cython.cfunc
@cython.exceptval(check=False)
def _equals(
    text: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t, other: cython.p_uchar, size: cython.int
) -> cython.bint:
    """Whether a span of the text equals `other`, which has this size."""
    place: cython.int
    if end - start != size:
        return False
    for place in range(size):
        if text[start + place] != other[place]:
            return False
    return True


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _spans_equal(
    text: cython.p_uchar,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    other_start: cython.Py_ssize_t,
    other_end: cython.Py_ssize_t,
) -> cython.bint:
    """Whether two spans of a text are equal."""
    offset: cython.Py_ssize_t
    if end - start != other_end - other_start:
        return False
    for offset in range(end - start):
        if text[start + offset] != text[other_start + offset]:
            return False
    return True


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _skip_column(text: cython.p_uchar, plain: cython.p_uchar, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Read a column without escape sequences, up to its tab."""
    while plain[text[at]] or text[at] == ord('"'):
        at += 1
    return at if text[at] == ord("\t") else _FAILED


@cython.cfunc
@cython.exceptval(check=False)
def _is_digit(c: cython.uchar) -> cython.bint:
    return c >= ord("0") and c <= ord("9")


@cython.cfunc
@cython.exceptval(check=False)
def _is_lowercase_hex(c: cython.uchar) -> cython.bint:
    """Whether a byte is a hexadecimal digit as json.dumps writes it."""
    return (c >= ord("0") and c <= ord("9")) or (c >= ord("a") and c <= ord("f"))


@cython.cfunc
@cython.exceptval(check=False)
def _integer(text: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.longlong:
    """Return the integer that these digits represent."""
    value: cython.longlong = 0
    place: cython.Py_ssize_t
    for place in range(start, end):
        value = value * 10 + (text[place] - ord("0"))
    return value


@cython.cfunc
@cython.exceptval(check=False)
def _are_digits(text: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    place: cython.Py_ssize_t
    for place in range(start, end):
        if not _is_digit(text[place]):
            return False
    return end > start


@cython.cfunc
@cython.exceptval(check=False)
def _is_before(
    text: cython.p_uchar,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    other: cython.p_uchar,
    other_start: cython.Py_ssize_t,
    other_end: cython.Py_ssize_t,
) -> cython.bint:
    """Whether a span of one text sorts before a span of another."""
    while start < end and other_start < other_end:
        if text[start] != other[other_start]:
            return text[start] < other[other_start]
        start += 1
        other_start += 1
    return other_start < other_end


@cython.final
@cython.cclass
class DocumentScanner:
    """Reads the JSON of one document. Stores the positions of its columns and the edits that it needs."""

    text: cython.p_uchar
    plain: cython.p_uchar
    backslash: cython.int
    """The number of bytes of a backslash: two in COPY text."""
    legacy: Prefixes
    old_sizes: cython.longlong[::1]

    edits: cython.Py_ssize_t
    edit_places: cython.longlong[::1]
    edit_sizes: cython.longlong[::1]
    """The number of bytes that each edit removes."""
    edit_codes: cython.longlong[::1]
    """What each edit inserts: the number of a legacy prefix, t_code for a T, or NO_MATCH for nothing."""
    t_code: cython.int

    _marks: Prefixes
    _mark_sizes: cython.ulonglong
    """A bit for each length of a mark."""
    _names: cython.Py_ssize_t
    _name_starts: cython.longlong[::1]
    _name_ends: cython.longlong[::1]

    # The members key and value of the object that ended last, if they are strings without escape sequences.
    _inner_key: cython.Py_ssize_t
    _inner_key_end: cython.Py_ssize_t
    _inner_key_code: cython.int
    _inner_value: cython.Py_ssize_t
    _inner_value_end: cython.Py_ssize_t
    _inner_space: cython.Py_ssize_t

    # The spans of the document that become its columns.
    start: cython.Py_ssize_t
    key: cython.Py_ssize_t
    key_end: cython.Py_ssize_t
    key_code: cython.int
    type: cython.Py_ssize_t
    type_end: cython.Py_ssize_t
    revision: cython.Py_ssize_t
    revision_end: cython.Py_ssize_t
    modified: cython.Py_ssize_t
    modified_end: cython.Py_ssize_t
    modified_space: cython.Py_ssize_t
    """The position of the space that becomes a T, or _UNSET."""
    has_legacy_location: cython.bint

    def __init__(self, tables: Tables, backslash: int) -> None:
        self.plain = _PLAIN
        self.backslash = backslash
        self.legacy = Prefixes([old for old, _ in tables.legacy])
        self.old_sizes = np.array([len(old) for old, _ in tables.legacy], np.longlong)
        self.t_code = len(tables.legacy)
        self._marks = Prefixes([mark + b'"' for mark in tables.marks])
        self._mark_sizes = sum({1 << len(mark) for mark in tables.marks})
        self.edit_places = np.empty(_MAX_EDITS, np.longlong)
        self.edit_sizes = np.empty(_MAX_EDITS, np.longlong)
        self.edit_codes = np.empty(_MAX_EDITS, np.longlong)
        self._name_starts = np.empty(_MAX_NAMES, np.longlong)
        self._name_ends = np.empty(_MAX_NAMES, np.longlong)

    @cython.cfunc
    @cython.exceptval(check=False)
    def read(self, text: cython.p_uchar, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the document that starts at this position."""
        self.text = text
        self.start = at
        self.edits = self._names = 0
        self.key = self.type = self.revision = self.modified = _UNSET
        self.has_legacy_location = False
        if text[at] != ord("{"):
            return _FAILED
        at = self._object(at + 1, 0)
        if at < 0 or self.key < 0 or self.type < 0 or self.revision < 0 or self.modified < 0:
            return _FAILED
        if self.revision_end - self.revision > _REVISION_DIGITS:
            return _FAILED
        return at if _are_digits(text, self.revision, self.revision_end) else _FAILED

    @cython.cfunc
    @cython.exceptval(check=False)
    def _object(self, at: cython.Py_ssize_t, depth: cython.int) -> cython.Py_ssize_t:
        """Read an object, from the position after its brace."""
        text: cython.p_uchar = self.text
        first_name: cython.Py_ssize_t = self._names
        seen: cython.ulonglong = 0
        name: cython.Py_ssize_t
        kind: cython.int
        edits: cython.Py_ssize_t
        value: cython.Py_ssize_t
        key: cython.Py_ssize_t = _UNSET
        key_end: cython.Py_ssize_t = _UNSET
        key_code: cython.int = _NO_MATCH
        value_text: cython.Py_ssize_t = _UNSET
        value_text_end: cython.Py_ssize_t = _UNSET
        is_datetime: cython.bint = False
        is_escaped: cython.bint = False
        is_value_text_escaped: cython.bint = False

        if text[at] == ord("}"):
            self._end_object(_UNSET, _UNSET, _NO_MATCH, _UNSET, _UNSET)
            return at + 1
        while True:
            if text[at] != ord('"'):
                return _FAILED
            name = at + 1
            at = self._string(name)
            if at < 0 or text[at] != ord(":") or text[at + 1] != ord(" "):
                return _FAILED
            # A filter for repeated names: only those that share a bit are compared.
            bit: cython.ulonglong = cython.cast(cython.ulonglong, 1) << (
                (text[name] * 7 + text[at - 2] * 3 + (at - name)) & 63
            )
            if (seen & bit and self._is_repeated(first_name, name, at - 1)) or not self._add_name(name, at - 1):
                return _FAILED
            seen |= bit
            kind = self._name_kind(name, at - 1)
            if kind == _OTHER and self._is_mark(name, at - 1):
                return _FAILED
            at += 2
            value = at
            edits = self.edits
            if kind == _OTHER or text[at] != ord('"') or kind >= _ID:
                at = self._value(at, depth)
                if at < 0:
                    return _FAILED
                if kind != _OTHER and depth == 0:
                    at = self._top_level_member(kind, name, value, at, edits)
                    if at < 0:
                        return _FAILED
            else:
                if kind == _KEY:
                    key_code = self.legacy.find(text, at + 1)
                    if key_code >= 0 and not self._add_edit(at + 1, self.old_sizes[key_code], key_code):
                        return _FAILED
                    edits = self.edits
                at = self._string(at + 1)
                if at < 0:
                    return _FAILED
                is_escaped = self.edits != edits or (self.backslash == 1 and self._has_backslash(value, at))
                if kind == _KEY:
                    key, key_end = _UNSET if is_escaped else value + 1, at - 1
                elif kind == _TYPE:
                    is_datetime = _equals(text, value + 1, at - 1, b"/type/datetime", 14)
                else:
                    value_text, value_text_end, is_value_text_escaped = value + 1, at - 1, is_escaped
            if text[at] == ord("}"):
                break
            if text[at] != ord(",") or text[at + 1] != ord(" "):
                return _FAILED
            at += 2
        self._names = first_name
        self._end_object(key, key_end, key_code, value_text, value_text_end)
        if is_value_text_escaped:
            self._inner_value = _UNSET
        if (
            is_datetime
            and value_text >= 0
            and (is_value_text_escaped or not self._replace_space(value_text, value_text_end))
        ):
            return _FAILED
        if depth == 0:
            self.key, self.key_end, self.key_code = key, key_end, key_code
        return at + 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def _end_object(
        self,
        key: cython.Py_ssize_t,
        key_end: cython.Py_ssize_t,
        key_code: cython.int,
        value: cython.Py_ssize_t,
        value_end: cython.Py_ssize_t,
    ) -> cython.void:
        """Store the members that the enclosing object may need."""
        self._inner_key, self._inner_key_end, self._inner_key_code = key, key_end, key_code
        self._inner_value, self._inner_value_end = value, value_end
        self._inner_space = _UNSET

    @cython.cfunc
    @cython.exceptval(check=False)
    def _top_level_member(
        self,
        kind: cython.int,
        name: cython.Py_ssize_t,
        value: cython.Py_ssize_t,
        at: cython.Py_ssize_t,
        edits: cython.Py_ssize_t,
    ) -> cython.Py_ssize_t:
        """Handle a member of the top-level object. Its value is between value and at."""
        is_object: cython.bint = self.text[value] == ord("{")
        if kind == _TYPE and is_object:
            self.type, self.type_end = self._inner_key, self._inner_key_end
            if self._inner_key_code >= 0:
                return _FAILED
        elif kind == _LAST_MODIFIED and is_object:
            self.modified, self.modified_end = self._inner_value, self._inner_value_end
            self.modified_space = self._inner_space
        elif kind == _REVISION:
            self.revision, self.revision_end = value, at
        elif kind == _LOCATION:
            self.has_legacy_location = self.text[value] == ord('"') and self.legacy.find(self.text, value + 1) >= 0
        elif kind == _ID:
            return self._remove_member(name - 1, value, at, edits)
        return at

    @cython.cfunc
    @cython.exceptval(check=False)
    def _remove_member(
        self, member: cython.Py_ssize_t, value: cython.Py_ssize_t, end: cython.Py_ssize_t, edits: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Remove a member and the comma after it, or the comma before it if the member is the last."""
        text: cython.p_uchar = self.text
        if self.edits != edits or text[value] == ord("{") or text[value] == ord("["):
            return _FAILED
        if text[end] == ord(","):
            return end if self._add_edit(member, end + 2 - member, _NO_MATCH) else _FAILED
        if text[member - 1] != ord(" "):
            return _FAILED
        return end if self._add_edit(member - 2, end + 2 - member, _NO_MATCH) else _FAILED

    @cython.cfunc
    @cython.exceptval(check=False)
    def _replace_space(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Replace the first space of a datetime with a T. Return False if a later edit is already in the list."""
        place: cython.Py_ssize_t
        for place in range(start, end):
            if self.text[place] == ord(" "):
                if self.edits > 0 and self.edit_places[self.edits - 1] > place:
                    return False
                self._inner_space = place
                return self._add_edit(place, 1, self.t_code)
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def _add_edit(self, place: cython.Py_ssize_t, size: cython.Py_ssize_t, code: cython.int) -> cython.bint:
        """Add an edit. Return False if there are too many."""
        if self.edits == _MAX_EDITS:
            return False
        self.edit_places[self.edits] = place
        self.edit_sizes[self.edits] = size
        self.edit_codes[self.edits] = code
        self.edits += 1
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def _add_name(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Add a name of an open object. Return False if there are too many."""
        if self._names == _MAX_NAMES:
            return False
        self._name_starts[self._names] = start
        self._name_ends[self._names] = end
        self._names += 1
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def _is_repeated(self, first: cython.Py_ssize_t, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether the name equals one of the stored names, from number `first`."""
        number: cython.Py_ssize_t
        for number in range(first, self._names):
            if _spans_equal(self.text, start, end, self._name_starts[number], self._name_ends[number]):
                return True
        return False

    @cython.cfunc
    @cython.exceptval(check=False)
    def _is_mark(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether a name is one of the marks, which are stored with their closing quotes."""
        if end - start > 63 or not (self._mark_sizes >> (end - start)) & 1:
            return False
        return self._marks.find(self.text, start) >= 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def _name_kind(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Return the kind of a name."""
        text: cython.p_uchar = self.text
        size: cython.Py_ssize_t = end - start
        if size == 3:
            return _KEY if _equals(text, start, end, b"key", 3) else _OTHER
        if size == 4:
            return _TYPE if _equals(text, start, end, b"type", 4) else _OTHER
        if size == 5:
            return _VALUE if _equals(text, start, end, b"value", 5) else _OTHER
        if size == 2:
            return _ID if _equals(text, start, end, b"id", 2) else _OTHER
        if size == 8:
            if _equals(text, start, end, b"revision", 8):
                return _REVISION
            return _LOCATION if _equals(text, start, end, b"location", 8) else _OTHER
        return _LAST_MODIFIED if _equals(text, start, end, b"last_modified", 13) else _OTHER

    @cython.cfunc
    @cython.exceptval(check=False)
    def _value(self, at: cython.Py_ssize_t, depth: cython.int) -> cython.Py_ssize_t:
        """Read a value of any type."""
        c: cython.uchar = self.text[at]
        if c == ord('"'):
            return self._string(at + 1)
        if c == ord("{"):
            return _FAILED if depth == _MAX_DEPTH else self._object(at + 1, depth + 1)
        if c == ord("["):
            return _FAILED if depth == _MAX_DEPTH else self._array(at + 1, depth + 1)
        if c == ord("t"):
            return at + 4 if _equals(self.text, at, at + 4, b"true", 4) else _FAILED
        if c == ord("f"):
            return at + 5 if _equals(self.text, at, at + 5, b"false", 5) else _FAILED
        if c == ord("n"):
            return at + 4 if _equals(self.text, at, at + 4, b"null", 4) else _FAILED
        return self._numeral(at)

    @cython.cfunc
    @cython.exceptval(check=False)
    def _array(self, at: cython.Py_ssize_t, depth: cython.int) -> cython.Py_ssize_t:
        """Read an array, from the position after its bracket."""
        text: cython.p_uchar = self.text
        if text[at] == ord("]"):
            return at + 1
        while True:
            at = self._value(at, depth)
            if at < 0:
                return _FAILED
            if text[at] == ord("]"):
                return at + 1
            if text[at] != ord(",") or text[at + 1] != ord(" "):
                return _FAILED
            at += 2

    @cython.cfunc
    @cython.exceptval(check=False)
    def _numeral(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read a number in JSON's grammar."""
        text: cython.p_uchar = self.text
        if text[at] == ord("-"):
            at += 1
        if text[at] == ord("0"):
            at += 1
        else:
            at = self._digits(at)
        if at >= 0 and text[at] == ord("."):
            at = self._digits(at + 1)
        if at >= 0 and (text[at] == ord("e") or text[at] == ord("E")):
            at += 1
            if text[at] == ord("+") or text[at] == ord("-"):
                at += 1
            at = self._digits(at)
        return at

    @cython.cfunc
    @cython.exceptval(check=False)
    def _digits(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read one or more digits."""
        if not _is_digit(self.text[at]):
            return _FAILED
        while _is_digit(self.text[at]):
            at += 1
        return at

    @cython.cfunc
    @cython.exceptval(check=False)
    def _string(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read a string, from the position after its quote."""
        text: cython.p_uchar = self.text
        plain: cython.p_uchar = self.plain
        while True:
            while plain[text[at]]:
                at += 1
            if text[at] == ord('"'):
                return at + 1
            if text[at] != ord("\\"):
                return _FAILED
            at = self._escape(at)
            if at < 0:
                return _FAILED

    @cython.cfunc
    @cython.exceptval(check=False)
    def _has_backslash(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        place: cython.Py_ssize_t
        for place in range(start, end):
            if self.text[place] == ord("\\"):
                return True
        return False

    @cython.cfunc
    @cython.exceptval(check=False)
    def _backslash(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read one backslash of the JSON, which COPY text doubles."""
        if self.text[at] != ord("\\"):
            return _FAILED
        if self.backslash == 1:
            return at + 1
        if self.text[at + 1] != ord("\\") or not self._add_edit(at, 1, _NO_MATCH):
            return _FAILED
        return at + 2

    @cython.cfunc
    @cython.exceptval(check=False)
    def _escape(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read an escape sequence that json.dumps could have written."""
        at = self._backslash(at)
        if at < 0:
            return _FAILED
        c: cython.uchar = self.text[at]
        if c == ord("u"):
            return self._code_unit(at + 1)
        if c == ord("\\"):
            return self._backslash(at)
        if c == ord('"') or c == ord("n") or c == ord("t") or c == ord("r") or c == ord("b") or c == ord("f"):
            return at + 1
        return _FAILED

    @cython.cfunc
    @cython.exceptval(check=False)
    def _code_unit(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        r"""Read the digits of \uXXXX: of a non-ASCII character, or of a control without a short escape."""
        text: cython.p_uchar = self.text
        place: cython.Py_ssize_t
        for place in range(at, at + 4):
            if not _is_lowercase_hex(text[place]):
                return _FAILED
        if text[at] != ord("0") or text[at + 1] != ord("0") or text[at + 2] >= ord("8"):
            return at + 4
        last: cython.uchar = text[at + 3]
        if text[at + 2] == ord("1") or (text[at + 2] == ord("7") and last == ord("f")):
            return at + 4
        if text[at + 2] != ord("0"):
            return _FAILED
        has_letter: cython.bint = (
            last == ord("8") or last == ord("9") or last == ord("a") or last == ord("c") or last == ord("d")
        )
        return _FAILED if has_letter else at + 4


@cython.final
@cython.cclass
class RankTables:
    """Derives the part and the rank of a record from its type, key and revision."""

    redirect: cython.int
    """The number of the type whose location may be a legacy key."""
    _types: Prefixes
    _type_sizes: cython.longlong[::1]
    _type_parts: cython.uchar[::1]
    _stems: Prefixes
    _stem_sizes: cython.longlong[::1]
    _letters: cython.uchar[::1]
    _collection_ranks: cython.ulonglong[::1]
    _revision_bits: cython.int

    def __init__(self, tables: Tables) -> None:
        type_keys = [type_key for type_key, _ in tables.types]
        self._types = Prefixes(type_keys)
        self._type_sizes = np.array([len(type_key) for type_key in type_keys], np.longlong)
        self._type_parts = np.array([part for _, part in tables.types], np.uint8)
        self.redirect = type_keys.index(tables.redirect)
        self._stems = Prefixes([stem for stem, _, _ in tables.collections])
        self._stem_sizes = np.array([len(stem) for stem, _, _ in tables.collections], np.longlong)
        self._letters = np.array([ord(letter) for _, letter, _ in tables.collections], np.uint8)
        self._collection_ranks = np.array([rank for _, _, rank in tables.collections], np.ulonglong)
        self._revision_bits = tables.revision_bits

    @cython.cfunc
    @cython.exceptval(check=False)
    def type_number(self, text: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Return the number of the type in the tables, or NO_MATCH."""
        number: cython.int = self._types.find(text, start)
        if number >= 0 and self._type_sizes[number] != end - start:
            return _NO_MATCH
        return number

    @cython.cfunc
    @cython.exceptval(check=False)
    def part(self, type_number: cython.int) -> cython.uchar:
        """Return the part number of a type in the tables."""
        return self._type_parts[type_number]

    @cython.cfunc
    @cython.exceptval(check=False)
    def rank(
        self, text: cython.p_uchar, key: cython.Py_ssize_t, key_end: cython.Py_ssize_t, revision: cython.longlong
    ) -> cython.ulonglong:
        """Return the rank of a record with this key and revision, or 0 if either is uncommon."""
        collection: cython.int = self._stems.find(text, key)
        if collection < 0 or text[key_end - 1] != self._letters[collection]:
            return 0
        digits: cython.Py_ssize_t = key + self._stem_sizes[collection]
        end: cython.Py_ssize_t = key_end - 1
        if text[digits] == ord("0") or end - digits > _NUMBER_DIGITS or not _are_digits(text, digits, end):
            return 0
        if revision >= (1 << self._revision_bits) - 1:
            return 0
        return self._collection_ranks[collection] + (_integer(text, digits, end) << self._revision_bits) + revision


@cython.final
@cython.cclass
class RowReader:
    """Converts blocks of rows to records."""

    _document: DocumentScanner
    _plain: cython.p_uchar
    _rank_tables: RankTables
    _private: Prefixes
    _public: Prefixes
    _replacement_text: bytes
    _replacements: cython.p_uchar
    _replacement_starts: cython.longlong[::1]

    _source: cython.p_uchar
    _buffer: bytearray
    """Receives the records. It is reused for the next block, because the first write to new memory is slow."""
    _target: cython.p_uchar
    _at: cython.Py_ssize_t
    """The number of bytes in the buffer."""
    _key: cython.Py_ssize_t
    _key_end: cython.Py_ssize_t
    _modified: cython.Py_ssize_t
    _modified_end: cython.Py_ssize_t
    _newest: cython.Py_ssize_t
    _newest_end: cython.Py_ssize_t

    def __init__(self, tables: Tables) -> None:
        self._buffer = bytearray(_BUFFER_BYTES)
        self._document = DocumentScanner(tables, 2)
        self._plain = _PLAIN
        self._rank_tables = RankTables(tables)
        self._private, self._public = (Prefixes([part]) for part in tables.private)
        replacements = [*(new for _, new in tables.legacy), b"T"]
        self._replacement_text = b"".join(replacements)
        self._replacements = self._replacement_text
        self._replacement_starts = np.cumsum([0, *map(len, replacements)]).astype(np.longlong)

    def read(self, block: bytes, cutoff: bytes) -> ConvertedBlock:
        """Convert complete lines of COPY text. cutoff: the first last_modified that is too late."""
        rows = breaks(block)
        outcomes = np.empty(rows, np.uint8)
        starts, ends = np.empty(rows, np.int64), np.empty(rows, np.int64)
        ranks, parts = np.zeros(rows, np.uint64), np.zeros(rows, np.uint8)
        outcome_of: cython.uchar[::1] = outcomes
        start_of: cython.longlong[::1] = starts
        end_of: cython.longlong[::1] = ends
        rank_of: cython.ulonglong[::1] = ranks
        part_of: cython.uchar[::1] = parts
        limit: cython.p_uchar = cutoff
        limit_size: cython.Py_ssize_t = len(cutoff)
        row: cython.Py_ssize_t
        start: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t
        type_number: cython.int
        rank: cython.ulonglong

        self._source, self._target, self._at = block, self._buffer, 0
        self._newest = self._newest_end = 0
        for row in range(rows):
            end = self._row(start)
            if end < 0:
                outcome_of[row] = _UNPROVED
                start_of[row] = start
                start = block.index(b"\n", start) + 1
                end_of[row] = start
                continue
            if self._at + _MAX_GROWTH * (end - start) + _HEAD_BYTES > len(self._buffer):
                self._grow_buffer(self._at + self._max_record_bytes(end - 1))
            start_of[row] = self._at
            self._write_head()
            if self._is_private():
                outcome_of[row] = _PRIVATE
                self._at = start_of[row]
                end_of[row] = self._at
                start = end
                continue
            self._write_document(end - 1)
            end_of[row] = self._at
            start = end
            type_number = self._type_number()
            rank = self._rank_tables.rank(self._target, self._key, self._key_end, self._revision())
            if (
                type_number < 0
                or rank == 0
                or not _is_before(self._target, self._modified, self._modified_end, limit, 0, limit_size)
            ):
                outcome_of[row] = _UNRANKED
                continue
            outcome_of[row] = _CONVERTED
            rank_of[row] = rank
            part_of[row] = self._rank_tables.part(type_number)
            if _is_before(
                self._target, self._newest, self._newest_end, self._target, self._modified, self._modified_end
            ):
                self._newest, self._newest_end = self._modified, self._modified_end
        newest = bytes(self._buffer[self._newest : self._newest_end])
        text = np.frombuffer(self._buffer, np.uint8, self._at).copy().data
        if len(self._buffer) > _MAX_BUFFER_BYTES:
            self._buffer = bytearray(_BUFFER_BYTES)
        return ConvertedBlock(text, outcomes, starts, ends, ranks, parts, newest)

    def _grow_buffer(self, size_bytes: int) -> None:
        """Enlarge the buffer to at least this size. Its content stays."""
        if size_bytes > len(self._buffer):
            buffer = bytearray(max(size_bytes, len(self._buffer) + _BUFFER_BYTES))
            buffer[: self._at] = memoryview(self._buffer)[: self._at]
            self._buffer = buffer
            self._target = buffer

    @cython.cfunc
    @cython.exceptval(check=False)
    def _max_record_bytes(self, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Return an upper bound of the record's size, if its document ends at this position of the source."""
        document: DocumentScanner = self._document
        size: cython.Py_ssize_t = document.type_end - document.type + document.key_end - document.key
        size += document.revision_end - document.revision + document.modified_end - document.modified
        size += end - document.start + _HEAD_BYTES
        number: cython.Py_ssize_t
        code: cython.Py_ssize_t
        for number in range(document.edits):
            code = document.edit_codes[number]
            if code >= 0:
                size += self._replacement_starts[code + 1] - self._replacement_starts[code]
        return size

    @cython.cfunc
    @cython.exceptval(check=False)
    def _row(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read a row: two columns without escape sequences, then the document."""
        at = _skip_column(self._source, self._plain, at)
        if at >= 0:
            at = _skip_column(self._source, self._plain, at + 1)
        if at >= 0:
            at = self._document.read(self._source, at + 1)
        if at < 0 or self._source[at] != ord("\n"):
            return _FAILED
        if self._document.has_legacy_location and self._type_number() == self._rank_tables.redirect:
            return _FAILED
        return at + 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def _is_private(self) -> cython.bint:
        """Whether the key of the current record is certainly that of a private page."""
        place: cython.Py_ssize_t
        if self._private.find(self._target, self._key) < 0:
            return False
        for place in range(self._key, self._key_end):
            if self._public.find(self._target, place) >= 0:
                return False
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def _write_head(self) -> cython.void:
        """Write the columns before the JSON, each with its tab."""
        document: DocumentScanner = self._document
        self._put(document.type, document.type_end)
        self._put_byte(ord("\t"))
        self._key = self._at
        if document.key_code >= 0:
            self._put_replacement(document.key_code)
            self._put(document.key + document.old_sizes[document.key_code], document.key_end)
        else:
            self._put(document.key, document.key_end)
        self._key_end = self._at
        self._put_byte(ord("\t"))
        self._put(document.revision, document.revision_end)
        self._put_byte(ord("\t"))
        self._modified = self._at
        self._put(document.modified, document.modified_end)
        self._modified_end = self._at
        if document.modified_space >= 0:
            self._target[self._modified + document.modified_space - document.modified] = ord("T")
        self._put_byte(ord("\t"))

    @cython.cfunc
    @cython.exceptval(check=False)
    def _write_document(self, end: cython.Py_ssize_t) -> cython.void:
        """Write the JSON, which ends at this position of the source, with its edits applied, and a newline."""
        document: DocumentScanner = self._document
        at: cython.Py_ssize_t = self._document.start
        number: cython.Py_ssize_t
        for number in range(document.edits):
            self._put(at, document.edit_places[number])
            if document.edit_codes[number] >= 0:
                self._put_replacement(document.edit_codes[number])
            at = document.edit_places[number] + document.edit_sizes[number]
        self._put(at, end)
        self._put_byte(ord("\n"))

    @cython.cfunc
    @cython.exceptval(check=False)
    def _put_replacement(self, code: cython.Py_ssize_t) -> cython.void:
        """Write the text that an edit inserts."""
        place: cython.Py_ssize_t
        for place in range(self._replacement_starts[code], self._replacement_starts[code + 1]):
            self._target[self._at] = self._replacements[place]
            self._at += 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def _put(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.void:
        """Write a span of the source."""
        target: cython.p_uchar = self._target
        source: cython.p_uchar = self._source
        at: cython.Py_ssize_t = self._at
        place: cython.Py_ssize_t
        for place in range(end - start):
            target[at + place] = source[start + place]
        self._at = at + end - start

    @cython.cfunc
    @cython.exceptval(check=False)
    def _put_byte(self, character: cython.uchar) -> cython.void:
        self._target[self._at] = character
        self._at += 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def _type_number(self) -> cython.int:
        return self._rank_tables.type_number(self._source, self._document.type, self._document.type_end)

    @cython.cfunc
    @cython.exceptval(check=False)
    def _revision(self) -> cython.longlong:
        return _integer(self._source, self._document.revision, self._document.revision_end)


class RecordProofs(NamedTuple):
    """Which records of a text are proved correct. Each array has one entry per line, in the order of the lines."""

    is_proved: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """Whether the line is exactly the record of its JSON. Other lines must take the slow path."""
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    """The offset of each line."""
    text_starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    """The offset of the JSON in proved lines."""
    ends: np.ndarray[tuple[int], np.dtype[np.int64]]
    """The offset after the newline of each line."""
    ranks: np.ndarray[tuple[int], np.dtype[np.uint64]]
    """The ranks of proved lines, 0 where the key or the revision is uncommon."""
    types: np.ndarray[tuple[int], np.dtype[np.int8]]
    """The numbers of proved lines' types in the tables, or NO_MATCH."""


@cython.final
@cython.cclass
class RecordReader:
    """Checks texts of records: proves for most lines that today's conversion gives exactly these bytes."""

    _document: DocumentScanner
    _rank_tables: RankTables
    _plain: cython.p_uchar
    _source: cython.p_uchar
    # The positions of the tabs after the columns of the current line.
    _type_end: cython.Py_ssize_t
    _key_end: cython.Py_ssize_t
    _revision_end: cython.Py_ssize_t
    _modified_end: cython.Py_ssize_t

    def __init__(self, tables: Tables) -> None:
        self._document = DocumentScanner(tables, 1)
        self._rank_tables = RankTables(tables)
        self._plain = _PLAIN

    def read(self, text: bytes) -> RecordProofs:
        """Check complete lines."""
        lines = breaks(text)
        is_proved, types = np.zeros(lines, np.bool_), np.zeros(lines, np.int8)
        starts, text_starts, ends = (np.zeros(lines, np.int64) for _ in range(3))
        ranks = np.zeros(lines, np.uint64)
        proved_of: cython.uchar[::1] = is_proved.view(np.uint8)
        type_of: cython.schar[::1] = types
        start_of: cython.longlong[::1] = starts
        text_start_of: cython.longlong[::1] = text_starts
        end_of: cython.longlong[::1] = ends
        rank_of: cython.ulonglong[::1] = ranks
        line: cython.Py_ssize_t
        start: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t
        revision: cython.longlong
        self._source = text
        for line in range(lines):
            start_of[line] = start
            end = self._record(start)
            if end < 0:
                start = text.index(b"\n", start) + 1
            else:
                proved_of[line] = 1
                type_of[line] = self._rank_tables.type_number(self._source, start, self._type_end)
                revision = _integer(self._source, self._key_end + 1, self._revision_end)
                rank_of[line] = self._rank_tables.rank(self._source, self._type_end + 1, self._key_end, revision)
                text_start_of[line] = self._modified_end + 1
                start = end
            end_of[line] = start
        return RecordProofs(is_proved, starts, text_starts, ends, ranks, types)

    def ranks(self, text: bytes) -> Ranks:
        """Return the ranks of complete lines, 0 where the key or the revision is uncommon. Does not read the JSON."""
        lines = breaks(text)
        ranks = np.zeros(lines, np.uint64)
        rank_of: cython.ulonglong[::1] = ranks
        line: cython.Py_ssize_t
        at: cython.Py_ssize_t = 0
        tabs: cython.int
        key: cython.Py_ssize_t = 0
        key_end: cython.Py_ssize_t = 0
        revision_end: cython.Py_ssize_t = 0
        self._source = text
        for line in range(lines):
            tabs = 0
            while self._source[at] != ord("\n"):
                if self._source[at] == ord("\t"):
                    if tabs == 0:
                        key = at + 1
                    elif tabs == 1:
                        key_end = at
                    elif tabs == 2:
                        revision_end = at
                    tabs += 1
                at += 1
            at += 1
            if tabs == 4:
                rank_of[line] = self._rank_between(key, key_end, revision_end)
        return ranks

    @cython.cfunc
    @cython.exceptval(check=False)
    def _rank_between(
        self, key: cython.Py_ssize_t, key_end: cython.Py_ssize_t, revision_end: cython.Py_ssize_t
    ) -> cython.ulonglong:
        """Return the rank of a record with the key and revision at these positions, 0 if either is uncommon."""
        start: cython.Py_ssize_t = key_end + 1
        if revision_end - start > _REVISION_DIGITS or self._source[start] == ord("0"):
            return 0
        if not _are_digits(self._source, start, revision_end):
            return 0
        return self._rank_tables.rank(self._source, key, key_end, _integer(self._source, start, revision_end))

    @cython.cfunc
    @cython.exceptval(check=False)
    def _record(self, start: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read a record: its columns, then its document, which must match them and need no edit."""
        document: DocumentScanner = self._document
        source: cython.p_uchar = self._source
        plain: cython.p_uchar = self._plain
        self._type_end = _skip_column(source, plain, start)
        self._key_end = _FAILED if self._type_end < 0 else _skip_column(source, plain, self._type_end + 1)
        self._revision_end = _FAILED if self._key_end < 0 else _skip_column(source, plain, self._key_end + 1)
        self._modified_end = _FAILED if self._revision_end < 0 else _skip_column(source, plain, self._revision_end + 1)
        if self._modified_end < 0:
            return _FAILED
        at: cython.Py_ssize_t = document.read(source, self._modified_end + 1)
        if at < 0 or document.edits > 0 or source[at] != ord("\n"):
            return _FAILED
        matches: cython.bint = (
            _spans_equal(source, document.type, document.type_end, start, self._type_end)
            and _spans_equal(source, document.key, document.key_end, self._type_end + 1, self._key_end)
            and _spans_equal(source, document.revision, document.revision_end, self._key_end + 1, self._revision_end)
            and _spans_equal(
                source, document.modified, document.modified_end, self._revision_end + 1, self._modified_end
            )
        )
        if not matches or (
            document.has_legacy_location
            and self._rank_tables.type_number(self._source, start, self._type_end) == self._rank_tables.redirect
        ):
            return _FAILED
        return at + 1
