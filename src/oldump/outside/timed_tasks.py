"""Errands: what is done beside the run, in a process of its own, and ended by force when its time is over.

So neither a name server that does not answer, nor a library's threads, nor a program that hangs can hold a run up or
bring it down. Begin several, then wait for each.

Does not: log, or raise for what goes wrong in an errand. It says why, for the caller to log.
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
_TOLD_BYTES = 1 << 14


class ErrandFailed(Exception):
    """An errand could not be done; its text says why."""


class Errand(Protocol):
    """What was begun."""

    def failure(self, until: float) -> str | None:
        """Why it failed, None if it went well. It is ended by force at `until` (time.monotonic)."""

    @property
    def output(self) -> list[str]:
        """The last lines that it wrote, to standard output and error."""

    def end(self) -> None:
        """End it, if it has not ended. To be called at last, whatever happened."""


class Call:
    """A function that is called in a forked process."""

    def __init__(self, function: Callable[[], None]) -> None:
        """Call it. Raises OSError if there can be no process."""
        self._began = time.monotonic()
        context = multiprocessing.get_context("fork")
        self._receiver, sender = context.Pipe(duplex=False)

        def perform() -> None:
            _take_no_signals_over()
            sender.send(_failure_of(function))

        self._process = context.Process(target=perform, daemon=True)
        self._process.start()
        sender.close()

    def failure(self, until: float) -> str | None:
        """Why it failed."""
        try:
            if not self._receiver.poll(max(0.0, until - time.monotonic())):
                return f"had not ended after {time.monotonic() - self._began:.0f} s, and was killed"
            told: str | None = self._receiver.recv()
        except EOFError:
            return "its process died"
        return told

    @property
    def output(self) -> list[str]:
        """None: it says in its failure what is to be said."""
        return []

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self._receiver.close()


class Hook:
    """A line of shell, in a process group of its own."""

    def __init__(self, line: str, variables: Mapping[str, str]) -> None:
        """Run it with these variables beside our own. Raises OSError if there can be no process."""
        self._began = time.monotonic()
        # A file, not a pipe: what the line leaves running in the background may hold it as long as it likes.
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
        """Why it failed."""
        try:
            code = self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return (
                f"had not ended after {time.monotonic() - self._began:.0f} s, and was killed with all that it started"
            )
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}" if code else None

    @property
    def output(self) -> list[str]:
        """The last lines that it wrote, to standard output and error."""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - _TOLD_BYTES))
        return self._output.read().decode(errors="replace").splitlines()

    def end(self) -> None:
        """Kill the group, if its first process has not ended: what that left in the background may stay."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()


def _failure_of(function: Callable[[], None]) -> str | None:
    try:
        function()
    except ErrandFailed as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is no reason for a run to fail
        return f"{type(error).__name__}: {error}"
    return None


def _take_no_signals_over() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
