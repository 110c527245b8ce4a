"""Check of the denormalized works: their form, and the documents that they consist of.

Documents are compared by hashes: the leader compares works and editions with those of the parts. Authors are looked up
in a Bloom filter of the part authors.

Does not: follow redirects beyond their location, or know the archive's metadata.
"""

import json
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from oldump.records.document import Rejected
from oldump.records.encoding import possibly_non_canonical
from oldump.records.keys import order_key
from oldump.records.links import author_keys, edition_links
from oldump.records.record import column
from oldump.stages.verify.deworks_line import DeworksLine, key_in, split_line, split_meta
from oldump.stages.verify.findings import OUT_OF_ORDER, FindingKind, Findings, VerifyFinding
from oldump.stages.verify.hashes import BloomFilter, hashes_of
from oldump.stages.verify.record_rules import WRONG_SPACING, is_spaced
from oldump.stages.verify.records import AUTHOR_KEY, TARGET
from oldump.stages.verify.totals import FileTotals, TextResult

_UNKNOWN_ITEM = b'{"collection": []}'
_NO_WORK = b"{}"
_SHOWN_BYTES = 60
_MOST_SUSPECTS = 100_000
SUSPECTS = "suspects"


class DeworksChecker:
    """Checks the file of denormalized works. authors: the documents of the part authors."""

    def __init__(self, file: str, authors: BloomFilter) -> None:
        self.name, self.file = "deworks", file
        self._authors = authors
        self.suspects: set[int] = set()
        """Hashes of authors' keys without a document, and of keys without duplicates, that the filter knows."""

    def check_text(self, text: bytes) -> TextResult:
        """Check the lines of a segment."""
        return check_deworks(text, self.file, self._authors)

    def check_border(self, totals: FileTotals, result: TextResult, findings: Findings) -> None:
        """Compare a segment's first line with the last line before it."""
        last, first = totals.last or b"", result.first
        if _line_order(last[:1] == b"1", last[1:]) >= _line_order(first[:1] == b"1", first[1:]):
            key = first[1:].decode(errors="backslashreplace")
            findings.add(VerifyFinding(FindingKind.ORDER, self.file, OUT_OF_ORDER, totals.records + 1, key))

    def may_start_early(self, totals: FileTotals, result: TextResult) -> bool:  # noqa: ARG002 - as RecordsChecker's
        """Whether the format ends the segment before here, although more would fit: never."""
        return False

    def collect(self, result: TextResult) -> None:
        """Keep a bounded number of suspects, because the filter may be wrong; the parts tell."""
        if len(self.suspects) < _MOST_SUSPECTS:
            self.suspects.update(result.extra[SUSPECTS].tolist())

    def manifest_members(self, totals: FileTotals) -> dict[str, Any]:
        """Return the members of the manifest that only this kind of file has."""
        return {"newest": None, "digest": totals.lines.digest, "columns": ["key", "json"], "null": None}


def check_deworks(text: bytes, file: str, authors: BloomFilter) -> TextResult:
    """Check a segment of denormalized works."""
    lines = text.removesuffix(b"\n").split(b"\n")
    findings = Findings()
    checker = _LineChecker(authors)
    for number, line in enumerate(lines, start=1):
        for what in checker.problems_in(line):
            findings.add(VerifyFinding(FindingKind.DEWORKS, file, what, number, _key_of(line)))
        if not line.partition(b"\t")[2].isascii() or b"\x7f" in line:
            what = "the JSON is not printable ASCII"
            findings.add(VerifyFinding(FindingKind.NON_CANONICAL, file, what, number, _key_of(line)))
    texts = [line.partition(b"\t")[2] for line in lines]
    for place in possibly_non_canonical(texts):
        if not is_spaced(texts[place]):
            key = _key_of(lines[place])
            findings.add(VerifyFinding(FindingKind.NON_CANONICAL, file, WRONG_SPACING, place + 1, key))
    orders = [_line_order(*place) for place in checker.places]
    for number, (order, following) in enumerate(pairwise(orders), start=2):
        if order >= following:
            key = checker.places[number - 1][1].decode(errors="backslashreplace")
            findings.add(VerifyFinding(FindingKind.ORDER, file, OUT_OF_ORDER, number, key))
    suspects = hashes_of(checker.claims)
    known = np.delete(suspects, authors.missing(suspects))
    extra = {"works": hashes_of(checker.works), "editions": hashes_of(checker.editions), SUSPECTS: known}
    (_, first_key), (_, last_key) = checker.places[0], checker.places[-1]
    first, last = (b"%d" % is_edition + key for is_edition, key in (checker.places[0], checker.places[-1]))
    hashes = hashes_of(lines)
    return TextResult(
        len(lines), findings, first_key, last_key, first, last, hashes, extra=extra, counts=checker.counts
    )


def _key_of(line: bytes) -> str:
    return line.partition(b"\t")[0].decode(errors="backslashreplace")


def _line_order(is_edition: bool, key: bytes) -> tuple[bool, Any]:
    return is_edition, order_key(key)


class _LineChecker:
    """Checks lines one by one, and collects the documents that they consist of."""

    def __init__(self, authors: BloomFilter) -> None:
        self._authors = authors
        self.counts: Counter[str] = Counter()
        self.claims: list[bytes] = []
        """What must not be in the parts: authors without a document, and redirects to keys without duplicates."""
        self.works: list[bytes] = []
        self.editions: list[bytes] = []
        self.places: list[tuple[bool, bytes]] = []
        """For each line, whether it is an edition without a work, and its key."""

    def problems_in(self, line: bytes) -> Iterator[str]:
        """Yield what is wrong with a line, and count it."""
        found = split_line(line)
        if found is None:
            self.places.append((False, line.partition(b"\t")[0]))
            yield "the line does not have the form that the format requires"
            return
        is_edition = False
        try:
            works = [edition_links(each).work for each in found.editions]
            is_edition = found.work == _NO_WORK and works == [None]
            yield from self._problems_in_editions(found, works, is_edition=is_edition)
            yield from self._problems_in_work(found, is_edition=is_edition)
        except (ValueError, Rejected, RecursionError) as error:
            yield f"a document cannot be read ({error})"
        self.places.append((is_edition, found.key))

    def _problems_in_work(self, found: DeworksLine, *, is_edition: bool) -> Iterator[str]:
        if found.work != _NO_WORK:
            self.counts["works"] += 1
            self.works.append(found.work)
            if key_in(found.work) != found.key:
                yield "the work has another key than the line"
        elif is_edition:
            self.counts["editions_without_work"] += 1
        else:
            self.counts["works_missing"] += 1
        named = author_keys(found.work)
        if len(named) != len(found.authors):
            yield f"{len(found.authors):,} authors, but the work names {len(named):,}"
        full = [each for each in found.authors if not _is_key_only(each)]
        if missing := self._authors.missing(hashes_of(full)):
            yield f"an author's document is not in the part: {full[missing[0]][:_SHOWN_BYTES].decode()}"
        self.claims += (AUTHOR_KEY + key_in(each) for each in found.authors if _is_key_only(each))
        keys = {found.key, *map(key_in, found.editions)}
        names = {column(name) for name in json.loads(found.duplicates)}
        self.claims += (TARGET + key for key in keys - names)
        if not names <= keys:
            yield "duplicates has a key that is not in the line"

    def _problems_in_editions(self, found: DeworksLine, works: list[str | None], *, is_edition: bool) -> Iterator[str]:
        if not found.editions and found.work == _NO_WORK:
            yield "neither a work nor an edition"
        items: list[bytes] = []
        for text, work in zip(found.editions, works, strict=True):
            self.counts["editions"] += 1
            belongs_to = key_in(text) if is_edition or work is None else column(work)
            if belongs_to != found.key or (work is None and not is_edition):
                yield f"edition {key_in(text).decode()} belongs to another line"
            ocaid = edition_links(text).ocaid
            edition, meta = split_meta(text, has_ocaid=ocaid is not None)
            self.editions.append(edition)
            if ocaid is not None and meta is None:
                yield f"edition {key_in(text).decode()} has no _ia_meta"
            elif meta is not None and meta != _UNKNOWN_ITEM:
                self.counts["with_item"] += 1
                items.append(b'{"identifier": %b, %b' % (json.dumps(ocaid).encode(), meta[1:]))
        if items != found.ia:
            yield "ia does not match the editions' _ia_meta"


def _is_key_only(author: bytes) -> bool:
    """Whether the author is only a key, because it has no document."""
    return author.startswith(b'{"key": "') and author.count(b'": ') == 1 and author.endswith(b'"}')
