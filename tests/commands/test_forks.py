"""Forked commands, which most tests run, behave like commands in an interpreter of their own."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands.command import DATE, INTERPRETER, cdump_of, environment, item_of, oldump, oldump_alone, published, run
from commands.forks import Ended, Forks, Order

PROBE = """
import gc, json, os, signal, stat, sys, threading

def kind(number):
    return stat.S_IFMT(os.fstat(number).st_mode), os.isatty(number), getattr(sys, names[number]).encoding

names = ("stdin", "stdout", "stderr")
opened = [number for number in range(1024) if os.path.exists(f"/proc/self/fd/{number}")]
print(json.dumps({
    "arguments": sys.argv,
    "paths": sys.path[0],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "opened": opened,
    "streams": [kind(number) for number in range(3)],
    "seekable": [getattr(sys, name).seekable() for name in names],
    "signals": {number.name: str(signal.getsignal(number)) for number in signal.Signals},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "warnings": sys.warnoptions,
    "group": [os.getpgrp(), os.getsid(0)],
    "mask": os.umask(0),
    "threads": threading.active_count(),
    "collects": gc.isenabled(),
    "main": [sys.modules["__main__"].__name__, sys.modules["__main__"].__spec__.name, __package__],
    "standard input": sys.stdin.read(),
}))
print("error", file=sys.stderr)
if sys.argv[1].startswith("SIG"):
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def forks() -> Forks:
    """A fork server for the test."""
    return Forks(INTERPRETER, environment(), seconds=60)


def probe(forks: Forks, folder: Path, ending: str) -> tuple[Ended, Ended]:
    """Return what a probe reports about its process, once forked and once in its own interpreter."""
    (folder / "probe.py").write_text(PROBE)
    given = environment(TMPDIR=str(folder), PGHOST="nowhere", TZ="Asia/Tokyo")
    forked = forks.run(Order([ending, "two words", "é"], str(folder), given, "probe"), b"given\n")
    line = [*INTERPRETER, "-m", "probe", ending, "two words", "é"]
    alone = subprocess.run(line, cwd=folder, env=given, input=b"given\n", capture_output=True, check=False)
    return forked, Ended(alone.returncode, alone.stdout, alone.stderr)


def members(ended: Ended) -> dict[str, Any]:
    """Return the members of the report, as requested in the order."""
    found = json.loads(ended.out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("ending", "code"), [("0", 0), ("41", 41)])
def test_a_forked_process_is_like_one_with_its_own_interpreter(
    ending: str, code: int, forks: Forks, tmp_path: Path
) -> None:
    """Arguments, folder, environment, open files, streams, signals, group, warnings and exit code are the same."""
    forked, alone = probe(forks, tmp_path, ending)
    assert members(forked) == members(alone)
    assert members(forked)["opened"] == [0, 1, 2]
    assert members(forked)["standard input"] == "given\n"
    assert forked[::2] == alone[::2] == (code, b"error\n")


def test_a_forked_process_can_die_of_a_signal(forks: Forks, tmp_path: Path) -> None:
    """The result says which signal."""
    forked, alone = probe(forks, tmp_path, "SIGKILL")
    assert forked.code == alone.code == -signal.SIGKILL


def test_a_command_over_the_time_limit_is_killed(tmp_path: Path) -> None:
    """The server then runs the next one."""
    (tmp_path / "hanging.py").write_text("import time; time.sleep(600)")
    (tmp_path / "quick.py").write_text("print(1)")
    forks = Forks(INTERPRETER, environment(), seconds=5)
    with pytest.raises(TimeoutError):
        forks.run(Order([], str(tmp_path), environment(), "hanging"), b"")
    assert forks.run(Order([], str(tmp_path), environment(), "quick"), b"") == Ended(0, b"1\n", b"")


def test_a_warning_fails_a_forked_process_too(forks: Forks, tmp_path: Path) -> None:
    """Every warning is an error in it."""
    (tmp_path / "warning.py").write_text("import warnings; warnings.warn('loud')")
    ended = forks.run(Order([], str(tmp_path), environment(), "warning"), b"")
    assert ended.code == 1
    assert ended.err.endswith(b"UserWarning: loud\n")


def test_a_package_that_cannot_be_imported_fails_at_once() -> None:
    """The server does not start."""
    with pytest.raises(subprocess.CalledProcessError):
        Forks([sys.executable, "-S"], environment(PYTHONPATH=""), seconds=60)


@pytest.mark.parametrize(
    "command",
    ["plan", "doctor", "verify {item}", "deworks {item}/ol_dump_{date}.txt.gz", "split {cdump}", "--help", "--version"],
)
def test_a_command_imports_what_it_needs(command: str, small: Path, complete: Path) -> None:
    """A fork might have modules that the command does not import itself."""
    line = command.format(item=item_of(complete), cdump=cdump_of(complete), date=DATE).split()
    given = {"OLDUMP_SOURCE": str(small), "OLDUMP_OUT": str(complete)}
    ways = [way(*line, cwd=complete, env=given) for way in (oldump, oldump_alone)]
    assert ways[0].code == ways[1].code
    assert without_times(ways[0].err) == without_times(ways[1].err)
    assert "Traceback" not in ways[1].err


def without_times(log: str) -> list[str]:
    """Return the words of a log without the time at the start of each line."""
    return [line.split(" ", 1)[-1] for line in log.splitlines()]


def test_a_run_in_its_own_interpreter_makes_the_same_bytes(small: Path, complete: Path, tmp_path: Path) -> None:
    """Including with another hash seed, for example."""
    ran = oldump_alone("run", DATE, "--source", small, "--out", "alone", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert published(tmp_path / "alone") == published(complete)
    assert "already complete" in run(small, tmp_path / "alone", cwd=tmp_path).err
