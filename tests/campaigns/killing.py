"""A run in its own process group that is killed with SIGKILL at a given time or at one of its commit points.

The run is forked from this process, which has loaded oldump, so hundreds of runs take only minutes. It executes the
real command. A *commit point* is a call of the leader that makes a file durable, renames it or removes it.
"""

import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

from commands.command import environment
from oldump.cli import main as cli

_CALLS = {
    os: ("fsync", "ftruncate", "mkdir", "remove", "rename", "replace", "rmdir", "truncate", "unlink"),
    shutil: ("rmtree",),
}
SECONDS = 120
"""A process that takes longer than this hangs."""
_BUG = 70
PAUSE_SECONDS = 0.004


class Point(NamedTuple):
    """A commit point of a run."""

    number: int
    """Counted from 1; 0 for none."""
    is_after: bool = False
    """Whether the kill comes after the call instead of before it."""

    def __str__(self) -> str:
        """Describe the point."""
        return f"{'after' if self.is_after else 'before'} commit point {self.number}"


class Run:
    """A run of the command that can be killed."""

    def __init__(self, command: Sequence[object], folder: Path, log: Path) -> None:
        """Prepare a run of this command (without its name) in the folder, with output to the log file."""
        self._command = list(map(str, command))
        self._folder = folder
        self._log = log
        self._process_id = 0
        self.code: int | None = None
        """The exit code: -9 if the run was killed, None while it runs."""

    def begin(self, point: Point | None = None, points: Path | None = None) -> None:
        """Start the run. `point`: where it kills itself; `points`: the file that receives its commit points."""
        sys.stdout.flush()
        self._process_id = os.fork()
        if not self._process_id:
            os._exit(self._perform(point, points))

    def _perform(self, point: Point | None, points: Path | None) -> int:
        try:
            os.setsid()
            os.chdir(self._folder)
            for path, flags, descriptors in (
                (self._log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, (1, 2)),
                (Path(os.devnull), os.O_RDONLY, (0,)),
            ):
                opened = os.open(path, flags, 0o644)
                for descriptor in descriptors:
                    os.dup2(opened, descriptor)
            kept = environment()
            os.environ.clear()
            os.environ.update(kept)
            sys.argv = ["oldump", *self._command]
            if point or points:
                _count_calls(point or Point(0), points)
            cli.main()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 0
        except BaseException:  # noqa: BLE001 - no exception may reach the code of the parent process
            traceback.print_exc()
            return _BUG
        return 0

    @property
    def log(self) -> str:
        """Return the output up to now."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def has_ended(self) -> bool:
        """Whether the run has ended; sets `code`."""
        if self.code is None:
            process_id, status = os.waitpid(self._process_id, os.WNOHANG)
            if process_id:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None

    def wait_for(self, condition: Callable[[], bool], seconds: float = SECONDS) -> bool:
        """Wait for the condition; return False if the run ends or the time is up before it holds."""
        end = time.monotonic() + seconds
        while not condition():
            if self.has_ended() or time.monotonic() > end:
                return False
            time.sleep(PAUSE_SECONDS)
        return True

    def end(self) -> int:
        """Wait for the run and its workers to end, and return the exit code."""
        if not self.wait_for(self.has_ended) and self.code is None:
            self.kill()
            raise AssertionError(f"{self._command} did not end within {SECONDS} seconds")
        deadline = time.monotonic() + SECONDS
        while self._group_lives() and time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)
        assert self.code is not None
        return self.code

    def kill(self, *, leader_alone: bool = False) -> None:
        """Send SIGKILL to all processes of the run, or only to the leader."""
        with suppress(ProcessLookupError):  # it has ended or has no group yet
            if not leader_alone:
                os.killpg(self._process_id, signal.SIGKILL)
        if not self.has_ended():
            os.kill(self._process_id, signal.SIGKILL)
            self.code = os.waitstatus_to_exitcode(os.waitpid(self._process_id, 0)[1])

    def _group_lives(self) -> bool:
        try:
            os.killpg(self._process_id, 0)
        except ProcessLookupError:
            return False
        return True


def _count_calls(point: Point, points: Path | None) -> None:
    """Count this process's commit points from now on, and kill its group at the given one."""
    leader, number = os.getpid(), 0

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def counting(*arguments: Any, **more: Any) -> Any:
            nonlocal number
            if os.getpid() != leader or threading.current_thread() is not threading.main_thread():  # the status thread
                return call(*arguments, **more)
            number += 1
            mine = number
            if points is not None:
                with points.open("a", encoding="utf-8") as stream:
                    stream.write(f"{name} {_place(arguments[0])}\n")
            if mine == point.number and not point.is_after:
                os.killpg(os.getpgrp(), signal.SIGKILL)
            result = call(*arguments, **more)
            if mine == point.number:
                os.killpg(os.getpgrp(), signal.SIGKILL)
            return result

        return counting

    for module, names in _CALLS.items():
        for name in names:
            setattr(module, name, counted(name, getattr(module, name)))


def _place(argument: object) -> str:
    """Return the file name that a call's argument refers to."""
    if isinstance(argument, int):
        return Path(f"/proc/self/fd/{argument}").resolve().name
    return Path(os.fsdecode(argument)).name  # type: ignore[arg-type] # a path, in one of its forms
