"""The file of metrics: what a run changes in it, and who can read it."""

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from oldump.errors import StorageError
from oldump.monitoring.metrics_file import most_memory_bytes, of_failure, of_start, of_success, renew
from oldump.outside.metrics import METRICS, Figures, figures_in
from oldump.run.journal import Artifact, Committed, Journal

DAY = date(2022, 7, 31)


def artifact(name: str, records: int, item: str | None = "ol_dump_2022-07-31", **more: Any) -> Artifact:
    """One of this name."""
    sizes: dict[str, Any] = {"size_bytes": 10 * records, "text_bytes": 99 * records, "segments": 1}
    return Artifact(name, item, records=records, sha256="", md5="", first_key=None, **sizes, **more)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Of a complete run."""
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
    """What the file says."""
    return figures_in(path.read_text(encoding="utf-8"))


def test_a_complete_run_says_all(journal: Journal, tmp_path: Path) -> None:
    """Times in seconds since 1970, durations by stage, records by artifact and type; and no date in a label."""
    path = tmp_path / "oldump.prom"
    renew(path, of_start(1_000.0))
    renew(path, of_failure(2_000.0, 31))
    renew(path, of_success(3_000.0, journal, DAY, memory_bytes=2_000_000_000))
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


def test_a_failed_run_leaves_what_the_last_complete_one_said(journal: Journal, tmp_path: Path) -> None:
    """Its time above all: an alert looks at that."""
    path = tmp_path / "oldump.prom"
    renew(path, of_success(3_000.0, journal, DAY))
    before = figures(path)
    renew(path, of_start(4_000.0))
    renew(path, of_failure(5_000.0, 13))
    after = figures(path)
    assert {name: after[name] for name in before} == before
    assert after["oldump_last_failure_exit_code"] == {"": 13}


def test_what_is_gone_from_a_run_is_gone_from_its_metrics(journal: Journal, tmp_path: Path) -> None:
    """An artifact that the next run does without has no old figure among its new ones."""
    path = tmp_path / "oldump.prom"
    renew(path, of_success(3_000.0, journal, DAY))
    journal.forget(["extract"])
    renew(path, of_success(4_000.0, journal, DAY))
    assert "data" not in figures(path)["oldump_artifact_records"]


@pytest.mark.parametrize(
    ("text", "found"),
    [('{"most_memory_bytes": 7}', 7), ('{"most_memory_bytes": null}', None), ("{}", None), ("[]", None), ("{", None)],
)
def test_memory_is_told_if_it_is_known(text: str, found: int | None, tmp_path: Path) -> None:
    """By status.json, which is another's file."""
    (tmp_path / "status.json").write_text(text, encoding="utf-8")
    assert most_memory_bytes(tmp_path / "status.json") == found
    assert most_memory_bytes(tmp_path / "gone.json") is None


def test_the_collector_can_read_it_and_nothing_else_lies_there(tmp_path: Path) -> None:
    """Whatever the umask; and no file beside it that the collector would take too."""
    before = os.umask(0o077)
    try:
        renew(tmp_path / "oldump.prom", of_start(1))
        renew(tmp_path / "oldump.prom", of_start(2))
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["oldump.prom"]
    assert (tmp_path / "oldump.prom").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("content", [b"oldump_rows{", b"\xff\xfe", b"oldump_rows many\n", b"<html>"])
def test_a_file_that_is_none_is_replaced(content: bytes, tmp_path: Path) -> None:
    """Rather than never written again."""
    path = tmp_path / "oldump.prom"
    path.write_bytes(content)
    renew(path, of_start(7))
    assert figures(path) == of_start(7)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And not made: the collector would not look there."""
    with pytest.raises(StorageError, match="nowhere"):
        renew(tmp_path / "nowhere" / "oldump.prom", of_start(1))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_plain_file_is_left_alone(tmp_path: Path) -> None:
    """Whoever reads a pipe waits for ever, and a device would be replaced."""
    os.mkfifo(tmp_path / "oldump.prom")
    with pytest.raises(StorageError, match="no plain file"):
        renew(tmp_path / "oldump.prom", of_start(1))
    assert (tmp_path / "oldump.prom").is_fifo()
