"""Timed tasks: work beside the run, each in a process of its own that is killed when its time is up.

A name server that does not answer, the threads of a library or a program that hangs can neither delay nor break a run.
Start several tasks, then wait for each.

Does not: log, or raise when a task fails. It returns the reason for the caller to log.
"""

import multiprocessing
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

from oldump.run.signals import STOP_SIGNALS

_SHELL = "/bin/sh"
_OUTPUT_BYTES = 1 << 14


class TaskFailed(Exception):
    """A timed task failed; the text says why."""


class TimedTask(Protocol):
    """A task that has been started."""

    def failure(self, until: float) -> str | None:
        """Wait for the task and return why it failed; None if it succeeded. The limit is `until` (time.monotonic)."""

    @property
    def output(self) -> list[str]:
        """The last lines that it wrote to standard output and error."""

    def end(self) -> None:
        """Kill the task if it is still running, and release its resources. Always call this."""


class Call:
    """A function called in a forked process."""

    def __init__(self, function: Callable[[], None]) -> None:
        """Start the call. Raises OSError if no process can be created."""
        self._began = time.monotonic()
        context = multiprocessing.get_context("fork")
        self._receiver, sender = context.Pipe(duplex=False)

        def perform() -> None:
            _reset_signals()
            sender.send(_failure_of(function))

        self._process = context.Process(target=perform, daemon=True)
        self._process.start()
        sender.close()

    def failure(self, until: float) -> str | None:
        """Wait for the task and return why it failed."""
        try:
            if not self._receiver.poll(max(0.0, until - time.monotonic())):
                return f"timed out after {time.monotonic() - self._began:.0f} s and was killed"
            failure: str | None = self._receiver.recv()
        except EOFError:
            return "its process died"
        return failure

    @property
    def output(self) -> list[str]:
        """Empty: the failure says everything."""
        return []

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._receiver.close()


class Hook:
    """A shell command in a process group of its own."""

    def __init__(self, line: str, variables: Mapping[str, str]) -> None:
        """Start the command, with these variables added to ours. Raises OSError if no process can be created."""
        self._began = time.monotonic()
        # A file, not a pipe: a background process that the command leaves behind may keep it open.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self._process = subprocess.Popen(
            [_SHELL, "-c", line],
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def failure(self, until: float) -> str | None:
        """Wait for the task and return why it failed."""
        try:
            code = self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return f"timed out after {time.monotonic() - self._began:.0f} s and was killed with its process group"
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"exited with code {code}" if code else None

    @property
    def output(self) -> list[str]:
        """The last lines that it wrote to standard output and error."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - _OUTPUT_BYTES))
        return self._output.read().decode(errors="replace").splitlines()

    def end(self) -> None:
        """Kill the process group if the shell is still running; after it has ended, background processes may stay."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()


def _failure_of(function: Callable[[], None]) -> str | None:
    try:
        function()
    except TaskFailed as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - no error of a task may fail a run
        return f"{type(error).__name__}: {error}"
    return None


def _reset_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
