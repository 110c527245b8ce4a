"""The history: what completed runs took, a line each, whatever happened to the file."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from oldump.errors import StorageError
from oldump.run.history import Past, PastStage, past_runs, remember

JUNE = Past(
    date="2022-06-30",
    began="2022-07-01T02:00:00+00:00",
    completed="2022-07-01T03:00:00+00:00",
    seconds=3_600.0,
    kind="file",
    source_bytes=1_000,
    text_bytes=None,
    rows=20,
    records=10,
    size_bytes=500,
    workers=2,
    stages={"dumps": PastStage(60.0, 10, {"scatter": 40.0, "gather": 20.0}), "splice": PastStage(1.0)},
)
JULY = replace(JUNE, date="2022-07-31", began="2022-08-01T02:00:00+00:00")


def test_what_is_remembered_is_read_in_order(tmp_path: Path) -> None:
    """With all members; a file that is not there is empty."""
    path = tmp_path / "history.jsonl"
    assert past_runs(path) == []
    remember(path, JUNE)
    remember(path, JULY)
    assert past_runs(path) == [JUNE, JULY]


def test_a_run_is_remembered_once(tmp_path: Path) -> None:
    """One that was killed behind it comes here again; one that was made anew is another."""
    path = tmp_path / "history.jsonl"
    anew = replace(JUNE, began="2022-07-02T00:00:00+00:00")
    for past in (JUNE, replace(JUNE, completed="later"), anew):
        remember(path, past)
    assert past_runs(path) == [JUNE, anew]


def test_a_run_that_was_delivered_since_is_remembered_with_that(tmp_path: Path) -> None:
    """With a line behind the other; and that one once, too."""
    path = tmp_path / "history.jsonl"
    delivered = replace(JUNE, stages={**JUNE.stages, "archive": PastStage(7.0)})
    for past in (JUNE, delivered, delivered):
        remember(path, past)
    assert past_runs(path) == [JUNE, delivered]


@pytest.mark.parametrize(
    "damage",
    [b'{"date": "2022', b"\xff\xfe", b"[]", b"{}", b'{"date": 1, "stages": {"dumps": 3}}', b"null"],
)
def test_damaged_lines_are_passed_over(damage: bytes, tmp_path: Path) -> None:
    """A crash may have cut one short: it neither hides the lines before nor swallows the next."""
    path = tmp_path / "history.jsonl"
    remember(path, JUNE)
    with path.open("ab") as stream:
        stream.write(damage)
    assert past_runs(path) == [JUNE]
    remember(path, JULY)
    assert past_runs(path) == [JUNE, JULY]


def test_a_line_of_another_format_is_none_of_ours(tmp_path: Path) -> None:
    """A later version may mean something else by the same names."""
    path = tmp_path / "history.jsonl"
    remember(path, replace(JUNE, format=2))
    assert past_runs(path) == []


def test_what_cannot_be_kept_is_an_error_of_storage(tmp_path: Path) -> None:
    """With the path: the caller decides that it does not matter."""
    with pytest.raises(StorageError, match="no/history"):
        remember(tmp_path / "no" / "history.jsonl", JUNE)
    assert not os.path.lexists(tmp_path / "no")
