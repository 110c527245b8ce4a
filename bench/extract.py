"""Compare extract with psql. The PostgreSQL server runs on this machine and shares its cores with both.

*Stage*: seconds of the stage alone, without start, preflight and end of the command. *CPU* and *server*: CPU seconds of
the client's processes and of the server. On two cores, a command takes at least half of their sum.
"""

import shlex
import shutil
import statistics
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import psycopg

from bench.inputs import DAY, OLDUMP, Inputs
from bench.measure import shell
from bench.table import Table, count, mebibytes, ratio
from oldump.outside.embedded_postgres import embedded_database, psql_program
from oldump.run.journal import Journal

_MIN_ROUNDS = 3
JOBS = (1, 2, 4)
_PSQL = "psql > /dev/null"
_REAPED_SECONDS = 0.3
"""Time for the server to end a session. It counts the CPU time of a session only then."""


@dataclass(frozen=True)
class Extracted:
    """One run of a command that reads the table."""

    seconds: float
    stage_seconds: float
    """Seconds of the stage, or of the command if it has no stages."""
    cpu_seconds: float
    server_seconds: float
    """CPU seconds of the server."""
    peak_rss_bytes: int


def show(inputs: Inputs) -> None:
    """Print the table of extract and psql."""
    folder = inputs.folder
    with embedded_database(folder) as uri:
        _fill(uri, inputs.text)
        copying = f"{shlex.quote(str(psql_program()))} {shlex.quote(uri)} --no-psqlrc -c 'copy data to stdout'"
        extract = f"{shlex.join(OLDUMP)} run {DAY} --source {shlex.quote(uri)} --only extract --out out --jobs"
        commands = {
            _PSQL: f"{copying} > /dev/null",
            "psql | igzip": f"{copying} | {sys.executable} -m isal.igzip -1 -c > psql.gz",
            "psql | gzip": f"{copying} | gzip > psql.gz",
            **{f"extract --jobs {jobs}": f"{extract} {jobs}" for jobs in JOBS},
        }
        results: dict[str, list[Extracted]] = {name: [] for name in commands}
        for _ in range(max(_MIN_ROUNDS, inputs.rounds)):
            for name, command in commands.items():
                results[name].append(_measured(command, folder))
    _print(results, inputs.rows)


def _fill(uri: str, text: Path) -> None:
    """Fill table data and vacuum it. Otherwise the first reader would have to write hint bits to the table."""
    with psycopg.connect(uri) as connection, text.open("rb") as stream:
        connection.execute("CREATE TABLE data (thing_id integer, revision integer, data text)")
        with connection.cursor().copy("COPY data FROM STDIN") as copy:
            for piece in iter(partial(stream.read, 1 << 20), b""):
                copy.write(piece)
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE data")


def _measured(command: str, folder: Path) -> Extracted:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    server = psutil.Process(int((folder / "pgdata" / "postmaster.pid").read_text().split()[0]))
    before, server_before = _children_seconds(psutil.Process()), _server_seconds(server)
    ran = shell(command, folder)
    cpu_seconds = _children_seconds(psutil.Process()) - before
    time.sleep(_REAPED_SECONDS)
    journal = Journal(out / f"run-{DAY}" / "journal.jsonl")
    return Extracted(
        seconds=ran.seconds,
        stage_seconds=journal.stages["extract"].seconds if journal.stages else ran.seconds,
        cpu_seconds=cpu_seconds,
        server_seconds=_server_seconds(server) - server_before,
        peak_rss_bytes=ran.peak_rss_bytes,
    )


def _children_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds of the process's children that have ended."""
    times = process.cpu_times()
    return float(times.children_user + times.children_system)


def _server_seconds(postmaster: psutil.Process) -> float:
    """Return the CPU seconds of all processes of the server: its ended sessions and its running processes."""
    seconds = _children_seconds(postmaster)
    for each in postmaster.children():
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            seconds += float(times.user + times.system)
    return seconds


def _print(results: dict[str, list[Extracted]], rows: int) -> None:
    medians = {
        name: [
            statistics.median(getattr(run, each) for run in runs)
            for each in ("seconds", "stage_seconds", "cpu_seconds", "server_seconds")
        ]
        for name, runs in results.items()
    }
    psql_seconds = medians[_PSQL][0]
    table = Table("seconds", "× psql", "stage", "× psql", "rows/s", "CPU", "server", "peak MiB")
    for name, (seconds, stage, cpu, server) in medians.items():
        table.row(
            name,
            f"{seconds:.2f}",
            ratio(psql_seconds / seconds),
            f"{stage:.2f}",
            ratio(psql_seconds / stage),
            count(rows / stage),
            f"{cpu:.2f}",
            f"{server:.2f}",
            mebibytes(max(run.peak_rss_bytes for run in results[name])),
        )
