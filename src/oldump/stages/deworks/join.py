"""Who asks for whom: what each record and each archive item brings to joins and to lines of deworks, and the answers.

Does not: read files, or put lines of deworks together.
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
"""What a join key begins with."""
_BATCH_LINES = 4_096


class ReadCounts(NamedTuple):
    """What the leader hears of a block."""

    works: int = 0
    editions: int = 0
    items: int = 0


def redirect_of(record: bytes) -> tuple[bytes, str] | None:
    """Key and location of a redirect; None if the record is none, or leads nowhere.

    Raises ValueError, Rejected on what is no record.
    """
    if not record.startswith(b"/type/redirect\t"):
        return None
    _, key, _, _, text = columns(record)
    key.decode()  # raises ValueError
    location = location_of(text)
    return None if location is None else (key, location)


class Links:
    """What records bring and ask."""

    def __init__(self, redirects: Redirects) -> None:
        """Take where redirects lead."""
        self._redirects = redirects

    def of_records(self, records: list[bytes], lines: IntermediateLines) -> ReadCounts:
        """Add the lines of some records of the dump. Raises ValueError, Rejected on what is no record."""
        works = editions = 0
        for record in records:
            type_key, key, _, _, text = columns(record)
            key.decode()  # raises ValueError: it is going to be written as text, and in the journal
            match type_key:
                case b"/type/edition":
                    editions += 1
                    self._edition(key, text, lines)
                case b"/type/work":
                    works += 1
                    self._work(key, text, lines)
                case b"/type/author":
                    lines.join(JoinRole.GIVEN, _AUTHOR + key, text)
                case b"/type/redirect":
                    self._redirect(key, lines)
        return ReadCounts(works=works, editions=editions)

    def _edition(self, key: bytes, text: bytes, lines: IntermediateLines) -> None:
        links = edition_links(text)
        section, line_key = (Section.EDITIONS, key) if links.work is None else (Section.WORKS, column(links.work))
        ocaid = encode_basestring_ascii(links.ocaid).encode() if links.ocaid else b""
        lines.bring(section, line_key, Contribution.EDITION, 0, key, ocaid, text)
        place = (b"%d" % section, line_key)
        if links.ocaid and (identifier := _utf8(links.ocaid)) is not None:
            lines.join(JoinRole.ASKED, _ITEM + escaped(identifier), *place, key)
        if self._redirects.may_lead_to(key):
            lines.join(JoinRole.GIVEN, _TARGET + key, *place)

    def _work(self, key: bytes, text: bytes, lines: IntermediateLines) -> None:
        lines.bring(Section.WORKS, key, Contribution.WORK, 0, text)
        for position, author in enumerate(author_keys(text)):
            asked, name = column(author), encode_basestring_ascii(author).encode()
            if (end := self._redirects.end(asked)) is not None:
                asked, name = end
            lines.join(JoinRole.ASKED, _AUTHOR + asked, key, b"%d" % position, name)

    def _redirect(self, key: bytes, lines: IntermediateLines) -> None:
        """The redirect is a duplicate of all that it leads to: each may be a line's key, or an edition's."""
        for target, _ in self._redirects.chain(key):
            lines.bring(Section.WORKS, target, Contribution.DUPLICATE, 0, target, key)
            lines.join(JoinRole.ASKED, _TARGET + target, key)


def _utf8(text: str) -> bytes | None:
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return None


def of_items(items: list[bytes], first: int, lines: IntermediateLines) -> ReadCounts:
    """Add the lines of some of the archive's items, COPY text of identifier, boxid, collection.

    first: a number that grows from block to block. Raises ValueError if an item has not three columns.
    """
    for place, item in enumerate(items):
        identifier, boxid, collection = item.split(b"\t")
        said = json.dumps({"boxid": _values(boxid), "collection": _values(collection)}).encode()
        lines.join(JoinRole.GIVEN, _ITEM + escaped(unescaped(identifier)), b"%012d.%012d" % (first, place), said)
    return ReadCounts(items=len(items))


def _values(field: bytes) -> list[str]:
    text = "" if field == NULL else unescaped(field).decode(errors="surrogateescape")
    return text.split(";") if text else []


class Answers:
    """Answers those who ask in joins: one is made for each bucket, and called for each slice of it in turn."""

    def __init__(self) -> None:
        """Begin a bucket."""
        self._hash = -1
        self._given: dict[bytes, bytes] = {}
        """What was given to the joins of this hash: nearly always one."""

    def __call__(self, batch: Batch) -> Iterator[Batch]:
        """What the answers bring to lines of deworks."""
        lines = IntermediateLines()
        for line, rank in zip(batch.lines, batch.ranks.tolist(), strict=True):
            if rank >> 1 != self._hash:
                self._hash, self._given = rank >> 1, {}
            key, fields = line.split(b"\t", 1)
            if rank & 1 == JoinRole.GIVEN:
                self._given.setdefault(key, fields)
            else:
                _answer(key, fields.split(b"\t"), self._given.get(key), lines)
            if len(lines) >= _BATCH_LINES:
                yield lines.batch()
        yield lines.batch()


def _answer(key: bytes, asked: list[bytes], given: bytes | None, lines: IntermediateLines) -> None:
    if key.startswith(_AUTHOR):
        work, position, name = asked
        document = b'{"key": %b}' % name if given is None else given
        lines.bring(Section.WORKS, work, Contribution.AUTHOR, int(position), position, document)
    elif given is None:
        return
    elif key.startswith(_ITEM):
        section, line_key, edition = asked
        lines.bring(int(section), line_key, Contribution.ITEM, 0, edition, given.split(b"\t", 1)[1])
    else:
        section, line_key = given.split(b"\t")
        lines.bring(int(section), line_key, Contribution.DUPLICATE, 0, key[len(_TARGET) :], *asked)
