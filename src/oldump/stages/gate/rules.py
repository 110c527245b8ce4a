"""Rules that compare the figures of a run with those of an earlier one and find reasons not to publish it.

Only decreases and repeated rows count, because the catalogue grows; small numbers are ignored (settings.gate_least).

Does not: read files.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from oldump.records.record import OTHER
from oldump.run.journal import Artifact
from oldump.settings import Settings
from oldump.stages.gate.comparison import Changes

Filled = Mapping[str, Mapping[str, int]]
"""By part and member, the number of documents in which it has a value."""

CDUMP, DUMP, DEWORKS = "cdump", "dump", "deworks"
_MOMENT_OF_CUTOFF = "T23:59:59.999999"


class Rule(StrEnum):
    """A rule. Its value is its name in the manifest."""

    EMPTY = "empty"
    RECORDS = "records"
    BYTES = "bytes"
    UNFINISHED = "unfinished"
    NEWEST = "newest"
    IDENTICAL = "identical"
    CHANGED = "changed"
    LOST = "lost"
    FILL = "fill"
    REPEATED = "repeated"


@dataclass(frozen=True)
class GateFinding:
    """A reason not to publish a run."""

    rule: Rule
    about: str
    """The artifact and its figure, such as `works, records`."""
    what: str
    """The figure before and now, and what is allowed."""

    def __str__(self) -> str:
        """Return the finding as text for the log."""
        return f"{self.about}: {self.what}"

    def as_json(self) -> dict[str, str]:
        """Return the finding as journal and manifest have it."""
        return {"rule": self.rule, "about": self.about, "told": self.what}


@dataclass(frozen=True)
class Figures:
    """The figures of a run that are compared."""

    day: date
    artifacts: Mapping[str, Artifact]
    """By name in the table of stages, such as cdump, works or ratings."""
    filled: Filled | None = None
    """None if they were not counted."""
    items: int | None = None
    """Archive items that deworks was made with."""
    read_at: str | None = None
    """The time of the snapshot, or when the source file was written, in ISO format; None if unknown."""
    same_revision: int | None = None
    """Records of the cdump with the key and revision of another; None if unknown."""


def gate_findings(
    now: Figures, before: Figures | None, changes: Changes | None, settings: Settings
) -> list[GateFinding]:
    """Return all findings. before: None without an earlier run. changes: None if they are unknown."""
    found = [*_unfinished(now), *_too_old(now, settings), *_repeated(now, before, settings)]
    if before is not None:
        for name in now.artifacts.keys() & before.artifacts.keys():
            found += _decreases(name, now.artifacts[name], before.artifacts[name], settings)
        found += _fewer_items(now, before, settings)
        found += _identical(now, before)
        found += _fewer_values(now, before, settings)
    if changes is not None:
        found += _changed(changes, settings)
    return sorted(found, key=lambda each: (list(Rule).index(each.rule), each.about))


def gate_warnings(now: Figures, before: Figures) -> list[str]:
    """Return a warning for each artifact of the earlier run that this run does not have, since it was skipped."""
    missing = {name: before.artifacts[name].records for name in before.artifacts.keys() - now.artifacts.keys()}
    if before.items and DEWORKS in now.artifacts and now.items is None:
        missing["ia-metadata"] = before.items
    return [
        f"{name}: the run of {before.day} has it, with {records:,} lines; this run does not"
        for name, records in sorted(missing.items())
    ]


def _unfinished(now: Figures) -> Iterator[GateFinding]:
    read_at = datetime.fromisoformat(now.read_at).astimezone(UTC) if now.read_at else None
    if read_at and read_at.date() <= now.day:
        what = f"read at {read_at:%Y-%m-%d %H:%M} UTC, before {now.day} was over: later edits of that day are missing"
        yield GateFinding(Rule.UNFINISHED, "source", what)


def _too_old(now: Figures, settings: Settings) -> Iterator[GateFinding]:
    newest = now.artifacts[CDUMP].newest or ""
    days = settings.gate_newest_days
    earliest = date.fromordinal(max(1, now.day.toordinal() - days))
    if newest < f"{earliest}{_MOMENT_OF_CUTOFF}":
        yield GateFinding(
            Rule.NEWEST,
            f"{CDUMP}, newest record",
            f"{newest or 'none'}, more than {days} days before the cutoff, {now.day}",
        )


def _repeated(now: Figures, before: Figures | None, settings: Settings) -> Iterator[GateFinding]:
    """Find a source with rows twice: an increase of records with the key and revision of another, from 0 at first."""
    known = (before.same_revision if before else None) or 0
    more, records = (now.same_revision or 0) - known, now.artifacts[CDUMP].records
    if more > settings.gate_repeated * records and more >= settings.gate_least:
        yield GateFinding(
            Rule.REPEATED,
            f"{CDUMP}, records with the same key and revision",
            f"{known:,} before, {now.same_revision:,} now: an increase by {more / records:.2%} of all, "
            f"{settings.gate_repeated:.2%} is allowed",
        )


def _decreases(name: str, now: Artifact, before: Artifact, settings: Settings) -> Iterator[GateFinding]:
    if before.records and not now.records:
        yield GateFinding(Rule.EMPTY, name, f"{before.records:,} records before, none now")
        return
    allowed = settings.gate_cdump_fall if name == CDUMP else settings.gate_records_fall
    yield from _decrease(Rule.RECORDS, f"{name}, records", now.records, before.records, allowed, settings.gate_least)
    if name in {CDUMP, OTHER}:  # other parts have one type, and the dump consists of the parts
        for type_key, records in before.by_type.items():
            about, left = f"{name}, records of {type_key}", now.by_type.get(type_key, 0)
            yield from _decrease(Rule.RECORDS, about, left, records, allowed, settings.gate_least)
    if before.records >= settings.gate_least:
        for what in ("size_bytes", "text_bytes"):
            about = f"{name}, {what}"
            yield from _decrease(
                Rule.BYTES, about, getattr(now, what), getattr(before, what), settings.gate_bytes_fall, 0
            )
    if (now.newest or "") < (before.newest or "") and name == CDUMP:
        yield GateFinding(Rule.NEWEST, f"{name}, newest record", f"{before.newest} before, {now.newest} now")


def _fewer_items(now: Figures, before: Figures, settings: Settings) -> Iterator[GateFinding]:
    if before.items and now.items is not None:
        about = f"{DEWORKS}, archive items"
        if not now.items:
            yield GateFinding(Rule.EMPTY, about, f"{before.items:,} before, none now")
        yield from _decrease(
            Rule.RECORDS, about, now.items, before.items, settings.gate_records_fall, settings.gate_least
        )


def _identical(now: Figures, before: Figures) -> Iterator[GateFinding]:
    """Find artifacts that are the same under another date. A run for the same date should be the same."""
    if now.day == before.day:
        return
    for name in now.artifacts.keys() & before.artifacts.keys():
        ours, theirs = now.artifacts[name], before.artifacts[name]
        is_table = bool(ours.columns) and name != DEWORKS
        if (is_table or name in {CDUMP, DUMP}) and ours.records and _content(ours) == _content(theirs):
            yield GateFinding(Rule.IDENTICAL, name, f"the same {ours.records:,} lines as on {before.day}")


def _content(artifact: Artifact) -> tuple[object, ...]:
    return artifact.records, artifact.text_bytes, artifact.digest or artifact.sha256


def _fewer_values(now: Figures, before: Figures, settings: Settings) -> Iterator[GateFinding]:
    for part, counts in (before.filled or {}).items():
        all_before, all_now = before.artifacts[part].records, now.artifacts[part].records
        for member, count in counts.items():
            if now.filled is None or not all_now or not count:
                continue
            expected = count / all_before * all_now
            left = now.filled[part].get(member, 0)
            allowed = settings.gate_fill_fall
            if expected - left >= settings.gate_least and left < (1 - allowed) * expected:
                share, was = left / all_now, count / all_before
                yield GateFinding(
                    Rule.FILL,
                    f"{part}, documents with {member}",
                    f"{was:.2%} before, {share:.2%} now: a decrease of {1 - share / was:.2%}, {allowed:.2%} is allowed",
                )


def _changed(changes: Changes, settings: Settings) -> Iterator[GateFinding]:
    lost = changes.gone + changes.older
    before = changes.same + changes.changed + lost
    if not before:
        return
    if lost > settings.gate_lost * before and lost >= settings.gate_least:
        yield GateFinding(
            Rule.LOST,
            "dump, records lost",
            f"{changes.gone:,} keys gone and {changes.older:,} with an earlier revision, of {before:,}: "
            f"{lost / before:.2%}, {settings.gate_lost:.2%} is allowed",
        )
    if changes.changed > settings.gate_changed * before and changes.changed >= settings.gate_least:
        yield GateFinding(
            Rule.CHANGED,
            "dump, records changed",
            f"{changes.changed:,} of {before:,}: {changes.changed / before:.2%}, "
            f"{settings.gate_changed:.2%} is allowed",
        )


def _decrease(rule: Rule, about: str, now: int, before: int, allowed: float, least: int) -> Iterator[GateFinding]:
    """Find a decrease by more than the allowed share and by at least `least`."""
    if now < (1 - allowed) * before and before - now >= least:
        what = f"{before:,} before, {now:,} now: a decrease of {1 - now / before:.2%}, {allowed:.2%} is allowed"
        yield GateFinding(rule, about, what)
