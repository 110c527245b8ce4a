"""A synthetic table with odd and broken rows, and what must become of it."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from commands.command import DATE, run
from oldump.synth.table import copy_blocks
from reference import Reference, dumps_of


class Table(NamedTuple):
    """A COPY text, where it lies, and what the judge makes of it."""

    path: Path
    text: bytes
    judged: Reference


@pytest.fixture(scope="session")
def synth(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """5,000 rows of every kind, odd and broken ones among them."""
    text = b"".join(copy_blocks(5_000, odd_rows=60, broken_rows=60))
    path = tmp_path_factory.mktemp("synth") / "data.txt"
    path.write_bytes(text)
    return Table(path, text, dumps_of(text, DATE))


@pytest.fixture(scope="session")
def made(synth: Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run over the synthetic table. Only look at it."""
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
    """The folder of a complete run over the small table. Only copy it."""
    out = tmp_path_factory.mktemp("complete")
    run(small, out, cwd=out)
    return out


@pytest.fixture
def complete(complete_once: Path, tmp_path: Path) -> Path:
    """A folder of one's own with a complete run over the small table: tmp_path / "out"."""
    out = tmp_path / "out"
    shutil.copytree(complete_once, out)
    return out
