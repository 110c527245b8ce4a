"""Lines of deworks, put together from what was brought to each.

Does not: sort; the engine does.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from xxhash import xxh3_64_intdigest

from oldump.engine.frames import Batch
from oldump.engine.text_lines import Lines
from oldump.records.document import parsed, printed
from oldump.records.keys import order_key
from oldump.stages.deworks.intermediate import KIND_CODES, SECTION_SHIFT, Contribution, Section
from oldump.stages.deworks.redirects import standing_twice

STREAM = "deworks"
_WORK, _EDITION, _AUTHOR, _ITEM = (
    KIND_CODES[kind] for kind in (Contribution.WORK, Contribution.EDITION, Contribution.AUTHOR, Contribution.ITEM)
)
_UNKNOWN_ITEM = b'{"collection": []}'
_MASK = (1 << 64) - 1


@dataclass
class DeworksTally:
    """What the leader hears of a bucket."""

    lines: int = 0
    works: int = 0
    editions: int = 0
    works_missing: int = 0
    """Lines whose work does not exist."""
    editions_without_work: int = 0
    digest: int = 0
    """As that of records: see oldump.records.tally."""
    last_key: bytes = b""

    def add(self, other: "DeworksTally") -> None:
        """Count in the bucket behind."""
        self.lines += other.lines
        self.works += other.works
        self.editions += other.editions
        self.works_missing += other.works_missing
        self.editions_without_work += other.editions_without_work
        self.digest = (self.digest + other.digest) & _MASK
        self.last_key = other.last_key or self.last_key


class Edition(NamedTuple):
    """An edition, as it was brought."""

    key: bytes
    ocaid: bytes
    """As JSON; empty if it has none."""
    text: bytes


@dataclass(slots=True)
class Brought:
    """All that was brought to one line."""

    section: int
    key: bytes
    work: bytes | None = None
    editions: list[Edition] = field(default_factory=list)
    authors: list[bytes] = field(default_factory=list)
    items: dict[bytes, bytes] = field(default_factory=dict)
    """What the archive says of the scan of an edition, by its key."""
    duplicates: dict[bytes, set[bytes]] = field(default_factory=dict)

    @property
    def is_a_line(self) -> bool:
        """Whether there is a work or an edition; a redirect may lead to a key that is of neither."""
        return self.work is not None or bool(self.editions)

    def take(self, kind: bytes, fields: list[bytes]) -> None:
        """Take what a line brought. Raises RecordError on a document that was brought before."""
        if kind == _EDITION:
            if self.editions and self.editions[-1].key == fields[0]:
                raise standing_twice(fields[0])
            self.editions.append(Edition(*fields))
        elif kind == _AUTHOR:
            self.authors.append(fields[1])
        elif kind == _WORK:
            if self.work is not None:
                raise standing_twice(self.key)
            (self.work,) = fields
        elif kind == _ITEM:
            self.items.setdefault(*fields)
        else:
            self.duplicates.setdefault(fields[0], set()).add(fields[1])

    def line(self) -> bytes:
        """The line of deworks, without its newline."""
        return b'%b\t{"work": %b, "editions": [%b], "authors": [%b], "ia": [%b], "duplicates": {%b}}' % (
            self.key,
            self.work or b"{}",
            b", ".join(map(self._with_ia_meta, self.editions)),
            b", ".join(self.authors),
            b", ".join(self._ia()) if self.items else b"",
            b", ".join(self._duplicates()) if self.duplicates else b"",
        )

    def _with_ia_meta(self, edition: Edition) -> bytes:
        if not edition.ocaid:
            return edition.text
        item = self.items.get(edition.key, _UNKNOWN_ITEM)
        if b'"_ia_meta"' in edition.text:  # it has one already, perhaps, which is replaced in its place
            return printed({**parsed(edition.text), "_ia_meta": parsed(item)})
        return b'%b, "_ia_meta": %b}' % (edition.text[:-1], item)

    def _ia(self) -> Iterator[bytes]:
        for edition in self.editions:
            item = self.items.get(edition.key)
            if item is not None:
                yield b'{"identifier": %b, %b' % (edition.ocaid, item[1:])

    def _duplicates(self) -> Iterator[bytes]:
        names = dict.fromkeys((self.key, *(edition.key for edition in self.editions)))
        for name in names:
            if name in self.duplicates:
                sources = sorted(self.duplicates[name], key=order_key)
                yield b"%b: %b" % (_json(name.decode()), _json([source.decode() for source in sources]))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


class Denormal:
    """Arranges a bucket's sorted lines into lines of deworks."""

    def __init__(self) -> None:
        """Begin a bucket."""
        self._brought: Brought | None = None
        """What was brought to the line that the slice before may not have ended."""
        self._tally = DeworksTally()

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:
        """The next lines of deworks."""
        made: list[bytes] = []
        brought = self._brought
        for line, rank in zip(batch.lines, batch.ranks.tolist(), strict=True):
            key, kind, *fields = line.split(b"\t")
            section = rank >> SECTION_SHIFT
            if brought is None or brought.key != key or brought.section != section:
                self._end(brought, made)
                brought = Brought(section, key)
            brought.take(kind, fields)
        if last:
            self._end(brought, made)
            brought = None
        self._brought = brought
        return {STREAM: Lines.of(made)}

    def tally(self) -> DeworksTally:
        """Counts of what was made."""
        return self._tally

    def _end(self, brought: Brought | None, made: list[bytes]) -> None:
        """Make the line for which all has been brought."""
        if brought is None or not brought.is_a_line:
            return
        line = brought.line()
        made.append(line)
        tally = self._tally
        tally.lines += 1
        tally.editions += len(brought.editions)
        tally.digest = (tally.digest + xxh3_64_intdigest(line)) & _MASK
        tally.last_key = brought.key
        if brought.work is not None:
            tally.works += 1
        elif brought.section == Section.EDITIONS:
            tally.editions_without_work += 1
        else:
            tally.works_missing += 1
