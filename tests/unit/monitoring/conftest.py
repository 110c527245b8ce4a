"""Fixtures: a server that receives notifications, and the folder of a run."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from listener import Listener, listening
from oldump.run.folder import RunFolder
from unit.monitoring.situations import DAY, RECEIPT


@pytest.fixture
def listener() -> Iterator[Listener]:
    """A server that answers 200."""
    with listening() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """The folder of a run, with an empty private folder."""
    folder = RunFolder(tmp_path, DAY)
    folder.private.mkdir()
    return folder


@pytest.fixture
def receipt(folder: RunFolder) -> Path:
    """The receipt of the run's upload."""
    path = folder.private / "archived.json"
    path.write_text(json.dumps(RECEIPT), encoding="utf-8")
    return path
