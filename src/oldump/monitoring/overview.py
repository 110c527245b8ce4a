"""How the runs in an output folder stand, and which of them somebody should look at.

Told from what lies there: `status.json`, the journal and the lock of each run, the manifest of what is published. A
status may be missing (a run of an earlier version), damaged, or of a process that was killed: then the others tell.

Does not: change anything, or take a lock.
"""

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from oldump.errors import ConfigurationError, OldumpError, RunLate
from oldump.pipeline.durations import records_of
from oldump.run.folder import RunFolder
from oldump.run.forecast import shown_seconds
from oldump.run.history import Past, past_runs
from oldump.run.journal import Artifact, Journal
from oldump.run.manifest import MANIFEST, Manifest
from oldump.run.owner import Owner
from oldump.run.progress import shown_amount, shown_bytes, unit_of
from oldump.run.status import StageStatus, State, Status
from oldump.stages.archive.pointer import receipt_of

_LOOK_SECONDS = 1.0
SILENT_SECONDS = 60.0
"""A status that is older is not renewed any more: it is written every 2 s."""
_NAME = re.compile(r"(?:run-|ol_dump_)(\d{4}-\d{2}-\d{2})", re.ASCII)


class Verdict(StrEnum):
    """What a run is at, as it is seen from outside: what its status says, or what that cannot say itself."""

    RUNNING = State.RUNNING.value
    COMPLETE = State.COMPLETE.value
    FAILED = State.FAILED.value
    STOPPED = State.STOPPED.value
    DEAD = "dead"
    """Its process has ended without a word: by kill -9, or with the machine."""
    SILENT = "silent"
    """Its process may live, and does not renew the status."""
    MISSING = "missing"
    """There is none, and there should be."""
    CLOSED = "not readable"
    """This user may not look."""


_BAD = {Verdict.DEAD, Verdict.SILENT, Verdict.FAILED}


class Expected(NamedTuple):
    """What is expected of the run of the last month."""

    late_days: int
    """It is late if it is not done so many days after its date."""
    archive: bool = False
    """Whether it is done only when it is archived."""


@dataclass(frozen=True)
class Seen:
    """A run, as it is seen from outside."""

    date: date
    state: Verdict
    status: Status | None = None
    stages: list[StageStatus] = field(default_factory=list)
    seconds: float | None = None
    """That processes worked on it."""
    records: int | None = None
    """Of the cdump, when it is committed."""
    size_bytes: int | None = None
    """Of what is committed and published."""
    problem: str | None = None
    late: str | None = None
    """Why it is late; None: it is not."""
    archived: str | None = None
    """When its upload had been read back; None: it was not."""
    is_done: bool = False
    """Whether it has come as far as is expected."""

    @property
    def shown(self) -> str:
        """Its state, for people."""
        return "archived" if self.archived and self.state is Verdict.COMPLETE else self.state.value

    @property
    def is_running(self) -> bool:
        """Whether its status may be expected to change."""
        return self.state in {Verdict.RUNNING, Verdict.SILENT}

    @property
    def told(self) -> str:
        """What is wrong with it, in words; empty: nothing."""
        return "; ".join(filter(None, (self.late, self.problem)))

    @property
    def newest(self) -> str:
        """The same, or what a run that goes on has warned of last."""
        warnings = self.status.warnings if self.status and self.state is Verdict.RUNNING else []
        return self.told or (warnings[-1] if warnings else "")

    def as_json(self) -> dict[str, Any]:
        """For machines: what was found, and the status as it is written."""
        status = asdict(self.status) if self.status else None
        names = ("seconds", "records", "size_bytes", "problem", "late", "archived")
        found = {name: getattr(self, name) for name in names}
        stages = [asdict(stage) for stage in self.stages]
        return {"date": str(self.date), "state": self.state.value, **found, "stages": stages, "status": status}


@dataclass
class Looking:
    """Looks at the runs in a folder, or at one of them."""

    out: Path
    expected: Expected
    day: date | None = None
    """The one; None: all."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[float], None] = time.sleep

    def now(self) -> list[Seen]:
        """How they stand. Raises ConfigurationError if there is no such run, or no such folder can be read."""
        if self.day is None:
            return seen_runs(self.out, self.clock(), self.expected)
        seen = seen_run(RunFolder(self.out, self.day), self.clock(), self.expected)
        if seen.state is Verdict.MISSING and not seen.late:
            raise ConfigurationError(f"{self.out}: there is no run for {self.day}", "`oldump status` lists all runs.")
        return [seen]

    def choose(self) -> bool:
        """Look at one: the newest that runs, if none was named. Whether there is one."""
        if self.day is None:
            self.day = next((run.date for run in self.now() if run.is_running), None)
        return self.day is not None

    def changes(self) -> Iterator[list[Seen]]:
        """How the run stands, whenever that has changed, until it runs no more."""
        before: list[Seen] = []
        while True:
            runs = self.now()
            if runs != before:
                yield runs
            if not runs[0].is_running:
                return
            before = runs
            self.pause(_LOOK_SECONDS)


def due_date(now: datetime) -> date:
    """The date of the run that should be there: the last day of the month before, in UTC."""
    return now.date().replace(day=1) - timedelta(days=1)


def is_late(day: date, now: datetime, late_days: int) -> bool:
    """Whether a run of this date should be complete by now."""
    return now >= datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1 + late_days)


def seen_runs(out: Path, now: datetime, expected: Expected) -> list[Seen]:
    """All runs in the output folder, and the one that should be there, the newest first. Raises ConfigurationError."""
    try:
        names = [path.name for path in out.iterdir() if path.is_dir()]
    except FileNotFoundError:
        names = []
    except OSError as error:
        raise ConfigurationError(f"{out}: {error.strerror}", "Give --out the folder of the runs.") from error
    days = set(filter(None, map(_day_of, names)))
    due = due_date(now)
    if is_late(due, now, expected.late_days):
        days.add(due)
    return [seen_run(RunFolder(out, day), now, expected) for day in sorted(days, reverse=True)]


def _day_of(name: str) -> date | None:
    match = _NAME.fullmatch(name)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def seen_run(folder: RunFolder, now: datetime, expected: Expected) -> Seen:
    """The run of one date."""
    seen = _seen(folder, now)
    archived = _archived(folder) if seen.state is Verdict.COMPLETE else None
    is_done = seen.state is Verdict.COMPLETE and (archived is not None or not expected.archive)
    seen = replace(seen, archived=archived, is_done=is_done)
    if is_done or folder.date != due_date(now) or not is_late(folder.date, now, expected.late_days):
        return seen
    what = "archived" if seen.state is Verdict.COMPLETE else "complete"
    return replace(seen, late=f"late: not {what} {expected.late_days} days after its date")


def _archived(folder: RunFolder) -> str | None:
    """When all that is published now had been read back: the receipt may be of what was there before --overwrite."""
    with suppress(OldumpError):
        receipt, journal = receipt_of(folder), Journal(folder.journal)
        if receipt:
            published = {f"{each.item}/{each.name}": each.sha256 for each in journal.artifacts() if each.item}
            there = {f"{file.item}/{file.name}": file.sha256 for file in receipt.files}
            return receipt.archived if (published | journal.others).items() <= there.items() else None
    return None


def _seen(folder: RunFolder, now: datetime) -> Seen:
    if not folder.private.is_dir():
        return _seen_from_outside(folder)
    try:
        status = Status.at(folder.status)
        journal = Journal(folder.journal)
    except PermissionError:
        return Seen(folder.date, Verdict.CLOSED, problem=f"{folder.private} may be read by its owner only")
    except OSError as error:
        told = f"{folder.status}: {error.strerror}; remove it, and a run writes it anew"
        return Seen(folder.date, Verdict.FAILED, problem=told)
    except OldumpError as error:
        if isinstance(error.__cause__, PermissionError):
            return Seen(folder.date, Verdict.CLOSED, problem=f"{folder.private} may be read by its owner only")
        return Seen(folder.date, Verdict.FAILED, problem=str(error))
    artifacts = [artifact for artifact in journal.artifacts() if artifact.item]
    seen = _judged(folder, journal, status, now)
    return replace(seen, records=records_of(artifacts) or None, size_bytes=_size_bytes(artifacts))


def _seen_from_outside(folder: RunFolder) -> Seen:
    """A run without its private folder: by its manifest, and the history."""
    past = _past_of(folder)
    try:
        manifest = Manifest.at(folder.published(folder.items[1]) / MANIFEST)
    except OldumpError as error:
        there_is = folder.published(folder.items[1]).exists()
        return Seen(
            folder.date, Verdict.FAILED if there_is else Verdict.MISSING, problem=str(error) if there_is else None
        )
    return Seen(
        folder.date,
        Verdict.COMPLETE,
        stages=_stages_of(past) if past else [],
        seconds=past.seconds if past else None,
        records=records_of(manifest.artifacts),
        size_bytes=_size_bytes(manifest.artifacts),
    )


def _past_of(folder: RunFolder) -> Past | None:
    pasts = [past for past in past_runs(folder.history) if past.date == str(folder.date)]
    return pasts[-1] if pasts else None


def _stages_of(past: Past) -> list[StageStatus]:
    return [
        StageStatus(name, "committed", stage.seconds, None, stage.rows, dict(stage.steps))
        for name, stage in past.stages.items()
    ]


def _size_bytes(artifacts: Iterable[Artifact]) -> int | None:
    return sum(artifact.size_bytes for artifact in artifacts) or None


def _judged(folder: RunFolder, journal: Journal, status: Status | None, now: datetime) -> Seen:
    """What status, lock and journal say together."""
    if status is None:
        return _without_status(folder, journal)
    state, problem = Verdict(status.state.value), status.error
    if status.state is State.RUNNING:
        state, problem = _of_running(status, now)
    elif problem and status.exit_code is not None:
        problem = f"exit code {status.exit_code}: {problem}"
    if journal.published and state not in {Verdict.COMPLETE, Verdict.RUNNING, Verdict.SILENT}:
        problem = f"a command after it was complete: {problem or state.value}"  # it has begun nothing anew
        state = Verdict.COMPLETE
    return Seen(folder.date, state, status, status.stages, status.seconds, problem=problem)


def _of_running(status: Status, now: datetime) -> tuple[Verdict, str | None]:
    """Whether a process that says it runs does run, and what is wrong if not."""
    owner, age = status.of, _age(status, now)
    runs = owner.runs if owner else None
    at = ": ".join(filter(None, (status.stage, status.step))) or "no stage"
    if runs is False or (runs is None and age > SILENT_SECONDS):
        whose = f"{owner}" if owner else "it"
        return (
            Verdict.DEAD,
            f"{whose} ended without a word, last seen at {status.updated} in {at}; give the command again",
        )
    if age > SILENT_SECONDS:
        return Verdict.SILENT, f"no sign of life for {shown_seconds(age)}, last seen in {at}"
    return Verdict.RUNNING, None


def _age(status: Status, now: datetime) -> float:
    try:
        return (now - datetime.fromisoformat(status.updated)).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def _without_status(folder: RunFolder, journal: Journal) -> Seen:
    """A run of an earlier version, or with a damaged status: by its lock and its journal."""
    stages = [
        StageStatus(name, "committed", committed.seconds, None, None) for name, committed in journal.stages.items()
    ]
    seconds = sum(committed.seconds for committed in journal.stages.values()) or None
    owner = _owner_of(folder.lock)
    if owner and owner.runs is not False:
        return Seen(
            folder.date, Verdict.RUNNING, stages=stages, problem=f"{folder.status} says nothing; {owner} has it"
        )
    if journal.published:
        return Seen(folder.date, Verdict.COMPLETE, stages=stages, seconds=seconds)
    if owner:
        return Seen(folder.date, Verdict.DEAD, stages=stages, seconds=seconds, problem=f"{owner} ended without a word")
    return Seen(folder.date, Verdict.STOPPED, stages=stages, seconds=seconds, problem=f"{folder.log} says why")


def _owner_of(lock: Path) -> Owner | None:
    try:
        return Owner.read(lock.read_bytes())
    except OSError:
        return None


def require_well(runs: list[Seen]) -> None:
    """Refuse what somebody should look at. Raises RunLate, which names all of it.

    That is a run that is late; and, unless a later one is done, one that is dead, silent or failed, or that is complete
    and was to be archived, in vain.
    """
    since = max((run.date for run in runs if run.is_done), default=date.min)
    bad = [run for run in runs if run.late or (run.date > since and _has_failed(run))]
    if bad:
        told = "; ".join(f"{run.date} is {run.shown}: {run.told}" for run in bad)
        raise RunLate(told, "See `oldump status DATE` for each.")


def _has_failed(run: Seen) -> bool:
    return run.state in _BAD or (run.state is Verdict.COMPLETE and not run.is_done and run.problem is not None)


# ----------------------------------------------------------------------------------------------------- for people


def table_of_runs(runs: list[Seen]) -> list[tuple[str, ...]]:
    """A line a run, a heading first."""
    lines: list[tuple[str, ...]] = [("date", "state", "at", "share", "time", "records", "bytes", "problem")]
    for run in runs:
        size = shown_bytes(run.size_bytes) if run.size_bytes else ""
        records = f"{run.records:,}" if run.records else ""
        lines.append((str(run.date), run.shown, _at(run), _share(run), _time(run), records, size, run.newest))
    return lines


def _at(run: Seen) -> str:
    if run.status and run.status.stage and run.state is not Verdict.COMPLETE:
        return run.status.stage
    return (run.status.step or "") if run.status and run.is_running else ""


def _share(run: Seen) -> str:
    share = run.status.run_share if run.status and run.state is not Verdict.COMPLETE else None
    return "" if share is None else f"{share:.0%}"


def _time(run: Seen) -> str:
    """When it is expected to end, if it runs; else how long it took."""
    if run.state is Verdict.RUNNING and run.status and run.status.eta:
        return f"ends {_clock(run.status.eta)}"
    return shown_seconds(run.seconds)


def _clock(moment: str) -> str:
    """A moment in UTC, to the minute."""
    return moment[:16].replace("T", " ")


def facts_of(run: Seen) -> list[tuple[str, str]]:
    """What is to be said of one run, name by name."""
    status = run.status
    facts = [("run", f"{run.date}, {run.shown}")]
    if run.archived:
        facts.append(("archived", f"{_clock(run.archived)} UTC"))
    if run.told:
        facts.append(("problem", run.told))
    if status:
        facts += _facts_of_status(status, run)
    elif run.seconds:
        facts.append(("took", shown_seconds(run.seconds)))
    if run.records:
        facts.append(("records", f"{run.records:,} in the cdump"))
    if run.size_bytes:
        facts.append(("size", f"{shown_bytes(run.size_bytes)}, committed"))
    return facts


def _facts_of_status(status: Status, run: Seen) -> list[tuple[str, str]]:
    facts = [("begun", f"{_clock(status.began)} UTC, {shown_seconds(status.seconds)} of work")]
    if run.is_running:
        facts.append(("process", str(status.of or "")))
    if run.state is not Verdict.COMPLETE and (status.stage or status.step):
        facts.append(("at", " ".join(filter(None, (status.stage, status.step)))))
        facts.append(("done", _told_shares(status)))
        facts.append(("counted", _told_amount(status)))
    if run.is_running:
        facts.append(("ends", _told_end(status)))
    facts.append(("machine", _told_machine(status)))
    facts += [("warning", warning) for warning in status.warnings]
    facts.append(("log", status.log))
    return [(name, told) for name, told in facts if told]


def _told_end(status: Status) -> str:
    if status.eta is None:
        return "not known yet"
    try:
        seconds = (datetime.fromisoformat(status.eta) - datetime.fromisoformat(status.updated)).total_seconds()
    except (TypeError, ValueError):
        return "not known: the status is damaged"
    origin = f"as of {status.forecast_from}" if status.forecast_from else "there is no earlier run to go by"
    return f"in about {shown_seconds(max(0, seconds))}, {_clock(status.eta)} UTC ({origin})"


def _told_shares(status: Status) -> str:
    shares = {"step": status.step_share, "stage": status.stage_share, "run": status.run_share}
    return ", ".join(f"{share:.0%} of the {name}" for name, share in shares.items() if share is not None)


def _told_amount(status: Status) -> str:
    unit = unit_of(status.step or "")
    rates = {"now": status.rows_per_second, "on average": status.mean_rows_per_second}
    told = [f"{shown_amount(rate, unit)}/s {when}" for when, rate in rates.items() if rate is not None]
    return ", ".join([shown_amount(status.rows, unit), *told]) if status.rows else ""


def _told_machine(status: Status) -> str:
    things = {
        "memory": status.memory_bytes,
        "memory at most": status.most_memory_bytes,
        "spill": status.spill_bytes,
        "free on the disk": status.free_bytes,
    }
    if status.state is not State.RUNNING:
        del things["memory"], things["free on the disk"]
    return ", ".join(f"{name} {shown_bytes(size)}" for name, size in things.items() if size)


def table_of_stages(run: Seen) -> list[tuple[str, ...]]:
    """The stages of a run, a heading first; nothing if none is known."""
    lines = [("stage", "state", "time", "forecast", "rows")]
    for stage in run.stages:
        state = _ended(run.state) if stage.state == "running" and run.state is not Verdict.RUNNING else stage.state
        times = shown_seconds(stage.seconds), shown_seconds(stage.forecast_seconds)
        unit = unit_of(list(stage.steps)[-1]) if stage.steps else "rows"
        lines.append((stage.name, state, *times, f"{stage.rows:,}" if stage.rows and unit == "rows" else ""))
    return list(lines) if run.stages else []


def _ended(state: Verdict) -> str:
    """How a stage ended whose process says that it runs: a complete run's upload did not, when that is gone."""
    return (Verdict.DEAD if state is Verdict.COMPLETE else state).value


def told_line(run: Seen) -> str:
    """A run in one line, for where there is no terminal."""
    cells = [str(run.date), run.shown, *([_at(run)] if _at(run) else []), _share(run), _time(run), run.newest]
    return ", ".join(filter(None, cells))


def as_text(runs: list[Seen], day: date | None) -> str:
    """As JSON: a list of all runs, or the one of this day."""
    return json.dumps([run.as_json() for run in runs] if day is None else runs[0].as_json(), indent=1)
