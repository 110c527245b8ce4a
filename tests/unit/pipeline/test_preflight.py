"""Preflight: what each check says of the numbers that it is given, and that it says what to do."""

import gzip
import os
import shutil
from datetime import date
from pathlib import Path

import pytest

from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import segment_of
from oldump.errors import ConfigurationError, SourceError, SourceMissing, StorageError, StorageFull
from oldump.outside.postgres import Examined, Limit, Query, TableSize
from oldump.pipeline import preflight
from oldump.pipeline.preflight import Check, Reading, Verdict, Work, needs
from oldump.run.folder import RunFolder
from oldump.run.formatting import format_bytes
from oldump.run.lock import locked
from oldump.settings import Settings

DAY = date(2022, 7, 31)
DATA = {"data": TableSize(80_000_000_000, 100_000_000_000, 192_000_000)}
ALL = {"data", "cdump", "works", "dump", "deworks"}


def work(out: Path, **more: object) -> Work:
    """A run of all stages from a database, with some of it otherwise."""
    common: dict[str, object] = {
        "readings": [],
        "file": None,
        "writes": ALL,
        "text_bytes": None,
        "left_bytes": 0,
        "memory_bytes": 1 << 30,
        "level": 6,
        "jobs": 2,
    }
    return Work(folder=RunFolder(out, DAY), **{**common, **more})  # type: ignore[arg-type] # all are named above


def examined(**more: object) -> Examined:
    """A server that is as it should be, with some of it otherwise."""
    common = {"place": "host=db", "server_version": "14.5", "version": 140_005, "in_recovery": False}
    common |= {"cancels_readers": False, "ahead_seconds": 0.0, "sizes": DATA, "refused": {}, "limits": []}
    return Examined(**{**common, **more})  # type: ignore[arg-type] # all are named above


def reading(conninfo: str | None = "host=db", stage: str = "extract") -> Reading:
    """One stage that reads one table."""
    return Reading("database", "source", conninfo, {stage: Query(("data",), "(SELECT data FROM data)")})


def database_checks(**more: object) -> list[Check]:
    """What is said of such a server."""
    return list(preflight.database_checks(reading(), examined(**more)))


# ---------------------------------------------------------------------------------------------------------- disk


def test_the_arithmetic_is_shown(tmp_path: Path) -> None:
    """Each summand, the sum, and what is free."""
    check = preflight.disk_check(work(tmp_path), needs(ALL, None, DATA, 6), 120_000_000_000)
    assert check.verdict is Verdict.OK
    assert check.told == (
        f"{tmp_path}: data 30.0 GB + spill 25.0 GB + cdump 14.0 GB + parts 8.0 GB + dump 8.0 GB + deworks 9.0 GB = "
        "94.0 GB, estimated; 120.0 GB are free"
    )


@pytest.mark.parametrize(
    ("free", "verdict"),
    [(112_800_000_000, "ok"), (112_799_999_999, "warning"), (94_000_000_000, "warning"), (93_999_999_999, "failure")],
)
def test_less_than_the_sum_fails_and_little_more_is_warned_of(free: int, verdict: str, tmp_path: Path) -> None:
    """A fifth above the estimate is to spare."""
    check = preflight.disk_check(work(tmp_path), needs(ALL, None, DATA, 6), free)
    assert check.verdict.value == verdict
    assert bool(check.hint) == (verdict != "ok")
    assert isinstance(check.error, StorageFull) == (verdict == "failure")


def test_a_full_disk_says_how_much_room_is_lacking(tmp_path: Path) -> None:
    """So that nobody has to subtract."""
    check = preflight.disk_check(work(tmp_path), {"data": 10_000_000_000}, 4_000_000_000)
    assert check.hint.startswith("Make room for 6.0 GB more")
    assert str(check.error) == f"{check.told}. {check.hint}"


def test_what_a_stopped_run_left_is_room(tmp_path: Path) -> None:
    """It is gone on with, or removed before anything is written."""
    check = preflight.disk_check(work(tmp_path, left_bytes=30_000_000_000), needs(ALL, None, DATA, 6), 90_000_000_000)
    assert check.verdict is Verdict.OK
    assert "30.0 GB are there already" in check.told


def test_what_is_committed_needs_no_room() -> None:
    """Neither data that is extracted nor dumps that are made."""
    assert needs({"cdump", "works", "dump"}, 1_000, {}, 6) == {"spill": 250, "cdump": 140, "parts": 80, "dump": 80}
    assert needs({"dump"}, 1_000, {}, 6) == {"dump": 80}
    assert needs({"deworks"}, 1_000, {}, 6) == {"spill": 250, "deworks": 90}
    assert needs(set(), 1_000, DATA, 6) == {}


def test_a_low_level_makes_larger_files() -> None:
    """Of what is published; data.txt.gz and the spill have levels of their own."""
    assert needs(ALL, 1_000, {}, 5) == {
        "data": 300,
        "spill": 250,
        "cdump": 224,
        "parts": 128,
        "dump": 128,
        "deworks": 144,
    }


def test_table_dumps_are_judged_by_their_tables() -> None:
    """By all that a stage reads; if one of them has no size that is known, as a view, nobody can know."""
    sizes = {"bookshelves_books": TableSize(900, 1_000, None), "bookshelves": TableSize(0, 0, None), **DATA}
    assert needs({"reading-log"}, None, sizes, 6) == {"tables": 150}
    assert needs({"reading-log", "ratings"}, None, sizes, 6) is None
    assert needs({"ratings"}, 1_000, {}, 6) is None


def test_text_that_is_known_goes_before_an_estimate() -> None:
    """The journal has it, of data that is extracted."""
    assert needs({"dump"}, 1_000, DATA, 6) == {"dump": 80}


def test_what_nobody_can_know_is_no_failure(tmp_path: Path) -> None:
    """Standard input, or a table that the database does not have, which is a failure of its own."""
    assert needs(ALL, None, {}, 6) is None
    check = preflight.disk_check(work(tmp_path), None, 1)
    assert (check.verdict, "not known beforehand" in check.told) == (Verdict.OK, True)


def test_the_free_room_is_that_of_the_disk_where_the_folder_will_be(tmp_path: Path) -> None:
    """Though it is not there yet."""
    free = preflight.free_bytes(tmp_path / "not" / "yet")
    assert abs(free - shutil.disk_usage(tmp_path).free) < 1 << 30


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 bytes"), (999, "999 bytes"), (31_000_000_000, "31.0 GB"), (999_960, "1.0 MB")]
)
def test_sizes_are_shown_for_people(size: int, shown: str) -> None:
    """In powers of 1000, as df -H has them."""
    assert format_bytes(size) == shown


# ------------------------------------------------------------------------------------------------------- databases


def test_a_database_that_is_not_given_is_named_with_its_flags() -> None:
    """Give it, or leave the stages out that read it."""
    lacking = Reading("coverstore", "coverstore", None, {"covers_metadata": Query(("cover",), "(SELECT 1)")})
    (check,) = [each for each in preflight.checks(work(Path(), readings=[lacking])) if each.what == "coverstore"]
    assert isinstance(check.error, ConfigurationError)
    assert str(check.error) == (
        "covers_metadata needs a connection to the coverstore. "
        "Give --coverstore, or leave it out with --skip covers_metadata."
    )


def test_all_is_well() -> None:
    """The server's version, and how much is to be read."""
    assert [str(check) for check in database_checks()] == [
        "host=db: reached, PostgreSQL 14.5",
        "may be read: data 100.0 GB, about 192,000,000 rows",
    ]


def test_an_old_server_is_told_of() -> None:
    """It does without ranges of ctid, and a run takes longer."""
    assert "only version 14 and later" in database_checks(version=130_004)[0].told


def test_a_standby_that_cancels_long_reads_is_warned_of() -> None:
    """A standby that does not is as good as its primary."""
    (warned, _), (fine, _) = (database_checks(in_recovery=True, cancels_readers=cancels) for cancels in (True, False))
    assert (warned.verdict, fine.verdict) == (Verdict.WARNING, Verdict.OK)
    assert "hot_standby_feedback" in warned.hint
    assert "a standby" in fine.told


@pytest.mark.parametrize(
    ("allowed", "used", "verdicts"),
    [(6, 0, []), (7, 1, []), (6, 1, ["warning"]), (5, 0, ["warning"]), (5, 5, ["warning"]), (4, 0, ["failure"])],
)
def test_too_few_connections_are_found(allowed: int, used: int, verdicts: list[str]) -> None:
    """Four that read, one that leads, one that asks: those that others use may be free by then, a limit is not."""
    limited = examined(limits=[Limit("the role", allowed, used)])
    found = list(preflight.connection_checks(reading(), limited, 4))
    assert [check.verdict.value for check in found] == verdicts
    for check in found:
        assert check.told.endswith(f"= 6 connections; the role allows {allowed}, of which {used} are used")


def test_a_table_dump_has_one_reader() -> None:
    """Whatever --jobs is."""
    limited = examined(limits=[Limit("the role", 3, 0)])
    assert not list(preflight.connection_checks(reading(stage="ratings"), limited, 64))


def test_a_query_that_is_refused_fails_its_stage() -> None:
    """With the server's words."""
    refused = SourceError("host=db: permission denied for table data", "Check that the role may read it.")
    check = database_checks(refused={"extract": refused})[1]
    assert check.row == ("extract", "failure", refused.message, refused.hint)
    assert check.error is refused


def test_a_table_that_was_never_counted_has_a_size() -> None:
    """Rows are only told where the server knows them."""
    check = database_checks(sizes={"data": TableSize(1, 2_000, None)})[1]
    assert check.told == "may be read: data 2.0 kB, rows not counted yet"


# ------------------------------------------------------------------------------------------------ files and folders


def test_a_file_is_judged_by_what_it_is(tmp_path: Path) -> None:
    """Plain text by its size, our own gzip by its index, any other by what gzip does as a rule."""
    text = b"1\t1\t{}\n" * 1_000
    (tmp_path / "plain").write_bytes(text)
    (tmp_path / "any.gz").write_bytes(gzip.compress(text))
    with SegmentWriter(tmp_path / "ours.gz") as writer:
        writer.append(segment_of(text, 0, 1))
        writer.commit()
    sizes = [preflight.file_check(str(tmp_path / name))[1] for name in ("plain", "ours.gz", "any.gz")]
    assert sizes == [7_000, 7_000, 6 * (tmp_path / "any.gz").stat().st_size]


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """What would be read from it would be missing later."""
    os.mkfifo(tmp_path / "pipe")
    check, text_bytes = preflight.file_check(str(tmp_path / "pipe"))
    assert (check.verdict, text_bytes) == (Verdict.OK, None)


def test_a_file_that_is_not_there_is_named_unless_it_may_be_a_password() -> None:
    """A mistyped connection looks like a file."""
    for name, shown in {"no.txt": "no.txt", "me:s3cr3t@host": "The source"}.items():
        check, _ = preflight.file_check(name)
        assert isinstance(check.error, SourceMissing)
        assert check.told.startswith(f"{shown}: cannot be read")


def test_an_output_folder_is_tried_and_left_as_it_was(tmp_path: Path) -> None:
    """Nothing is made but for the moment."""
    assert preflight.folder_check("output folder", tmp_path / "out" / "run", tmp_path / "out").verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_is_a_file_fails(tmp_path: Path) -> None:
    """With the path."""
    (tmp_path / "out").write_bytes(b"")
    check = preflight.folder_check("output folder", tmp_path / "out" / "run", tmp_path / "out")
    assert isinstance(check.error, StorageError)
    assert str(tmp_path / "out") in check.told


def test_a_run_that_another_process_works_on_fails(tmp_path: Path) -> None:
    """Its holder is named; a lock that nobody holds is none."""
    folder = RunFolder(tmp_path, DAY)
    assert preflight.lock_check(folder).verdict is Verdict.OK
    folder.private.mkdir()
    with locked(folder.lock):
        check = preflight.lock_check(folder)
    assert f"pid {os.getpid()}" in check.told
    assert preflight.lock_check(folder).verdict is Verdict.OK


# ---------------------------------------------------------------------------------------------- memory, clock, date


@pytest.mark.parametrize(("compiled", "verdict"), [(True, "ok"), (False, "warning")])
def test_a_kernel_that_is_not_compiled_is_warned_of(compiled: bool, verdict: str) -> None:
    """A run would be right, and take its time."""
    assert preflight.kernel_check(compiled=compiled).verdict.value == verdict


@pytest.mark.parametrize(("memory", "verdict"), [(8 << 30, "ok"), ((8 << 30) + 1, "warning")])
def test_more_memory_than_there_is_is_warned_of(memory: int, verdict: str) -> None:
    """A container's limit is another matter."""
    assert preflight.memory_check(memory, 8 << 30).verdict.value == verdict


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("seconds", "verdict"), [(120, "ok"), (121, "warning"), (86_400, "warning"), (86_401, "failure")]
)
def test_a_clock_that_goes_wrong_is_found(seconds: int, verdict: str, sign: int) -> None:
    """The one that is farthest off, whichever way."""
    check = preflight.clock_check({"coverstore": 1.0, "database": float(sign * seconds), "archive database": -2.0})
    assert check.verdict.value == verdict
    assert "clock of the database is" in check.told
    assert ("ahead" if sign > 0 else "behind") in check.told
    assert isinstance(check.error, ConfigurationError) == (verdict == "failure")


def test_without_a_server_there_is_no_clock_to_compare() -> None:
    """A run from a file asks nobody."""
    assert preflight.clock_check({}).verdict is Verdict.OK


@pytest.mark.parametrize(("today", "verdict"), [(DAY, "warning"), (date(2022, 8, 1), "ok")])
def test_a_date_that_has_not_ended_is_warned_of(today: date, verdict: str) -> None:
    """The last day of a month is over when the next one has begun."""
    assert preflight.date_check(DAY, today).verdict.value == verdict


def test_every_failure_and_warning_says_what_to_do(tmp_path: Path) -> None:
    """And what is well needs nothing done."""
    (tmp_path / "file").write_bytes(b"BZh9")
    settings = Settings.of(memory=1 << 60)
    found = list(
        preflight.checks(
            work(
                tmp_path / "file",
                file=str(tmp_path / "file"),
                readings=[reading("host=127.0.0.1 port=1"), reading(None, "covers_metadata")],
                text_bytes=1 << 60,
                memory_bytes=settings.memory,
            )
        )
    )
    assert {check.what for check in found if check.error} == {"output folder", "source", "database"}
    assert all(bool(check.hint) == (check.verdict is not Verdict.OK) for check in found)
