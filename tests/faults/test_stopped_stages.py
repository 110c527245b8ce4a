"""A run is stopped, or a worker of it killed, in every stage: it ends at once, names what it was at, and goes on."""

import re
import signal
import time
from pathlib import Path

import pytest

from commands.command import failed, published, run
from faults.driver import WORKERS, Rule
from faults.faulty import SOON, Faulty, arguments_of, has_published

DUMP, CDUMP = "*/ol_dump_2022-07-31/", "*/ol_cdump_2022-07-31/"
PLACES: list[dict[str, object]] = [
    {"at": "write", "path": "*/lock"},
    {"at": "write", "path": "*/journal.jsonl"},
    {"at": "read", "path": "*/data.txt", "process": WORKERS},
    {"at": "write", "path": "*/spill/*/spill-*", "process": WORKERS},
    {"at": "write", "path": "*/rejects.txt.gz.part"},
    {"at": "read", "path": "*/spill/*/spill-*", "process": 3},
    {"at": "write", "path": f"{CDUMP}*.txt.gz.part"},
    {"at": "rename", "path": f"{DUMP}*_lists_*.txt.gz"},
    {"at": "fsync", "path": "*/journal.jsonl", "nth": 2},
    {"at": "write", "path": f"{DUMP}ol_dump_2022-07-31.txt.gz.part"},
    {"at": "sqlite", "path": "*/redirects.sqlite"},
    {"at": "write", "path": "*/spill/*/spill-*", "process": WORKERS},
    {"at": "read", "path": "*/spill/*/spill-*", "process": 3},
    {"at": "read", "path": "*/spill/*/spill-*", "process": 5},
    {"at": "write", "path": f"{DUMP}*_deworks_*.txt.gz.part"},
    {"at": "read", "path": f"{DUMP}*_works_*.txt.gz", "process": 7},
    {"at": "write", "path": f"{DUMP}manifest.json.part"},
    {"at": "read", "path": "*/making/ol_dump_2022-07-31/manifest.json"},
    {"at": "rename", "path": "*/out/ol_*"},
    {"at": "rename", "path": "*/out/ol_*", "nth": 1, "after": True},
    {"at": "fsync", "path": "*/journal.jsonl"},
]
"""In the order in which a run comes to them: lock, scatter, gather, commit, splice, the steps of deworks, gate, sums
and manifest, verify, publication.

Workers are counted from the beginning of each try; there are two in a step."""
PUBLISHING = 3
"""So many of the last places lie where readers may see an item."""


@pytest.mark.parametrize(("name", "to"), [("SIGTERM", "leader"), ("SIGINT", "group")])
def test_a_run_that_is_stopped(
    name: str, to: str, table: Path, undisturbed: dict[str, bytes], tmp_path: Path, faulty: Faulty
) -> None:
    """At each place: within seconds, with its exit code and one line, and no process is left."""
    out, code = tmp_path / "out", 128 + signal.Signals[name]
    stopped: set[str] = set()
    for place, where in enumerate(PLACES):
        began = time.monotonic()
        ran = faulty([Rule(name, to=to, **where)], *arguments_of(table, out), cwd=tmp_path)  # type: ignore[arg-type] # its own fields
        assert ran.code == code, (where, ran.err)
        failed(ran, code, f"stopped by {name}", "committed work is kept; rerun to resume")
        assert time.monotonic() - began < SOON, where
        stopped.update(re.findall(r" INFO (\S+): started$", ran.err, re.MULTILINE)[-1:])
        assert place >= len(PLACES) - PUBLISHING or not has_published(out)
    assert stopped == {"dumps", "splice", "deworks", "gate", "verify"}
    run(table, out, cwd=tmp_path)
    assert published(out) == undisturbed


KILLED = {
    "scatter": (Rule("SIGKILL", "read", "*/data.txt", process=WORKERS, to="itself"), "data.txt, up to byte"),
    "gather": (Rule("SIGKILL", "read", "*/spill/*/spill-*", process=3, to="itself"), "bucket 0x"),
    "deworks, scatter": (
        Rule("SIGKILL", "read", f"{DUMP}*.txt.gz", process=WORKERS, to="itself"),
        ".txt.gz, up to byte",
    ),
    "deworks, join": (Rule("SIGKILL", "read", "*/spill/*/spill-*", process=3, to="itself"), "bucket 0x"),
    "deworks, gather": (Rule("SIGKILL", "read", "*/spill/*/spill-*", process=5, to="itself"), "bucket 0x"),
}
"""In the order in which a run comes to them, with what the worker is at."""


def test_a_run_whose_workers_are_killed(
    table: Path, undisturbed: dict[str, bytes], tmp_path: Path, faulty: Faulty
) -> None:
    """The error names signal and bucket or block; what was committed before is kept."""
    out = tmp_path / "out"
    for step, (rule, what) in KILLED.items():
        ran = faulty([rule], *arguments_of(table, out), cwd=tmp_path)
        assert ran.code == 60, (step, ran.err)
        failed(ran, 60, "died of signal SIGKILL", what, "Give the command again")
        assert ("dumps: already committed" in ran.err) == step.startswith("deworks")
        if step == "gather":
            run(table, out, "--only", "dumps", "--only", "splice", cwd=tmp_path)
    run(table, out, cwd=tmp_path)
    assert published(out) == undisturbed
