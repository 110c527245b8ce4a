"""Rows of table `data` in COPY text, a block at a time: what each becomes.

A row becomes a record, a drop or a reject. This is the fast way to what `document.normalised` says about one row: it
keeps the stored bytes of nearly all documents and looks at them in three steps, each exact.

1. *Whole block*: with numpy, all control characters of a block are found at once. If they are two tabs and a newline
   for each line, and nothing is beyond ASCII, the lines are regular, and their JSON is cut out by position. The same
   way finds the lines with a backslash, a legacy key or a datetime that is not plainly a new one: the suspects.
2. *Suspects*: unescaped and brought into today's spelling on the stored bytes, where that is certain to be right.
3. *All*: a typed decoder reads the four columns and proves that the text is JSON; formatting the block as one array
   and comparing proves that it is spaced as the dumps are.

Whatever fails a step goes the exact way, alone.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET

from oldump.records import copytext
from oldump.records.document import Document, Reject, Rejected, normalised
from oldump.records.keys import COLLECTIONS, LEGACY_PREFIXES, MAX_REVISION, REVISION_BITS, rank
from oldump.records.privacy import Drop, reason_to_drop
from oldump.records.record import PART_NUMBER_OF_TYPE, part_number, record_of

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
Places = np.ndarray[tuple[int], np.dtype[np.intp]]
Words = np.ndarray[tuple[int], np.dtype[np.uint64]]
Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]

_REGULAR = np.frombuffer(b"\t\t\n", np.uint8)
_LEGACY_KEYS = [(f'"key": "{old}'.encode(), f'"key": "{new}'.encode()) for old, new in LEGACY_PREFIXES.items()]
_ID = re.compile(rb'"id": (?:-?[0-9]+|"[^"\\]*"), |, "id": (?:-?[0-9]+|"[^"\\]*")(?=\})')

# The usual records go the shortest way: a key of one of the big collections, whose first nine characters tell which,
# and a type with a part of its own; but no redirects, whose location may be a legacy one.
_STEMS = {c.stem[:9]: (c.stem, len(c.stem), c.letter, c.rank) for c in COLLECTIONS}
_NO_STEM = ("", 0, "", 0)
_MAX_DIGITS = 12
_REDIRECT = "/type/redirect"
_PARTS_OF_USUAL = {
    type_key.decode(): number for type_key, number in PART_NUMBER_OF_TYPE.items() if type_key.decode() != _REDIRECT
}


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


_TYPE = b'"type": '
_DATETIME = b'/type/datetime", "value": "'
_DATETIME_STARTS = [(at, _word(_DATETIME[at : at + 8])) for at in (0, 7)]
_DATETIME_GOES_ON = [(-9, _word(_TYPE)), *((at, _word(_DATETIME[at : at + 8])) for at in (13, 19))]
_U00 = _word(b"u00")
_ESCAPED_NAMES = [
    (_word(b'"' + name[:4]), _word(b"\xff" * (1 + len(name[:4]))))
    for name in (b'key"', b"type", b"valu", b"loca", b'id"')
]


class Rejection(NamedTuple):
    """A row that cannot become a record."""

    row: int
    """Its place in the block, from 0."""
    reason: Reject
    line: bytes
    """As stored, without the newline."""


class _Type(msgspec.Struct, gc=False):
    key: str


class _Datetime(msgspec.Struct, gc=False):
    value: str


class _Fields(msgspec.Struct, gc=False):
    """What a record needs from a document; the decoder passes over the rest, but reads all of it."""

    key: str
    type: _Type
    revision: int
    last_modified: _Datetime
    id: msgspec.Raw | msgspec.UnsetType = UNSET


_decode = msgspec.json.Decoder(_Fields).decode


class Batch:
    """What the rows of a block became. Lists run parallel: one entry for each record, in the order of the rows."""

    def __init__(self, block: bytes, cutoff: str) -> None:
        """Take a block of whole lines. cutoff: privacy.first_text_after the run's date."""
        self.records: list[bytes] = []
        """Without their newlines."""
        self.newest = ""
        """The latest last_modified among them."""
        self.ranks: list[int] = []
        self.part_numbers: list[int] = []
        self.drops: Counter[Drop] = Counter()
        self.rejects: list[Rejection] = []
        self.rows = 0
        self.text_after_end = False
        """Whether anything stands behind the end-of-data marker."""
        self.ended = False
        """Whether the end-of-data marker was met."""
        self._cutoff = cutoff
        for lines, breaks in _stretches(block):
            if breaks is None:
                self._add_line(lines)
            elif not self.ended:
                self._add_regular(lines, breaks)
            else:
                self.text_after_end = True

    def _add_line(self, line: bytes) -> None:
        """The exact way, for one line without its newline."""
        if self.ended:
            self.text_after_end = True
        elif line == copytext.END_OF_DATA:
            self.ended = True
        else:
            try:
                self._add_document(_document_of(line))
            except Rejected as rejected:
                self.rejects.append(Rejection(self.rows, rejected.reason, line))
            self.rows += 1

    def _add_document(self, document: Document) -> None:
        drop = reason_to_drop(document.key, document.type_key, document.last_modified, self._cutoff)
        if drop:
            self.drops[drop] += 1
            return
        record = record_of(document)
        type_key, key, revision, last_modified, _ = record.split(b"\t", 4)
        self.newest = max(self.newest, last_modified.decode())
        self.records.append(record)
        self.ranks.append(rank(key, Decimal(revision.decode())))
        self.part_numbers.append(part_number(type_key))

    def _add_regular(self, stored: bytes, breaks: Places) -> None:
        """The fast way, for lines whose control characters are two tabs and a newline each."""
        suspects = Suspects(stored, breaks)
        lines = suspects.lines
        starts, ends = [0, *(breaks[2::3] + 1).tolist()], breaks[2::3].tolist()
        texts = [lines[start:end] for start, end in zip((breaks[1::3] + 1).tolist(), ends, strict=True)]
        for place in suspects.escaped:
            texts[place] = texts[place].replace(rb"\\", b"\\")
        for place in suspects.legacy:
            for old, new in _LEGACY_KEYS:
                texts[place] = texts[place].replace(old, new)
        documents = _decoded(texts)
        for place in (*suspects.uncertain, *_undressed(texts)):
            documents[place] = None

        escaped, legacy = frozenset(suspects.escaped), frozenset(suspects.legacy)
        cutoff, newest = self._cutoff, self.newest
        add_record, add_rank, add_part = self.records.append, self.ranks.append, self.part_numbers.append
        for place, (fields, dressed) in enumerate(zip(documents, texts, strict=True)):
            text = dressed if fields is None or fields.id is UNSET else _without_id(dressed)
            if fields is None or text is None:
                self._add_line(stored[starts[place] : ends[place]])
                continue
            key, type_key, revision = fields.key, fields.type.key, fields.revision
            last_modified = fields.last_modified.value
            part = _PARTS_OF_USUAL.get(type_key)
            stem, digits_at, letter, collection_rank = _STEMS.get(key[:9], _NO_STEM)
            digits = key[digits_at:-1]
            if (
                part is not None
                and digits.isdecimal()
                and digits >= "1"
                and key[-1] == letter
                and key.startswith(stem)
                and len(digits) <= _MAX_DIGITS
                and 0 < revision < MAX_REVISION
                and last_modified < cutoff
                and (place not in escaped or (last_modified.isprintable() and key.isascii()))
            ):
                add_record(f"{type_key}\t{key}\t{revision}\t{last_modified}\t".encode() + text)
                add_rank(collection_rank + (int(digits) << REVISION_BITS) + revision)
                add_part(part)
                if last_modified > newest:  # noqa: PLR1730 - max() takes three times as long, once a row
                    newest = last_modified
            elif place in legacy and type_key == _REDIRECT:
                self._add_line(stored[starts[place] : ends[place]])
                continue
            else:
                self._add_document(Document(key, type_key, str(revision), last_modified, text))
            self.rows += 1
        self.newest = max(newest, self.newest)


def _stretches(block: bytes) -> Iterator[tuple[bytes, Places | None]]:
    """The block in pieces, in order: regular lines together, with their breaks; any other line alone, with None."""
    if not block:
        return
    breaks = _regular_breaks(block)
    if breaks is not None:
        yield block, breaks
        return
    regular: list[bytes] = []
    for line in block.removesuffix(b"\n").split(b"\n"):
        if _regular_breaks(line + b"\n") is not None:
            regular.append(line)
            continue
        if regular:
            yield from _stretches(b"\n".join(regular) + b"\n")
            regular.clear()
        yield line, None
    if regular:
        yield from _stretches(b"\n".join(regular) + b"\n")


def _regular_breaks(lines: bytes) -> Places | None:
    """The places of two tabs and a newline for each line; None if the text has anything else that is not plain."""
    if not lines.isascii():
        return None
    characters = np.frombuffer(lines, np.uint8)
    breaks = np.flatnonzero(characters < 32)
    if len(breaks) % 3 or not len(breaks) or breaks[-1] != len(lines) - 1:
        return None
    return breaks if (characters[breaks].reshape(-1, 3) == _REGULAR).all() else None


class Suspects:
    """What the stored bytes of regular lines alone do not settle, found in the whole block at once."""

    def __init__(self, stored: bytes, breaks: Places) -> None:
        """Take regular lines and the places of their tabs and newlines."""
        self._ends = breaks[2::3]
        characters = np.frombuffer(stored, np.uint8)
        slashes = np.flatnonzero(characters == ord("/"))
        slashes = slashes[characters[slashes - 1] == ord('"')]
        padded = stored + bytes(8)
        spaced, unsure_datetimes = _datetimes(padded, slashes)
        backslashes = np.flatnonzero(characters == ord("\\"))
        self.lines = _with_letter_t(stored, spaced)
        """The lines, with every spaced datetime mended that is sure to be one."""
        self.escaped = self._rows(backslashes)
        """The lines with a backslash."""
        self.legacy = self._rows(_legacy(characters, slashes))
        """The lines with a string that starts like a legacy key."""
        self.uncertain = self._rows(np.concatenate((_odd_escapes(padded, backslashes, breaks), unsure_datetimes)))
        """The lines of which only parsing can tell."""

    def _rows(self, places: Places) -> list[int]:
        found = np.zeros(len(self._ends), np.bool_)
        found[np.searchsorted(self._ends, places)] = True
        return np.flatnonzero(found).tolist()


def _legacy(characters: Bytes, slashes: Places) -> Places:
    """Of the slashes behind a quote, those that start /a/, /b/, /l/ or /u…/ with four letters."""
    first, second = (
        characters.take(slashes + 1, mode="clip"),
        characters.take(slashes + 2, mode="clip"),
    )
    fifth = characters.take(slashes + 5, mode="clip")
    short = (second == ord("/")) & ((first == ord("a")) | (first == ord("b")) | (first == ord("l")))
    legacy: Places = slashes[short | ((first == ord("u")) & (fifth == ord("/")))]
    return legacy


def _odd_escapes(stored: bytes, backslashes: Places, breaks: Places) -> Places:
    """The backslashes that are not simply half of a pair, and those that json.dumps would not have written.

    A JSON escape of an ASCII character can hide a key or a datetime; an escaped quote can pass for the start of a
    member's name; and a backslash in the first two columns is none of JSON's.
    """
    if not len(backslashes):
        return backslashes
    run_starts = np.flatnonzero(np.diff(backslashes, prepend=-2) != 1)
    run_lengths = np.diff(run_starts, append=len(backslashes))
    unpaired = backslashes[run_starts[run_lengths % 2 == 1]]
    line_of_each = np.searchsorted(breaks[2::3], backslashes)
    outside = backslashes[backslashes < breaks[1::3][line_of_each]]
    following = _words(stored, backslashes + 1)
    character, hexadecimal = (
        following & np.uint64(0xFF),
        following >> np.uint64(24) & np.uint64(0xFF),
    )
    unusual = (
        ((following & np.uint64(0xFFFFFF) == _U00) & (hexadecimal >= ord("2")) & (hexadecimal <= ord("7")))
        | (character == ord("/"))
        | np.logical_or.reduce([following & mask == name for name, mask in _ESCAPED_NAMES])
    )
    return np.concatenate((unpaired, outside, backslashes[unusual]))


def _datetimes(stored: bytes, slashes: Places) -> tuple[Places, Places]:
    """Of the slashes behind a quote that start /type/datetime: where a space is to become T, and the unsure ones.

    Sure is `"type": "/type/datetime", "value": "…` with a value that has no space, or its first one at the eleventh
    character.
    """
    for at, literal in _DATETIME_STARTS:
        slashes = slashes[_words(stored, slashes + at) == literal]
    sure = np.ones(len(slashes), np.bool_)
    for at, literal in _DATETIME_GOES_ON:
        sure &= _words(stored, slashes + at) == literal
    values = slashes + len(_DATETIME)
    eight, ten = _words(stored, values), _words(stored, values + 2)
    plain_day = ~(
        _has(eight, " ") | _has(ten, " ") | _has(eight, '"') | _has(ten, '"') | _has(eight, "\\") | _has(ten, "\\")
    )
    separator = _words(stored, values + 10) & np.uint64(0xFF)
    spaced = sure & plain_day & (separator == ord(" "))
    time = [_words(stored, values + at) for at in (11, 16, 18)]
    no_space = ~(_has(time[0], " ") | _has(time[1] & np.uint64(0xFFFFFF), " "))
    # A quote behind a backslash ends no value.
    no_space &= ~_has(time[2], "\\")
    short = no_space & (time[1] >> np.uint64(24) & np.uint64(0xFF) == ord('"'))
    long = no_space & ~_has(time[1], " ") & ~_has(time[2], " ")
    long &= _words(stored, values + 26) & np.uint64(0xFF) == ord('"')
    plain = sure & plain_day & (separator != ord(" ")) & (short | long)
    return values[spaced] + 10, slashes[~(spaced | plain)]


def _with_letter_t(stored: bytes, places: Places) -> bytes:
    """The text with a T at these places."""
    if not len(places):
        return stored
    characters = np.frombuffer(stored, np.uint8).copy()
    characters[places] = ord("T")
    return characters.tobytes()


def _words(text: bytes, places: Places) -> Words:
    """The eight bytes from each place on, as a little-endian number; the text ends in eight zeros to read beyond it."""
    every = np.ndarray((len(text) - 7,), "<u8", buffer=text, strides=(1,))
    words: Words = every[np.minimum(places, len(text) - 8)]
    return words


def _has(words: Words, character: str) -> Flags:
    """For each word, whether one of its bytes is the character: the usual test for a zero byte, after xor."""
    ones = np.uint64(0x0101010101010101)
    zeroed = words ^ (ones * np.uint64(ord(character)))
    has: Flags = (zeroed - ones) & ~zeroed & np.uint64(0x8080808080808080) != 0
    return has


def _decoded(texts: Iterable[bytes]) -> list[_Fields | None]:
    """The fields of each text, None for one that is no document, or that the decoder is not sure of."""
    documents: list[_Fields | None] = []
    remaining = iter(texts)
    while True:
        try:
            documents.extend(map(_decode, remaining))
        except (msgspec.DecodeError, RecursionError):
            documents.append(None)
        else:
            return documents


def _undressed(texts: list[bytes]) -> list[int]:
    """The places of the texts that are not JSON, spaced as the dumps are."""
    return (
        []
        if _is_dressed(b"[" + b", ".join(texts) + b"]")
        else [place for place, text in enumerate(texts) if not _is_dressed(text)]
    )


def _is_dressed(text: bytes) -> bool:
    try:
        return msgspec.json.format(text, indent=0) == text
    except (msgspec.DecodeError, RecursionError):
        return False


def _without_id(text: bytes) -> bytes | None:
    """The JSON without its top-level id, None if only parsing can tell which one that is."""
    shortened = _ID.sub(b"", text, count=1)
    return shortened if text.count(b'"id": ') == 1 and b'"id": ' not in shortened else None


def _document_of(line: bytes) -> Document:
    """The document of one line of COPY text, the exact way. Raises Rejected."""
    if copytext.ends_in_lone_backslash(line):
        raise Rejected(Reject.LONE_BACKSLASH)
    fields = line.split(b"\t")
    if len(fields) != 3:
        raise Rejected(Reject.NOT_THREE_COLUMNS)
    columns = [copytext.unescaped(field) for field in fields]
    try:
        b"\n".join(columns).decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected(Reject.NOT_UTF8) from None
    if fields[2] == copytext.NULL:
        raise Rejected(Reject.NOT_AN_OBJECT)
    return normalised(columns[2])
