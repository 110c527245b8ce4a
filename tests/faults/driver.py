"""`oldump` in a process whose operating system fails it, stops it or kills it just where a test wants that.

    python driver.py           for each line of standard input (an Order, as JSON) a process that does it
    python driver.py ORDER     does it, with the clock patched too, since oldump is imported afterwards

The standard library is patched; oldump itself never is. Workers are forked from here, and have the same rules; each
process counts for itself. Serving many orders saves the time that the imports take.
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
"""What a run's state on the disk changes by, besides writing."""
WORKERS = -1


@dataclass
class Rule:
    """What is to happen, and when."""

    do: str
    """An error (ENOSPC), a signal (SIGTERM), FULL (of sqlite, disk), seconds (of clock), or LOG."""
    at: str = "write"
    """A kind of call: open, read, write, mkdir, sqlite, disk, clock, one of CALLS, or `point` for any of these four."""
    path: str = "*"
    """A pattern for the file's path; of a rename, for the new one. LOG: where to."""
    nth: int = 1
    """At the nth such call of a process; an error happens at all later ones too, as on a full disk."""
    once: bool = False
    """An error happens once."""
    process: int | None = None
    """In the leader (0), in the nth process that it forked, in all of those (WORKERS), or in all (None)."""
    to: str = "leader"
    """A signal goes to the leader, or to the process `itself`, or to the `group`."""
    after: bool = False
    """It happens behind the call, rather than before it."""
    count: int = 0

    @property
    def is_of_files(self) -> bool:
        """Whether it is about what is done with an open file."""
        return self.at in {"open", "read", "write"}

    def met(self, call: str, path: str, *, after: bool) -> bool:
        """Whether this call is one that the rule is about, and its turn has come."""
        if self.at not in {call, "point" if call in CALLS else ""} or self.after != after:
            return False
        is_here = self.process in {None, _process.number} or (self.process == WORKERS and _process.number > 0)
        if not is_here or not (self.do == "LOG" or fnmatch.fnmatch(path, self.path)):
            return False
        self.count += 1
        return self.count == self.nth or (self.count > self.nth and not self.once and not self.do.startswith("SIG"))

    def act(self, call: str, path: str) -> None:
        """Let it happen."""
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
    """Which of all processes this is."""

    def __init__(self) -> None:
        self.leader, self.group, self.number, self.forks = os.getpid(), os.getpgrp(), 0, 0

    def forks_one(self) -> None:
        """The leader is about to fork."""
        self.forks += 1

    def is_forked(self) -> None:
        """This is the child."""
        self.number = self.forks


_process = _Process()
_rules: list[Rule] = []
_open, _time, _fsync = io.open, time.time, os.fsync


def happened(call: str, path: object, *, after: bool = False) -> bool:
    """Let happen what the rules want at this call; whether one was met."""
    met = [rule for rule in _rules if rule.met(call, os.fsdecode(os.fspath(path)), after=after)]  # type: ignore[call-overload] # whatever names a file
    for rule in met:
        rule.act(call, str(path))
    return bool(met)


def _around(call: str, original: Callable[..., Any], path_at: int = 0) -> Callable[..., Any]:
    """The function, with what happens before and after it."""

    def patched(*arguments: Any, **more: Any) -> Any:
        path = arguments[path_at]
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        happened(call, path)
        result = original(*arguments, **more)
        happened(call, path, after=True)
        return result

    return patched


class _File(io.FileIO):
    """A file of which reading and writing may fail; of a write that does, half is on the disk."""

    def write(self, content: Any) -> int:
        try:
            happened("write", self.name)
        except OSError:
            super().write(bytes(content)[: len(content) // 2])
            raise
        return super().write(content)

    def read(self, size: int = -1) -> bytes:  # type: ignore[override] # never non-blocking
        happened("read", self.name)
        return super().read(size) or b""

    def readall(self) -> bytes:
        happened("read", self.name)
        return super().readall() or b""

    def readinto(self, buffer: Any) -> int:
        happened("read", self.name)
        return super().readinto(buffer) or 0


def _opened(file: Any, mode: str = "r", *positions: Any, **names: Any) -> Any:
    """As io.open does it. Of positions (buffering, encoding, errors, newline), only those of text matter to us."""
    is_plain = not isinstance(file, int) and positions[:1] in {(), (-1,)} and names.get("opener") is None
    if not is_plain or not any(rule.is_of_files and fnmatch.fnmatch(os.fsdecode(file), rule.path) for rule in _rules):
        return _open(file, mode, *positions, **names)
    happened("open", file)
    raw = _File(os.fspath(file), mode.replace("b", "").replace("t", ""))
    kinds: dict[bool, Any] = {True: io.BufferedWriter, False: io.BufferedReader}
    buffered = io.BufferedRandom(raw) if "+" in mode else kinds[mode[0] != "r"](raw)
    return buffered if "b" in mode else io.TextIOWrapper(buffered, "utf-8", "backslashreplace")


def _patch_files() -> None:
    io.open = builtins.open = _opened
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
        if happened("sqlite", path):
            connection.execute("PRAGMA max_page_count = 1")
        return connection

    def used(path: Any) -> Any:
        usage = disk_usage(path)
        return usage._replace(free=1000) if happened("disk", path) else usage

    sqlite3.connect, shutil.disk_usage = connected, used  # type: ignore[assignment] # as much of them as is used


def _patch_clock() -> None:
    """The system's clock steps back and forth by so many seconds, at every nth time that it is asked."""
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
        time.time, datetime.datetime = moment, Stepping  # type: ignore[misc] # as much as is used


@dataclass
class Order:
    """A command to be run, in a session of its own."""

    arguments: list[str]
    """Of the command line; or -c and a piece of Python."""
    rules: list[dict[str, Any]]
    cwd: str
    out: str
    """Files for standard output and error, in cwd or absolute."""
    err: str

    def do(self) -> None:
        """Make the rules hold, and run the command."""
        _rules[:] = [Rule(**rule) for rule in self.rules]
        os.chdir(self.cwd)
        for number, name in enumerate((os.devnull, self.out, self.err)):
            descriptor = os.open(name, (os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if number else os.O_RDONLY)
            os.dup2(descriptor, number)
            os.close(descriptor)
        _patch_clock()
        sys.argv = ["oldump", *self.arguments]
        if self.arguments[0] == "-c":
            exec(self.arguments[1], {"__name__": "__main__"})  # noqa: S102 - a test's own
        else:
            runpy.run_module("oldump", run_name="__main__")


def _serve() -> None:
    """Fork a process for each order; say its id, and how it ended."""
    from commands.forks import load  # noqa: PLC0415 - not before the files are patched

    load()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setsid()
            _process.__init__()  # type: ignore[misc] # it is another one now
            Order(**json.loads(line)).do()
            return
        print(child, flush=True)  # noqa: T201 - that is how it answers
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # noqa: T201 - the same


def main() -> None:
    """Do what is ordered."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does
    os.register_at_fork(before=_process.forks_one, after_in_child=_process.is_forked)
    _patch_files()
    _patch_databases_and_disks()
    sys.path.insert(0, str(Path(__file__).parents[1]))
    if len(sys.argv) > 1:
        Order(**json.loads(sys.argv[1])).do()
    else:
        _serve()


if __name__ == "__main__":
    main()
