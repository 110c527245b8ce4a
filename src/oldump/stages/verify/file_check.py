"""Check of one file: its segments in order, its index, its borders, and what they add up to.

Does not: compare the file with others.
"""

from typing import Any

from zlib_ng import zlib_ng

from oldump.engine.segments import INDEX_SUFFIX, SEGMENT_BYTES, IndexEntry
from oldump.stages.verify.findings import FindingKind, Findings, VerifyFinding
from oldump.stages.verify.segments import Checker
from oldump.stages.verify.totals import FileTotals, SegmentResult, TextResult


class FileCheck:
    """The totals and findings of a file. Its segments are added in order."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self.totals = FileTotals()
        self.findings = Findings()

    def add(self, entry: IndexEntry | None, segment: SegmentResult) -> None:
        """Add the next segment. entry: what the index says of it; None without an index."""
        totals = self.totals
        totals.segments += 1
        if segment.damage is not None:
            where = "" if entry is None else f"the segment at byte {entry.offset:,} "
            self.add_damage(where + segment.damage, totals.records + 1)
        if entry is not None and segment.text is not None:
            self._compare_entry(entry, segment, segment.text)
        totals.crc32 = zlib_ng.crc32_combine(totals.crc32, segment.crc32, segment.text_bytes)
        totals.text_bytes += segment.text_bytes
        if segment.text is not None:
            self._add_text(segment, segment.text)

    def add_damage(self, what: str, line: int | None = None) -> None:
        """Add a finding of damaged gzip: the file's totals are then not compared."""
        self.totals.has_damage = True
        self.findings.add(VerifyFinding(FindingKind.GZIP, self._checker.file, what, line))

    def _compare_entry(self, entry: IndexEntry, segment: SegmentResult, result: TextResult) -> None:
        found = {
            "first_key": result.first_key,
            "records": result.records,
            "text_bytes": segment.text_bytes,
            "crc32": segment.crc32,
        }
        for member, value in found.items():
            expected = getattr(entry, member)
            if expected != value:
                what = f"{member} of the segment at byte {entry.offset:,} is {expected!r}, found {value!r}"
                file, line = self._checker.file + INDEX_SUFFIX, self.totals.segments + 1
                self.findings.add(VerifyFinding(FindingKind.INDEX, file, what, line))

    def _add_text(self, segment: SegmentResult, result: TextResult) -> None:
        totals, checker = self.totals, self._checker
        self.findings.merge(result.findings, totals.records)
        self._check_borders(segment, result)
        if totals.last is None:
            totals.first_key = result.first_key
        else:
            checker.check_border(totals, result, self.findings)
        totals.open_bytes = segment.text_bytes
        totals.records += result.records
        totals.newest = max(totals.newest, result.newest)
        totals.by_type.update(result.by_type)
        totals.counts.update(result.counts)
        totals.lines.add(result.hashes)
        for name, hashes in result.extra.items():
            totals.add_to_set(name, hashes)
        checker.collect(result)
        totals.last, totals.last_key = result.last, result.last_key

    def _check_borders(self, segment: SegmentResult, result: TextResult) -> None:
        totals, checker = self.totals, self._checker
        fits = 0 < totals.open_bytes <= SEGMENT_BYTES - segment.first_line_bytes
        if fits and not checker.may_start_early(totals, result):
            self._add_border_finding("the first line of the segment fits into the segment before")
        if segment.text_bytes > SEGMENT_BYTES and result.records > 1:
            self._add_border_finding(f"the segment has {segment.text_bytes:,} bytes of text")

    def _add_border_finding(self, what: str) -> None:
        line = self.totals.records + 1
        self.findings.add(VerifyFinding(FindingKind.BORDERS, self._checker.file, what, line))

    def manifest_members(self, *, has_index: bool) -> dict[str, Any]:
        """Return what the manifest must say of the file, apart from item, size and checksums."""
        totals = self.totals
        members: dict[str, Any] = {
            "text_bytes": totals.text_bytes,
            "records": totals.records,
            "first_key": _decoded(totals.first_key),
            "last_key": _decoded(totals.last_key),
            "by_type": dict(sorted(totals.by_type.items())),
            **self._checker.manifest_members(totals),
        }
        return members | ({"segments": totals.segments} if has_index else {})


def _decoded(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="backslashreplace")
