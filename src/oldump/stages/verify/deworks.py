"""Lines of denormalized works, held against the format and taken apart into the documents that they are made of.

Documents are told by hashes: the leader compares works and editions with those of the parts. An author's document is
looked up in a filter of all that the part authors has.

Does not: look up where redirects lead, or what the archive's metadata say.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import msgspec

from oldump.records.document import Rejected, parsed, printed
from oldump.records.encoding import possibly_non_canonical
from oldump.records.keys import order_key
from oldump.records.links import author_keys, edition_links
from oldump.records.record import column
from oldump.stages.verify.findings import Finding, Findings, Kind
from oldump.stages.verify.lines import is_spaced
from oldump.stages.verify.seen import Seen
from oldump.stages.verify.sets import Filter, Hashes, hashes_of

META = b'"_ia_meta"'
_META_AT_END = b', "_ia_meta": {'
_UNKNOWN_ITEM = b'{"collection": []}'
_NO_WORK = b"{}"
_PIECES = (b'{"work": ', b', "editions": [', b'], "authors": [', b'], "ia": [', b'], "duplicates": ', b"}")
_SHOWN_BYTES = 60


class _Line(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    work: msgspec.Raw
    editions: list[msgspec.Raw]
    authors: list[msgspec.Raw]
    ia: list[msgspec.Raw]
    duplicates: msgspec.Raw


class _Key(msgspec.Struct, gc=False):
    key: str


_decode = msgspec.json.Decoder(_Line).decode
_decode_key = msgspec.json.Decoder(_Key).decode
_decode_lists = msgspec.json.Decoder(dict[str, list[str]]).decode


@dataclass(frozen=True)
class Taken:
    """A line taken apart: documents are the bytes that stand there."""

    key: bytes
    work: bytes
    editions: list[bytes]
    authors: list[bytes]
    ia: list[bytes]
    duplicates: bytes

    @property
    def line(self) -> bytes:
        """The line, put together as the format says."""
        lists = (b", ".join(each) for each in (self.editions, self.authors, self.ia))
        values = (self.work, *lists, self.duplicates)
        return self.key + b"\t" + b"".join(map(bytes.__add__, _PIECES, (*values, b"")))


def taken(line: bytes) -> Taken | None:
    """The line taken apart; None if it is not put together as the format says."""
    key, tab, text = line.partition(b"\t")
    if not tab:
        return None
    try:
        members = _decode(text)
    except (msgspec.DecodeError, RecursionError):  # lone surrogates and deep nesting are legal
        found = _taken_exactly(key, text)
    else:
        editions, authors, ia = (list(map(bytes, each)) for each in (members.editions, members.authors, members.ia))
        found = Taken(key, bytes(members.work), editions, authors, ia, bytes(members.duplicates))
    return found if found is not None and found.line == line else None


def _taken_exactly(key: bytes, text: bytes) -> Taken | None:
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    at = 0
    values: list[Any] = []
    try:
        shown = text.decode("ascii")
        for number, piece in enumerate(_PIECES[:-1]):
            if not text.startswith(piece, at):
                return None
            at += len(piece)
            documents, at = _documents(decoder, shown, at, alone=number in {0, 4})
            values.append(documents[0] if number in {0, 4} else documents)
    except (ValueError, RecursionError, IndexError):
        return None
    return Taken(key, *values) if text[at:] == _PIECES[-1] else None


def _documents(decoder: json.JSONDecoder, text: str, at: int, *, alone: bool) -> tuple[list[bytes], int]:
    """The values that stand from here on, one or a list of them, and where they end. Raises ValueError."""
    found: list[bytes] = []
    while text[at] != "]":
        _, end = decoder.raw_decode(text, at)
        found.append(text[at:end].encode())
        at = end
        if alone or not text.startswith(", ", at):
            break
        at += 2
    return found, at


def bare(text: bytes) -> bytes:
    """An edition's document of the dump without a member _ia_meta, which deworks replaces."""
    if META not in text:
        return text
    document = parsed(text)
    document.pop("_ia_meta", None)
    return printed(document)


def _without_meta(text: bytes, *, has_ocaid: bool) -> tuple[bytes, bytes | None]:
    """An edition's document of deworks, bare, and what its _ia_meta says. Raises Rejected, ValueError."""
    if not has_ocaid:
        return bare(text), None
    at = text.rfind(_META_AT_END)
    rest, meta = text[:at] + b"}", text[at + len(_META_AT_END) - 1 : -1]
    if at >= 0 and META not in rest and _is_meta(meta):
        return rest, meta
    found = parsed(text).get("_ia_meta")
    return bare(text), None if found is None else printed(found)


def _is_meta(text: bytes) -> bool:
    try:
        return _decode_lists(text).keys() in ({"boxid", "collection"}, {"collection"})
    except (msgspec.DecodeError, RecursionError):
        return False


class _Looking:
    """Looks at lines, and adds up what they are made of."""

    def __init__(self, authors: Filter) -> None:
        self._authors = authors
        self.counts: Counter[str] = Counter()
        self.works: list[bytes] = []
        self.editions: list[bytes] = []
        self.places: list[tuple[bool, bytes]] = []
        """Of each line, whether it is one of an edition without a work, and its key."""

    def wrong_with(self, line: bytes) -> Iterator[str]:
        """What is wrong with a line, which is counted."""
        found = taken(line)
        if found is None:
            self.places.append((False, line.partition(b"\t")[0]))
            yield "is not put together as the format says"
            return
        is_edition = False
        try:
            works = [edition_links(each).work for each in found.editions]
            is_edition = found.work == _NO_WORK and works == [None]
            yield from self._wrong_with_editions(found, works, is_edition=is_edition)
            yield from self._wrong_with_work(found, is_edition=is_edition)
        except (ValueError, Rejected, RecursionError) as error:
            yield f"a document in it cannot be read ({error})"
        self.places.append((is_edition, found.key))

    def _wrong_with_work(self, found: Taken, *, is_edition: bool) -> Iterator[str]:
        if found.work != _NO_WORK:
            self.counts["works"] += 1
            self.works.append(found.work)
            if key_in(found.work) != found.key:
                yield "its work has another key"
        elif is_edition:
            self.counts["editions_without_work"] += 1
        else:
            self.counts["works_missing"] += 1
        named = author_keys(found.work)
        if len(named) != len(found.authors):
            yield f"{len(found.authors):,} authors where the work names {len(named):,}"
        full = [each for each in found.authors if not _is_key_alone(each)]
        if lacking := self._authors.lacks(hashes_of(full)):
            yield f"an author's document that is not in the part: {full[lacking[0]][:_SHOWN_BYTES].decode()}"
        if not {column(name) for name in json.loads(found.duplicates)} <= {
            found.key,
            *map(key_in, found.editions),
        }:
            yield "duplicates of a key that is not in the line"

    def _wrong_with_editions(self, found: Taken, works: list[str | None], *, is_edition: bool) -> Iterator[str]:
        if not found.editions and found.work == _NO_WORK:
            yield "neither a work nor an edition"
        items: list[bytes] = []
        for text, work in zip(found.editions, works, strict=True):
            self.counts["editions"] += 1
            belongs_to = key_in(text) if is_edition or work is None else column(work)
            if belongs_to != found.key or (work is None and not is_edition):
                yield f"the edition {key_in(text).decode()} belongs to another line"
            ocaid = edition_links(text).ocaid
            edition, meta = _without_meta(text, has_ocaid=ocaid is not None)
            self.editions.append(edition)
            if ocaid is not None and meta is None:
                yield f"the edition {key_in(text).decode()} has no _ia_meta"
            elif meta is not None and meta != _UNKNOWN_ITEM:
                items.append(b'{"identifier": %b, %b' % (json.dumps(ocaid).encode(), meta[1:]))
        if items != found.ia:
            yield "ia is not what the editions' _ia_meta say"


def key_in(text: bytes) -> bytes:
    """The key of a document, as it is in a column. Raises ValueError, Rejected."""
    try:
        return column(_decode_key(text).key)
    except (msgspec.DecodeError, RecursionError):
        key = parsed(text).get("key")
        if not isinstance(key, str):
            raise ValueError("a document without a key") from None  # noqa: TRY004 - of what is read, not of what is called
        return column(key)


def _is_key_alone(author: bytes) -> bool:
    """Whether it stands for an author that has no document."""
    return author.startswith(b'{"key": "') and author.count(b'": ') == 1 and author.endswith(b'"}')


def seen_deworks(text: bytes, file: str, authors: Filter) -> Seen:
    """Look at the text of a segment of deworks."""
    lines = text.removesuffix(b"\n").split(b"\n")
    found = Findings()
    looking = _Looking(authors)
    for number, line in enumerate(lines, start=1):
        key = line.partition(b"\t")[0].decode(errors="backslashreplace")
        for what in looking.wrong_with(line):
            found.add(Finding(Kind.DEWORKS, file, what, number, key))
        if not line.partition(b"\t")[2].isascii() or b"\x7f" in line:
            found.add(Finding(Kind.DRESS, file, "its JSON is not ASCII", number, key))
    texts = [line.partition(b"\t")[2] for line in lines]
    for place in possibly_non_canonical(texts):
        if not is_spaced(texts[place]):
            key = lines[place].partition(b"\t")[0].decode(errors="backslashreplace")
            told = "spaces between tokens are others than those of json.dumps"
            found.add(Finding(Kind.DRESS, file, told, place + 1, key))
    ranks = [_place_order(*place) for place in looking.places]
    for number, (one, other) in enumerate(pairwise(ranks), start=2):
        if one >= other:
            key = looking.places[number - 1][1].decode(errors="backslashreplace")
            found.add(Finding(Kind.ORDER, file, "stands behind one that comes after it", number, key))
    extra: dict[str, Hashes] = {"works": hashes_of(looking.works), "editions": hashes_of(looking.editions)}
    first, last = (b"%d" % is_edition + key for is_edition, key in (looking.places[0], looking.places[-1]))
    return Seen(len(lines), found, first, last, hashes_of(lines), extra=extra, counts=looking.counts)


def is_behind(last: bytes, first: bytes) -> bool:
    """Whether the first line of a segment stands behind the last one of the segment before it: `Seen.first`, `last`."""
    return _place_order(last[:1] == b"1", last[1:]) < _place_order(first[:1] == b"1", first[1:])


def _place_order(is_edition: bool, key: bytes) -> tuple[bool, Any]:
    return is_edition, order_key(key)
