"""Comparison across files: cdump with parts, dump with parts, deworks with parts, and their counts with the manifest.

Compares sums of hashes. Only where the cdump and a part differ, a small share of both is read again to name keys.

Does not: compare a file with its own index or sums.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from zlib_ng import zlib_ng

from oldump.records.record import PARTS
from oldump.stages.verify.findings import FindingKind, VerifyFinding
from oldump.stages.verify.gzip_file import SerialReader
from oldump.stages.verify.hashes import SHARE_SHIFT, SetSum, hashes_of
from oldump.stages.verify.manifest import deworks_findings, names_of, rows_findings
from oldump.stages.verify.record_order import key_of
from oldump.stages.verify.records import AUTHOR_KEY, DOCUMENTS, TARGET, add_latest, part_of, redirect_targets
from oldump.stages.verify.totals import FileTotals


@dataclass(frozen=True)
class CheckedFile:
    """A file that was read, and the totals of its segments."""

    path: Path
    totals: FileTotals


class CrossChecks:
    """Compares the files of a run. files: by name, such as cdump, works or deworks."""

    def __init__(self, files: dict[str, CheckedFile], manifest: dict[str, Any]) -> None:
        self._manifest = manifest
        self._names = names_of(date.fromisoformat(manifest["date"]))
        self._paths = {name: file.path for name, file in files.items()}
        self._whole = {name: file.totals for name, file in files.items() if not file.totals.has_damage}
        """The files without damage. Others are not compared."""

    def findings(self) -> Iterator[VerifyFinding]:
        """Yield every contradiction between files. Raises StorageError."""
        if "cdump" in self._whole:
            cdump = self._whole["cdump"]
            add_latest(cdump)  # the last record of the file
            yield from rows_findings(self._manifest, cdump.records, cdump.counts["same_revision"])
        for part in PARTS:
            yield from self._compare_latest(part)
            yield from self._compare_dump(part)
        yield from self._compare_dump_text()
        for part in ("works", "editions"):
            yield from self._compare_deworks(part)
        yield from deworks_findings(self._manifest, self._names["deworks"], self._whole.get("deworks"))

    def _pair(self, name: str, part: str) -> tuple[SetSum, SetSum] | None:
        """Return the set of a part as found in another file and in the part itself, if both are known and differ."""
        if name not in self._whole or part not in self._whole:
            return None
        totals = self._whole[part]
        expected = self._whole[name].extra.get(part, SetSum())
        found = totals.extra.get(DOCUMENTS, SetSum()) if name == "deworks" else totals.lines
        return (expected, found) if expected.members != found.members or expected.differing(found) else None

    def _compare_latest(self, part: str) -> Iterator[VerifyFinding]:
        """Compare a part with the latest records of the cdump, and name keys that differ."""
        if (pair := self._pair("cdump", part)) is None:
            return
        expected, found = pair
        named = list(self._differing_keys(part, set(expected.differing(found)[:2])))
        for key, what in named:
            yield VerifyFinding(FindingKind.LATEST, self._names[part], what, key=key)
        if not named:
            what = f"{found.members:,} records differ from the {expected.members:,} latest of {self._names['cdump']}"
            yield VerifyFinding(FindingKind.LATEST, self._names[part], what)

    def _differing_keys(self, part: str, shares: set[int]) -> Iterator[tuple[str, str]]:
        """Yield the keys, with the difference, where a part differs from the latest records of the cdump.

        Compares only the records whose hashes are in the given shares.
        """
        expected = _keys_by_hash(_latest_lines(self._paths["cdump"], part), shares)
        found = _keys_by_hash(_lines(self._paths[part]), shares)
        for each, key in found.items():
            if each not in expected:
                yield key, "this record is not among the latest of the cdump"
        for each, key in expected.items():
            if each not in found:
                yield key, "the latest record of the cdump is not in the part"

    def _compare_dump(self, part: str) -> Iterator[VerifyFinding]:
        """Compare the dump's records of a part with the part."""
        if (pair := self._pair("dump", part)) is not None:
            expected, found = (each.members for each in pair)
            what = f"{found:,} records differ from the {expected:,} of {part} in {self._names['dump']}"
            yield VerifyFinding(FindingKind.DUMP, self._names[part], what)

    def _compare_dump_text(self) -> Iterator[VerifyFinding]:
        """Compare the dump's text with the concatenated text of the parts."""
        if not {"dump", *PARTS} <= self._whole.keys():
            return
        crc32 = text_bytes = 0
        for part in PARTS:
            totals = self._whole[part]
            crc32 = zlib_ng.crc32_combine(crc32, totals.crc32, totals.text_bytes)
            text_bytes += totals.text_bytes
        dump = self._whole["dump"]
        if (crc32, text_bytes) != (dump.crc32, dump.text_bytes):
            what = "its text is not the concatenated text of the parts"
            yield VerifyFinding(FindingKind.DUMP, self._names["dump"], what)

    def suspect_findings(self, suspects: set[int]) -> Iterator[VerifyFinding]:
        """Yield findings for suspects of deworks that the parts confirm. Raises StorageError."""
        file = self._names["deworks"]
        if suspects and {"authors", "redirects"} <= self._whole.keys():
            for line in _lines(self._paths["authors"]):
                if not suspects.isdisjoint(hashes_of([AUTHOR_KEY + line.split(b"\t", 2)[1]]).tolist()):
                    what = "an author of the part is only a key in deworks"
                    yield VerifyFinding(FindingKind.DEWORKS, file, what, key=key_of(line))
            for key, target in redirect_targets(_lines(self._paths["redirects"])):
                if not suspects.isdisjoint(hashes_of([target]).tolist()):
                    what = f"the redirect is not in the duplicates of {target.removeprefix(TARGET).decode()}"
                    yield VerifyFinding(FindingKind.DEWORKS, file, what, key=key.decode())

    def _compare_deworks(self, part: str) -> Iterator[VerifyFinding]:
        """Compare the documents in deworks with those of a part."""
        if (pair := self._pair("deworks", part)) is not None:
            expected, found = (each.members for each in pair)
            file = self._names["deworks"]
            what = f"{found:,} documents of {part} differ from the {expected:,} in {file}"
            yield VerifyFinding(FindingKind.DEWORKS, file, what)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        for piece in SerialReader(path, stream):
            yield from piece.data.removesuffix(b"\n").split(b"\n")


def _latest_lines(path: Path, part: str) -> Iterator[bytes]:
    """Yield the records of a cdump that are the latest of their keys and belong to the part."""
    number = PARTS.index(part)
    last: bytes | None = None
    for line in _lines(path):
        if last is not None and key_of(last) != key_of(line) and part_of(last) == number:
            yield last
        last = line
    if last is not None and part_of(last) == number:
        yield last


def _keys_by_hash(lines: Iterable[bytes], shares: set[int]) -> dict[int, str]:
    """Return the keys of lines with a hash in one of the shares, by hash."""
    keys: dict[int, str] = {}
    for line in lines:
        (value,) = hashes_of([line]).tolist()
        if value >> SHARE_SHIFT in shares:
            keys[value] = key_of(line)
    return keys
