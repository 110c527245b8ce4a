"""Assemble lines of deworks from their sorted contributions.

The engine sorts; this module does not.
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
from oldump.stages.deworks.redirects import duplicate_key

STREAM = "deworks"
_WORK, _EDITION, _AUTHOR, _ITEM = (
    KIND_CODES[kind] for kind in (Contribution.WORK, Contribution.EDITION, Contribution.AUTHOR, Contribution.ITEM)
)
_UNKNOWN_ITEM = b'{"collection": []}'
_MASK = (1 << 64) - 1


@dataclass
class DeworksTally:
    """Counts and digest of deworks lines."""

    lines: int = 0
    works: int = 0
    editions: int = 0
    works_missing: int = 0
    """Lines whose work does not exist although editions refer to it."""
    editions_without_work: int = 0
    digest: int = 0
    """Computed like the digest of records: see oldump.records.tally."""
    last_key: bytes = b""

    def add(self, other: "DeworksTally") -> None:
        """Add the tally of the next bucket."""
        self.lines += other.lines
        self.works += other.works
        self.editions += other.editions
        self.works_missing += other.works_missing
        self.editions_without_work += other.editions_without_work
        self.digest = (self.digest + other.digest) & _MASK
        self.last_key = other.last_key or self.last_key


class Edition(NamedTuple):
    """The contribution of an edition."""

    key: bytes
    ocaid: bytes
    """The identifier as JSON; empty if the edition has none."""
    text: bytes


@dataclass(slots=True)
class LineContent:
    """The contributions to one line of deworks."""

    section: int
    key: bytes
    work: bytes | None = None
    editions: list[Edition] = field(default_factory=list)
    authors: list[bytes] = field(default_factory=list)
    items: dict[bytes, bytes] = field(default_factory=dict)
    """Archive metadata of the scans, by the key of the edition."""
    duplicates: dict[bytes, set[bytes]] = field(default_factory=dict)

    @property
    def is_a_line(self) -> bool:
        """Whether there is a work or an edition: a redirect may point to a key with neither."""
        return self.work is not None or bool(self.editions)

    def add(self, kind: bytes, fields: list[bytes]) -> None:
        """Add a contribution. Raises RecordError if the same document was added before."""
        if kind == _EDITION:
            if self.editions and self.editions[-1].key == fields[0]:
                raise duplicate_key(fields[0])
            self.editions.append(Edition(*fields))
        elif kind == _AUTHOR:
            self.authors.append(fields[1])
        elif kind == _WORK:
            if self.work is not None:
                raise duplicate_key(self.key)
            (self.work,) = fields
        elif kind == _ITEM:
            self.items.setdefault(*fields)
        else:
            self.duplicates.setdefault(fields[0], set()).add(fields[1])

    def line(self) -> bytes:
        """Return the line of deworks, without its newline."""
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
        if b'"_ia_meta"' in edition.text:  # the edition may already have this member: replace its value
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


class Assembler:
    """Assembles a bucket's sorted contributions into lines of deworks."""

    def __init__(self) -> None:
        """Start a bucket."""
        self._content: LineContent | None = None
        """The content of the last line so far, which the next batch may continue."""
        self._tally = DeworksTally()

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:
        """Return the next lines of deworks."""
        made: list[bytes] = []
        content = self._content
        for line, rank in zip(batch.lines, batch.ranks.tolist(), strict=True):
            key, kind, *fields = line.split(b"\t")
            section = rank >> SECTION_SHIFT
            if content is None or content.key != key or content.section != section:
                self._finish(content, made)
                content = LineContent(section, key)
            content.add(kind, fields)
        if last:
            self._finish(content, made)
            content = None
        self._content = content
        return {STREAM: Lines.of(made)}

    def tally(self) -> DeworksTally:
        """Return the tally of the bucket's lines."""
        return self._tally

    def _finish(self, content: LineContent | None, made: list[bytes]) -> None:
        """Append the line for complete content to `made` and count it, unless the content does not form a line."""
        if content is None or not content.is_a_line:
            return
        line = content.line()
        made.append(line)
        tally = self._tally
        tally.lines += 1
        tally.editions += len(content.editions)
        tally.digest = (tally.digest + xxh3_64_intdigest(line)) & _MASK
        tally.last_key = content.key
        if content.work is not None:
            tally.works += 1
        elif content.section == Section.EDITIONS:
            tally.editions_without_work += 1
        else:
            tally.works_missing += 1
