"""A run that is stopped, or whose disk is full, in a stage that reads a database, and the run that follows."""

import json
import signal
from pathlib import Path

import psutil
import pytest

from commands.command import DATE, failed, item_of, oldump, private_of, published, started
from faults.driver import Rule
from faults.faulty import SOON, Faulty, has_published
from faults.faulty import faulty as faulty  # noqa: PLC0414 - a fixture
from integration.conftest import Database, Proxied
from integration.mid_copy import MID_COPY_BYTES
from oldump.outside.synthetic_databases import Databases, fill
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.postgres

FILES = ("covers_metadata", "ia_metadata", "reading-log", "ratings", "wikidata", "data")
"""The copied tables, in order."""


@pytest.fixture(scope="module")
def databases(database: Database) -> Databases:
    """Return Open Library's, coverstore's and the archive's databases."""
    return fill(database(), copy_blocks(1_000))


def arguments_of(databases: Databases, out: Path) -> tuple[object, ...]:
    """Return the arguments of a run from all of them."""
    sources = ("--source", databases.openlibrary, "--coverstore", databases.coverstore)
    return ("run", DATE, *sources, "--archive-database", databases.archive, "--out", out, "--workers", 2)


def artifacts_of(out: Path) -> dict[str, bytes]:
    """Return the published files that do not depend on the time of a snapshot."""
    return {name: content for name, content in published(out).items() if name != "manifest.json"}


@pytest.fixture(scope="module")
def undisturbed(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the artifacts of an undisturbed run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ran = oldump(*arguments_of(databases, folder / "out"), cwd=folder)
    assert ran.code == 0, ran.err
    return artifacts_of(folder / "out")


ENDS = {
    "SIGTERM": (143, "stopped by SIGTERM"),
    "SIGINT": (130, "stopped by SIGINT"),
    "ENOSPC": (31, "no space left"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_stage_that_copies_is_stopped(
    end: str, databases: Databases, undisturbed: dict[str, bytes], tmp_path: Path, faulty: Faulty
) -> None:
    """A run stopped while copying ends soon with one line, and the next run copies that database again."""
    out, (code, message) = tmp_path / "out", ENDS[end]
    for name in FILES:
        rule = Rule(end, "write", f"*/*{name}*.txt.gz.part", to="group" if end == "SIGINT" else "leader")
        ran = faulty([rule], *arguments_of(databases, out), cwd=tmp_path, seconds=SOON)
        assert ran.code == code, (name, ran.err)
        failed(ran, code, message)
        assert not has_published(out)
    ran = oldump(*arguments_of(databases, out), cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert artifacts_of(out) == undisturbed
    assert json.loads((item_of(out) / "manifest.json").read_bytes())["skipped"] == []


def test_a_worker_that_copies_is_killed(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """The error names the worker's range of the table, nothing is left, and the next run copies everything."""
    proxy = proxied(wide)
    line = ("run", DATE, "--source", proxy.conninfo, "--out", ".", "--only", "extract", "--jobs", 1)

    def kill() -> None:
        proxy.silence(3)
        for worker in psutil.Process(process.pid).children():
            worker.send_signal(signal.SIGKILL)

    proxy.when(3, MID_COPY_BYTES, kill)
    with started(*line, cwd=tmp_path) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 60, err
    assert b"died of signal SIGKILL during: table data, ctid " in err
    assert not list(private_of(tmp_path).glob("data.txt.gz*"))
    assert oldump(*line, cwd=tmp_path).code == 0
