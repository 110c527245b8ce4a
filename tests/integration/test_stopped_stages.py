"""What becomes of a run from the databases that is stopped, or finds the disk full, in any stage that reads them."""

import json
import signal
import time
from pathlib import Path

import psutil
import pytest

from commands.command import DATE, failed, item_of, oldump, private_of, published, started
from faults.driver import Rule
from faults.faulty import SOON, Faulty, has_published
from faults.faulty import faulty as faulty  # noqa: PLC0414 - a fixture
from integration.amid import AMID
from integration.conftest import Database, Proxied
from oldump.outside.synthetic_databases import Databases, fill
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.postgres

FILES = ("covers_metadata", "ia_metadata", "reading-log", "ratings", "wikidata", "data")
"""What is copied, in this order."""


@pytest.fixture(scope="module")
def databases(database: Database) -> Databases:
    """Open Library's, coverstore and the archive's."""
    return fill(database(), copy_blocks(1_000))


def arguments_of(databases: Databases, out: Path) -> tuple[object, ...]:
    """The arguments of a run from all of them."""
    sources = ("--source", databases.openlibrary, "--coverstore", databases.coverstore)
    return ("run", DATE, *sources, "--archive-database", databases.archive, "--out", out, "--workers", 2)


def artifacts_of(out: Path) -> dict[str, bytes]:
    """What is published and does not name the moment of a snapshot."""
    return {name: content for name, content in published(out).items() if name != "manifest.json"}


@pytest.fixture(scope="module")
def undisturbed(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run publishes which nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    ran = oldump(*arguments_of(databases, folder / "out"), cwd=folder)
    assert ran.code == 0, ran.err
    return artifacts_of(folder / "out")


ENDS = {
    "SIGTERM": (143, "stopped by SIGTERM"),
    "SIGINT": (130, "stopped by SIGINT"),
    "ENOSPC": (31, "no space left"),
}


@pytest.mark.parametrize("what", ENDS)
def test_a_stage_that_copies(
    what: str, databases: Databases, undisturbed: dict[str, bytes], tmp_path: Path, faulty: Faulty
) -> None:
    """It ends within seconds and in one line, whatever it copies; the next run copies all of that database anew."""
    out, (code, said) = tmp_path / "out", ENDS[what]
    for name in FILES:
        rule = Rule(what, "write", f"*/*{name}*.txt.gz.part", to="group" if what == "SIGINT" else "leader")
        began = time.monotonic()
        ran = faulty([rule], *arguments_of(databases, out), cwd=tmp_path)
        assert ran.code == code, (name, ran.err)
        failed(ran, code, said)
        assert time.monotonic() - began < SOON
        assert not has_published(out)
    ran = oldump(*arguments_of(databases, out), cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert artifacts_of(out) == undisturbed
    assert json.loads((item_of(out) / "manifest.json").read_bytes())["skipped"] == []


def test_a_worker_that_copies_is_killed(wide: str, proxied: Proxied, tmp_path: Path) -> None:
    """The error names the range of the table; nothing is left of it, and the next try copies all."""
    proxy = proxied(wide)
    line = ("run", DATE, "--source", proxy.conninfo, "--out", ".", "--only", "extract", "--jobs", 1)

    def kill() -> None:
        proxy.deafen(3)
        for worker in psutil.Process(process.pid).children():
            worker.send_signal(signal.SIGKILL)

    proxy.when(3, AMID, kill)
    with started(*line, cwd=tmp_path) as process:
        _, err = process.communicate(timeout=60)
    assert process.returncode == 60, err
    assert b"died of signal SIGKILL during: table data, ctid " in err
    assert not list(private_of(tmp_path).glob("data.txt.gz*"))
    assert oldump(*line, cwd=tmp_path).code == 0
