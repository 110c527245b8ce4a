"""No secret appears in anything that a run leaves or shows, on a run from a real PostgreSQL with all notifications."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from commands.command import COMMAND, DATE, SECONDS, environment, private_of
from integration.conftest import Database
from listener import Listener, listening
from oldump.outside.synthetic_databases import Databases, fill
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.postgres

SECRETS = {
    "the source's password": "s3cret-of-source",
    "coverstore's password": "s3cret/of@covers",
    "the archive database's password": "s3cret-of-archive",
    "the ping URL": "0f4cafe0-ping-uuid",
    "Sentry's DSN": "5e47-sentry-key",
    "the S3 access key": "s3-access-key",
    "the S3 secret key": "s3-secret-key",
}


@pytest.fixture(scope="module")
def databases(database: Database) -> Databases:
    """Return small databases with everything that a run reads."""
    return fill(database(), copy_blocks(1_500))


@pytest.fixture
def listener() -> Iterator[Listener]:
    """Yield a server that records notifications."""
    with listening() as server:
        yield server


def uri(conninfo: str, password: str) -> str:
    """Return the connection as a URI with this password, as an operator might write it."""
    words = conninfo_to_dict(conninfo)
    with psycopg.connect(conninfo) as connection:
        role, port = connection.info.user, connection.info.port
    host = str(words.get("host", "")).replace("/", "%2F")
    return f"postgresql://{role}:{password.replace('@', '%40').replace('/', '%2F')}@{host}:{port}/{words['dbname']}"


@pytest.fixture
def settings(databases: Databases, listener: Listener, tmp_path: Path) -> Mapping[str, str]:
    """Return settings with every kind of secret, and hooks that print their whole environment."""
    source, covers, archive, ping, dsn, access, secret = SECRETS.values()
    archive_words = " ".join(f"{name}={value}" for name, value in conninfo_to_dict(databases.archive).items() if value)
    return {
        "OLDUMP_SOURCE": uri(databases.openlibrary, source),
        "OLDUMP_COVERSTORE": uri(databases.coverstore, covers),
        "OLDUMP_ARCHIVE_DATABASE": f"{archive_words} password={archive}",
        "OLDUMP_OUT": str(tmp_path / "out"),
        "OLDUMP_METRICS": str(tmp_path / "oldump.prom"),
        "OLDUMP_PING_URL": f"http://{listener.place}/{ping}",
        "OLDUMP_SENTRY_DSN": f"http://{dsn}@{listener.place}/1",
        "OLDUMP_ON_SUCCESS": "env",
        "OLDUMP_ON_FAILURE": "env",
        "IA_ACCESS_KEY_ID": access,
        "IA_SECRET_ACCESS_KEY": secret,
    }


def argument_lists(process: "subprocess.Popen[bytes]") -> bytes:
    """Return the argument lists of the command and all its children until it ends."""
    seen: set[bytes] = set()
    deadline = time.monotonic() + SECONDS
    while process.poll() is None:
        assert time.monotonic() < deadline, "the command hangs"
        pids = [process.pid]
        try:
            pids += [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        time.sleep(0.02)
        for pid in pids:
            try:
                seen.add(Path(f"/proc/{pid}/cmdline").read_bytes())
            except OSError:
                continue
    return b"\n".join(seen)


def everything(tmp_path: Path, settings: Mapping[str, str]) -> tuple[int, dict[str, bytes]]:
    """Run; return the exit code and everything that others can see, by place."""
    log = tmp_path / "standard error"
    with log.open("wb") as stream:
        line = [*COMMAND, "run", DATE, "--overwrite"]
        process = subprocess.Popen(line, cwd=tmp_path, env=environment(**settings), stdout=stream, stderr=stream)
        seen = {"the argument lists": argument_lists(process)}
    seen |= {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    return process.wait(), seen


def test_no_secret_is_anywhere(settings: Mapping[str, str], listener: Listener, tmp_path: Path) -> None:
    """No secret is in argument lists, standard error, logs, journal, manifest, metrics or pings.

    This holds for a successful and a failing run. A hook's output goes to the log without secrets.
    """
    code, seen = everything(tmp_path, settings)
    assert code == 0, seen[str(tmp_path / "standard error")].decode()
    assert b"-m\0oldump\0run" in seen["the argument lists"]
    assert {"journal.jsonl", "run.log", "manifest.json", "oldump.prom"} <= {Path(name).name for name in seen}
    log = (private_of(tmp_path / "out") / "run.log").read_text(encoding="utf-8")
    assert "on_success: OLDUMP_SOURCE=postgresql://" in log
    code, after = everything(tmp_path, {**settings, "OLDUMP_SOURCE": f"{settings['OLDUMP_SOURCE']}_gone"})
    assert code == 13, after[str(tmp_path / "standard error")].decode()
    assert len(listener.heard) == 5  # two starts, a success, a failure and a Sentry event
    # Sentry's SDK sends the DSN's key in the envelope's header to identify the project.
    notifications = [
        json.dumps(each.event).encode() if "/envelope/" in each.path else each.body for each in listener.heard
    ]
    places = [*seen.items(), *after.items(), *(("a notification", each) for each in notifications)]
    for what, secret in SECRETS.items():
        for spelled in {secret, secret.replace("@", "%40").replace("/", "%2F")}:
            found = [where for where, content in places if spelled.encode() in content]
            assert found == [], f"{what} in {found}"


def test_a_secret_would_be_found(tmp_path: Path) -> None:
    """The test above would detect a secret, even in an argument list."""
    secret = SECRETS["the source's password"]
    settings = {"OLDUMP_OUT": str(tmp_path / "out"), "OLDUMP_ON_FAILURE": f"sleep 0.5; cat {tmp_path}/{secret}"}
    code, seen = everything(tmp_path, {**settings, "OLDUMP_SOURCE": "host=127.0.0.1 port=1"})
    assert code != 0
    assert secret.encode() in seen["the argument lists"]
    assert secret.encode() in seen[str(tmp_path / "standard error")]
    assert os.environ.get("OLDUMP_SOURCE") is None
