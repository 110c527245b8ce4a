"""The status file: read back as it was written, replaced at once, and None where it says nothing."""

import errno
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from oldump.run.owner import Owner
from oldump.run.status import StageStatus, State, Status, put

STATUS = Status(
    date="2022-07-31",
    state=State.RUNNING,
    owner=asdict(Owner.ours()),
    began="2022-08-01T02:00:00+00:00",
    resumed="2022-08-01T03:00:00+00:00",
    updated="2022-08-01T03:30:00+00:00",
    seconds=5_000.5,
    version="0.1.0",
    log="run.log",
    stage="dumps",
    step="gather",
    rows=1_000,
    warnings=["é, as it is"],
    stages=[StageStatus("dumps", "running", 12.0, None, 1_000, {"scatter": 10.0, "gather": 2.0})],
)


def test_it_is_read_as_it_was_written() -> None:
    """Stages and all; and whose it is."""
    read = Status.read(STATUS.written())
    assert read
    assert read.stages == STATUS.stages
    assert read.stage_of["dumps"].steps == {"scatter": 10.0, "gather": 2.0}
    assert read.warnings == ["é, as it is"]
    assert (read.state, read.of) == (State.RUNNING, STATUS.of)
    assert read.of
    assert read.of.runs


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        STATUS.written()[:300],
        STATUS.written().replace(b'"running"', b'"asleep"'),
        STATUS.written().replace(b'"began"', b'"begun"'),
        STATUS.written().replace(b'"format": 1', b'"format": 2'),
        STATUS.written().replace(b'"scatter": 10.0', b'"scatter": "long"'),
        b"\xff" + STATUS.written(),
        STATUS.written().replace(b'"owner": {', b'"owner": {"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b","),
        STATUS.written().replace("é".encode(), b"\xff"),
    ],
)
def test_a_damaged_or_foreign_one_says_nothing(damage: bytes, tmp_path: Path) -> None:
    """Nobody fails because of it."""
    assert Status.read(damage) is None
    (tmp_path / "status.json").write_bytes(damage)
    assert Status.at(tmp_path / "status.json") is None
    assert Status.at(tmp_path / "none") is None


def test_it_is_replaced_and_leaves_nothing(tmp_path: Path) -> None:
    """The new one has the name, and no other file is there."""
    path = tmp_path / "status.json"
    path.write_bytes(b"old")
    put(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_one_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """A folder has the temporary name here; a full disk does the same."""
    path = tmp_path / "status.json"
    path.write_bytes(b"old")
    (tmp_path / "status.json.new").mkdir()
    with pytest.raises(OSError, match=r"Is a directory") as caught:
        put(path, b"new")
    assert caught.value.errno == errno.EISDIR
    assert path.read_bytes() == b"old"


def test_its_names_are_plain_json() -> None:
    """Monitors read it with jq."""
    members = json.loads(STATUS.written())
    assert members["format"] == 1
    assert members["state"] == "running"
    assert set(members["owner"]) == {"pid", "host", "user", "since", "started", "kernel", "pids"}
