"""The metrics file: what a run changes in it, and who can read it."""

import os
from datetime import date
from pathlib import Path

import pytest

from oldump.errors import StorageError
from oldump.monitoring.metrics_file import failure_figures, peak_memory_bytes, start_figures, success_figures, update
from oldump.outside.metrics import METRICS, Figures, figures_in
from oldump.run.journal import Committed, Journal
from unit.monitoring.situations import artifact

DAY = date(2022, 7, 31)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """The journal of a complete run."""
    journal = Journal(tmp_path / "journal.jsonl")
    journal.begin({}, overwrite=False)
    counts = {"rows": 20, "records": 15, "drops": {"private_page": 3}, "rejects": {"no_key": 2}}
    parts = [artifact("ol_cdump_2022-07-31.txt.gz", 15), artifact("ol_dump_works_2022-07-31.txt.gz", 7)]
    dump = artifact("ol_dump_2022-07-31.txt.gz", 9, by_type={"/type/work": 7, "/type/page": 2})
    journal.commit(Committed("extract", [artifact("data.txt.gz", 20, None)], {}, 1.25))
    journal.commit(Committed("dumps", parts, counts, 90_000.5))
    journal.commit(Committed("splice", [dump], {}, 2))
    journal.publish({})
    journal.deliver(Committed("archive", [], {}, 3_600))
    return journal


def figures(path: Path) -> Figures:
    """Return the figures in a file."""
    return figures_in(path.read_text(encoding="utf-8"))


def test_a_complete_run_sets_all_figures(journal: Journal, tmp_path: Path) -> None:
    """Times in seconds since 1970, durations per stage, records per artifact and type; no label has a date."""
    path = tmp_path / "oldump.prom"
    update(path, start_figures(1_000.0))
    update(path, failure_figures(2_000.0, 31))
    update(path, success_figures(3_000.0, journal, DAY, memory_bytes=2_000_000_000))
    told = figures(path)
    assert set(told) == set(METRICS)
    single = {name: value[""] for name, value in told.items() if "" in value}
    assert single == {
        "oldump_last_start_timestamp_seconds": 1_000,
        "oldump_last_failure_timestamp_seconds": 2_000,
        "oldump_last_failure_exit_code": 31,
        "oldump_last_success_timestamp_seconds": 3_000,
        "oldump_dump_date_timestamp_seconds": 1_659_225_600,
        "oldump_last_archived_timestamp_seconds": 3_000,
        "oldump_run_duration_seconds": 93_603.75,
        "oldump_peak_memory_bytes": 2_000_000_000,
        "oldump_rows": 20,
    }
    assert told["oldump_stage_duration_seconds"] == {"extract": 1.25, "dumps": 90_000.5, "splice": 2, "archive": 3_600}
    assert told["oldump_artifact_records"] == {"data": 20, "ol_cdump": 15, "ol_dump_works": 7, "ol_dump": 9}
    assert told["oldump_artifact_size_bytes"] == {"data": 200, "ol_cdump": 150, "ol_dump_works": 70, "ol_dump": 90}
    assert told["oldump_dump_records"] == {"/type/work": 7, "/type/page": 2}
    assert (told["oldump_rejects"], told["oldump_drops"]) == ({"no_key": 2}, {"private_page": 3})


def test_a_failed_run_keeps_the_figures_of_the_last_complete_one(journal: Journal, tmp_path: Path) -> None:
    """Alerts depend on the time of the last success."""
    path = tmp_path / "oldump.prom"
    update(path, success_figures(3_000.0, journal, DAY))
    before = figures(path)
    update(path, start_figures(4_000.0))
    update(path, failure_figures(5_000.0, 13))
    after = figures(path)
    assert {name: after[name] for name in before} == before
    assert after["oldump_last_failure_exit_code"] == {"": 13}


def test_an_artifact_that_is_left_out_has_no_figures(journal: Journal, tmp_path: Path) -> None:
    """Old figures of it are removed."""
    path = tmp_path / "oldump.prom"
    update(path, success_figures(3_000.0, journal, DAY))
    journal.forget(["extract"])
    update(path, success_figures(4_000.0, journal, DAY))
    assert "data" not in figures(path)["oldump_artifact_records"]


@pytest.mark.parametrize(
    ("text", "found"),
    [('{"most_memory_bytes": 7}', 7), ('{"most_memory_bytes": null}', None), ("{}", None), ("[]", None), ("{", None)],
)
def test_peak_memory_is_read_from_the_status_if_it_has_it(text: str, found: int | None, tmp_path: Path) -> None:
    """A damaged or missing status has none."""
    (tmp_path / "status.json").write_text(text, encoding="utf-8")
    assert peak_memory_bytes(tmp_path / "status.json") == found
    assert peak_memory_bytes(tmp_path / "gone.json") is None


def test_the_collector_can_read_the_file(tmp_path: Path) -> None:
    """Whatever the umask; and there is no second file that it would read too."""
    before = os.umask(0o077)
    try:
        update(tmp_path / "oldump.prom", start_figures(1))
        update(tmp_path / "oldump.prom", start_figures(2))
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["oldump.prom"]
    assert (tmp_path / "oldump.prom").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [b"oldump_rows{", b"\xff\xfe", b"oldump_rows many\n", b"<html>"])
def test_a_file_of_another_format_is_replaced(content: bytes, tmp_path: Path) -> None:
    """Otherwise metrics would never be written again."""
    path = tmp_path / "oldump.prom"
    path.write_bytes(content)
    update(path, start_figures(7))
    assert figures(path) == start_figures(7)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """It is not created: the collector would not read it."""
    with pytest.raises(StorageError, match="nowhere"):
        update(tmp_path / "nowhere" / "oldump.prom", start_figures(1))
    assert list(tmp_path.iterdir()) == []


def test_only_a_regular_file_is_replaced(tmp_path: Path) -> None:
    """Reading a pipe would block forever, and a device would be replaced."""
    os.mkfifo(tmp_path / "oldump.prom")
    with pytest.raises(StorageError, match="not a regular file"):
        update(tmp_path / "oldump.prom", start_figures(1))
    assert (tmp_path / "oldump.prom").is_fifo()
