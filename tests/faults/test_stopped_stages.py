"""A run that is stopped or loses a worker in any stage ends soon with one clear line, and the next run resumes."""

import re
import signal
from pathlib import Path

import pytest

from commands.command import failed, published, run
from faults.driver import WORKERS, Rule
from faults.faulty import SOON, Faulty, Tries, arguments_of, has_published

DUMP, CDUMP = "*/ol_dump_2022-07-31/", "*/ol_cdump_2022-07-31/"
STOPS: dict[str, dict[str, object]] = {
    "lock": {"at": "write", "path": "*/lock"},
    "journal": {"at": "write", "path": "*/journal.jsonl"},
    "scatter, source": {"at": "read", "path": "*/data.txt", "process": WORKERS},
    "scatter, spill": {"at": "write", "path": "*/spill/*/spill-*", "process": WORKERS},
    "rejects": {"at": "write", "path": "*/rejects.txt.gz.part"},
    "gather": {"at": "read", "path": "*/spill/*/spill-*", "process": 3},
    "cdump": {"at": "write", "path": f"{CDUMP}*.txt.gz.part"},
    "a part, rename": {"at": "rename", "path": f"{DUMP}*_lists_*.txt.gz"},
    "journal, dumps": {"at": "fsync", "path": "*/journal.jsonl", "nth": 2},
    "splice": {"at": "write", "path": f"{DUMP}ol_dump_2022-07-31.txt.gz.part"},
    "redirects": {"at": "sqlite", "path": "*/redirects.sqlite"},
    "deworks, scatter": {"at": "write", "path": "*/spill/*/spill-*", "process": WORKERS},
    "deworks, join": {"at": "read", "path": "*/spill/*/spill-*", "process": 3},
    "deworks, gather": {"at": "read", "path": "*/spill/*/spill-*", "process": 5},
    "deworks, artifact": {"at": "write", "path": f"{DUMP}*_deworks_*.txt.gz.part"},
    "gate": {"at": "read", "path": f"{DUMP}*_works_*.txt.gz", "process": 7},
    "manifest": {"at": "write", "path": f"{DUMP}manifest.json.part"},
    "verify": {"at": "read", "path": "*/making/ol_dump_2022-07-31/manifest.json"},
    "publication, before the first item": {"at": "rename", "path": "*/out/ol_*"},
    "publication, after the first item": {"at": "rename", "path": "*/out/ol_*", "nth": 1, "after": True},
    "journal, published": {"at": "fsync", "path": "*/journal.jsonl"},
}
"""In the order in which a run reaches them. Workers are counted from the start of each try; each step has two."""
PUBLISHING = list(STOPS)[-3:]
"""Stops at which readers may already see an item."""


class StoppedRuns(Tries):
    """Tries that a signal stops, and the stages that were running then."""

    def __init__(self, folder: Path, signal_name: str, recipient: str) -> None:
        """Send this signal to the leader or to its group."""
        super().__init__(folder)
        self.signal_name, self.recipient = signal_name, recipient
        self.stages: set[str] = set()


@pytest.fixture(scope="module", params=[("SIGTERM", "leader"), ("SIGINT", "group")], ids=lambda param: param[0])
def stopped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StoppedRuns:
    """Return the output folder that all stops by one signal share."""
    return StoppedRuns(tmp_path_factory.mktemp("stopped"), *request.param)


@pytest.mark.parametrize("stop", STOPS)
def test_a_stopped_run_ends_soon(stop: str, stopped: StoppedRuns, table: Path, faulty: Faulty) -> None:
    """A stopped run ends soon with its exit code and one line, and leaves no process."""
    name, code = stopped.signal_name, 128 + signal.Signals[stopped.signal_name]
    rule = Rule(name, to=stopped.recipient, **STOPS[stop])  # type: ignore[arg-type] # its own fields
    ran = stopped.one(stop, [rule], table, faulty, seconds=SOON)
    assert ran.code == code, ran.err
    failed(ran, code, f"stopped by {name}", "committed work is kept; rerun to resume")
    stopped.stages.update(re.findall(r" INFO (\S+): started$", ran.err, re.MULTILINE)[-1:])
    assert stop in PUBLISHING or not has_published(stopped.out)


def test_a_run_after_all_stops(stopped: StoppedRuns, table: Path, undisturbed: dict[str, bytes]) -> None:
    """Every stage was stopped once, and the last run completes with the same bytes."""
    stopped.require(list(STOPS))
    assert stopped.stages == {"dumps", "splice", "deworks", "gate", "verify"}
    run(table, stopped.out, cwd=stopped.folder)
    assert published(stopped.out) == undisturbed


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
"""In the order in which a run reaches them, with the task that the error names."""


def test_a_run_whose_workers_are_killed(
    table: Path, undisturbed: dict[str, bytes], tmp_path: Path, faulty: Faulty
) -> None:
    """The error names the signal and the bucket or block, and committed stages are kept."""
    out = tmp_path / "out"
    for step, (rule, task) in KILLED.items():
        ran = faulty([rule], *arguments_of(table, out), cwd=tmp_path)
        assert ran.code == 60, (step, ran.err)
        failed(ran, 60, "died of signal SIGKILL", task, "Rerun: the run resumes after the last committed stage")
        assert ("dumps: already committed" in ran.err) == step.startswith("deworks")
        if step == "gather":
            run(table, out, "--only", "dumps", "--only", "splice", cwd=tmp_path)
    run(table, out, cwd=tmp_path)
    assert published(out) == undisturbed
