"""Fixtures for the fault tests: a table, and what an undisturbed run makes of it."""

from pathlib import Path

import pytest

from commands.command import published, run
from faults.faulty import faulty as faulty  # noqa: PLC0414 - a fixture
from oldump.synth.table import copy_blocks


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a table of 3,000 valid rows and one that is rejected."""
    path = tmp_path_factory.mktemp("table") / "data.txt"
    path.write_bytes(b"".join(copy_blocks(3_000)) + b"no row\n")
    return path


@pytest.fixture(scope="module")
def undisturbed(table: Path) -> dict[str, bytes]:
    """Return every file that an undisturbed run publishes."""
    run(table, table.parent / "undisturbed", cwd=table.parent)
    return published(table.parent / "undisturbed")
