# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Rows of COPY text become records, byte by byte, where nothing about them is unusual.

One pass over a row proves that its text is JSON just as json.dumps prints it, and notes what is to be changed in it:
an edit for each doubled backslash, legacy key, spaced datetime and id. Then the record is written, span by span.
Whatever is not proved is left for the exact way (records.document), so both ways always give the same bytes; among
what is left are names that stand twice in an object, and escapes that json.dumps does not write.

This is plain Python, which Cython compiles in its pure Python mode. Uncompiled it gives the same, too slowly to be of
use. Texts are read like arrays of bytes; each line ends with a newline, at which all reading stops. Methods take the
place where they begin and give the place behind what they have read, or FAILED where only the exact way can tell.
"""

from typing import NamedTuple

import cython  # type: ignore[import-untyped] # it has stubs, but does not say so
import numpy as np

from oldump.kernel.arrays import Ranks
from oldump.kernel.spans import breaks

COMPILED: bool = cython.compiled
"""Whether this is worth its use."""

# What becomes of a row.
USUAL = 0
"""A record, of which nothing more has to be found out."""
UNUSUAL = 1
"""Written as a record; whether it is published, its rank and its part are to be found out from its columns."""
UNPROVED = 2
"""Only the exact way can tell."""
PRIVATE = 3
"""Nothing is written: it is a private page."""

_FAILED = cython.declare(cython.Py_ssize_t, -1)
_NOWHERE = cython.declare(cython.Py_ssize_t, -1)
NOTHING = -1
"""The number of what is none of the tables'."""

_NOTHING = cython.declare(cython.int, NOTHING)

_DEPTH = cython.declare(cython.int, 64)
"""Objects and arrays within each other that are read."""
_NAMES = cython.declare(cython.Py_ssize_t, 1 << 12)
"""Names that open objects may have together."""
_EDITS = cython.declare(cython.Py_ssize_t, 1 << 17)
"""Edits that a document may need."""
_REVISION_DIGITS = cython.declare(cython.int, 9)
_NUMBER_DIGITS = cython.declare(cython.int, 11)
_GROWTH = cython.declare(cython.Py_ssize_t, 3)
"""A record is at most so many times as long as its row: its head repeats members, and keys become longer."""
_HEAD_ROOM = cython.declare(cython.Py_ssize_t, 64)
"""For tabs and newline, and for the longer prefix of a key."""
_ROOM_BYTES = 1 << 20
_MOST_ROOM_BYTES = 8 << 20
"""Room that is kept for the next block."""

_PLAIN = bytes(32 <= c < 127 and c not in b'"\\' for c in range(256))
"""For each byte, whether it stands for itself within a string, and goes on with it."""

# Names that mean something.
_OTHER = cython.declare(cython.int, 0)
_KEY = cython.declare(cython.int, 1)
_TYPE = cython.declare(cython.int, 2)
_VALUE = cython.declare(cython.int, 3)
_ID = cython.declare(cython.int, 4)
_REVISION = cython.declare(cython.int, 5)
_LOCATION = cython.declare(cython.int, 6)
_LAST_MODIFIED = cython.declare(cython.int, 7)


class Tables(NamedTuple):
    """What is known of types, collections and spellings: see records.keys and records.record."""

    types: list[tuple[bytes, int]]
    """Type keys and the numbers of their parts."""
    collections: list[tuple[bytes, bytes, int]]
    """Of each big collection: what its keys start with, the letter they end with, the upper bits of its ranks."""
    legacy: list[tuple[bytes, bytes]]
    """Old prefixes of keys and the new ones."""
    revision_bits: int
    redirect: bytes
    """The type whose location may be a legacy key."""
    private: tuple[bytes, bytes]
    """What keys of private pages start with, in today's spelling; and what all of those contain that are public."""
    marks: tuple[bytes, ...] = ()
    """Names of members, at any depth, with which a document is left to the exact way."""


class Read(NamedTuple):
    """What became of the rows of a block. Arrays have an entry for each row, in their order."""

    text: memoryview
    """Records with their newlines."""
    fates: np.ndarray[tuple[int], np.dtype[np.uint8]]
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Where the row's record starts in the text; of an unproved row, where the row starts in the block."""
    ends: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Likewise, behind the newline."""
    ranks: np.ndarray[tuple[int], np.dtype[np.uint64]]
    """Of usual records."""
    parts: np.ndarray[tuple[int], np.dtype[np.uint8]]
    """Of usual records, the numbers of their parts."""
    newest: bytes
    """The latest last_modified of the usual records."""


def _packed(texts: list[bytes]) -> bytes:
    """Texts one after another, each behind its length; a length of 0 ends them."""
    return b"".join(bytes([len(text)]) + text for text in texts) + b"\0"


@cython.final
@cython.cclass
class Prefixes:
    """Texts that others start with."""

    _held: bytes
    _packed: cython.p_uchar

    def __init__(self, texts: list[bytes]) -> None:
        """Take the texts."""
        self._held = _packed(texts)
        self._packed = self._held

    @cython.cfunc
    @cython.exceptval(check=False)
    def found(self, text: cython.p_uchar, start: cython.Py_ssize_t) -> cython.int:
        """The number of the first one that stands there, NOTHING if none does."""
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
        return _NOTHING


@cython.cfunc
@cython.exceptval(check=False)
def _is(
    text: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t, other: cython.p_uchar, size: cython.int
) -> cython.bint:
    """Whether just this text of this size stands there."""
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
def _are_same(
    text: cython.p_uchar,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    other_start: cython.Py_ssize_t,
    other_end: cython.Py_ssize_t,
) -> cython.bint:
    """Whether the same stands at both places of a text."""
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
def _column(text: cython.p_uchar, plain: cython.p_uchar, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Read a column without escapes, up to its tab."""
    while plain[text[at]] or text[at] == ord('"'):
        at += 1
    return at if text[at] == ord("\t") else _FAILED


@cython.cfunc
@cython.exceptval(check=False)
def _is_digit(c: cython.uchar) -> cython.bint:
    return c >= ord("0") and c <= ord("9")


@cython.cfunc
@cython.exceptval(check=False)
def _is_low_hex(c: cython.uchar) -> cython.bint:
    """Whether it is a hexadecimal digit as json.dumps writes it."""
    return (c >= ord("0") and c <= ord("9")) or (c >= ord("a") and c <= ord("f"))


@cython.cfunc
@cython.exceptval(check=False)
def _number(text: cython.p_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.longlong:
    """The number that these digits are."""
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
    """Whether one text sorts before another."""
    while start < end and other_start < other_end:
        if text[start] != other[other_start]:
            return text[start] < other[other_start]
        start += 1
        other_start += 1
    return other_start < other_end


@cython.final
@cython.cclass
class DocumentScanner:
    """Reads the JSON of one document and records the positions of its columns and the edits to make."""

    text: cython.p_uchar
    plain: cython.p_uchar
    backslash: cython.int
    """How many bytes a backslash has in the text: two in COPY text."""
    legacy: Prefixes
    old_sizes: cython.longlong[::1]

    edits: cython.Py_ssize_t
    edit_places: cython.longlong[::1]
    edit_sizes: cython.longlong[::1]
    """How many bytes are skipped there."""
    edit_codes: cython.longlong[::1]
    """What is put in their place: the number of a legacy prefix, the next number for a T, or NOTHING."""
    letter_t: cython.int

    _marks: Prefixes
    _mark_sizes: cython.ulonglong
    """A bit for each length that a mark has."""
    _names: cython.Py_ssize_t
    _name_starts: cython.longlong[::1]
    _name_ends: cython.longlong[::1]

    # Of the object that ended last: its members key and value, if they are strings without escapes.
    _inner_key: cython.Py_ssize_t
    _inner_key_end: cython.Py_ssize_t
    _inner_key_code: cython.int
    _inner_value: cython.Py_ssize_t
    _inner_value_end: cython.Py_ssize_t
    _inner_space: cython.Py_ssize_t

    # Of the document: what its columns are made of.
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
    """The place of the space in it that becomes a T, or _NOWHERE."""
    has_legacy_location: cython.bint

    def __init__(self, tables: Tables, backslash: int) -> None:
        """Take the tables, and how many bytes a backslash has."""
        self.plain = _PLAIN
        self.backslash = backslash
        self.legacy = Prefixes([old for old, _ in tables.legacy])
        self.old_sizes = np.array([len(old) for old, _ in tables.legacy], np.longlong)
        self.letter_t = len(tables.legacy)
        self._marks = Prefixes([mark + b'"' for mark in tables.marks])
        self._mark_sizes = sum({1 << len(mark) for mark in tables.marks})
        self.edit_places = np.empty(_EDITS, np.longlong)
        self.edit_sizes = np.empty(_EDITS, np.longlong)
        self.edit_codes = np.empty(_EDITS, np.longlong)
        self._name_starts = np.empty(_NAMES, np.longlong)
        self._name_ends = np.empty(_NAMES, np.longlong)

    @cython.cfunc
    @cython.exceptval(check=False)
    def read(self, text: cython.p_uchar, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the document that starts there."""
        self.text = text
        self.start = at
        self.edits = self._names = 0
        self.key = self.type = self.revision = self.modified = _NOWHERE
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
        """Read an object from behind its brace."""
        text: cython.p_uchar = self.text
        first_name: cython.Py_ssize_t = self._names
        seen: cython.ulonglong = 0
        name: cython.Py_ssize_t
        kind: cython.int
        edits: cython.Py_ssize_t
        value: cython.Py_ssize_t
        key: cython.Py_ssize_t = _NOWHERE
        key_end: cython.Py_ssize_t = _NOWHERE
        key_code: cython.int = _NOTHING
        moment: cython.Py_ssize_t = _NOWHERE
        moment_end: cython.Py_ssize_t = _NOWHERE
        is_datetime: cython.bint = False
        is_escaped: cython.bint = False
        is_escaped_moment: cython.bint = False

        if text[at] == ord("}"):
            self._end_object(_NOWHERE, _NOWHERE, _NOTHING, _NOWHERE, _NOWHERE)
            return at + 1
        while True:
            if text[at] != ord('"'):
                return _FAILED
            name = at + 1
            at = self._string(name)
            if at < 0 or text[at] != ord(":") or text[at + 1] != ord(" "):
                return _FAILED
            bit: cython.ulonglong = cython.cast(cython.ulonglong, 1) << (
                (text[name] * 7 + text[at - 2] * 3 + (at - name)) & 63
            )
            if (seen & bit and self._is_twice(first_name, name, at - 1)) or not self._keep_name(name, at - 1):
                return _FAILED
            seen |= bit
            kind = self._kind(name, at - 1)
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
                    at = self._top(kind, name, value, at, edits)
                    if at < 0:
                        return _FAILED
            else:
                if kind == _KEY:
                    key_code = self.legacy.found(text, at + 1)
                    if key_code >= 0 and not self._edit(at + 1, self.old_sizes[key_code], key_code):
                        return _FAILED
                    edits = self.edits
                at = self._string(at + 1)
                if at < 0:
                    return _FAILED
                is_escaped = self.edits != edits or (self.backslash == 1 and self._has_backslash(value, at))
                if kind == _KEY:
                    key, key_end = _NOWHERE if is_escaped else value + 1, at - 1
                elif kind == _TYPE:
                    is_datetime = _is(text, value + 1, at - 1, b"/type/datetime", 14)
                else:
                    moment, moment_end, is_escaped_moment = value + 1, at - 1, is_escaped
            if text[at] == ord("}"):
                break
            if text[at] != ord(",") or text[at + 1] != ord(" "):
                return _FAILED
            at += 2
        self._names = first_name
        self._end_object(key, key_end, key_code, moment, moment_end)
        if is_escaped_moment:
            self._inner_value = _NOWHERE
        if is_datetime and moment >= 0 and (is_escaped_moment or not self._letter_t(moment, moment_end)):
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
        """Remember what its outer object may want to know of it."""
        self._inner_key, self._inner_key_end, self._inner_key_code = key, key_end, key_code
        self._inner_value, self._inner_value_end = value, value_end
        self._inner_space = _NOWHERE

    @cython.cfunc
    @cython.exceptval(check=False)
    def _top(
        self,
        kind: cython.int,
        name: cython.Py_ssize_t,
        value: cython.Py_ssize_t,
        at: cython.Py_ssize_t,
        edits: cython.Py_ssize_t,
    ) -> cython.Py_ssize_t:
        """Take what is wanted of a member of the document itself, whose value stands between value and at."""
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
            self.has_legacy_location = self.text[value] == ord('"') and self.legacy.found(self.text, value + 1) >= 0
        elif kind == _ID:
            return self._without(name - 1, value, at, edits)
        return at

    @cython.cfunc
    @cython.exceptval(check=False)
    def _without(
        self, member: cython.Py_ssize_t, value: cython.Py_ssize_t, end: cython.Py_ssize_t, edits: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Cut out a member, with the comma behind it, or the one before it if it is the last."""
        text: cython.p_uchar = self.text
        if self.edits != edits or text[value] == ord("{") or text[value] == ord("["):
            return _FAILED
        if text[end] == ord(","):
            return end if self._edit(member, end + 2 - member, _NOTHING) else _FAILED
        if text[member - 1] != ord(" "):
            return _FAILED
        return end if self._edit(member - 2, end + 2 - member, _NOTHING) else _FAILED

    @cython.cfunc
    @cython.exceptval(check=False)
    def _letter_t(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Let the first space of a datetime become a T; False if that edit would come too late."""
        place: cython.Py_ssize_t
        for place in range(start, end):
            if self.text[place] == ord(" "):
                if self.edits > 0 and self.edit_places[self.edits - 1] > place:
                    return False
                self._inner_space = place
                return self._edit(place, 1, self.letter_t)
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def _edit(self, place: cython.Py_ssize_t, size: cython.Py_ssize_t, code: cython.int) -> cython.bint:
        """Note an edit; False if there is no room for it."""
        if self.edits == _EDITS:
            return False
        self.edit_places[self.edits] = place
        self.edit_sizes[self.edits] = size
        self.edit_codes[self.edits] = code
        self.edits += 1
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def _keep_name(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Keep a name of an open object; False if there is no room for it."""
        if self._names == _NAMES:
            return False
        self._name_starts[self._names] = start
        self._name_ends[self._names] = end
        self._names += 1
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def _is_twice(self, first: cython.Py_ssize_t, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether one of the names from first on is the same."""
        number: cython.Py_ssize_t
        for number in range(first, self._names):
            if _are_same(self.text, start, end, self._name_starts[number], self._name_ends[number]):
                return True
        return False

    @cython.cfunc
    @cython.exceptval(check=False)
    def _is_mark(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether a name is one of the tables' marks, which here have their closing quotes."""
        if end - start > 63 or not (self._mark_sizes >> (end - start)) & 1:
            return False
        return self._marks.found(self.text, start) >= 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def _kind(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """What a name means."""
        text: cython.p_uchar = self.text
        size: cython.Py_ssize_t = end - start
        if size == 3:
            return _KEY if _is(text, start, end, b"key", 3) else _OTHER
        if size == 4:
            return _TYPE if _is(text, start, end, b"type", 4) else _OTHER
        if size == 5:
            return _VALUE if _is(text, start, end, b"value", 5) else _OTHER
        if size == 2:
            return _ID if _is(text, start, end, b"id", 2) else _OTHER
        if size == 8:
            if _is(text, start, end, b"revision", 8):
                return _REVISION
            return _LOCATION if _is(text, start, end, b"location", 8) else _OTHER
        return _LAST_MODIFIED if _is(text, start, end, b"last_modified", 13) else _OTHER

    @cython.cfunc
    @cython.exceptval(check=False)
    def _value(self, at: cython.Py_ssize_t, depth: cython.int) -> cython.Py_ssize_t:
        """Read any value."""
        c: cython.uchar = self.text[at]
        if c == ord('"'):
            return self._string(at + 1)
        if c == ord("{"):
            return _FAILED if depth == _DEPTH else self._object(at + 1, depth + 1)
        if c == ord("["):
            return _FAILED if depth == _DEPTH else self._array(at + 1, depth + 1)
        if c == ord("t"):
            return at + 4 if _is(self.text, at, at + 4, b"true", 4) else _FAILED
        if c == ord("f"):
            return at + 5 if _is(self.text, at, at + 5, b"false", 5) else _FAILED
        if c == ord("n"):
            return at + 4 if _is(self.text, at, at + 4, b"null", 4) else _FAILED
        return self._numeral(at)

    @cython.cfunc
    @cython.exceptval(check=False)
    def _array(self, at: cython.Py_ssize_t, depth: cython.int) -> cython.Py_ssize_t:
        """Read an array from behind its bracket."""
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
        """Read a number, as JSON spells them."""
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
        """Read digits, at least one."""
        if not _is_digit(self.text[at]):
            return _FAILED
        while _is_digit(self.text[at]):
            at += 1
        return at

    @cython.cfunc
    @cython.exceptval(check=False)
    def _string(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read a string from behind its quote."""
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
        """Read one backslash of the JSON."""
        if self.text[at] != ord("\\"):
            return _FAILED
        if self.backslash == 1:
            return at + 1
        if self.text[at + 1] != ord("\\") or not self._edit(at, 1, _NOTHING):
            return _FAILED
        return at + 2

    @cython.cfunc
    @cython.exceptval(check=False)
    def _escape(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read an escape, if json.dumps writes it so."""
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
        r"""Read the four digits of \uXXXX: of a character that is not ASCII, or a control without a letter."""
        text: cython.p_uchar = self.text
        place: cython.Py_ssize_t
        for place in range(at, at + 4):
            if not _is_low_hex(text[place]):
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
class Heads:
    """What can be told of a record by its type, key and revision."""

    redirect: cython.int
    """The type's number whose location may be a legacy key."""
    _types: Prefixes
    _type_sizes: cython.longlong[::1]
    _type_parts: cython.uchar[::1]
    _stems: Prefixes
    _stem_sizes: cython.longlong[::1]
    _letters: cython.uchar[::1]
    _collection_ranks: cython.ulonglong[::1]
    _revision_bits: cython.int

    def __init__(self, tables: Tables) -> None:
        """Take the tables."""
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
        """The type's number among those of the tables, NOTHING if it is none of them."""
        number: cython.int = self._types.found(text, start)
        if number >= 0 and self._type_sizes[number] != end - start:
            return _NOTHING
        return number

    @cython.cfunc
    @cython.exceptval(check=False)
    def part(self, type_number: cython.int) -> cython.uchar:
        """The number of the type's part."""
        return self._type_parts[type_number]

    @cython.cfunc
    @cython.exceptval(check=False)
    def rank(
        self, text: cython.p_uchar, key: cython.Py_ssize_t, key_end: cython.Py_ssize_t, revision: cython.longlong
    ) -> cython.ulonglong:
        """The rank of a record with this key, 0 if key or revision is not usual."""
        collection: cython.int = self._stems.found(text, key)
        if collection < 0 or text[key_end - 1] != self._letters[collection]:
            return 0
        digits: cython.Py_ssize_t = key + self._stem_sizes[collection]
        end: cython.Py_ssize_t = key_end - 1
        if text[digits] == ord("0") or end - digits > _NUMBER_DIGITS or not _are_digits(text, digits, end):
            return 0
        if revision >= (1 << self._revision_bits) - 1:
            return 0
        return self._collection_ranks[collection] + (_number(text, digits, end) << self._revision_bits) + revision


@cython.final
@cython.cclass
class RowReader:
    """Reads blocks of rows, one after another."""

    _document: DocumentScanner
    _plain: cython.p_uchar
    _heads: Heads
    _private: Prefixes
    _public: Prefixes
    _new_text: bytes
    _news: cython.p_uchar
    _new_starts: cython.longlong[::1]

    _source: cython.p_uchar
    _room: bytearray
    """Where records are written; kept from block to block, since memory is dear when it is new to a process."""
    _target: cython.p_uchar
    _at: cython.Py_ssize_t
    """How much of the target has been written."""
    _key: cython.Py_ssize_t
    _key_end: cython.Py_ssize_t
    _modified: cython.Py_ssize_t
    _modified_end: cython.Py_ssize_t
    _newest: cython.Py_ssize_t
    _newest_end: cython.Py_ssize_t

    def __init__(self, tables: Tables) -> None:
        """Take the tables."""
        self._room = bytearray(_ROOM_BYTES)
        self._document = DocumentScanner(tables, 2)
        self._plain = _PLAIN
        self._heads = Heads(tables)
        self._private, self._public = (Prefixes([part]) for part in tables.private)
        news = [*(new for _, new in tables.legacy), b"T"]
        self._new_text = b"".join(news)
        self._news = self._new_text
        self._new_starts = np.cumsum([0, *map(len, news)]).astype(np.longlong)

    def read(self, block: bytes, cutoff: bytes) -> Read:
        """What becomes of whole lines of COPY text. cutoff: the first last_modified that is too late."""
        rows = breaks(block)
        fates = np.empty(rows, np.uint8)
        starts, ends = np.empty(rows, np.int64), np.empty(rows, np.int64)
        ranks, parts = np.zeros(rows, np.uint64), np.zeros(rows, np.uint8)
        fate_of: cython.uchar[::1] = fates
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

        self._source, self._target, self._at = block, self._room, 0
        self._newest = self._newest_end = 0
        for row in range(rows):
            end = self._row(start)
            if end < 0:
                fate_of[row] = 2
                start_of[row] = start
                start = block.index(b"\n", start) + 1
                end_of[row] = start
                continue
            if self._at + _GROWTH * (end - start) + _HEAD_ROOM > len(self._room):
                self._make_room(self._at + self._record_bytes(end - 1))
            start_of[row] = self._at
            self._write_head()
            if self._is_private():
                fate_of[row] = 3
                self._at = start_of[row]
                end_of[row] = self._at
                start = end
                continue
            self._write_document(end - 1)
            end_of[row] = self._at
            start = end
            type_number = self._type_number()
            rank = self._heads.rank(self._target, self._key, self._key_end, self._revision())
            if (
                type_number < 0
                or rank == 0
                or not _is_before(self._target, self._modified, self._modified_end, limit, 0, limit_size)
            ):
                fate_of[row] = 1
                continue
            fate_of[row] = 0
            rank_of[row] = rank
            part_of[row] = self._heads.part(type_number)
            if _is_before(
                self._target, self._newest, self._newest_end, self._target, self._modified, self._modified_end
            ):
                self._newest, self._newest_end = self._modified, self._modified_end
        newest = bytes(self._room[self._newest : self._newest_end])
        text = np.frombuffer(self._room, np.uint8, self._at).copy().data
        if len(self._room) > _MOST_ROOM_BYTES:
            self._room = bytearray(_ROOM_BYTES)
        return Read(text, fates, starts, ends, ranks, parts, newest)

    def _make_room(self, size_bytes: int) -> None:
        """See that so much has room, and keep what has been written."""
        if size_bytes > len(self._room):
            room = bytearray(max(size_bytes, len(self._room) + _ROOM_BYTES))
            room[: self._at] = memoryview(self._room)[: self._at]
            self._room = room
            self._target = room

    @cython.cfunc
    @cython.exceptval(check=False)
    def _record_bytes(self, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The most that the record takes whose document ends there in the source."""
        document: DocumentScanner = self._document
        size: cython.Py_ssize_t = document.type_end - document.type + document.key_end - document.key
        size += document.revision_end - document.revision + document.modified_end - document.modified
        size += end - document.start + _HEAD_ROOM
        number: cython.Py_ssize_t
        code: cython.Py_ssize_t
        for number in range(document.edits):
            code = document.edit_codes[number]
            if code >= 0:
                size += self._new_starts[code + 1] - self._new_starts[code]
        return size

    @cython.cfunc
    @cython.exceptval(check=False)
    def _row(self, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read a row: two columns without escapes, and the document."""
        at = _column(self._source, self._plain, at)
        if at >= 0:
            at = _column(self._source, self._plain, at + 1)
        if at >= 0:
            at = self._document.read(self._source, at + 1)
        if at < 0 or self._source[at] != ord("\n"):
            return _FAILED
        if self._document.has_legacy_location and self._type_number() == self._heads.redirect:
            return _FAILED
        return at + 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def _is_private(self) -> cython.bint:
        """Whether the key that was written is certainly one of a private page."""
        place: cython.Py_ssize_t
        if self._private.found(self._target, self._key) < 0:
            return False
        for place in range(self._key, self._key_end):
            if self._public.found(self._target, place) >= 0:
                return False
        return True

    @cython.cfunc
    @cython.exceptval(check=False)
    def _write_head(self) -> cython.void:
        """Write the columns of the document that was read, each with its tab, but for its JSON."""
        document: DocumentScanner = self._document
        self._put(document.type, document.type_end)
        self._put_break(ord("\t"))
        self._key = self._at
        if document.key_code >= 0:
            self._put_new(document.key_code)
            self._put(document.key + document.old_sizes[document.key_code], document.key_end)
        else:
            self._put(document.key, document.key_end)
        self._key_end = self._at
        self._put_break(ord("\t"))
        self._put(document.revision, document.revision_end)
        self._put_break(ord("\t"))
        self._modified = self._at
        self._put(document.modified, document.modified_end)
        self._modified_end = self._at
        if document.modified_space >= 0:
            self._target[self._modified + document.modified_space - document.modified] = ord("T")
        self._put_break(ord("\t"))

    @cython.cfunc
    @cython.exceptval(check=False)
    def _write_document(self, end: cython.Py_ssize_t) -> cython.void:
        """Write the JSON, which ends there in the source, with its edits, and a newline."""
        document: DocumentScanner = self._document
        at: cython.Py_ssize_t = self._document.start
        number: cython.Py_ssize_t
        for number in range(document.edits):
            self._put(at, document.edit_places[number])
            if document.edit_codes[number] >= 0:
                self._put_new(document.edit_codes[number])
            at = document.edit_places[number] + document.edit_sizes[number]
        self._put(at, end)
        self._put_break(ord("\n"))

    @cython.cfunc
    @cython.exceptval(check=False)
    def _put_new(self, code: cython.Py_ssize_t) -> cython.void:
        """Write one of the texts that edits put in."""
        place: cython.Py_ssize_t
        for place in range(self._new_starts[code], self._new_starts[code + 1]):
            self._target[self._at] = self._news[place]
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
    def _put_break(self, character: cython.uchar) -> cython.void:
        self._target[self._at] = character
        self._at += 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def _type_number(self) -> cython.int:
        return self._heads.type_number(self._source, self._document.type, self._document.type_end)

    @cython.cfunc
    @cython.exceptval(check=False)
    def _revision(self) -> cython.longlong:
        return _number(self._source, self._document.revision, self._document.revision_end)


class Held(NamedTuple):
    """What is known of the records of a text. Arrays have an entry for each line, in their order."""

    is_proved: np.ndarray[tuple[int], np.dtype[np.bool_]]
    """Whether the line is what its own JSON would be written as; of what is not, only the exact way can tell."""
    starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Where each line starts."""
    text_starts: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Where the JSON of proved lines starts."""
    ends: np.ndarray[tuple[int], np.dtype[np.int64]]
    """Behind the newline of each line."""
    ranks: np.ndarray[tuple[int], np.dtype[np.uint64]]
    """Of proved lines, 0 where key or revision is not usual."""
    types: np.ndarray[tuple[int], np.dtype[np.int8]]
    """The numbers of proved lines' types among those of the tables, NOTHING if they are others."""


@cython.final
@cython.cclass
class RecordReader:
    """Reads texts of records, one after another, and proves that nothing in them would be written otherwise today."""

    _document: DocumentScanner
    _heads: Heads
    _plain: cython.p_uchar
    _source: cython.p_uchar
    # Where the columns of the line end that was read last, at their tabs.
    _type_end: cython.Py_ssize_t
    _key_end: cython.Py_ssize_t
    _revision_end: cython.Py_ssize_t
    _modified_end: cython.Py_ssize_t

    def __init__(self, tables: Tables) -> None:
        """Take the tables."""
        self._document = DocumentScanner(tables, 1)
        self._heads = Heads(tables)
        self._plain = _PLAIN

    def read(self, text: bytes) -> Held:
        """What is known of whole lines."""
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
                type_of[line] = self._heads.type_number(self._source, start, self._type_end)
                revision = _number(self._source, self._key_end + 1, self._revision_end)
                rank_of[line] = self._heads.rank(self._source, self._type_end + 1, self._key_end, revision)
                text_start_of[line] = self._modified_end + 1
                start = end
            end_of[line] = start
        return Held(is_proved, starts, text_starts, ends, ranks, types)

    def ranks(self, text: bytes) -> Ranks:
        """The ranks of whole lines, 0 of those that are not plainly usual records. Their JSON is not looked at."""
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
        """The rank of a record whose key and revision stand there, 0 if one of them is not usual."""
        start: cython.Py_ssize_t = key_end + 1
        if revision_end - start > _REVISION_DIGITS or self._source[start] == ord("0"):
            return 0
        if not _are_digits(self._source, start, revision_end):
            return 0
        return self._heads.rank(self._source, key, key_end, _number(self._source, start, revision_end))

    @cython.cfunc
    @cython.exceptval(check=False)
    def _record(self, start: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read a record: its columns, and its document, which needs no edit and is what the columns say."""
        document: DocumentScanner = self._document
        source: cython.p_uchar = self._source
        plain: cython.p_uchar = self._plain
        self._type_end = _column(source, plain, start)
        self._key_end = _FAILED if self._type_end < 0 else _column(source, plain, self._type_end + 1)
        self._revision_end = _FAILED if self._key_end < 0 else _column(source, plain, self._key_end + 1)
        self._modified_end = _FAILED if self._revision_end < 0 else _column(source, plain, self._revision_end + 1)
        if self._modified_end < 0:
            return _FAILED
        at: cython.Py_ssize_t = document.read(source, self._modified_end + 1)
        if at < 0 or document.edits > 0 or source[at] != ord("\n"):
            return _FAILED
        is_held: cython.bint = (
            _are_same(source, document.type, document.type_end, start, self._type_end)
            and _are_same(source, document.key, document.key_end, self._type_end + 1, self._key_end)
            and _are_same(source, document.revision, document.revision_end, self._key_end + 1, self._revision_end)
            and _are_same(source, document.modified, document.modified_end, self._revision_end + 1, self._modified_end)
        )
        if not is_held or (
            document.has_legacy_location
            and self._heads.type_number(self._source, start, self._type_end) == self._heads.redirect
        ):
            return _FAILED
        return at + 1
