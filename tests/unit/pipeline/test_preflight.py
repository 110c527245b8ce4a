"""Preflight: each check reports what it found, with numbers, and a hint if something is wrong."""

import errno
import gzip
import os
from datetime import date
from pathlib import Path

import pytest

from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import segment_of
from oldump.errors import ConfigurationError, SourceError, SourceMissing, StorageError, StorageFull
from oldump.outside.postgres.examination import ConnectionLimit, Examination, TableSize
from oldump.outside.postgres.queries import Query
from oldump.pipeline import preflight
from oldump.pipeline.check import Check, CheckStatus
from oldump.pipeline.disk_estimate import estimate_bytes
from oldump.pipeline.preflight import DatabaseRead, PlannedWork
from oldump.run.folder import RunFolder
from oldump.run.formatting import format_bytes
from oldump.run.lock import locked
from oldump.settings import Settings

DAY = date(2022, 7, 31)
DATA = {"data": TableSize(80_000_000_000, 100_000_000_000, 192_000_000)}
ALL = {"data", "cdump", "works", "dump", "deworks"}


def work(out: Path, **more: object) -> PlannedWork:
    """Return the work of a run from a database, with these differences."""
    common: dict[str, object] = {
        "reads": [],
        "file": None,
        "writes": ALL,
        "text_bytes": None,
        "left_bytes": 0,
        "memory_bytes": 1 << 30,
        "level": 6,
        "jobs": 2,
    }
    return PlannedWork(folder=RunFolder(out, DAY), **{**common, **more})  # type: ignore[arg-type] # all are named above


def examined(**more: object) -> Examination:
    """Return a server without problems, with these differences."""
    common = {"place": "host=db", "server_version": "14.5", "version": 140_005, "in_recovery": False}
    common |= {"cancels_readers": False, "ahead_seconds": 0.0, "sizes": DATA, "refused": {}, "limits": []}
    common |= {"conflict_delays": {}, "snapshots_expire": False}
    return Examination(**{**common, **more})  # type: ignore[arg-type] # all are named above


def reading(conninfo: str | None = "host=db", stage: str = "extract") -> DatabaseRead:
    """Return a database from which one stage reads one table."""
    return DatabaseRead("database", "source", conninfo, {stage: Query(("data",), "(SELECT data FROM data)")})


def database_checks(**more: object) -> list[Check]:
    """Return the checks of a server with these differences."""
    return list(preflight.database_checks(reading(), examined(**more)))


# ---------------------------------------------------------------------------------------------------------- disk


def test_the_disk_check_shows_its_arithmetic(tmp_path: Path) -> None:
    """The message has the free space, the total, and the size of each file."""
    check = preflight.disk_check(work(tmp_path), estimate_bytes(ALL, None, DATA, 6), 120_000_000_000)
    assert check.status is CheckStatus.OK
    assert check.message == (
        f"{tmp_path}: 120.0 GB free, the run needs 94.0 GB (estimate: "
        "data 30.0 GB + spill 25.0 GB + cdump 14.0 GB + parts 8.0 GB + dump 8.0 GB + deworks 9.0 GB)"
    )


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(112_800_000_000, "ok"), (112_799_999_999, "warning"), (94_000_000_000, "warning"), (93_999_999_999, "failure")],
)
def test_too_little_space_fails_and_a_narrow_margin_warns(free: int, verdict: str, tmp_path: Path) -> None:
    """A fifth more than the estimate is enough."""
    check = preflight.disk_check(work(tmp_path), estimate_bytes(ALL, None, DATA, 6), free)
    assert check.status.value == verdict
    assert bool(check.hint) == (verdict != "ok")
    assert isinstance(check.error, StorageFull) == (verdict == "failure")


def test_a_full_disk_reports_how_much_to_free(tmp_path: Path) -> None:
    """The hint has the difference."""
    check = preflight.disk_check(work(tmp_path), {"data": 10_000_000_000}, 4_000_000_000)
    assert check.hint.startswith("Free 6.0 GB more")
    assert str(check.error) == f"{check.message}. {check.hint}"


def test_files_of_a_stopped_run_count_as_free(tmp_path: Path) -> None:
    """They are reused, or removed before anything is written."""
    check = preflight.disk_check(
        work(tmp_path, left_bytes=30_000_000_000), estimate_bytes(ALL, None, DATA, 6), 90_000_000_000
    )
    assert check.status is CheckStatus.OK
    assert "30.0 GB left by the stopped run" in check.message


def test_an_unknown_size_is_no_failure(tmp_path: Path) -> None:
    """As with standard input, or a missing table, which is a failure of its own."""
    assert estimate_bytes(ALL, None, {}, 6) is None
    check = preflight.disk_check(work(tmp_path), None, 1)
    assert (check.status, "cannot be estimated" in check.message) == (CheckStatus.OK, True)


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 bytes"), (999, "999 bytes"), (31_000_000_000, "31.0 GB"), (999_960, "1.0 MB")]
)
def test_sizes_are_readable(size: int, shown: str) -> None:
    """They are in powers of 1000, as in df -H."""
    assert format_bytes(size) == shown


# ------------------------------------------------------------------------------------------------------- databases


def test_a_missing_connection_is_named_with_its_flags() -> None:
    """The hint names the setting, and the flags that skip the stages."""
    lacking = DatabaseRead("coverstore", "coverstore", None, {"covers_metadata": Query(("cover",), "(SELECT 1)")})
    (check,) = [each for each in preflight.checks(work(Path(), reads=[lacking])) if each.name == "coverstore"]
    assert isinstance(check.error, ConfigurationError)
    assert str(check.error) == (
        "covers_metadata needs a connection to the coverstore. "
        "Set --coverstore, or omit the stage with --skip covers_metadata."
    )


def test_a_reachable_database_passes() -> None:
    """The messages have the server's version and the sizes of the tables."""
    assert [str(check) for check in database_checks()] == [
        "host=db: connected, PostgreSQL 14.5",
        "readable: data 100.0 GB, about 192,000,000 rows",
    ]


def test_an_old_server_is_reported() -> None:
    """It cannot scan ranges of ctid, so that a run takes longer."""
    assert "only version 14 and later" in database_checks(version=130_004)[0].message


def test_a_standby_that_cancels_long_queries_warns() -> None:
    """Any other standby passes."""
    (warned, _), (fine, _) = (database_checks(in_recovery=True, cancels_readers=cancels) for cancels in (True, False))
    assert (warned.status, fine.status) == (CheckStatus.WARNING, CheckStatus.OK)
    assert "hot_standby_feedback" in warned.hint
    assert "a standby" in fine.message


def test_a_standby_that_cancels_queries_that_block_recovery_warns() -> None:
    """Feedback does not prevent it: vacuum on the primary truncates a table."""
    warned, _ = database_checks(in_recovery=True, conflict_delays={"max_standby_archive_delay": "30s"})
    assert warned.status is CheckStatus.WARNING
    assert "max_standby_archive_delay = 30s" in warned.message
    assert "vacuum_truncate" in warned.hint


def test_a_server_that_ends_old_snapshots_warns() -> None:
    """Its old_snapshot_threshold is set."""
    _, warned, _ = database_checks(snapshots_expire=True)
    assert warned.status is CheckStatus.WARNING
    assert "old_snapshot_threshold" in warned.message


@pytest.mark.parametrize(
    ("allowed", "used", "verdicts"),
    [(6, 0, []), (7, 1, []), (6, 1, ["warning"]), (5, 0, ["warning"]), (5, 5, ["warning"]), (4, 0, ["failure"])],
)
def test_too_few_connections_are_reported(allowed: int, used: int, verdicts: list[str]) -> None:
    """Four read, one holds the snapshot, one monitors. Connections in use may be free later, a limit stays."""
    limited = examined(limits=[ConnectionLimit("the role", allowed, used)])
    found = list(preflight.connection_checks(reading(), limited, 4))
    assert [check.status.value for check in found] == verdicts
    for check in found:
        assert check.message.endswith(
            f"needs 6 connections (reading 4, snapshot 1, monitoring 1); the role allows {allowed}, {used} are in use"
        )


def test_a_table_dump_has_one_reader() -> None:
    """Whatever --jobs is."""
    limited = examined(limits=[ConnectionLimit("the role", 3, 0)])
    assert not list(preflight.connection_checks(reading(stage="ratings"), limited, 64))


def test_a_refused_query_fails_its_stage() -> None:
    """The check has the server's message."""
    refused = SourceError("host=db: permission denied for table data", "Check that the role may read it.")
    check = database_checks(refused={"extract": refused})[1]
    assert check.row == ("extract", "failure", refused.message, refused.hint)
    assert check.error is refused


def test_a_table_without_a_row_count_has_a_size() -> None:
    """The row count is reported only if the server knows it."""
    check = database_checks(sizes={"data": TableSize(1, 2_000, None)})[1]
    assert check.message == "readable: data 2.0 kB, row count unknown"


# ------------------------------------------------------------------------------------------------ files and folders


def test_a_files_text_is_estimated_by_its_kind(tmp_path: Path) -> None:
    """Plain text by its size, our own gzip by its index, any other gzip by its usual ratio."""
    text = b"1\t1\t{}\n" * 1_000
    (tmp_path / "plain").write_bytes(text)
    (tmp_path / "any.gz").write_bytes(gzip.compress(text))
    with SegmentWriter(tmp_path / "ours.gz") as writer:
        writer.append(segment_of(text, 0, 1))
        writer.commit()
    sizes = [preflight.file_check(str(tmp_path / name))[1] for name in ("plain", "ours.gz", "any.gz")]
    assert sizes == [7_000, 7_000, 6 * (tmp_path / "any.gz").stat().st_size]


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """Reading from it would lose the data."""
    os.mkfifo(tmp_path / "pipe")
    check, text_bytes = preflight.file_check(str(tmp_path / "pipe"))
    assert (check.status, text_bytes) == (CheckStatus.OK, None)


def test_a_missing_file_is_named_unless_it_may_be_a_password() -> None:
    """A mistyped connection looks like a file."""
    for name, shown in {"no.txt": "no.txt", "me:s3cr3t@host": "The source"}.items():
        check, _ = preflight.file_check(name)
        assert isinstance(check.error, SourceMissing)
        assert check.message.startswith(f"{shown}: cannot be read")


def test_the_check_of_an_output_folder_leaves_no_file(tmp_path: Path) -> None:
    """The test file is removed."""
    assert preflight.folder_check("output folder", tmp_path / "out" / "run", tmp_path / "out").status is CheckStatus.OK
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_is_a_file_fails(tmp_path: Path) -> None:
    """The message has the path."""
    (tmp_path / "out").write_bytes(b"")
    check = preflight.folder_check("output folder", tmp_path / "out" / "run", tmp_path / "out")
    assert isinstance(check.error, StorageError)
    assert str(tmp_path / "out") in check.message


def test_a_locked_run_fails(tmp_path: Path) -> None:
    """The message names the holder; a lock without a holder passes."""
    folder = RunFolder(tmp_path, DAY)
    assert preflight.lock_check(folder).status is CheckStatus.OK
    folder.private.mkdir()
    with locked(folder.lock):
        check = preflight.lock_check(folder)
    assert f"pid {os.getpid()}" in check.message
    assert preflight.lock_check(folder).status is CheckStatus.OK


# ---------------------------------------------------------------------------------------------- memory, clock, date


@pytest.mark.parametrize(("compiled", "verdict"), [(True, "ok"), (False, "warning")])
def test_an_uncompiled_kernel_warns(compiled: bool, verdict: str) -> None:
    """Its results are the same, only slower."""
    assert preflight.kernel_check(compiled=compiled).status.value == verdict


@pytest.mark.parametrize(("memory", "verdict"), [(8 << 30, "ok"), ((8 << 30) + 1, "warning")])
def test_more_memory_than_the_machine_has_warns(memory: int, verdict: str) -> None:
    """A container's limit is not considered."""
    assert preflight.memory_check(memory, 8 << 30).status.value == verdict


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("seconds", "verdict"), [(120, "ok"), (121, "warning"), (86_400, "warning"), (86_401, "failure")]
)
def test_a_wrong_clock_is_reported(seconds: int, verdict: str, sign: int) -> None:
    """The clock that is farthest off counts, in either direction."""
    check = preflight.clock_check({"coverstore": 1.0, "database": float(sign * seconds), "archive database": -2.0})
    assert check.status.value == verdict
    assert "clock of the database is" in check.message
    assert ("ahead" if sign > 0 else "behind") in check.message
    assert isinstance(check.error, ConfigurationError) == (verdict == "failure")


def test_without_a_server_the_clock_passes() -> None:
    """A run from a file connects to no server."""
    assert preflight.clock_check({}).status is CheckStatus.OK


def test_a_folder_without_file_locks_fails(tmp_path: Path) -> None:
    """latest.json would not be updated, after hours of work."""

    def refuse(_: int, __: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    check = preflight.folder_check("output folder", tmp_path, flock=refuse)
    assert isinstance(check.error, StorageError)
    assert str(check.error).startswith(f"{tmp_path}: files cannot be locked (No locks available). Use another folder")


@pytest.mark.parametrize(("today", "verdict"), [(DAY, "warning"), (date(2022, 8, 1), "ok")])
def test_a_date_that_is_not_over_warns(today: date, verdict: str) -> None:
    """The last day of a month is over when the next one has begun."""
    assert preflight.date_check(DAY, today).status.value == verdict


def test_every_failure_and_warning_has_a_hint(tmp_path: Path) -> None:
    """A check that passes has none."""
    (tmp_path / "file").write_bytes(b"BZh9")
    settings = Settings.of(memory=1 << 60)
    found = list(
        preflight.checks(
            work(
                tmp_path / "file",
                file=str(tmp_path / "file"),
                reads=[reading("host=127.0.0.1 port=1"), reading(None, "covers_metadata")],
                text_bytes=1 << 60,
                memory_bytes=settings.memory,
            )
        )
    )
    assert {check.name for check in found if check.error} == {"output folder", "source", "database"}
    assert all(bool(check.hint) == (check.status is not CheckStatus.OK) for check in found)
