"""Check of the files of records: cdump, dump and parts.

Does not: read files, or compare files with each other.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from oldump.engine.text_lines import Lines
from oldump.records.document import Rejected
from oldump.records.links import location_of
from oldump.records.record import PARTS, column, part_number
from oldump.stages.verify.deworks_line import META, without_meta
from oldump.stages.verify.findings import FindingKind, Findings, VerifyFinding
from oldump.stages.verify.hashes import BloomFilter, hashes_of, hashes_of_lines
from oldump.stages.verify.record_block import RecordBlock
from oldump.stages.verify.record_order import FileOrder, Neighbours, compare_lines, key_of, order_finding
from oldump.stages.verify.record_rules import RecordRules, problems_in
from oldump.stages.verify.totals import FileTotals, TextResult

CDUMP, DUMP = "cdump", "dump"
DOCUMENTS = "documents"
"""The set of the JSON documents of a part, which deworks is compared with."""
LOOKED_UP = "looked up"
"""What a line of deworks is checked with: keys of authors and targets of redirects, each with its prefix."""
AUTHOR_KEY, TARGET = b"author\t", b"target\t"
WARNING = "warning: "
"""The prefix of the names under which warnings are counted."""
_ORDERS = {CDUMP: FileOrder(every_revision=True), DUMP: FileOrder(by_part=True)}


class RecordsChecker:
    """Checks a file of records. authors: receives documents and keys of authors, and targets of redirects."""

    def __init__(
        self, name: str, file: str, first_day_after: str, authors: BloomFilter, withheld: frozenset[bytes] = frozenset()
    ) -> None:
        self.name, self.file = name, file
        self._rules = RecordRules(first_day_after, PARTS.index(name) if name in PARTS else None, withheld)
        self._order = _ORDERS.get(name, FileOrder())
        self._authors = authors

    def check_text(self, text: bytes) -> TextResult:
        """Check the lines of a segment."""
        result, documents = check_records(text, self.file, self._rules, self._order)
        if self.name in {"works", "authors"}:
            result.extra[DOCUMENTS] = hashes_of_lines(documents)
            if self.name == "authors":
                keys = (b"%b%b" % (AUTHOR_KEY, each.split(b"\t", 2)[1]) for each in text.splitlines() if b"\t" in each)
                result.extra[LOOKED_UP] = hashes_of(keys)
        elif self.name == "redirects":
            result.extra[LOOKED_UP] = hashes_of(target for _, target in redirect_targets(text.splitlines()))
        elif self.name == "editions":
            result.extra[DOCUMENTS] = (
                hashes_of(map(_without_meta, documents)) if META in text else hashes_of_lines(documents)
            )
        return result

    def check_border(self, totals: FileTotals, result: TextResult, findings: Findings) -> None:
        """Compare a segment's first line with the last line before it."""
        last = totals.last or b""
        pair = compare_lines(last, result.first, self._order)
        totals.counts["same_revision"] += pair.same_revision
        if self.name == CDUMP and not pair.same_key:
            add_latest(totals)
        if pair.problem is not None:
            findings.add(order_finding(pair.problem, self.file, result.first, totals.records + 1))

    def may_start_early(self, totals: FileTotals, result: TextResult) -> bool:
        """Whether the format ends the segment before here, although more would fit: a part begins in the dump."""
        return self._order.by_part and totals.last is not None and part_of(totals.last) != part_of(result.first)

    def collect(self, result: TextResult) -> None:
        """Keep what the check of another file needs; in the leader only."""
        if self.name == "authors":
            self._authors.add(result.extra[DOCUMENTS])
        if LOOKED_UP in result.extra:
            self._authors.add(result.extra[LOOKED_UP])

    def manifest_members(self, totals: FileTotals) -> dict[str, Any]:
        """Return the members of the manifest that only this kind of file has."""
        return {"newest": totals.newest or None, "digest": totals.lines.digest, "columns": [], "null": None}


def check_records(text: bytes, file: str, rules: RecordRules, order: FileOrder) -> tuple[TextResult, Lines]:
    """Check a segment of records. Return the result, and the JSON of its lines that have five columns."""
    block = RecordBlock(text, rules)
    lines, parts = block.lines, block.parts
    findings, warnings = Findings(), Counter[str]()
    if not text.endswith(b"\n"):
        findings.add(VerifyFinding(FindingKind.COLUMNS, file, "the last line does not end with a newline", len(lines)))
    for place in np.flatnonzero(block.is_doubtful).tolist():
        for kind, what in problems_in(lines.line(place), rules):
            if kind is None:
                warnings[WARNING + what] += 1
                continue
            findings.add(VerifyFinding(kind, file, what, place + 1, key_of(lines.line(place))))
    neighbours = Neighbours(lines, parts, block.ranks, order)
    for place, kind in neighbours.problems:
        findings.add(order_finding(kind, file, lines.line(place + 1), place + 2))
    hashes, first, last = hashes_of_lines(lines), lines.line(0), lines.line(-1)
    result = TextResult(
        len(lines), findings, _raw_key(first), _raw_key(last), first, last, hashes, block.newest, block.by_type
    )
    result.counts = warnings
    if order.every_revision:
        is_latest = np.append(~neighbours.same_key, np.False_)  # whether the last one is, the next segment shows
        result.extra = {PARTS[part]: hashes[is_latest & (parts == part)] for part in np.unique(parts[is_latest])}
        result.counts["same_revision"] = neighbours.same_revision
    elif order.by_part:
        result.extra = {PARTS[part]: hashes[parts == part] for part in np.unique(parts)}
    return result, block.documents


def redirect_targets(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Yield the key of each redirect that leads to another key, and that key with the prefix TARGET."""
    for line in lines:
        fields = line.split(b"\t")
        try:
            location = location_of(fields[-1])
        except (Rejected, ValueError):  # not a document: other rules find it
            continue
        if location is not None and len(fields) > 1 and column(location) != fields[1]:
            yield fields[1], TARGET + column(location)


def add_latest(totals: FileTotals) -> None:
    """Count the last record that was read among the latest records of their keys."""
    if totals.last is not None:
        totals.add_to_set(PARTS[part_of(totals.last)], hashes_of([totals.last]))


def part_of(line: bytes) -> int:
    """Return the number of the part that a record belongs to."""
    return part_number(line.partition(b"\t")[0])


def _raw_key(line: bytes) -> bytes:
    return (*line.split(b"\t", 2), b"")[1]


def _without_meta(text: bytes) -> bytes:
    try:
        return without_meta(text)
    except (Rejected, ValueError, RecursionError):  # not a document: other rules find it
        return text
