"""A month's end: cron's command, a real PostgreSQL, an unreliable archive.org, a kill and a retry."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archive_org.answers import Cut
from archive_org.faults import Faults, Kind
from archive_org.request import Action, LoggedRequest
from archive_org.server import ArchiveOrg, archive_org
from commands.archiving import client, followed, missing, pointed_in
from commands.command import environment, oldump
from deploy.container import DEPLOY
from integration.conftest import Database
from listener import Listener, listening
from oldump.outside.metrics import figures_in
from oldump.outside.synthetic_databases import fill
from oldump.settings import date_of
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.postgres

LINES = [
    line.split(None, 6)[6]
    for line in (DEPLOY / "crontab").read_text(encoding="utf-8").splitlines()
    if "oldump run" in line
]
"""The commands that cron starts for a month, in order."""
DAY = str(date_of(None))
ITEMS = (f"ol_cdump_{DAY}", f"ol_dump_{DAY}")
ALL_KINDS = [kind for kind in Kind if kind is not Kind.DENIED]


class Host:
    """A host on which cron starts the deployed lines."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        """Set up the host with these variables of the container."""
        self.dumps = folder / "dumps"
        self.dumps.mkdir()
        programs = folder / "bin"
        programs.mkdir()
        (programs / "oldump").write_text(f'#!/bin/sh\nexec {sys.executable} -m oldump "$@"\n')
        (programs / "oldump").chmod(0o755)
        (programs / "cron-job").symlink_to(DEPLOY / "cron-job")
        path = f"{programs}:{os.environ['PATH']}"
        self.environment = {**environment(**variables), "PATH": path, "OLDUMP_OUT": str(self.dumps)}

    def started(self, line: str) -> "subprocess.Popen[bytes]":
        """Start the crontab line as cron does."""
        return subprocess.Popen(
            ["/bin/bash", "-c", line], env=self.environment, stderr=subprocess.PIPE, start_new_session=True
        )

    def ended(self, line: str) -> int:
        """Run the line to its end and return its exit code."""
        with self.started(line) as job:
            job.communicate(timeout=240)
            return job.returncode

    @property
    def log(self) -> str:
        """Return cron.log."""
        return (self.dumps / "cron.log").read_text(encoding="utf-8")

    @property
    def published(self) -> dict[str, bytes]:
        """Return every file of the two items, by name."""
        return {path.name: path.read_bytes() for item in ITEMS for path in (self.dumps / item).iterdir()}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ArchiveOrg]:
    """Yield an archive.org at which 30 % of requests fail and uploads are listed late."""
    faults = Faults(0.3, 7, ALL_KINDS, stall_seconds=0.1, retry_after_seconds=1)
    with archive_org(tmp_path / "archive", faults=faults) as site:
        site.late_looks = 1
        yield site


@pytest.fixture
def switch() -> Iterator[Listener]:
    """Yield a dead man's switch."""
    with listening() as listener:
        yield listener


@pytest.fixture
def host(database: Database, site: ArchiveOrg, switch: Listener, tmp_path: Path) -> Host:
    """Return a host with a container's settings and filled databases."""
    databases = fill(database(), copy_blocks(3_000))
    return Host(
        tmp_path,
        {
            **client(site),
            "OLDUMP_SOURCE": databases.openlibrary,
            "OLDUMP_COVERSTORE": databases.coverstore,
            "OLDUMP_ARCHIVE_DATABASE": databases.archive,
            "OLDUMP_METRICS": str(tmp_path / "oldump.prom"),
            "OLDUMP_PING_URL": f"http://{switch.place}/switch",
            "OLDUMP_SITEMAPS": str(tmp_path / "sitemaps"),
        },
    )


def killer_of(job: "subprocess.Popen[bytes]", site: ArchiveOrg, after: int) -> Callable[[LoggedRequest], None]:
    """Return a hook that kills the job and its processes during an upload, after this many files were stored."""

    def kill(request: LoggedRequest) -> None:
        if request.action is Action.UPLOAD and len(stored(site)) == after:
            os.killpg(job.pid, signal.SIGKILL)
            raise Cut

    return kill


def stored(site: ArchiveOrg) -> list[str]:
    """Return the files of the two items that archive.org stored, in order."""
    return [request.key for request in site.requests(Action.UPLOAD) if request.status == 200 and request.item in ITEMS]


def test_a_month_end(host: Host, site: ArchiveOrg, switch: Listener, tmp_path: Path) -> None:
    """After a kill during the upload, the next cron line finishes it, and the third has nothing to do.

    Both items end complete and equal, the pointer moves last, and a reader who follows it finds every file.
    """
    first, second = LINES
    with followed(site, host.dumps) as dates:
        job = host.started(first)
        follow = site.on_request
        assert follow
        kill = killer_of(job, site, 9)
        site.on_request = lambda request: (follow(request), kill(request))[0]
        job.communicate(timeout=240)
        assert job.returncode == -signal.SIGKILL
        assert pointed_in(host.dumps) is None
        made = {path.name: path.stat().st_mtime_ns for item in ITEMS for path in (host.dumps / item).iterdir()}
        site.on_request = follow
        status = oldump("status", "--check", "--archive", "--out", host.dumps, cwd=tmp_path, env=host.environment)
        assert status.code == 54, status.err  # complete, but its upload died
        assert host.ended(second) == 0, host.log
    assert dates == [None, DAY]
    pointed = pointed_in(host.dumps)
    assert pointed is not None
    assert missing(site, pointed) == []
    assert {file["name"] for file in pointed["files"]} == set(host.published)
    there = {name: file.read_bytes() for item in ITEMS for name, file in site.items[item].files.items()}
    assert there == host.published
    assert len({kind for _, kind in site.faults.happened}) >= 8
    assert {path.name: path.stat().st_mtime_ns for item in ITEMS for path in (host.dumps / item).iterdir()} == made
    assert (tmp_path / "sitemaps" / "siteindex.xml.gz").exists()
    status = oldump("status", "--check", "--archive", "--out", host.dumps, cwd=tmp_path, env=host.environment)
    assert status.code == 0, status.err
    assert b"archived" in status.out

    site.faults.never()
    sent = site.puts().total()
    assert host.ended(second) == 0, host.log
    assert site.puts().total() == sent
    assert [heard for heard in switch.paths if heard == "/switch"] == ["/switch", "/switch"]
    figures = figures_in((tmp_path / "oldump.prom").read_text(encoding="utf-8"))
    assert any("last_success" in str(name) for name in figures)
    assert host.log.count("ended with exit code 0") == 2
