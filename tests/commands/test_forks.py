"""Forked commands, which the tests run nearly everywhere, are as those that have an interpreter of their own."""

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
print("told", file=sys.stderr)
if sys.argv[1].startswith("SIG"):
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def forks() -> Forks:
    """A server of its own."""
    return Forks(INTERPRETER, environment(), seconds=60)


def told(forks: Forks, folder: Path, ending: str) -> tuple[Ended, Ended]:
    """What a probe tells of its process that ends so: forked, and alone."""
    (folder / "probe.py").write_text(PROBE)
    given = environment(TMPDIR=str(folder), PGHOST="nowhere", TZ="Asia/Tokyo")
    forked = forks.run(Order([ending, "two words", "é"], str(folder), given, "probe"), b"given\n")
    line = [*INTERPRETER, "-m", "probe", ending, "two words", "é"]
    alone = subprocess.run(line, cwd=folder, env=given, input=b"given\n", capture_output=True, check=False)
    return forked, Ended(alone.returncode, alone.stdout, alone.stderr)


def members(ended: Ended) -> dict[str, Any]:
    """What was told, as it was ordered."""
    found = json.loads(ended.out)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(("ending", "code"), [("0", 0), ("41", 41)])
def test_a_forked_process_is_as_one_of_its_own(ending: str, code: int, forks: Forks, tmp_path: Path) -> None:
    """Arguments, folder, environment, open files, streams, signals, group, warnings, and its end."""
    forked, alone = told(forks, tmp_path, ending)
    assert members(forked) == members(alone)
    assert members(forked)["opened"] == [0, 1, 2]
    assert members(forked)["standard input"] == "given\n"
    assert forked[::2] == alone[::2] == (code, b"told\n")


def test_a_forked_process_can_die_of_a_signal(forks: Forks, tmp_path: Path) -> None:
    """And it is known of which."""
    forked, alone = told(forks, tmp_path, "SIGKILL")
    assert forked.code == alone.code == -signal.SIGKILL


def test_what_takes_too_long_is_killed(tmp_path: Path) -> None:
    """The server then serves the next one."""
    (tmp_path / "hanging.py").write_text("import time; time.sleep(600)")
    (tmp_path / "quick.py").write_text("print(1)")
    forks = Forks(INTERPRETER, environment(), seconds=5)
    with pytest.raises(TimeoutError):
        forks.run(Order([], str(tmp_path), environment(), "hanging"), b"")
    assert forks.run(Order([], str(tmp_path), environment(), "quick"), b"") == Ended(0, b"1\n", b"")


def test_a_warning_ends_a_forked_process_too(forks: Forks, tmp_path: Path) -> None:
    """Every warning is an error in it."""
    (tmp_path / "warning.py").write_text("import warnings; warnings.warn('loud')")
    ended = forks.run(Order([], str(tmp_path), environment(), "warning"), b"")
    assert ended.code == 1
    assert ended.err.endswith(b"UserWarning: loud\n")


def test_a_package_that_cannot_be_loaded_is_no_server() -> None:
    """Its tests fail at once."""
    with pytest.raises(subprocess.CalledProcessError):
        Forks([sys.executable, "-S"], environment(PYTHONPATH=""), seconds=60)


@pytest.mark.parametrize(
    "command",
    ["plan", "doctor", "verify {item}", "deworks {item}/ol_dump_{date}.txt.gz", "split {cdump}", "--help", "--version"],
)
def test_a_command_needs_nothing_that_others_have_loaded(command: str, small: Path, complete: Path) -> None:
    """What it does not import itself, a fork might have all the same."""
    line = command.format(item=item_of(complete), cdump=cdump_of(complete), date=DATE).split()
    given = {"OLDUMP_SOURCE": str(small), "OLDUMP_OUT": str(complete)}
    ways = [way(*line, cwd=complete, env=given) for way in (oldump, oldump_alone)]
    assert ways[0].code == ways[1].code
    assert without_times(ways[0].err) == without_times(ways[1].err)
    assert "Traceback" not in ways[1].err


def without_times(log: str) -> list[str]:
    """The words of a log, of which the first of each line is the time."""
    return [line.split(" ", 1)[-1] for line in log.splitlines()]


def test_a_run_alone_makes_the_same_bytes(small: Path, complete: Path, tmp_path: Path) -> None:
    """With all that an interpreter of its own brings along: another seed for its hashes, for one."""
    ran = oldump_alone("run", DATE, "--source", small, "--out", "alone", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert published(tmp_path / "alone") == published(complete)
    assert "already complete" in run(small, tmp_path / "alone", cwd=tmp_path).err
