"""Run the real command under rules of tests/faults/driver.py, and check how it ends."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from commands.command import DATE, SECONDS, Ran, environment, final_names
from faults.driver import Rule

DRIVER = Path(__file__).with_name("driver.py")
SOON = 30.0
"""Seconds within which a stopped command and its workers must end."""


class Faulty:
    """A runner for commands under rules, one at a time."""

    def __init__(self, server: "subprocess.Popen[bytes]") -> None:
        """Use this driver process, which serves orders."""
        self._server = server

    def __call__(self, rules: list[Rule], *arguments: object, cwd: Path, seconds: float = SECONDS) -> Ran:
        """Run `oldump` under the rules to its end, within this time, and require that no process is left."""
        with self.running(rules, *arguments, cwd=cwd) as (process_id, ending):
            code = ending(seconds)
            assert is_gone(process_id), "processes are left"
        return self.ran(code, cwd)

    @contextmanager
    def running(self, rules: list[Rule], *arguments: object, cwd: Path) -> Iterator[Any]:
        """Start `oldump` under the rules.

        Yield its process id, which is its group's too, and a function that waits for its exit code.
        """
        order = order_of(rules, *arguments, cwd=cwd)
        assert self._server.stdin
        self._server.stdin.write(json.dumps(order).encode() + b"\n")
        process_id = self._read_answer()
        try:
            yield process_id, self._read_answer
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process_id, signal.SIGKILL)

    def ran(self, code: int, cwd: Path) -> Ran:
        """Return the result of the last command in this folder."""
        return Ran(code, (cwd / "out.txt").read_bytes(), (cwd / "err.txt").read_text(encoding="utf-8"))

    def _read_answer(self, seconds: float = SECONDS) -> int:
        assert self._server.stdout
        ready, _, _ = select.select([self._server.stdout], [], [], seconds)
        assert ready, f"the command did not end within {seconds} seconds"
        return int(self._server.stdout.readline())


@pytest.fixture(scope="module")
def faulty() -> Iterator[Faulty]:
    """Yield a runner of commands under rules.

    It stops after each module, because other tests list the children of this process.
    """
    with subprocess.Popen(
        [sys.executable, str(DRIVER)], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as server:
        try:
            yield Faulty(server)
        finally:
            server.kill()


class Tries:
    """Runs into one output folder. Each fails at its own site, and the next resumes from there.

    The tests of a module share one instance, one test per site, because a separate set-up would cost a whole run per
    site. A test also passes alone, with an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self._sites: list[str] = []

    def one(self, site: str, rules: list[Rule], source: Path, faulty: Faulty, seconds: float = SECONDS) -> Ran:
        """Run under these rules, which make the run fail at this site."""
        self._sites.append(site)
        return faulty(rules, *arguments_of(source, self.out), cwd=self.folder, seconds=seconds)

    def require(self, sites: list[str]) -> None:
        """Skip the test unless exactly these sites ran, in this order (`-k` deselects some)."""
        if self._sites != sites:
            pytest.skip("needs the tests of all sites before it")


def order_of(rules: list[Rule], *arguments: object, cwd: Path) -> dict[str, Any]:
    """Return the order for the driver."""
    order = {"arguments": [*map(str, arguments)], "rules": [asdict(rule) for rule in rules]}
    return {**order, "cwd": str(cwd), "out": "out.txt", "err": "err.txt"}


def is_gone(group: int, seconds: float = SOON) -> bool:
    """Wait until no process of the group is left; return False after the timeout."""
    end = time.monotonic() + seconds
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.01)


def arguments_of(source: object, out: Path) -> tuple[object, ...]:
    """Return the arguments of a run with two workers."""
    return "run", DATE, "--source", source, "--out", out, "--workers", 2


def has_published(out: Path) -> bool:
    """Whether any file is where readers would look for it."""
    return any(final_names(item) for item in out.glob("ol_*"))
