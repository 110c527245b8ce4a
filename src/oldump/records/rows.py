"""Rows of table `data` in COPY text, a block at a time: what each becomes.

A row becomes a record, a drop or a reject. This is the fast way to what `document.normalised` says about one row: it
keeps the stored bytes of nearly all documents and looks at them in steps, each exact.

1. *Whole block*: with numpy, all control characters of a block are found at once. If they are two tabs and a newline
   for each line, and nothing is DEL or beyond ASCII, the lines are regular, and their JSON is cut out by position. The
   same way finds the lines with a backslash, a legacy key or a datetime that is not plainly a new one: see `suspects`.
2. *Suspects*: unescaped and brought into today's spelling on the stored bytes, where that is certain to be right.
3. *All*: a typed decoder reads the four columns and proves that the text is JSON; formatting the block as one array
   and comparing proves that it is spaced as the dumps are.
4. *Columns*: all heads of a block are ranked at once: see `heads`.

Whatever fails a step goes the exact way, alone. Escapes keep their stored spelling here, and a member that is written
twice in one object stays twice; the exact way spells escapes as json does, and keeps the last of such members.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import compress
from typing import NamedTuple

import numpy as np
from msgspec import UNSET

from oldump.records import copytext
from oldump.records.bytewise import Places
from oldump.records.document import Document, Reject, Rejected, normalised
from oldump.records.fields import Fields, decoded, undressed
from oldump.records.heads import Heads
from oldump.records.keys import LEGACY_PREFIXES, Ranks, rank
from oldump.records.privacy import Drop, reason_to_drop
from oldump.records.record import (
    CONTROLS,
    FURTHER_CONTROLS,
    PART_NUMBER_OF_TYPE,
    part_number,
    record_of,
    revision_of,
)
from oldump.records.suspects import Suspects

PartNumbers = np.ndarray[tuple[int], np.dtype[np.uint8]]

_DEL = b"\x7f"
_REGULAR = np.frombuffer(b"\t\t\n", np.uint8)
_LEGACY_KEYS = [(f'"key": "{old}'.encode(), f'"key": "{new}'.encode()) for old, new in LEGACY_PREFIXES.items()]
_ID = re.compile(rb'"id": (?:-?[0-9]+|"[^"\\]*"), |, "id": (?:-?[0-9]+|"[^"\\]*")(?=\})')

_REDIRECT = "/type/redirect"
_NO_PART = 255
# The types that go the shortest way: with a part of their own; but no redirects, whose location may be a legacy one.
_SHORTEST = {t.decode(): number for t, number in PART_NUMBER_OF_TYPE.items() if t.decode() != _REDIRECT}
_NO_HEAD = "\t\t\t\t"
_HEAD = re.compile(f"(?:[^{CONTROLS}{FURTHER_CONTROLS}]*\t){{4}}")


class Rejection(NamedTuple):
    """A row that cannot become a record."""

    row: int
    """Its place in the block, from 0."""
    reason: Reject
    line: bytes
    """As stored, without the newline."""


class _Kept(NamedTuple):
    """A record, with all that is told of it."""

    record: bytes
    rank: int
    part_number: int
    last_modified: str


class Batch:
    """What the rows of a block became. Lists and arrays run parallel: an entry for each record, in the rows' order."""

    def __init__(self, block: bytes, cutoff: str) -> None:
        """Take a block of whole lines. cutoff: privacy.first_text_after the run's date."""
        self.newest = ""
        """The latest last_modified among them."""
        self.drops: Counter[Drop] = Counter()
        self.rejects: list[Rejection] = []
        self.rows = 0
        self.text_after_end = False
        """Whether anything stands behind the end-of-data marker."""
        self.ended = False
        """Whether the end-of-data marker was met."""
        self.cut_short = False
        """Whether the block ends in the middle of a line: without a newline, and the line is rejected."""
        self._cutoff = cutoff
        self._records: list[bytes] = []
        self._ranks: list[Ranks] = []
        self._part_numbers: list[PartNumbers] = []
        for lines, breaks in _stretches(block):
            if self.ended:
                self.text_after_end = True
            elif breaks is not None:
                self._add_regular(lines, breaks)
            elif lines == copytext.END_OF_DATA:
                self.ended = True
            else:
                self._add([self._of_line(lines, self.rows)], 1)
        self.text = b"\n".join((*self._records, b""))
        """Holds the records, each with its newline."""
        self.ends: Places = np.cumsum(np.fromiter(map(len, self._records), np.int64, len(self._records)) + 1)
        """Where each record ends in the text, behind its newline."""
        self._records.clear()
        if not block.endswith(b"\n") and self.rejects and not self.ended:
            self.cut_short = self.rejects[-1].row == self.rows - 1

    @property
    def starts(self) -> Places:
        """Where each record starts in the text."""
        return np.concatenate((np.zeros(1, np.int64), self.ends))[:-1]

    @property
    def records(self) -> list[bytes]:
        """The records, without their newlines."""
        return self.text.split(b"\n")[:-1]

    @property
    def ranks(self) -> Ranks:
        """The ranks of the records."""
        return np.concatenate(self._ranks) if self._ranks else np.empty(0, np.uint64)

    @property
    def part_numbers(self) -> PartNumbers:
        """The parts that the records belong to, as places in record.PARTS."""
        return np.concatenate(self._part_numbers) if self._part_numbers else np.empty(0, np.uint8)

    def _add(self, items: list[_Kept | None], rows: int) -> None:
        """Take what some rows became, the exact way."""
        kept = [item for item in items if item is not None]
        self._records += [item.record for item in kept]
        self._ranks.append(np.array([item.rank for item in kept], np.uint64))
        self._part_numbers.append(np.array([item.part_number for item in kept], np.uint8))
        self.newest = max([self.newest, *(item.last_modified for item in kept)])
        self.rows += rows

    def _of_line(self, line: bytes, row: int) -> _Kept | None:
        """What one line becomes, the exact way; None for a drop or a reject, which are noted."""
        try:
            return self._of_document(_document_of(line))
        except Rejected as rejected:
            self.rejects.append(Rejection(row, rejected.reason, line))
            return None

    def _of_document(self, document: Document) -> _Kept | None:
        drop = reason_to_drop(document.key, document.type_key, document.last_modified, self._cutoff)
        if drop:
            self.drops[drop] += 1
            return None
        record = record_of(document)
        type_key, key, revision, last_modified, _ = record.split(b"\t")
        return _Kept(record, rank(key, revision_of(revision)), part_number(type_key), last_modified.decode())

    def _add_regular(self, stored: bytes, breaks: Places) -> None:
        """The fast way, for lines whose control characters are two tabs and a newline each."""
        starts, ends = [0, *(breaks[2::3] + 1).tolist()], breaks[2::3].tolist()
        texts, documents, legacy = _read(stored, breaks)
        heads = _heads(documents)
        ranks, kept = heads.ranks()
        cutoff = self._cutoff
        parts = np.fromiter(
            (
                _NO_PART if f is None or f.last_modified.value >= cutoff else _SHORTEST.get(f.type.key, _NO_PART)
                for f in documents
            ),
            np.uint8,
            len(documents),
        )
        kept &= parts != _NO_PART
        records = list(map(bytes.__add__, heads.each(), texts))
        newest = max((f.last_modified.value for f in compress(documents, kept.tolist()) if f), default="")
        for place in np.flatnonzero(~kept).tolist():
            fields = documents[place]
            if fields is None or (fields.type.key == _REDIRECT and place in legacy):
                item = self._of_line(stored[starts[place] : ends[place]], self.rows + place)
            else:
                item = self._of_document(
                    Document(
                        fields.key, fields.type.key, str(fields.revision), fields.last_modified.value, texts[place]
                    )
                )
            if item is not None:
                records[place], ranks[place], parts[place], last_modified = item
                newest = max(newest, last_modified)
                kept[place] = True
        self._records += compress(records, kept.tolist())
        self._ranks.append(ranks[kept])
        self._part_numbers.append(parts[kept])
        self.newest = max(newest, self.newest)
        self.rows += len(documents)


def _heads(documents: list[Fields | None]) -> Heads:
    """The heads of the documents' records. A document whose head cannot stand in a line becomes None."""
    texts = [
        _NO_HEAD if f is None else f"{f.type.key}\t{f.key}\t{f.revision}\t{f.last_modified.value}\t" for f in documents
    ]
    heads = Heads(texts)
    if len(heads) == len(documents) and heads.are_plain:
        return heads
    for place, text in enumerate(texts):
        if _HEAD.fullmatch(text) is None:
            documents[place], texts[place] = None, _NO_HEAD
    return Heads(texts)


def _read(stored: bytes, breaks: Places) -> tuple[list[bytes], list[Fields | None], frozenset[int]]:
    """The JSON of regular lines in today's spelling, their fields, and the lines with what looks like a legacy key.

    Fields are None where only the exact way can tell; the JSON means nothing there.
    """
    suspects = Suspects(stored, breaks)
    lines = suspects.lines
    texts = [lines[start:end] for start, end in zip((breaks[1::3] + 1).tolist(), breaks[2::3].tolist(), strict=True)]
    for place in suspects.escaped:
        texts[place] = texts[place].replace(rb"\\", b"\\")
    for place in suspects.legacy:
        for old, new in _LEGACY_KEYS:
            texts[place] = texts[place].replace(old, new)
    documents = decoded(texts)
    for place in (*suspects.uncertain, *undressed(texts)):
        documents[place] = None
    for place, fields in enumerate(documents):
        if fields is not None and fields.id is not UNSET:
            text = _without_id(texts[place])
            if text is None:
                documents[place] = None
            else:
                texts[place] = text
    return texts, documents, frozenset(suspects.legacy)


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
    if not lines.isascii() or _DEL in lines:
        return None
    characters = np.frombuffer(lines, np.uint8)
    breaks = np.flatnonzero(characters < 32)
    if len(breaks) % 3 or not len(breaks) or breaks[-1] != len(lines) - 1:
        return None
    return breaks if (characters[breaks].reshape(-1, 3) == _REGULAR).all() else None


def _without_id(text: bytes) -> bytes | None:
    """The JSON without its top-level id, None if only parsing can tell which one that is."""
    shortened = _ID.sub(b"", text, count=1)
    return shortened if text.count(b'"id": ') == 1 and b'"id": ' not in shortened else None


def _document_of(line: bytes) -> Document:
    """The document of one line of COPY text, the exact way. Raises Rejected."""
    if copytext.ends_in_lone_backslash(line):
        raise Rejected(Reject.LONE_BACKSLASH)
    fields = copytext.fields(line)
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
