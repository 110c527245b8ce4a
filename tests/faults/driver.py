"""Run `oldump` in a process whose system calls fail, or which is stopped or killed, at a chosen place.

    python driver.py           for each line of standard input (an Order as JSON), fork a process that executes it
    python driver.py ORDER     execute the order, with the clock patched too, because oldump is imported afterwards

The driver patches the standard library, never oldump itself. Workers are forked from the patched process and follow
the same rules; each process counts its own calls. Serving many orders saves the time that the imports take.
"""

import builtins
import datetime
import errno
import fnmatch
import io
import json
import os
import runpy
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CALLS = ("fsync", "rename", "unlink", "truncate")
"""Calls that change a run's state on disk, other than writes."""
WORKERS = -1


@dataclass
class Rule:
    """What happens, and at which call."""

    do: str
    """An error (ENOSPC), a signal (SIGTERM), FULL (for sqlite and disk), seconds (for clock), or LOG."""
    at: str = "write"
    """The kind of call: open, read, write, mkdir, sqlite, disk, clock, one of CALLS, or `point` for any of CALLS."""
    path: str = "*"
    """A pattern for the file's path; for a rename, the new path. For LOG, the file to write to."""
    nth: int = 1
    """The rule applies at the nth matching call of a process. Errors repeat at all later calls, as on a full disk."""
    once: bool = False
    """An error happens only once."""
    process: int | None = None
    """In the leader (0), the nth process that it forked, all forked processes (WORKERS), or every process (None)."""
    to: str = "leader"
    """The recipient of a signal: the leader, the process `itself`, or the `group`."""
    after: bool = False
    """The rule applies after the call instead of before it."""
    count: int = 0

    @property
    def concerns_files(self) -> bool:
        """Whether the rule concerns reading, writing or opening a file."""
        return self.at in {"open", "read", "write"}

    def met(self, call: str, path: str, *, after: bool) -> bool:
        """Whether the rule applies to this call now."""
        if self.at not in {call, "point" if call in CALLS else ""} or self.after != after:
            return False
        is_here = self.process in {None, _process.number} or (self.process == WORKERS and _process.number > 0)
        if not is_here or not (self.do == "LOG" or fnmatch.fnmatch(path, self.path)):
            return False
        self.count += 1
        return self.count == self.nth or (self.count > self.nth and not self.once and not self.do.startswith("SIG"))

    def act(self, call: str, path: str) -> None:
        """Raise the error, send the signal or write the log line."""
        if self.do == "LOG":
            with _open(self.path, "a") as log:
                log.write(f"{call} {path}\n")
        elif self.do.startswith("SIG"):
            number = signal.Signals[self.do]
            if self.to == "group":
                os.killpg(_process.group, number)
            else:
                os.kill(os.getpid() if self.to == "itself" else _process.leader, number)
        elif self.do != "FULL":
            code = getattr(errno, self.do)
            raise OSError(code, os.strerror(code), path)


class _Process:
    """The position of this process among the leader and its forks."""

    def __init__(self) -> None:
        self.leader, self.group, self.number, self.forks = os.getpid(), os.getpgrp(), 0, 0

    def count_fork(self) -> None:
        """Count a fork in the leader."""
        self.forks += 1

    def record_fork(self) -> None:
        """Record the child's number."""
        self.number = self.forks


_process = _Process()
_rules: list[Rule] = []
_open, _time, _fsync = io.open, time.time, os.fsync


def apply_rules(call: str, path: object, *, after: bool = False) -> bool:
    """Apply the rules to this call; return whether any applied."""
    met = [rule for rule in _rules if rule.met(call, os.fsdecode(os.fspath(path)), after=after)]  # type: ignore[call-overload] # any path type
    for rule in met:
        rule.act(call, str(path))
    return bool(met)


def _around(call: str, original: Callable[..., Any], path_at: int = 0) -> Callable[..., Any]:
    """Return the function with the rules applied before and after each call."""

    def patched(*arguments: Any, **more: Any) -> Any:
        path = arguments[path_at]
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        apply_rules(call, path)
        result = original(*arguments, **more)
        apply_rules(call, path, after=True)
        return result

    return patched


class _File(io.FileIO):
    """A file whose reads and writes can fail; a failing write leaves half of its content on the disk."""

    def write(self, content: Any) -> int:
        try:
            apply_rules("write", self.name)
        except OSError:
            super().write(bytes(content)[: len(content) // 2])
            raise
        return super().write(content)

    def read(self, size: int = -1) -> bytes:  # type: ignore[override] # the file never blocks
        apply_rules("read", self.name)
        return super().read(size) or b""

    def readall(self) -> bytes:
        apply_rules("read", self.name)
        return super().readall() or b""

    def readinto(self, buffer: Any) -> int:
        apply_rules("read", self.name)
        return super().readinto(buffer) or 0


def _open_file(file: Any, mode: str = "r", *positions: Any, **names: Any) -> Any:
    """Open a file as `io.open` does. Of the positional options, only those for plain files are supported."""
    is_plain = not isinstance(file, int) and positions[:1] in {(), (-1,)} and names.get("opener") is None
    if not is_plain or not any(
        rule.concerns_files and fnmatch.fnmatch(os.fsdecode(file), rule.path) for rule in _rules
    ):
        return _open(file, mode, *positions, **names)
    apply_rules("open", file)
    raw = _File(os.fspath(file), mode.replace("b", "").replace("t", ""))
    kinds: dict[bool, Any] = {True: io.BufferedWriter, False: io.BufferedReader}
    buffered = io.BufferedRandom(raw) if "+" in mode else kinds[mode[0] != "r"](raw)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, "utf-8", "backslashreplace")


def _patch_files() -> None:
    io.open = builtins.open = _open_file
    for call, name, path_at in (
        ("fsync", "fsync", 0),
        ("rename", "rename", 1),
        ("rename", "replace", 1),
        ("unlink", "unlink", 0),
        ("unlink", "rmdir", 0),
        ("truncate", "truncate", 0),
        ("truncate", "ftruncate", 0),
        ("mkdir", "mkdir", 0),
        ("write", "pwrite", 0),
        ("read", "pread", 0),
    ):
        setattr(os, name, _around(call, getattr(os, name), path_at))


def _patch_databases_and_disks() -> None:
    connect, disk_usage = sqlite3.connect, shutil.disk_usage

    def connected(path: Any, *arguments: Any, **more: Any) -> Any:
        connection = connect(path, *arguments, **more)
        if apply_rules("sqlite", path):
            connection.execute("PRAGMA max_page_count = 1")
        return connection

    def used(path: Any) -> Any:
        usage = disk_usage(path)
        return usage._replace(free=1000) if apply_rules("disk", path) else usage

    sqlite3.connect, shutil.disk_usage = connected, used  # type: ignore[assignment] # only the parts that oldump uses


def _patch_clock() -> None:
    """Make the system clock jump back and forth by the rule's seconds at every nth query."""
    (rule,) = [rule for rule in _rules if rule.at == "clock"] or [Rule("0", "clock", nth=1 << 60)]
    offset = 0.0

    def moment() -> float:
        nonlocal offset
        rule.count += 1
        if rule.count % rule.nth == 0:
            offset = float(rule.do) - offset
        return _time() + offset

    class Stepping(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(moment(), tz)

    if rule.do != "0":
        time.time, datetime.datetime = moment, Stepping  # type: ignore[misc] # only the parts that oldump uses


@dataclass
class Order:
    """A command to run in its own session."""

    arguments: list[str]
    """Arguments of the command line, or -c and Python code."""
    rules: list[dict[str, Any]]
    cwd: str
    out: str
    """Files for standard output and standard error, relative to cwd or absolute."""
    err: str

    def do(self) -> None:
        """Install the rules and run the command."""
        _rules[:] = [Rule(**rule) for rule in self.rules]
        os.chdir(self.cwd)
        for number, name in enumerate((os.devnull, self.out, self.err)):
            descriptor = os.open(name, (os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if number else os.O_RDONLY)
            os.dup2(descriptor, number)
            os.close(descriptor)
        _patch_clock()
        sys.argv = ["oldump", *self.arguments]
        if self.arguments[0] == "-c":
            exec(self.arguments[1], {"__name__": "__main__"})  # noqa: S102 - the test's own code
        else:
            runpy.run_module("oldump", run_name="__main__")


def _serve() -> None:
    """Fork a process for each order; print its process id and then its exit code."""
    from commands.forks import load  # noqa: PLC0415 - only after the files are patched

    load()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setsid()
            _process.__init__()  # type: ignore[misc] # resets the state for the new process
            Order(**json.loads(line)).do()
            return
        print(child, flush=True)  # noqa: T201 - the protocol
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - the protocol


def main() -> None:
    """Execute the order in the argument, or serve orders from standard input."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does
    os.register_at_fork(before=_process.count_fork, after_in_child=_process.record_fork)
    _patch_files()
    _patch_databases_and_disks()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if len(sys.argv) > 1:
        Order(**json.loads(sys.argv[1])).do()
    else:
        _serve()


if __name__ == "__main__":
    main()
