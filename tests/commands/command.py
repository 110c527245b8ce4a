"""Run the real command in a process of its own, and read the files that it leaves."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from commands.forks import READ_AT_START, Forks, Order
from reference import PARTS, same_record

DATE = "2022-07-31"
COMMAND = (sys.executable, "-m", "oldump")
INTERPRETER = (sys.executable, "-W", "error")
"""Every warning is an error, except in commands that tests stop: those may leave files open."""
LOG_PREFIX = "[openlibrary.dump]"
SECONDS = 120
"""A command that takes longer has failed."""


class Ran(NamedTuple):
    """The exit code and output of a command."""

    code: int
    out: bytes
    err: str


ANY_AGE = {"OLDUMP_GATE_NEWEST_DAYS": "1000000"}
"""Tests write a few rows of any age, so the gate must not check the newest record. Tests of the gate omit this."""


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without variables that change oldump's settings, updated with `more`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OLDUMP_", "PG", "PSQL", "PYTHONWARN"))
    }
    return {**kept, **ANY_AGE, **more}


def oldump(*arguments: object, cwd: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Ran:
    """Run `oldump` with these arguments and wait for its end."""
    if any(name.startswith(READ_AT_START) for name in env or ()):
        return oldump_alone(*arguments, cwd=cwd, stdin=stdin, env=env)
    order = Order([*map(str, arguments)], str(cwd), environment(**(env or {})))
    ended = _forks().run(order, stdin)
    return Ran(ended.code, ended.out, ended.err.decode())


@cache
def _forks() -> Forks:
    return Forks(INTERPRETER, environment(), SECONDS)


def oldump_alone(*arguments: object, cwd: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> Ran:
    """Run `oldump` in an interpreter of its own, which imports everything itself."""
    ran = subprocess.run(
        [*INTERPRETER, "-m", "oldump", *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        env=environment(**(env or {})),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr.decode())


def run(source: object, out: object, *more: object, cwd: Path, stdin: bytes = b"") -> Ran:
    """Run `oldump run` for DATE; it must succeed."""
    ran = oldump("run", DATE, "--source", source, "--out", out, *more, cwd=cwd, stdin=stdin)
    assert ran.code == 0, ran.err
    return ran


def started(*arguments: object, cwd: Path, env: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """Start `oldump` in its own session. Its standard input stays open."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(**(env or {})),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def bash(line: str, cwd: Path) -> Ran:
    """Run a line of shell as an operator would; $OLDUMP is the command."""
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=cwd,
        env=environment(OLDUMP=" ".join(COMMAND)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr.decode())


def failed(ran: Ran, code: int, *words: str) -> str:
    """Return the error line of a command that failed with this exit code.

    The log must have one error, which contains these words, and no traceback.
    """
    lines = ran.err.splitlines()
    errors = [line for line in lines if " ERROR " in line]
    assert (ran.code, len(errors)) == (code, 1), ran.err
    assert all(LOG_PREFIX in line for line in lines), ran.err
    assert lines[-1] == errors[0], ran.err
    assert all(word in errors[0] for word in words), ran.err
    return errors[0]


def name_of(part: str | None) -> str:
    """Return the file name of a part, or of the dump if `part` is None."""
    return f"ol_dump_{part}_{DATE}.txt.gz" if part else f"ol_dump_{DATE}.txt.gz"


def cdump_of(out: Path) -> Path:
    """Return the path of a complete run's cdump."""
    return out / f"ol_cdump_{DATE}" / f"ol_cdump_{DATE}.txt.gz"


def item_of(out: Path) -> Path:
    """Return the folder of the dump and its parts."""
    return out / f"ol_dump_{DATE}"


def private_of(out: Path) -> Path:
    """Return the run's private folder."""
    return out / f"run-{DATE}"


def texts(out: Path) -> dict[str, bytes]:
    """Return the text of each artifact of a complete run: cdump, dump and each part."""
    paths = {"cdump": cdump_of(out), "dump": item_of(out) / name_of(None)}
    paths |= {part: item_of(out) / name_of(part) for part in PARTS}
    return {name: gzip.decompress(path.read_bytes()) for name, path in paths.items()}


def published(out: Path) -> dict[str, bytes]:
    """Return every file in the two items, by name."""
    items = (cdump_of(out).parent, item_of(out))
    return {path.name: path.read_bytes() for item in items for path in item.iterdir()}


def made_files(out: Path) -> dict[str, object]:
    """Return the published files, but of the manifest's gate results only those that concern this run alone."""
    files: dict[str, object] = dict(published(out))
    manifest = json.loads((item_of(out) / "manifest.json").read_bytes())
    manifest["gate"] = manifest["gate"]["filled"]
    return files | {"manifest.json": manifest}


def final_names(folder: Path) -> list[str]:
    """Return the names of the files below `folder` that a reader could take for a dump."""
    found = {path for suffix in ("*.txt.gz", "manifest.json", "*SUMS") for path in folder.rglob(suffix)}
    return sorted(path.name for path in found if path.name.startswith(("ol_", "manifest", "SHA", "MD5")))


def assert_same_records(text: bytes, expected: bytes) -> None:
    """Require the same records in the same order.

    The spelling of escapes in their JSON may differ, and repeated member names may be merged.
    """
    lines, wanted = text.split(b"\n"), expected.split(b"\n")
    assert len(lines) == len(wanted)
    for line, want in zip(lines, wanted, strict=True):
        assert line == want or same_record(line, want) or same_record(with_names_once(line), want)


def with_names_once(record: bytes) -> bytes:
    """Return the record with only the last member of each name, as json.loads reads it.

    The contract leaves this open.
    """
    *columns, text = record.split(b"\t", 4)
    return b"\t".join((*columns, json.dumps(json.loads(text)).encode()))
