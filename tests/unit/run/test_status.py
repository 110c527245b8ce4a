"""The status file: parsed as written, replaced atomically, and None if it is damaged."""

import errno
import json
from pathlib import Path

import pytest

from oldump.run.status import ReportedState, Status, write_atomically
from unit.run.examples import STATUS


def test_a_status_is_parsed_as_it_was_written() -> None:
    """With its stages and its owner."""
    read = Status.parse(STATUS.to_json())
    assert read
    assert read.stages == STATUS.stages
    assert read.stages_by_name["dumps"].steps == {"scatter": 10.0, "gather": 2.0}
    assert read.warnings == ["é, as it is"]
    assert (read.state, read.owner_process) == (ReportedState.RUNNING, STATUS.owner_process)
    assert read.owner_process
    assert read.owner_process.is_alive


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        STATUS.to_json()[:300],
        STATUS.to_json().replace(b'"running"', b'"asleep"'),
        STATUS.to_json().replace(b'"began"', b'"begun"'),
        STATUS.to_json().replace(b'"format": 1', b'"format": 2'),
        STATUS.to_json().replace(b'"scatter": 10.0', b'"scatter": "long"'),
        b"\xff" + STATUS.to_json(),
        STATUS.to_json().replace(b'"owner": {', b'"owner": {"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b","),
        STATUS.to_json().replace("é".encode(), b"\xff"),
    ],
)
def test_a_damaged_or_foreign_status_is_none(damage: bytes, tmp_path: Path) -> None:
    """It is not an error."""
    assert Status.parse(damage) is None
    (tmp_path / "status.json").write_bytes(damage)
    assert Status.read_file(tmp_path / "status.json") is None
    assert Status.read_file(tmp_path / "none") is None


def test_an_atomic_write_leaves_no_other_file(tmp_path: Path) -> None:
    """Only the new file exists."""
    path = tmp_path / "status.json"
    path.write_bytes(b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    """Here a folder occupies the temporary name; a full disk has the same effect."""
    path = tmp_path / "status.json"
    path.write_bytes(b"old")
    (tmp_path / "status.json.new").mkdir()
    with pytest.raises(OSError, match=r"Is a directory") as caught:
        write_atomically(path, b"new")
    assert caught.value.errno == errno.EISDIR
    assert path.read_bytes() == b"old"


def test_the_members_are_plain_json() -> None:
    """Monitors read them with jq."""
    members = json.loads(STATUS.to_json())
    assert members["format"] == 1
    assert members["state"] == "running"
    assert set(members["owner"]) == {"pid", "host", "user", "since", "started", "kernel", "pids"}
