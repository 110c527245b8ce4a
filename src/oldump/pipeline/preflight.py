"""Preflight: what can be known to go wrong, found out before the long work.

Each check says what was found, with numbers, and what to do about it; none keeps the others from being made. A run
logs warnings and raises the first failure; `doctor` shows them all.

Does not: change anything, or know the order of stages: it is told what is going to be read and written.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from oldump.engine.blocks import SharedMemory, Source
from oldump.errors import ConfigurationError, OldumpError, StorageFull, storage_errors
from oldump.kernel.rows import COMPILED
from oldump.outside import postgres
from oldump.outside.postgres import SCANS_RANGES, Examined, Query, TableSize
from oldump.pipeline.sources import naming, status_of
from oldump.run.folder import RunFolder
from oldump.run.formatting import format_bytes
from oldump.run.lock import require_free
from oldump.run.spill import require_place
from oldump.settings import flag_of
from oldump.stages import extract
from oldump.stages.dumps.latest import CDUMP
from oldump.stages.tables import TABLE_OF

# What takes room, measured on 24 November 2026 on synth's rows (200,000 and 1 million, --memory 192M to 2G) and on the
# 690 rows of Open Library's development database. Each is the most that was measured, rounded up; together they come
# to a fifth more than what a run took at its peak. docs/performance.md has the figures.
TEXT_PER_TABLE = 1.0
"""COPY text for a byte of table data on the server's disk: 0.91 of synth's, 0.79 of the development database."""
DATA_PER_TEXT = 0.30
"""data.txt.gz for a byte of text: 0.264 and 0.165."""
SPILL_PER_TEXT = 0.25
"""The spill for a byte of text: of dumps 0.14 to 0.21 and 0.24, then of deworks 0.09 to 0.10 and 0.23."""
CDUMP_PER_TEXT = 0.14
"""The cdump for a byte of text, at level 6: 0.108 and 0.134."""
DUMP_PER_TEXT = 0.08
"""The dump for a byte of text, at level 6: 0.070 of synth's; the development database has no earlier revisions."""
DEWORKS_PER_TEXT = 0.09
"""Deworks for a byte of text, at level 6: 0.077 and 0.087."""
LOW_LEVEL = 1.6
"""What level 1 makes of records, for a byte that level 6 makes: 1.51 to 1.59. It is taken for all levels below 6."""
DUMPS_PER_TABLE = 0.15
"""A table dump for a byte of its table: 0.03 to 0.114 of the demo's."""

_TABLES = "tables"
_SPILL = "spill"
_THINGS = {
    "data": ("data",),
    CDUMP: ("spill", "cdump", "parts"),
    "dump": ("dump",),
    "deworks": ("spill", "deworks"),
}
"""What takes room when something is written, by the names of the table of stages; table dumps are one thing."""
_MEASURED_LEVEL = 6
_SPARE = 1.2
_CLOCK_WARNING_SECONDS = 120
_CLOCK_FAILURE_SECONDS = 86_400


class Verdict(StrEnum):
    """What a check comes to."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Check:
    """What was looked at, and what came of it."""

    what: str
    verdict: Verdict
    told: str
    """What was found, and where; without a full stop."""
    hint: str = ""
    """What to do about it."""
    error: OldumpError | None = None
    """What a run raises: of a failure."""
    needed: Mapping[str, int] | None = None
    """The bytes of each thing that is going to be written, where they are known: of the check of the disk."""

    @classmethod
    def passed(cls, what: str, told: str) -> "Check":
        """Nothing is wrong."""
        return cls(what, Verdict.OK, told)

    @classmethod
    def warned(cls, what: str, told: str, hint: str) -> "Check":
        """A run may go well in spite of it."""
        return cls(what, Verdict.WARNING, told, hint)

    @classmethod
    def failed(cls, what: str, error: OldumpError) -> "Check":
        """A run would fail with this error."""
        return cls(what, Verdict.FAILURE, error.message, error.hint, error)

    @property
    def row(self) -> tuple[str, ...]:
        """For a table: what, verdict, found, what to do."""
        return self.what, self.verdict.value, self.told, self.hint

    def __str__(self) -> str:
        """For a log line."""
        return f"{self.told}. {self.hint}" if self.hint else self.told


@dataclass(frozen=True)
class Reading:
    """A database, and what is going to be read of it."""

    name: str
    setting: str
    """That says where it is."""
    conninfo: str | None
    queries: Mapping[str, Query]
    """By the stage that asks."""


@dataclass(frozen=True)
class Work:
    """What is going to be done."""

    folder: RunFolder
    readings: list[Reading]
    file: str | None
    """The source, if it is a file and its rows are read."""
    writes: set[str]
    """What the stages write, by the names of the table of stages."""
    text_bytes: int | None
    """Of table data, where it is extracted already."""
    left_bytes: int
    """What a run that was stopped left, and the next one goes on with or removes."""
    memory_bytes: int
    level: int
    jobs: int
    """Connections that copy table data."""
    spill: Path | None = None
    """Where the spill lies, or is to lie; None: in the run's folder."""

    @property
    def spill_is_apart(self) -> bool:
        """Whether the spill is on another disk than what is made of it."""
        return self.spill is not None and _disk(self.spill) != _disk(self.folder.private)

    @property
    def spilled_bytes(self) -> int:
        """Of left_bytes, what lies on the disk of a spill that is apart."""
        spilled = self.folder.spill
        if self.spill is None or not self.spill_is_apart or _disk(spilled) != _disk(self.spill):
            return 0
        return sum(map(size_bytes, spilled.rglob("*")))


def checks(work: Work) -> Iterator[Check]:
    """All of them, as they are made."""
    yield folder_check("output folder", work.folder.private, work.folder.out)
    if work.spill:
        yield spill_check(work.spill)
    text_bytes = work.text_bytes
    if work.file:
        check, text_bytes = file_check(work.file)
        yield check
    examined: dict[str, Examined] = {}
    for reading in work.readings:
        try:
            examined[reading.name] = _examine(reading)
        except OldumpError as error:
            yield Check.failed(reading.name, error)
        else:
            yield from database_checks(reading, examined[reading.name])
            yield from connection_checks(reading, examined[reading.name], work.jobs)
    sizes = {table: size for each in examined.values() for table, size in each.sizes.items()}
    needed = needs(work.writes, text_bytes, sizes, work.level)
    yield from disk_checks(work, needed)
    yield memory_check(work.memory_bytes, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    yield kernel_check()
    yield clock_check({name: each.ahead_seconds for name, each in examined.items()})
    yield date_check(work.folder.date, datetime.now(UTC).date())


# ----------------------------------------------------------------------------------------------- files and folders


def folder_check(what: str, folder: Path, shown: Path | None = None) -> Check:
    """Whether files can be made in a folder, or where it is going to be: one is made, and removed."""
    try:
        with storage_errors(folder), tempfile.TemporaryFile(dir=_existing(folder)) as file:
            file.write(b"?")
    except OldumpError as error:
        return Check.failed(what, error)
    return Check.passed(what, f"{shown or folder}: can be written")


def spill_check(spill: Path) -> Check:
    """Whether files can be made where the spill is to lie, by its setting."""
    try:
        require_place(spill)
        with storage_errors(spill), tempfile.TemporaryFile(dir=spill) as file:
            file.write(b"?")
    except OldumpError as error:
        return Check.failed("spill", error)
    return Check.passed("spill", f"{spill}: can be written")


def lock_check(folder: RunFolder) -> Check:
    """Whether no process works on the run."""
    try:
        require_free(folder.lock)
    except OldumpError as error:
        return Check.failed("lock", error)
    return Check.passed("lock", f"{folder.private}: no process works on this run")


def file_check(name: str) -> tuple[Check, int | None]:
    """Whether a source can be read; and its text, roughly, None where nobody can know."""
    try:
        status_of(name)
        source = Source(Path(name), SharedMemory(1, 1))
    except OldumpError as error:
        return Check.failed("source", error), None
    size = "of unknown size" if source.size_bytes is None else format_bytes(source.size_bytes)
    return Check.passed("source", f"{name}: can be read, {size}"), source.about_text_bytes


def _existing(path: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def size_bytes(path: Path) -> int:
    """Of a file; 0 if it is gone, or none."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:
        return 0


def free_bytes(folder: Path) -> int:
    """What may still be written to the disk that the folder is on, or will be. 0 if it does not say."""
    try:
        return shutil.disk_usage(_existing(folder)).free
    except OSError:
        return 0


# ------------------------------------------------------------------------------------------------------ databases


def _examine(reading: Reading) -> Examined:
    if reading.conninfo is None:
        skips = " ".join(f"--skip {stage}" for stage in reading.queries)
        raise ConfigurationError(
            f"{', '.join(reading.queries)} needs a connection to the {reading.name}",
            f"Give {flag_of(reading.setting)}, or leave it out with {skips}.",
        )
    with naming(reading.setting):
        return postgres.examine(reading.conninfo, reading.queries)


def database_checks(reading: Reading, examined: Examined) -> Iterator[Check]:
    """What the database is, and for each stage whether it may ask what it asks, and of how much."""
    told = f"{examined.place}: reached, PostgreSQL {examined.server_version}"
    if examined.in_recovery:
        told += ", a standby"
    if examined.version < SCANS_RANGES and extract.TABLE in examined.sizes:
        told += "; table data is read by thing_id, since only version 14 and later can scan a part of a table"
    if examined.cancels_readers:
        hint = "Set hot_standby_feedback = on there, or max_standby_streaming_delay = -1 while a run lasts."
        yield Check.warned(reading.name, f"{told}; it cancels long reads that stand in the way of recovery", hint)
    else:
        yield Check.passed(reading.name, told)
    for stage, query in reading.queries.items():
        if stage in examined.refused:
            yield Check.failed(stage, examined.refused[stage])
        else:
            tables = "; ".join(f"{table} {_shown_size(examined.sizes.get(table))}" for table in query.tables)
            yield Check.passed(stage, f"may be read: {tables}")


def connection_checks(reading: Reading, examined: Examined, jobs: int) -> Iterator[Check]:
    """Whether so many connections are allowed as a run makes at a time; nothing is said if they are.

    One leads, some read, and one asks whether a silent server is at work, when it must.
    """
    readers = jobs if "extract" in reading.queries else 1
    for limit in examined.limits:
        told = (
            f"{examined.place}: {readers} that read + 1 that leads + 1 that asks = {readers + 2} connections; "
            f"{limit.what} allows {limit.allowed}, of which {limit.used} are used"
        )
        hint = "Give fewer --jobs, or raise the limit."
        if limit.allowed < readers + 1:
            yield Check.failed(f"{reading.name} connections", ConfigurationError(told, hint))
        elif limit.allowed - limit.used < readers + 2:
            yield Check.warned(f"{reading.name} connections", told, hint)


def _shown_size(size: TableSize | None) -> str:
    if size is None:
        return "of unknown size"
    rows = "rows not counted yet" if size.rows is None else f"about {size.rows:,} rows"
    return f"{format_bytes(size.all_bytes)}, {rows}"


# ----------------------------------------------------------------------------------------------------------- disk


def needs(
    writes: set[str], text_bytes: int | None, sizes: Mapping[str, TableSize], level: int
) -> dict[str, int] | None:
    """The bytes of each thing that is going to be written; None where nobody can know.

    text_bytes: of the rows, None to judge by the size of table data, if that is known.
    """
    if text_bytes is None and extract.TABLE in sizes:
        text_bytes = int(TEXT_PER_TABLE * sizes[extract.TABLE].all_bytes)
    tables = [table for stage in sorted(writes & set(TABLE_OF)) for table in TABLE_OF[stage].tables]
    if not sizes.keys() >= set(tables):
        return None
    table_bytes = sum(sizes[table].all_bytes for table in tables)
    found = {_TABLES: int(DUMPS_PER_TABLE * table_bytes)} if table_bytes else {}
    larger = LOW_LEVEL if level < _MEASURED_LEVEL else 1
    shares = {
        "data": DATA_PER_TEXT,
        "spill": SPILL_PER_TEXT,
        "cdump": larger * CDUMP_PER_TEXT,
        "parts": larger * DUMP_PER_TEXT,
        "dump": larger * DUMP_PER_TEXT,
        "deworks": larger * DEWORKS_PER_TEXT,
    }
    for name, things in _THINGS.items():
        if name in writes and text_bytes is None:
            return None
        if name in writes and text_bytes is not None:
            found |= {thing: int(shares[thing] * text_bytes) for thing in things}
    return found


def needed_by(writes: set[str], needed: Mapping[str, int]) -> int:
    """Of what all stages need, in bytes, what some of them do. writes: by the names of the table of stages."""
    things = {thing for name, things in _THINGS.items() if name in writes for thing in things}
    if writes & set(TABLE_OF):
        things.add(_TABLES)
    return sum(size for thing, size in needed.items() if thing in things)


def disk_checks(work: Work, needed: Mapping[str, int] | None) -> Iterator[Check]:
    """Whether there is room on each disk; the first one tells what is needed on all."""
    beside, spilled = parted(needed) if work.spill_is_apart else (needed, None)
    yield replace(disk_check(work, beside, free_bytes(work.folder.private)), needed=needed)
    if work.spill and work.spill_is_apart:
        check = _room_check(work.spill, spilled, free_bytes(work.spill), work.spilled_bytes, "a --tmpdir")
        yield replace(check, what="disk of the spill")


def parted(needed: Mapping[str, int] | None) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    """What is needed beside the spill, and for the spill."""
    if needed is None:
        return None, None
    spilled = {thing: size for thing, size in needed.items() if thing == _SPILL}
    return {thing: size for thing, size in needed.items() if thing not in spilled}, spilled


def _disk(path: Path) -> int:
    """The number of the disk that the path is on, or will be."""
    try:
        return _existing(path).stat().st_dev
    except OSError:
        return 0


def disk_check(work: Work, needed: Mapping[str, int] | None, free: int) -> Check:
    """Whether there is room for all that a run has on the disk at a time. free: bytes."""
    return _room_check(work.folder.out, needed, free, work.left_bytes - work.spilled_bytes, "an --out")


def _room_check(place: Path, needed: Mapping[str, int] | None, free: int, left: int, another: str) -> Check:
    """The same of one disk. free, left by a run that was stopped: bytes; another: what to give in its stead."""
    room = free + left
    has = f"{format_bytes(free)} are free"
    if left:
        has += f" and {format_bytes(left)} are there already, of the run that was stopped"
    if needed is None:
        return Check.passed("disk", f"{place}: {has}; how much is needed is not known beforehand")
    if not needed:
        return Check.passed("disk", f"{place}: {has}; nothing is needed")
    total = sum(needed.values())
    summands = " + ".join(f"{thing} {format_bytes(size)}" for thing, size in needed.items())
    told = f"{place}: {summands} = {format_bytes(total)}, estimated; {has}"
    if room < total:
        hint = f"Make room for {format_bytes(total - room)} more, or give {another} on a larger disk."
        return Check.failed("disk", StorageFull(told, hint))
    if room < _SPARE * total:
        return Check.warned("disk", told, "That may be too little, as it is an estimate: make more room if you can.")
    return Check.passed("disk", told)


# --------------------------------------------------------------------------------------------- memory, clock, date


def memory_check(memory_bytes: int, physical_bytes: int) -> Check:
    """Whether the machine has what may be used."""
    told = f"--memory is {format_bytes(memory_bytes)}, the machine has {format_bytes(physical_bytes)}"
    if memory_bytes > physical_bytes:
        return Check.warned("memory", told, "Give a smaller --memory, or the kernel may kill workers.")
    return Check.passed("memory", told)


def kernel_check(*, compiled: bool = COMPILED) -> Check:
    """Whether the loops over single bytes have been compiled."""
    if compiled:
        return Check.passed("kernel", "is compiled")
    hint = (
        "Install a C compiler and Python's headers, and then oldump again: all is made right, but several times slower."
    )
    return Check.warned("kernel", "is not compiled", hint)


def clock_check(ahead_seconds: Mapping[str, float]) -> Check:
    """Whether this machine's clock goes with the servers'. ahead_seconds: of each server's clock."""
    if not ahead_seconds:
        return Check.passed("clock", "no server to compare it with")
    name, ahead = max(ahead_seconds.items(), key=lambda each: abs(each[1]))
    told = f"the clock of the {name} is {_shown_seconds(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} ours"
    hint = "Set the clock that is wrong, and see that it is kept right (NTP)."
    if abs(ahead) > _CLOCK_FAILURE_SECONDS:
        return Check.failed("clock", ConfigurationError(told, hint))
    if abs(ahead) > _CLOCK_WARNING_SECONDS:
        return Check.warned("clock", told, hint)
    return Check.passed("clock", told)


def _shown_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _CLOCK_WARNING_SECONDS else str(timedelta(seconds=round(seconds)))


def date_check(day: date, today: date) -> Check:
    """Whether the run's date is over. today: in UTC."""
    if day >= today:
        told = f"{day} has not ended yet (UTC): what is written later that day will be missing"
        return Check.warned("date", told, "Give the command again when the date is over.")
    return Check.passed("date", f"{day} is over (UTC)")
