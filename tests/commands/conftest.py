"""Fixtures: synthetic tables, what the reference implementation makes of them, and complete runs."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from commands.command import DATE, run
from oldump.synth.table import copy_blocks
from reference import Reference, dumps_of


class Table(NamedTuple):
    """A COPY text, its path, and the reference implementation's result."""

    path: Path
    text: bytes
    reference: Reference


@pytest.fixture(scope="session")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A table of 5,000 rows of every kind, with odd and broken ones."""
    text = b"".join(copy_blocks(5_000, odd_rows=60, broken_rows=60))
    path = tmp_path_factory.mktemp("synth") / "data.txt"
    path.write_bytes(text)
    return Table(path, text, dumps_of(text, DATE))


@pytest.fixture(scope="session")
def made(synth: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run over the synthetic table. Read-only."""
    out = tmp_path_factory.mktemp("made")
    run(synth.path, out, cwd=out)
    return out


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 600 plain rows, for tests that run it often."""
    path = tmp_path_factory.mktemp("small") / "data.txt"
    path.write_bytes(b"".join(copy_blocks(600)))
    return path


@pytest.fixture(scope="session")
def complete_once(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run over the small table. Copy it before use."""
    out = tmp_path_factory.mktemp("complete")
    run(small, out, cwd=out)
    return out


@pytest.fixture
def complete(complete_once: Path, tmp_path: Path) -> Path:
    """The test's own copy of a complete run over the small table, in tmp_path / "out"."""
    out = tmp_path / "out"
    shutil.copytree(complete_once, out)
    return out
