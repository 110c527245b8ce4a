"""Entries: what index, sitemaps and HTML index show of a document, read from records or from lines of an index.

A record has five columns, a line of an index four; a file has one kind of line. Its documents must be in order: part by
part, as in a dump, or by key alone, as `oldump sort` and `oldump dump` write them. Either way keys ascend within each
part, and that is what this module checks.

This module does not know how entries are used.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from oldump.engine.block_map import map_lines
from oldump.errors import NotSorted, RecordError, SourceEmpty
from oldump.records.document import Rejected, parsed
from oldump.records.keys import order_key
from oldump.records.record import part_number, revision_of
from oldump.records.urls import UNTITLED, shown, slug
from oldump.run.progress import Progress

NO_DATE = "-"
"""Replaces `created` if a document has none."""

_RECORD_COLUMNS, _INDEX_COLUMNS = 5, 4
_USUAL = {
    b"/type/author": re.compile(rb"/authors/OL([1-9][0-9]{0,17})A"),
    b"/type/edition": re.compile(rb"/books/OL([1-9][0-9]{0,17})M"),
    b"/type/work": re.compile(rb"/works/OL([1-9][0-9]{0,17})W"),
}
_NAMED = {b"/type/author", b"/type/list"}
"""The types whose documents have a name instead of a title."""
_TYPE_OF_FOLDER = {b"authors": b"/type/author", b"books": b"/type/edition", b"works": b"/type/work"}
_NOT_AN_ENTRY = (
    "is neither a record (five columns, separated by tabs, the third an integer and the fifth a JSON object) "
    "nor a line of an index (four columns, the first a path)"
)

Made = TypeVar("Made")


class PageEntry(msgspec.Struct, gc=False):
    """A document as index, sitemaps and HTML index show it."""

    type_key: bytes
    """From a line of an index: the type of an author, edition or work, otherwise empty."""
    key: bytes
    path: str
    """The path on the site, not percent-encoded."""
    title: str
    created: str
    last_modified: str
    number: int
    """The number in the key, 0 if the key does not have the common form."""

    @property
    def has_page(self) -> bool:
        """Whether it is an author, an edition or a work, which sitemaps and the HTML index list."""
        return self.type_key in _USUAL

    def is_before(self, other: "PageEntry") -> bool:
        """Whether `other`, an entry of the same part, may follow this one."""
        if 0 < self.number < other.number and self.type_key == other.type_key:
            return True
        return order_key(self.key) < order_key(other.key)


class _Datetime(msgspec.Struct, gc=False):
    value: str


class _EntryMembers(msgspec.Struct, gc=False):
    """The members that an entry needs; the decoder skips all others."""

    title: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    created: _Datetime | UnsetType = UNSET


_decode = msgspec.json.Decoder(_EntryMembers).decode


class NotAnEntry(ValueError):
    """Raised for a line that is neither a record nor a line of an index."""


def entry_of(line: bytes) -> PageEntry:
    """Return the entry of a record or of a line of an index, given without its newline. Raises NotAnEntry."""
    pieces = line.split(b"\t")
    try:
        return _of_record(*pieces) if len(pieces) == _RECORD_COLUMNS else _of_index(pieces)
    except (Rejected, RecursionError, ValueError) as error:  # no dump is nested so deeply
        raise NotAnEntry from error


def _of_record(type_key: bytes, key: bytes, revision: bytes, last_modified: bytes, text: bytes) -> PageEntry:
    if not revision.isdigit():
        revision_of(revision)
    title, created = _title_and_date(type_key, text)
    path, number = key.decode(), 0
    if type_key in UNTITLED:
        title = title or UNTITLED[type_key]
        path, number = f"{path}/{slug(title)}", _number(type_key, key)
    return PageEntry(
        type_key, key, path, shown(title or path), shown(created) or NO_DATE, last_modified.decode(), number
    )


def _number(type_key: bytes, key: bytes) -> int:
    usual = _USUAL[type_key].fullmatch(key) if type_key in _USUAL else None
    return int(usual[1]) if usual else 0


def _title_and_date(type_key: bytes, text: bytes) -> tuple[str, str]:
    """Return the title or name, and `created`, of a document; empty strings if it has none. Raises Rejected."""
    try:
        members = _decode(text)
    except (msgspec.DecodeError, RecursionError):  # a lone surrogate, or a member of another shape
        return _exact_title_and_date(type_key, text)
    title = members.name if type_key in _NAMED else members.title
    return title or "", members.created.value if members.created else ""


def _exact_title_and_date(type_key: bytes, text: bytes) -> tuple[str, str]:
    document = parsed(text)
    title = document.get("name" if type_key in _NAMED else "title")
    created = document.get("created")
    date = created.get("value") if isinstance(created, dict) else None
    return _text(title), _text(date)


def _text(value: object) -> str:
    """Return the value if it is a string, else an empty string. Parsed numbers are a subclass of str."""
    return value if type(value) is str else ""


def _of_index(pieces: list[bytes]) -> PageEntry:
    """Return the entry of a line of an index. Joins a title that contains tabs, which the old script could write."""
    path, *titles, created, last_modified = pieces
    if not path.startswith(b"/") or not titles:
        raise NotAnEntry
    key, type_key = _key_and_type(path)
    title = shown(b" ".join(titles).decode())
    number = _number(type_key, key) if type_key else 0
    return PageEntry(type_key, key, path.decode(), title, created.decode(), last_modified.decode(), number)


def _key_and_type(path: bytes) -> tuple[bytes, bytes]:
    """Return the key at the start of a path, and its type if a slug follows: only then does it have a page."""
    pieces = path.split(b"/", 3)
    type_key = _TYPE_OF_FOLDER.get(pieces[1], b"") if len(pieces) == 4 else b""
    return (b"/".join(pieces[:3]), type_key) if type_key else (path, b"")


# ----------------------------------------------------------------------------------------------------------- blocks


class _BlockResult(NamedTuple, Generic[Made]):
    """The result of a block, sent to the leader."""

    lines: int
    made: Made
    firsts: dict[int, tuple[int, PageEntry]]
    """The first document of each part in the block, with the index of its line."""
    lasts: dict[int, PageEntry]
    unordered: tuple[int, PageEntry, PageEntry] | None
    """The index of the first line out of order, the entry before it, and its own entry."""
    no_entry: int | None
    """The index of the first line that is neither a record nor a line of an index."""


class _BlockReader:
    """Reads the entries of a block and checks their order."""

    def __init__(self) -> None:
        self.entries: list[PageEntry] = []
        self.firsts: dict[int, tuple[int, PageEntry]] = {}
        self.lasts: dict[int, PageEntry] = {}
        self.unordered: tuple[int, PageEntry, PageEntry] | None = None
        self.no_entry: int | None = None

    def add(self, place: int, line: bytes) -> bool:
        """Add a line; return whether to continue."""
        try:
            entry = entry_of(line)
        except NotAnEntry:
            self.no_entry = place
            return False
        self.entries.append(entry)
        if not entry.type_key:
            return True
        part = part_number(entry.type_key)
        before = self.lasts.get(part)
        if before is None:
            self.firsts[part] = place, entry
        elif not before.is_before(entry):
            self.unordered = place, before, entry
        self.lasts[part] = entry
        return self.unordered is None


def _read(
    make: Callable[[list[PageEntry]], Made], prefixes: tuple[bytes, ...], lines: list[bytes]
) -> _BlockResult[Made]:
    reading = _BlockReader()
    for place, line in enumerate(lines):
        if line.startswith(prefixes):
            if not reading.add(place, line):
                break
        elif line.count(b"\t") not in {_RECORD_COLUMNS - 1, _INDEX_COLUMNS - 1}:
            reading.no_entry = place
            break
    made = make(reading.entries)
    return _BlockResult(len(lines), made, reading.firsts, reading.lasts, reading.unordered, reading.no_entry)


class _Order:
    """Checks that the blocks of some files are in order, and counts their lines."""

    def __init__(self) -> None:
        self.lines = 0
        """Lines of the open file so far."""
        self._name = ""
        self._lasts: dict[int, PageEntry] = {}

    def open(self, name: str) -> None:
        """Start the next file."""
        self._name, self.lines = name, 0

    def hear(self, block: _BlockResult[Made]) -> None:
        """Check the next block. Raises NotSorted, RecordError."""
        for part, (place, first) in block.firsts.items():
            before = self._lasts.get(part)
            if before and not before.is_before(first):
                raise self._not_sorted(place, before, first)
        if block.unordered:
            raise self._not_sorted(*block.unordered)
        if block.no_entry is not None:
            raise RecordError(f"{self._line(block.no_entry)} {_NOT_AN_ENTRY}.")
        self._lasts |= block.lasts
        self.lines += block.lines

    def _line(self, place: int) -> str:
        return f"{self._name}: line {self.lines + place + 1:,}"

    def _not_sorted(self, place: int, before: PageEntry, here: PageEntry) -> NotSorted:
        where = f"{self._line(place)} ({here.key.decode(errors='replace')})"
        if before.key == here.key:
            return NotSorted(
                f"{where} has the same key as the line before", "Use a dump; `oldump dump` makes one from a cdump."
            )
        return NotSorted(f"{where} is out of order", "Sort the records with `oldump sort`.")


def entries_made(
    stage: str,
    paths: Sequence[Path | None],
    make: Callable[[list[PageEntry]], Made],
    workers: int,
    progress: Progress,
    prefixes: tuple[bytes, ...] = (b"",),
) -> Iterator[Made]:
    """Yield what `make` returns for the entries of each block of some files (None: standard input), in order.

    prefixes: the starts of the lines to read. `make` runs in forked workers. Exhaust the iterator.
    Raises SourceError, NotSorted, RecordError, WorkerError.
    """
    order = _Order()
    read: Callable[[list[bytes]], _BlockResult[Made]] = partial(_read, make, prefixes)
    progress.begin(stage, "read")
    for path in paths:
        order.open(str(path or "standard input"))
        for block, share in map_lines(path, read, workers):
            order.hear(block)
            yield block.made
            progress.update(order.lines, share)
        if not order.lines:
            raise SourceEmpty(
                f"{path or 'standard input'}: contains no records. Check whether the previous command failed."
            )
    progress.end(stage)
