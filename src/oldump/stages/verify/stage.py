"""Verify: everything that a run made, from the files alone.

Reads:      cdump, parts, dump, deworks, table dumps; their indexes, manifest.json, SHA256SUMS, MD5SUMS
Writes:     nothing; part of no artifact
Promises:   whatever contradicts the format, the manifest or another file is found and named, with file, line and key
Memory:     some segments, and a filter of 64 MiB at most; whatever the files' size
On failure: nothing was changed; run again
"""

import logging
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from zlib_ng import zlib_ng

from oldump.engine.segments import INDEX_SUFFIX, SEGMENT_BYTES, index_path
from oldump.engine.workers import Crew
from oldump.errors import ConfigurationError, VerificationError, storage_errors
from oldump.records.record import PARTS, part_number
from oldump.records.shapes import COLUMNS
from oldump.run.progress import Progress
from oldump.stages.verify import deworks, tables
from oldump.stages.verify.block import Order, compared, key_of, out_of_order, seen_records
from oldump.stages.verify.files import (
    IndexTotals,
    Serial,
    Stretch,
    Stretches,
    Sums,
    Text,
    index_totals,
    inflated,
    is_whole,
    sums_of,
)
from oldump.stages.verify.findings import Finding, Findings, Kind
from oldump.stages.verify.lines import Rules
from oldump.stages.verify.manifest import (
    manifest_in,
    names_of,
    wrong_counts,
    wrong_members,
    wrong_names,
    wrong_sums,
)
from oldump.stages.verify.privacy import first_day_after
from oldump.stages.verify.seen import Seen
from oldump.stages.verify.sets import Filter, SetSum, hashes_of, hashes_of_lines

log = logging.getLogger("oldump")

_TASK_BYTES = 1 << 17
"""Compressed bytes of segments that make a task, about."""
_WINDOW = 2
"""Tasks a worker that may be begun beyond the oldest one."""
_RECORD_ORDERS = {"cdump": Order(every_revision=True), "dump": Order(by_part=True)}


class VerifyResult(NamedTuple):
    """The findings of a verification and the size of what was read."""

    findings: Findings
    files: int
    records: int
    text_bytes: int
    """Of all files together."""

    @property
    def summary(self) -> str:
        """The result in one line."""
        found = f"{self.findings.summary} found" if self.findings else "nothing found"
        return f"{found}: {self.files:,} files, {self.records:,} records, {self.text_bytes:,} bytes of text"


def require_publishable(result: VerifyResult, item: Path, log_file: Path) -> None:
    """Log the result of a run's verification. Raises VerificationError if the run must not be published."""
    log.info("verify: %s", result.summary)
    if not result.findings:
        return
    for row in result.findings.table:
        log.warning("verify: %s", "  ".join(row))
    raise VerificationError(
        f"{item}: not published: {result.summary} (listed in {log_file})",
        "Delete a file that the findings name and rerun: its stage and those that depend on it run again. To start "
        "from scratch, rerun with --overwrite.",
    )


def require_clean(result: VerifyResult, folder: Path) -> None:
    """Raise VerificationError if a finished dump has findings."""
    if result.findings:
        raise VerificationError(
            f"{folder}: {result.summary}", "Do not publish it. docs/operations.md explains each kind of finding."
        )


class Subject(NamedTuple):
    """A file that is verified."""

    what: str
    """cdump, dump, deworks, or the name of a part or of a table."""
    path: Path


class Looked(NamedTuple):
    """What the leader hears of a segment."""

    text_bytes: int
    crc32: int
    wrong: str | None
    """Why its bytes are no segment."""
    first_key: bytes
    first_line_bytes: int
    seen: Seen | None


@dataclass
class Total:
    """What a file's segments add up to so far: all that the leader keeps of it."""

    records: int = 0
    text_bytes: int = 0
    crc32: int = 0
    segments: int = 0
    newest: str = ""
    by_type: Counter[str] = field(default_factory=Counter)
    lines: SetSum = field(default_factory=SetSum)
    extra: dict[str, SetSum] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    first_key: bytes | None = None
    last: bytes | None = None
    open_bytes: int = 0
    """Text of the segment before, at whose end the next one begins."""
    has_damage: bool = False
    """Whether a segment could not be read, so that sums mean nothing."""


@dataclass
class Checked:
    """What is known of a file when it was read."""

    total: Total
    findings: Findings
    sums: Sums


class _Looking:
    """The workers' side."""

    def __init__(self, subjects: list[Subject], day: date, authors: Filter) -> None:
        self._subjects, self._authors = subjects, authors
        self._first_day_after = first_day_after(day)

    def __call__(self, content: tuple[int, list[Stretch | Text]]) -> Generator[None, None, list[Looked]]:
        number, pieces = content
        yield from ()
        return [self._looked(self._subjects[number], piece) for piece in pieces]

    def _looked(self, subject: Subject, piece: Stretch | Text) -> Looked:
        text, crc32, wrong = (
            (piece.text, zlib_ng.crc32(piece.text), None) if isinstance(piece, Text) else inflated(piece.data)
        )
        if wrong is not None or not text:
            return Looked(len(text), crc32, wrong or "is empty", b"", 0, None)
        first_line = text[: text.find(b"\n") + 1] or text
        is_record = subject.what in {"cdump", "dump", *PARTS}
        first_key = key_of(first_line).encode() if is_record else first_line.partition(b"\t")[0]
        return Looked(len(text), crc32, None, first_key, len(first_line), self._seen(subject, text))

    def _seen(self, subject: Subject, text: bytes) -> Seen:
        what, name = subject.what, subject.path.name
        if what == "deworks":
            return deworks.seen_deworks(text, name, self._authors)
        if what not in {"cdump", "dump", *PARTS}:
            return tables.seen_table(text, name, what, self._first_day_after)
        rules = Rules(self._first_day_after, PARTS.index(what) if what in PARTS else None)
        seen, texts = seen_records(text, name, rules, _RECORD_ORDERS.get(what, Order()))
        if what in {"works", "authors"}:
            seen.extra["documents"] = hashes_of_lines(texts)
        elif what == "editions":
            may_differ = deworks.META in text
            seen.extra["documents"] = hashes_of(map(_bare, texts)) if may_differ else hashes_of_lines(texts)
        return seen


def _bare(text: bytes) -> bytes:
    try:
        return deworks.bare(text)
    except Exception:  # noqa: BLE001 - what is no document is found as such, line by line
        return text


def item_in(folder: Path) -> Path:
    """The dump's item: the folder itself, or the only one in it. Raises ConfigurationError."""
    if (folder / "manifest.json").exists() or folder.name.startswith("ol_dump_"):
        return folder
    items = sorted(path for path in folder.glob("ol_dump_*") if path.is_dir())
    if len(items) != 1:
        told = ", ".join(item.name for item in items) or "none"
        raise ConfigurationError(
            f"{folder}: holds not one folder ol_dump_DATE ({told})", "Give that of the dump which is to be verified."
        )
    return items[0]


def verify(folder: Path, workers: int, memory_bytes: int, progress: Progress, *, quick: bool = False) -> VerifyResult:
    """Verify the item in this folder, and the cdump's beside it. memory_bytes: what all processes may use.

    Raises SourceMissing, SourceDamaged if there is no manifest, StorageError if a file cannot be read, WorkerError.
    """
    manifest = manifest_in(folder)
    verifying = _Verifying(folder, manifest, memory_bytes, progress)
    verifying.all_files(workers, quick=quick)
    return verifying.result()


class _Verifying:
    """The leader's side."""

    def __init__(self, folder: Path, manifest: dict[str, Any], memory_bytes: int, progress: Progress) -> None:
        self._folder, self._manifest, self._progress = folder, manifest, progress
        self._day = date.fromisoformat(manifest["date"])
        self._findings = Findings()
        self._checked: dict[str, Checked] = {}
        self._sums: dict[str, Sums] = {}
        """By path, as it is seen from the folder."""
        self._authors = Filter(memory_bytes)
        self.subjects = self._subjects()

    def _subjects(self) -> list[Subject]:
        """The files that are there, parts before what is made of them."""
        names = names_of(self._day)
        order = [*PARTS, *(name for name in names if name not in {*PARTS, "cdump", "dump", "deworks"})]
        subjects = []
        for what in (*order, "cdump", "dump", "deworks"):
            item = f"ol_cdump_{self._day}" if what == "cdump" else f"ol_dump_{self._day}"
            place = self._folder.parent / item if what == "cdump" else self._folder
            if names[what] in self._manifest["artifacts"] and (place / names[what]).is_file():
                subjects.append(Subject(what, place / names[what]))
        return subjects

    def all_files(self, workers: int, *, quick: bool) -> None:
        """Check every file, and then what they are to each other."""
        self._findings.update(wrong_names(self._manifest, self._folder))
        if quick:
            for subject in self.subjects:
                self._check_structure(subject)
        else:
            looking = _Looking(self.subjects, self._day, self._authors)
            with Crew(workers, lambda _: looking) as crew:
                for number, subject in enumerate(self.subjects):
                    self._progress.begin("verify", subject.what)
                    self._check(crew, workers, number, subject)
            self._compare_files()
        self._findings.update(wrong_sums(self._folder, self._sums))

    def result(self) -> VerifyResult:
        """What was found."""
        totals = [checked.total for checked in self._checked.values()]
        return VerifyResult(
            self._findings,
            len(totals),
            sum(total.records for total in totals),
            sum(total.text_bytes for total in totals),
        )

    # One file

    def _place(self, path: Path) -> str:
        return path.name if path.parent == self._folder else f"../{path.parent.name}/{path.name}"

    def _check_structure(self, subject: Subject) -> None:
        """Sums, and what the index says of the file."""
        self._progress.begin("verify", subject.what)
        findings = Findings()
        totals = self._index(subject, findings)
        sums = sums_of(subject.path)
        total = Total()
        if totals is not None:
            total = Total(totals.records, totals.text_bytes, totals.crc32, totals.segments)
            with storage_errors(subject.path), subject.path.open("rb") as stream:
                stretches = Stretches(subject.path, stream)
                for _ in stretches:
                    pass
            for wrong in stretches.ends.wrong(totals.crc32, totals.text_bytes):
                findings.add(Finding(Kind.GZIP, subject.path.name, wrong))
            found = {"text_bytes": total.text_bytes, "records": total.records, "segments": total.segments}
            self._take_members(subject, sums, found, findings, whole=False)
        self._finish(subject, Checked(total, findings, sums))

    def _index(self, subject: Subject, findings: Findings) -> IndexTotals | None:
        name = subject.path.name + INDEX_SUFFIX
        if not index_path(subject.path).is_file():
            return None
        totals = index_totals(subject.path)
        self._sums[self._place(index_path(subject.path))] = totals.sums
        if totals.wrong is None:
            return totals
        findings.add(Finding(Kind.INDEX, name, totals.wrong, totals.line))
        return None

    def _check(self, crew: Crew, workers: int, number: int, subject: Subject) -> None:
        """Look at all of a file."""
        findings = Findings()
        usable = self._index(subject, findings) is not None
        checked = self._read(crew, workers, number, subject, by_index=usable)
        if usable and checked.total.has_damage and is_whole(subject.path):
            name = subject.path.name + INDEX_SUFFIX
            findings.add(Finding(Kind.INDEX, name, "its segments are not those of the file, which is whole"))
            usable = False
            checked = self._read(crew, workers, number, subject, by_index=False)
        findings.merge(checked.findings)
        total = checked.total
        if not total.has_damage:
            self._take_members(subject, checked.sums, self._members(subject, total, segments=usable), findings)
        self._finish(subject, Checked(total, findings, checked.sums))

    def _finish(self, subject: Subject, checked: Checked) -> None:
        self._sums[self._place(subject.path)] = checked.sums
        self._findings.merge(checked.findings)
        self._checked[subject.what] = checked

    def _members(self, subject: Subject, total: Total, *, segments: bool) -> dict[str, Any]:
        """What the manifest must say of the file, but for its sums."""
        is_record = subject.what in {"cdump", "dump", *PARTS}
        is_table = not is_record and subject.what != "deworks"
        last_key = total.last
        if last_key is not None:
            last_key = last_key[1:] if subject.what == "deworks" else (*last_key.split(b"\t", 2), b"")[int(is_record)]
        columns = COLUMNS.get(subject.what, ("key", "json") if subject.what == "deworks" else ())
        members: dict[str, Any] = {
            "text_bytes": total.text_bytes,
            "records": total.records,
            "first_key": _shown(total.first_key),
            "last_key": _shown(last_key),
            "newest": (total.newest or None) if is_record else None,
            "digest": None if is_table else total.lines.digest,
            "by_type": dict(sorted(total.by_type.items())),
            "columns": list(columns),
            "null": "\\N" if is_table else None,
        }
        return members | ({"segments": total.segments} if segments else {})

    def _take_members(
        self, subject: Subject, sums: Sums, found: dict[str, Any], findings: Findings, *, whole: bool = True
    ) -> None:
        artifact = self._manifest["artifacts"][subject.path.name]
        expected = {"item": subject.path.parent.name} if whole else {}
        found = {**expected, "size_bytes": sums.size_bytes, "sha256": sums.sha256, "md5": sums.md5, **found}
        if not whole or "segments" not in found:
            artifact = {name: value for name, value in artifact.items() if name in found}
        findings.update(wrong_members(subject.path.name, artifact, found))

    def _read(self, crew: Crew, workers: int, number: int, subject: Subject, *, by_index: bool) -> Checked:
        total, findings = Total(), Findings()
        with storage_errors(subject.path), subject.path.open("rb") as stream:
            size_bytes = max(1, subject.path.stat().st_size)
            source = Stretches(subject.path, stream) if by_index else Serial(subject.path, stream)
            for piece, each in self._looked(crew, workers, number, source):
                self._fold(subject, total, findings, piece, each)
                self._progress.update(total.records, min(source.position_bytes / size_bytes, 1.0))
            sums = source.sums()
        name = subject.path.name
        if isinstance(source, Stretches):
            for wrong in source.ends.wrong(total.crc32, total.text_bytes):
                findings.add(Finding(Kind.GZIP, name, wrong))
                total.has_damage = True
        elif source.wrong is not None:
            findings.add(Finding(Kind.GZIP, name, source.wrong))
            total.has_damage = True
        return Checked(total, findings, sums)

    def _looked(
        self, crew: Crew, workers: int, number: int, source: Stretches | Serial
    ) -> Iterator[tuple[Any, Looked]]:
        """What was seen of each piece, in the order of the file; the piece without its bytes."""
        waiting: dict[int, list[Any]] = {}
        heard: dict[int, list[Looked]] = {}

        def tasks() -> Iterator[tuple[str, Any]]:
            for task, pieces in enumerate(_together(source)):
                waiting[task] = [each.entry if isinstance(each, Stretch) else None for each in pieces]
                yield f"{self.subjects[number].path.name}, up to byte {source.position_bytes:,}", (number, pieces)

        following = 0
        for said in crew.run(tasks(), window=_WINDOW * workers):
            heard[said.number] = said.message
            while following in heard:
                yield from zip(waiting.pop(following), heard.pop(following), strict=True)
                following += 1

    def _fold(self, subject: Subject, total: Total, findings: Findings, entry: Any, looked: Looked) -> None:  # noqa: ANN401 - an Entry, or None
        """Count a segment in."""
        name, line = subject.path.name, total.records + 1
        total.segments += 1
        if looked.wrong is not None:
            total.has_damage = True
            where = "" if entry is None else f"the segment at byte {entry.offset:,} "
            findings.add(Finding(Kind.GZIP, name, where + looked.wrong, line))
        if entry is not None and looked.seen is not None:
            found = (looked.first_key, looked.seen.records, looked.text_bytes, looked.crc32)
            for member, said, value in zip(
                ("first_key", "records", "text_bytes", "crc32"),
                (entry.first_key, entry.records, entry.text_bytes, entry.crc32),
                found,
                strict=True,
            ):
                if said != value:
                    what = f"{member} of the segment at byte {entry.offset:,} is {said!r}, found {value!r}"
                    findings.add(Finding(Kind.INDEX, name + INDEX_SUFFIX, what, total.segments + 1))
        total.crc32 = zlib_ng.crc32_combine(total.crc32, looked.crc32, looked.text_bytes)
        total.text_bytes += looked.text_bytes
        if looked.seen is not None:
            self._fold_seen(subject, total, findings, looked, looked.seen)

    def _fold_seen(self, subject: Subject, total: Total, findings: Findings, looked: Looked, seen: Seen) -> None:
        name, line = subject.path.name, total.records + 1
        findings.merge(seen.findings, total.records)
        if total.last is None:
            total.first_key = looked.first_key
        else:
            self._fold_border(subject, total, findings, seen)
        starts_part = subject.what == "dump" and total.last is not None and _part(total.last) != _part(seen.first)
        if total.open_bytes and not starts_part and total.open_bytes + looked.first_line_bytes <= SEGMENT_BYTES:
            findings.add(Finding(Kind.BORDERS, name, "its first line fits into the segment before", line))
        if looked.text_bytes > SEGMENT_BYTES and seen.records > 1:
            findings.add(Finding(Kind.BORDERS, name, f"a segment of {looked.text_bytes:,} bytes", line))
        total.open_bytes = looked.text_bytes
        total.records += seen.records
        total.newest = max(total.newest, seen.newest)
        total.by_type.update(seen.by_type)
        total.counts.update(seen.counts)
        total.lines.add(seen.hashes)
        for which, hashes in seen.extra.items():
            total.extra.setdefault(which, SetSum()).add(hashes)
        if subject.what == "authors":
            self._authors.add(seen.extra["documents"])
        total.last = seen.last

    def _fold_border(self, subject: Subject, total: Total, findings: Findings, seen: Seen) -> None:
        """What is to be said of the last line before a segment and its first one."""
        name, line, last = subject.path.name, total.records + 1, total.last or b""
        if subject.what == "deworks":
            behind, key = deworks.is_behind(last, seen.first), seen.first[1:].decode(errors="backslashreplace")
        elif subject.what not in {"cdump", "dump", *PARTS}:
            behind, key = tables.stands_behind(subject.what, last, seen.first), ""
        else:
            pair = compared(last, seen.first, _RECORD_ORDERS.get(subject.what, Order()))
            total.counts["same_revision"] += pair.same_revision
            if subject.what == "cdump" and not pair.same_key:
                _take_latest(total)
            if pair.wrong is not None:
                findings.add(out_of_order(pair.wrong, name, seen.first, line))
            return
        if not behind:
            findings.add(Finding(Kind.ORDER, name, "stands behind one that comes after it", line, key))

    # All files

    def _compare_files(self) -> None:
        checked = self._checked
        if "cdump" in checked:
            _take_latest(checked["cdump"].total)
            if not checked["cdump"].total.has_damage:
                counts = checked["cdump"].total
                self._findings.update(wrong_counts(self._manifest, counts.records, counts.counts["same_revision"]))
        for part in PARTS:
            self._compare_sets("cdump", part, self._set("cdump", part), self._set(part, None))
            self._compare_sets("dump", part, self._set("dump", part), self._set(part, None))
        self._compare_texts()
        for part in ("works", "editions"):
            self._compare_sets("deworks", part, self._set("deworks", part), self._set(part, "documents"))
        self._compare_deworks_counts()

    def _set(self, what: str, which: str | None) -> SetSum | None:
        """A set of hashes of a file; None if it is not known."""
        checked = self._checked.get(what)
        if checked is None or checked.total.has_damage:
            return None
        return checked.total.lines if which is None else checked.total.extra.get(which, SetSum())

    def _compare_sets(self, what: str, part: str, one: SetSum | None, other: SetSum | None) -> None:
        if one is None or other is None or (one.members == other.members and not one.differing(other)):
            return
        kind = {"cdump": Kind.LATEST, "dump": Kind.DUMP, "deworks": Kind.DEWORKS}[what]
        names = names_of(self._day)
        told = {
            "cdump": f"{other.members:,} records are not the {one.members:,} latest of {names['cdump']}",
            "dump": f"{other.members:,} records are not the {one.members:,} of {part} in {names['dump']}",
            "deworks": f"{other.members:,} documents are not the {one.members:,} in {names['deworks']}",
        }[what]
        file = names[part] if what != "deworks" else names["deworks"]
        found = self._differing_keys(part, one, other) if what == "cdump" else ()
        if not found:
            self._findings.add(Finding(kind, file, told))
        for key, why in found:
            self._findings.add(Finding(kind, file, why, key=key))

    def _differing_keys(self, part: str, one: SetSum, other: SetSum) -> list[tuple[str, str]]:
        """The keys in which a part differs from the latest of the cdump: of the first two shares that differ."""
        shares = set(one.differing(other)[:2])
        paths = {subject.what: subject.path for subject in self.subjects}
        cdump = _hashed(_latest_lines(paths["cdump"], part), shares)
        found = _hashed(_lines(paths[part]), shares)
        keys = [
            (key, "is not, as it is, among the latest of the cdump") for each, key in found.items() if each not in cdump
        ]
        return keys + [
            (key, "the latest of the cdump is not in the part") for each, key in cdump.items() if each not in found
        ]

    def _compare_texts(self) -> None:
        """The dump's text is that of the parts, one after another."""
        totals = [self._checked[part].total for part in PARTS if part in self._checked]
        dump = self._checked.get("dump")
        if dump is None or len(totals) != len(PARTS) or any(each.has_damage for each in (*totals, dump.total)):
            return
        crc32 = 0
        for total in totals:
            crc32 = zlib_ng.crc32_combine(crc32, total.crc32, total.text_bytes)
        if (crc32, sum(total.text_bytes for total in totals)) != (dump.total.crc32, dump.total.text_bytes):
            self._findings.add(
                Finding(Kind.DUMP, names_of(self._day)["dump"], "its text is not that of the parts, one after another")
            )

    def _compare_deworks_counts(self) -> None:
        said, checked = self._manifest.get("deworks"), self._checked.get("deworks")
        if (said is None) != (names_of(self._day)["deworks"] not in self._manifest["artifacts"]):
            self._findings.add(
                Finding(Kind.MANIFEST, "manifest.json", "deworks is null although there is the file, or not")
            )
        if checked is None or checked.total.has_damage or not isinstance(said, dict):
            return
        counts = checked.total.counts
        found = {name: counts[name] for name in ("works", "editions", "works_missing", "editions_without_work")}
        for name, value in {"lines": checked.total.records, **found}.items():
            if said.get(name) != value:
                self._findings.add(
                    Finding(Kind.MANIFEST, "manifest.json", f"deworks.{name} is {said.get(name)}, found {value}")
                )
        if not isinstance(said.get("items"), int | None):
            self._findings.add(Finding(Kind.MANIFEST, "manifest.json", "deworks.items is no number"))


def _together(pieces: Iterable[Stretch | Text]) -> Iterator[list[Stretch | Text]]:
    """The pieces, as many at a time as make a task."""
    held: list[Stretch | Text] = []
    size_bytes = 0
    for piece in pieces:
        held.append(piece)
        size_bytes += len(piece.data) if isinstance(piece, Stretch) else len(piece.text)
        if size_bytes >= _TASK_BYTES:
            yield held
            held, size_bytes = [], 0
    if held:
        yield held


def _shown(key: bytes | None) -> str | None:
    return None if key is None else key.decode(errors="backslashreplace")


def _part(line: bytes) -> int:
    return part_number(line.partition(b"\t")[0])


def _take_latest(total: Total) -> None:
    """Count the last record so far among the latest of their keys."""
    if total.last is not None:
        total.extra.setdefault(PARTS[_part(total.last)], SetSum()).add(hashes_of([total.last]))


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        for piece in Serial(path, stream):
            yield from piece.text.removesuffix(b"\n").split(b"\n")


def _latest_lines(path: Path, part: str) -> Iterator[bytes]:
    """The records of a cdump that are the latest of their keys and belong to the part."""
    held: bytes | None = None
    for line in _lines(path):
        if held is not None and key_of(held) != key_of(line) and PARTS[_part(held)] == part:
            yield held
        held = line
    if held is not None and PARTS[_part(held)] == part:
        yield held


def _hashed(lines: Iterator[bytes], shares: set[int]) -> dict[int, str]:
    """The keys of the lines whose hashes lie in these shares, by hash."""
    hashes: dict[int, str] = {}
    for line in lines:
        (value,) = hashes_of([line]).tolist()
        if value >> 54 in shares:
            hashes[value] = key_of(line)
    return hashes
