"""The real command under rules of tests/faults/driver.py: how it is begun, and how it must end."""

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
SOON = 5.0
"""Seconds within which a stopped command must have ended, workers and all."""


class Faulty:
    """Runs commands under rules, one after the other."""

    def __init__(self, server: "subprocess.Popen[bytes]") -> None:
        """Take the driver that serves orders."""
        self._server = server

    def __call__(self, rules: list[Rule], *arguments: object, cwd: Path) -> Ran:
        """`oldump` with these arguments, under the rules: it must end, and leave no process behind for long."""
        with self.running(rules, *arguments, cwd=cwd) as (process_id, ending):
            code = ending()
            assert is_gone(process_id), "processes are left"
        return self.ran(code, cwd)

    @contextmanager
    def running(self, rules: list[Rule], *arguments: object, cwd: Path) -> Iterator[Any]:
        """The same while it runs: its process id, which is its group's too, and what waits for its exit code."""
        order = order_of(rules, *arguments, cwd=cwd)
        assert self._server.stdin
        self._server.stdin.write(json.dumps(order).encode() + b"\n")
        process_id = self._heard()
        try:
            yield process_id, self._heard
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process_id, signal.SIGKILL)

    def ran(self, code: int, cwd: Path) -> Ran:
        """How the last command in this folder ended."""
        return Ran(code, (cwd / "out.txt").read_bytes(), (cwd / "err.txt").read_text(encoding="utf-8"))

    def _heard(self) -> int:
        assert self._server.stdout
        ready, _, _ = select.select([self._server.stdout], [], [], SECONDS)
        assert ready, "the command hangs"
        return int(self._server.stdout.readline())


@pytest.fixture(scope="module")
def faulty() -> Iterator[Faulty]:
    """What runs commands under rules; gone behind its module: other tests look at their process's children."""
    with subprocess.Popen(
        [sys.executable, str(DRIVER)], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as server:
        try:
            yield Faulty(server)
        finally:
            server.kill()


class Tries:
    """Runs into one output folder, each of which fails at a site of its own and continues where the last one stopped.

    A module's tests share it, one test per site: a set-up per site would cost a whole run each. A test that is run
    alone passes too, since it then starts with an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "out"
        self._sites: list[str] = []

    def one(self, site: str, rules: list[Rule], source: Path, faulty: Faulty) -> Ran:
        """Run under these rules, which make the run fail at this site."""
        self._sites.append(site)
        return faulty(rules, *arguments_of(source, self.out), cwd=self.folder)

    def require(self, sites: list[str]) -> None:
        """Skip the test unless exactly these sites were tried, in this order (-k leaves some out)."""
        if self._sites != sites:
            pytest.skip("needs the tests of all sites before it")


def order_of(rules: list[Rule], *arguments: object, cwd: Path) -> dict[str, Any]:
    """What the driver is told."""
    told = {"arguments": [*map(str, arguments)], "rules": [asdict(rule) for rule in rules]}
    return {**told, "cwd": str(cwd), "out": "out.txt", "err": "err.txt"}


def is_gone(group: int, seconds: float = SOON) -> bool:
    """Whether no process of the group is left, after at most so long."""
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
    """The arguments of a run with two workers."""
    return "run", DATE, "--source", source, "--out", out, "--workers", 2


def has_published(out: Path) -> bool:
    """Whether a file lies where readers would look."""
    return any(final_names(item) for item in out.glob("ol_*"))
