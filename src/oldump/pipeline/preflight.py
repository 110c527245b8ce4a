"""Preflight: find out before the long work what would make a run fail.

Each check reports what it found, with numbers, and a hint. A check that fails does not keep the others from running.
A run logs warnings and raises the first failure; `doctor` shows all results.

Does not: change anything, or know the order of the stages: `PlannedWork` says what will be read and written.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from oldump.engine.blocks import SharedMemory, Source
from oldump.engine.file_lock import Flock
from oldump.errors import ConfigurationError, OldumpError, StorageError, StorageFull, storage_errors
from oldump.kernel.rows import COMPILED
from oldump.outside.postgres.examination import Examination, TableSize, examine
from oldump.outside.postgres.queries import SCANS_RANGES, Query
from oldump.pipeline.check import Check
from oldump.pipeline.disk_estimate import estimate_bytes, split_off_spill
from oldump.pipeline.sources import naming, status_of
from oldump.run.folder import RunFolder
from oldump.run.formatting import format_bytes
from oldump.run.lock import require_free
from oldump.run.measures import disk_space, nearest_existing, size_bytes
from oldump.run.spill import require_place
from oldump.settings import flag_of
from oldump.stages import extract

UNFINISHED_DAY_HINT = "Rerun when the date is over, or publish what there is until then with --override-gate REASON."
_SPARE = 1.2
"""Free space relative to the estimate; with less, a check warns."""
_CLOCK_WARNING_SECONDS = 120
_CLOCK_FAILURE_SECONDS = 86_400


@dataclass(frozen=True)
class DatabaseRead:
    """A database, and the queries that stages send to it."""

    name: str
    setting: str
    """The setting that holds the connection."""
    conninfo: str | None
    queries: Mapping[str, Query]
    """By stage."""


@dataclass(frozen=True)
class PlannedWork:
    """What a run is going to read and write."""

    folder: RunFolder
    reads: list[DatabaseRead]
    file: str | None
    """The source, if it is a file and its rows are read."""
    writes: set[str]
    """Names of artifacts, as in the table of stages."""
    text_bytes: int | None
    """Text of table data, if it is extracted already."""
    left_bytes: int
    """Size of what a stopped run left, which the next one resumes from or removes."""
    memory_bytes: int
    level: int
    jobs: int
    """Connections that copy table data."""
    spill: Path | None = None
    """Where the spill is or will be; None: in the run's folder."""

    @property
    def spill_is_apart(self) -> bool:
        """Whether the spill is on another disk than the run's folder."""
        return self.spill is not None and _disk(self.spill) != _disk(self.folder.private)

    @property
    def spilled_bytes(self) -> int:
        """How much of left_bytes is on a separate disk for the spill."""
        spilled = self.folder.spill
        if self.spill is None or not self.spill_is_apart or _disk(spilled) != _disk(self.spill):
            return 0
        return size_bytes(spilled.rglob("*"))


def checks(work: PlannedWork) -> Iterator[Check]:
    """Run all checks; yield each result as soon as it is known."""
    yield folder_check("output folder", work.folder.private, work.folder.out)
    if work.spill:
        yield spill_check(work.spill)
    text_bytes = work.text_bytes
    if work.file:
        check, text_bytes = file_check(work.file)
        yield check
    examined: dict[str, Examination] = {}
    for read in work.reads:
        try:
            examined[read.name] = _examine(read)
        except OldumpError as error:
            yield Check.failed(read.name, error)
        else:
            yield from database_checks(read, examined[read.name])
            yield from connection_checks(read, examined[read.name], work.jobs)
    sizes = {table: size for each in examined.values() for table, size in each.sizes.items()}
    needed = estimate_bytes(work.writes, text_bytes, sizes, work.level)
    yield from disk_checks(work, needed)
    yield memory_check(work.memory_bytes, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    yield kernel_check()
    yield clock_check({name: each.ahead_seconds for name, each in examined.items()})
    yield date_check(work.folder.date, datetime.now(UTC).date(), UNFINISHED_DAY_HINT)


# ----------------------------------------------------------------------------------------------- files and folders


def folder_check(name: str, folder: Path, shown: Path | None = None, flock: Flock = fcntl.flock) -> Check:
    """Check that a file can be created and locked in the folder, or in its nearest existing parent."""
    try:
        with storage_errors(folder), tempfile.TemporaryFile(dir=nearest_existing(folder)) as file:
            file.write(b"?")
            _lock_file(file.fileno(), folder, flock)
    except OldumpError as error:
        return Check.failed(name, error)
    return Check.passed(name, f"{shown or folder}: writable")


def _lock_file(descriptor: int, folder: Path, flock: Flock) -> None:
    try:
        flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise StorageError(
            f"{folder}: files cannot be locked ({error.strerror})",
            "Use another folder, or mount it with a lock service (for NFS, version 4 or rpc.statd).",
        ) from error


def spill_check(spill: Path) -> Check:
    """Check that a file can be created in the folder for the spill."""
    try:
        require_place(spill)
        with storage_errors(spill), tempfile.TemporaryFile(dir=spill) as file:
            file.write(b"?")
    except OldumpError as error:
        return Check.failed("spill", error)
    return Check.passed("spill", f"{spill}: writable")


def lock_check(folder: RunFolder) -> Check:
    """Check that no other process works on the run."""
    try:
        require_free(folder.lock)
    except OldumpError as error:
        return Check.failed("lock", error)
    return Check.passed("lock", f"{folder.private}: no other process works on this run")


def file_check(name: str) -> tuple[Check, int | None]:
    """Check that a source file can be read; also return the approximate size of its text, None if unknown."""
    try:
        status_of(name)
        source = Source(Path(name), SharedMemory(1, 1))
    except OldumpError as error:
        return Check.failed("source", error), None
    size = "unknown size" if source.size_bytes is None else format_bytes(source.size_bytes)
    return Check.passed("source", f"{name}: readable, {size}"), source.about_text_bytes


# ------------------------------------------------------------------------------------------------------ databases


def _examine(read: DatabaseRead) -> Examination:
    if read.conninfo is None:
        skips = " ".join(f"--skip {stage}" for stage in read.queries)
        raise ConfigurationError(
            f"{', '.join(read.queries)} needs a connection to the {read.name}",
            f"Set {flag_of(read.setting)}, or omit the stage with {skips}.",
        )
    with naming(read.setting):
        return examine(read.conninfo, read.queries)


def database_checks(read: DatabaseRead, examined: Examination) -> Iterator[Check]:
    """Check the server, then for each stage that its tables may be read."""
    message = f"{examined.place}: connected, PostgreSQL {examined.server_version}"
    if examined.in_recovery:
        message += ", a standby"
    if examined.version < SCANS_RANGES and extract.TABLE in examined.sizes:
        message += "; reads table data by thing_id, because only version 14 and later can scan a range of pages"
    if examined.cancels_readers:
        hint = "On the standby, set hot_standby_feedback = on, or max_standby_streaming_delay = -1 during the run."
        yield Check.warned(read.name, f"{message}; it cancels long queries that conflict with recovery", hint)
    elif examined.conflict_delays:
        delays = " and ".join(f"{name} = {value}" for name, value in examined.conflict_delays.items())
        hint = "Set them to -1 on the standby during the run, or vacuum_truncate = off on the primary's tables."
        yield Check.warned(read.name, f"{message}; it cancels queries that block recovery: {delays}", hint)
    else:
        yield Check.passed(read.name, message)
    if examined.snapshots_expire:
        message = f"{examined.place}: old_snapshot_threshold lets the server end a long snapshot"
        yield Check.warned(f"{read.name} snapshots", message, "Set old_snapshot_threshold = -1 and restart the server.")
    for stage, query in read.queries.items():
        if stage in examined.refused:
            yield Check.failed(stage, examined.refused[stage])
        else:
            tables = "; ".join(f"{table} {_format_size(examined.sizes.get(table))}" for table in query.tables)
            yield Check.passed(stage, f"readable: {tables}")


def connection_checks(read: DatabaseRead, examined: Examination, jobs: int) -> Iterator[Check]:
    """Check that the server allows as many connections as a run opens; yield nothing if it does.

    One holds the snapshot, some read, and one asks whether a silent server is still working, when necessary.
    """
    readers = jobs if "extract" in read.queries else 1
    for limit in examined.limits:
        message = (
            f"{examined.place}: needs {readers + 2} connections (reading {readers}, snapshot 1, monitoring 1); "
            f"{limit.what} allows {limit.allowed}, {limit.used} are in use"
        )
        hint = "Reduce --jobs, or raise the limit."
        if limit.allowed < readers + 1:
            yield Check.failed(f"{read.name} connections", ConfigurationError(message, hint))
        elif limit.allowed - limit.used < readers + 2:
            yield Check.warned(f"{read.name} connections", message, hint)


def _format_size(size: TableSize | None) -> str:
    if size is None:
        return "unknown size"
    rows = "row count unknown" if size.rows is None else f"about {size.rows:,} rows"
    return f"{format_bytes(size.all_bytes)}, {rows}"


# ----------------------------------------------------------------------------------------------------------- disk


def disk_checks(work: PlannedWork, needed: Mapping[str, int] | None) -> Iterator[Check]:
    """Check each disk. The first result carries the estimate for all of them."""
    beside, spilled = split_off_spill(needed) if work.spill_is_apart else (needed, None)
    yield replace(disk_check(work, beside, _free_bytes(work.folder.private)), needed_bytes=needed)
    if work.spill and work.spill_is_apart:
        check = _space_check(work.spill, spilled, _free_bytes(work.spill), work.spilled_bytes, "a --tmpdir")
        yield replace(check, name="disk of the spill")


def _free_bytes(folder: Path) -> int:
    space = disk_space(folder)
    return space.free_bytes if space else 0


def _disk(path: Path) -> int:
    """Return the device number of the disk that the path is on, or will be on."""
    try:
        return nearest_existing(path).stat().st_dev
    except OSError:
        return 0


def disk_check(work: PlannedWork, needed: Mapping[str, int] | None, free: int) -> Check:
    """Check that the output disk can hold everything that a run has there at its peak."""
    return _space_check(work.folder.out, needed, free, work.left_bytes - work.spilled_bytes, "an --out")


def _space_check(place: Path, needed: Mapping[str, int] | None, free: int, left: int, another: str) -> Check:
    """Check one disk. left: bytes of a stopped run; another: the flag that chooses a different disk."""
    available = free + left
    has = f"{format_bytes(free)} free"
    if left:
        has += f" and {format_bytes(left)} left by the stopped run"
    if needed is None:
        return Check.passed("disk", f"{place}: {has}; the space needed cannot be estimated")
    if not needed:
        return Check.passed("disk", f"{place}: {has}; none needed")
    total = sum(needed.values())
    sizes = " + ".join(f"{file} {format_bytes(size)}" for file, size in needed.items())
    message = f"{place}: {has}, the run needs {format_bytes(total)} (estimate: {sizes})"
    if available < total:
        hint = f"Free {format_bytes(total - available)} more, or use {another} on a larger disk."
        return Check.failed("disk", StorageFull(message, hint))
    if available < _SPARE * total:
        return Check.warned("disk", message, "The estimate may be too low. Free more space if you can.")
    return Check.passed("disk", message)


# --------------------------------------------------------------------------------------------- memory, clock, date


def memory_check(memory_bytes: int, physical_bytes: int) -> Check:
    """Check that the machine has the memory that --memory allows."""
    message = f"--memory is {format_bytes(memory_bytes)}, the machine has {format_bytes(physical_bytes)}"
    if memory_bytes > physical_bytes:
        return Check.warned("memory", message, "Reduce --memory, or the kernel may kill workers.")
    return Check.passed("memory", message)


def kernel_check(*, compiled: bool = COMPILED) -> Check:
    """Check that oldump.kernel is compiled."""
    if compiled:
        return Check.passed("kernel", "compiled")
    hint = "Install a C compiler and Python's headers, then reinstall oldump."
    return Check.warned("kernel", "not compiled: results are the same, but a run takes several times longer", hint)


def clock_check(ahead_seconds: Mapping[str, float]) -> Check:
    """Compare this machine's clock with the servers'. ahead_seconds: by server."""
    if not ahead_seconds:
        return Check.passed("clock", "no server to compare with")
    name, ahead = max(ahead_seconds.items(), key=lambda each: abs(each[1]))
    message = f"the clock of the {name} is {_format_seconds(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} ours"
    hint = "Correct the clock that is wrong, and synchronize it with NTP."
    if abs(ahead) > _CLOCK_FAILURE_SECONDS:
        return Check.failed("clock", ConfigurationError(message, hint))
    if abs(ahead) > _CLOCK_WARNING_SECONDS:
        return Check.warned("clock", message, hint)
    return Check.passed("clock", message)


def _format_seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < _CLOCK_WARNING_SECONDS else str(timedelta(seconds=round(seconds)))


def date_check(day: date, today: date, hint: str = "Rerun when the date is over.") -> Check:
    """Check that the date is over. today: in UTC."""
    if day >= today:
        message = f"{day} is not over yet (UTC): later edits of that day will be missing"
        return Check.warned("date", message, hint)
    return Check.passed("date", f"{day} is over (UTC)")
