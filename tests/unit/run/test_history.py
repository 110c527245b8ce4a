"""The history of completed runs: one line each, robust against damage."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from oldump.errors import StorageError
from oldump.run.history import CompletedStage, append_run, completed_runs
from unit.run.examples import JULY, JUNE


def test_runs_are_read_in_the_order_of_their_completion(tmp_path: Path) -> None:
    """With all members; a missing file is empty."""
    path = tmp_path / "history.jsonl"
    assert completed_runs(path) == []
    append_run(path, JUNE)
    append_run(path, JULY)
    assert completed_runs(path) == [JUNE, JULY]


def test_a_run_is_appended_once(tmp_path: Path) -> None:
    """A run killed after appending tries again. A run started from scratch is another run."""
    path = tmp_path / "history.jsonl"
    restarted = replace(JUNE, began="2022-07-02T00:00:00+00:00")
    for past in (JUNE, replace(JUNE, completed="later"), restarted):
        append_run(path, past)
    assert completed_runs(path) == [JUNE, restarted]


def test_a_run_that_was_delivered_later_gets_another_line(tmp_path: Path) -> None:
    """That line is appended once, too."""
    path = tmp_path / "history.jsonl"
    delivered = replace(JUNE, stages={**JUNE.stages, "archive": CompletedStage(7.0)})
    for past in (JUNE, delivered, delivered):
        append_run(path, past)
    assert completed_runs(path) == [JUNE, delivered]


@pytest.mark.parametrize(
    "damage",
    [b'{"date": "2022', b"\xff\xfe", b"[]", b"{}", b'{"date": 1, "stages": {"dumps": 3}}', b"null"],
)
def test_damaged_lines_are_ignored(damage: bytes, tmp_path: Path) -> None:
    """A line that a crash cut short affects neither earlier lines nor the next."""
    path = tmp_path / "history.jsonl"
    append_run(path, JUNE)
    with path.open("ab") as stream:
        stream.write(damage)
    assert completed_runs(path) == [JUNE]
    append_run(path, JULY)
    assert completed_runs(path) == [JUNE, JULY]


def test_lines_of_another_format_are_ignored(tmp_path: Path) -> None:
    """In a later format the same names may have another meaning."""
    path = tmp_path / "history.jsonl"
    append_run(path, replace(JUNE, format=2))
    assert completed_runs(path) == []


def test_a_failed_write_is_a_storage_error(tmp_path: Path) -> None:
    """It names the path; the caller ignores it."""
    with pytest.raises(StorageError, match="no/history"):
        append_run(tmp_path / "no" / "history.jsonl", JUNE)
    assert not os.path.lexists(tmp_path / "no")
