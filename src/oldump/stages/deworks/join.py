"""The join: convert records and archive items to join lines and contributions, and resolve the joins.

This module does not read files or assemble lines of deworks.
"""

import json
from collections.abc import Iterator
from json.encoder import encode_basestring_ascii
from typing import NamedTuple

from oldump.engine.frames import Batch
from oldump.records.copytext import NULL, escaped, unescaped
from oldump.records.links import author_keys, edition_links, location_of
from oldump.records.record import column, columns
from oldump.stages.deworks.intermediate import Contribution, IntermediateLines, JoinRole, Section
from oldump.stages.deworks.redirects import Redirects

_AUTHOR, _ITEM, _TARGET = b"author ", b"item ", b"target "
"""The prefixes of join keys."""
_BATCH_LINES = 4_096


class ReadCounts(NamedTuple):
    """The numbers of works, editions and items that were read."""

    works: int = 0
    editions: int = 0
    items: int = 0


def redirect_of(record: bytes) -> tuple[bytes, str] | None:
    """Return the key and location of a redirect; None if the record is not a redirect or has no location.

    Raises ValueError or Rejected if the line is not a record.
    """
    if not record.startswith(b"/type/redirect\t"):
        return None
    _, key, _, _, text = columns(record)
    key.decode()  # raises ValueError
    location = location_of(text)
    return None if location is None else (key, location)


class LinkReader:
    """Converts records to join lines and contributions."""

    def __init__(self, redirects: Redirects) -> None:
        self._redirects = redirects

    def add_records(self, records: list[bytes], lines: IntermediateLines) -> ReadCounts:
        """Add the lines of these records. Raises ValueError or Rejected if one is not a record."""
        works = editions = 0
        for record in records:
            type_key, key, _, _, text = columns(record)
            key.decode()  # raises ValueError: the key is later written as text, also in the journal
            match type_key:
                case b"/type/edition":
                    editions += 1
                    self._edition(key, text, lines)
                case b"/type/work":
                    works += 1
                    self._work(key, text, lines)
                case b"/type/author":
                    lines.add_join(JoinRole.VALUE, _AUTHOR + key, text)
                case b"/type/redirect":
                    self._redirect(key, lines)
        return ReadCounts(works=works, editions=editions)

    def _edition(self, key: bytes, text: bytes, lines: IntermediateLines) -> None:
        links = edition_links(text)
        section, line_key = (Section.EDITIONS, key) if links.work is None else (Section.WORKS, column(links.work))
        ocaid = encode_basestring_ascii(links.ocaid).encode() if links.ocaid else b""
        lines.add_contribution(section, line_key, Contribution.EDITION, 0, key, ocaid, text)
        place = (b"%d" % section, line_key)
        if links.ocaid and (identifier := _utf8(links.ocaid)) is not None:
            lines.add_join(JoinRole.REQUEST, _ITEM + escaped(identifier), *place, key)
        if self._redirects.may_lead_to(key):
            lines.add_join(JoinRole.VALUE, _TARGET + key, *place)

    def _work(self, key: bytes, text: bytes, lines: IntermediateLines) -> None:
        lines.add_contribution(Section.WORKS, key, Contribution.WORK, 0, text)
        for position, author in enumerate(author_keys(text)):
            target, name = column(author), encode_basestring_ascii(author).encode()
            if (end := self._redirects.end(target)) is not None:
                target, name = end
            lines.add_join(JoinRole.REQUEST, _AUTHOR + target, key, b"%d" % position, name)

    def _redirect(self, key: bytes, lines: IntermediateLines) -> None:
        """Add the redirect as a duplicate of every key in its chain: each may be the key of a line or an edition."""
        for target, _ in self._redirects.chain(key):
            lines.add_contribution(Section.WORKS, target, Contribution.DUPLICATE, 0, target, key)
            lines.add_join(JoinRole.REQUEST, _TARGET + target, key)


def _utf8(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None


def add_items(items: list[bytes], block_number: int, lines: IntermediateLines) -> ReadCounts:
    """Add the join lines of archive items, given as COPY text of identifier, boxid and collection.

    block_number: of two items with the same identifier, the one in the earlier block wins.
    Raises ValueError if an item does not have three columns.
    """
    for place, item in enumerate(items):
        identifier, boxid, collection = item.split(b"\t")
        metadata = json.dumps({"boxid": _values(boxid), "collection": _values(collection)}).encode()
        lines.add_join(
            JoinRole.VALUE, _ITEM + escaped(unescaped(identifier)), b"%012d.%012d" % (block_number, place), metadata
        )
    return ReadCounts(items=len(items))


def _values(field: bytes) -> list[str]:
    text = "" if field == NULL else unescaped(field).decode(errors="surrogateescape")
    return text.split(";") if text else []


class JoinResolver:
    """Resolves the requests of a bucket of join lines; called for each slice of the bucket in turn."""

    def __init__(self) -> None:
        """Start a bucket."""
        self._hash = -1
        self._values_by_key: dict[bytes, bytes] = {}
        """The values of the join keys with this hash: nearly always one."""

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        """Yield the contributions that the join gives."""
        lines = IntermediateLines()
        for line, rank in zip(batch.lines, batch.ranks.tolist(), strict=True):
            if rank >> 1 != self._hash:
                self._hash, self._values_by_key = rank >> 1, {}
            key, fields = line.split(b"\t", 1)
            if rank & 1 == JoinRole.VALUE:
                self._values_by_key.setdefault(key, fields)
            else:
                _resolve(key, fields.split(b"\t"), self._values_by_key.get(key), lines)
            if len(lines) >= _BATCH_LINES:
                yield lines.take_batch()
        yield lines.take_batch()


def _resolve(key: bytes, request: list[bytes], value: bytes | None, lines: IntermediateLines) -> None:
    """Add the contribution that a request gets; value: that of its join key, None if there is none."""
    if key.startswith(_AUTHOR):
        work, position, name = request
        document = b'{"key": %b}' % name if value is None else value
        lines.add_contribution(Section.WORKS, work, Contribution.AUTHOR, int(position), position, document)
    elif value is None:
        return
    elif key.startswith(_ITEM):
        section, line_key, edition = request
        lines.add_contribution(int(section), line_key, Contribution.ITEM, 0, edition, value.split(b"\t", 1)[1])
    else:
        section, line_key = value.split(b"\t")
        lines.add_contribution(int(section), line_key, Contribution.DUPLICATE, 0, key[len(_TARGET) :], *request)
