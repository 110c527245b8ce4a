"""The image and its service cron-jobs without a container engine, in mount and process namespaces.

Nothing on the host changes: /etc, /opt and /srv are overlaid in memory, and the processes see only each other.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import psutil

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PATIENCE_SECONDS = 180

SETTING_UP = """
set -euo pipefail
mount -t tmpfs tmpfs "$SCRATCH"
for folder in etc opt srv root; do
    mkdir -p "$SCRATCH/$folder/upper" "$SCRATCH/$folder/work"
    mount -t overlay overlay /$folder \
        -o "lowerdir=/$folder,upperdir=$SCRATCH/$folder/upper,workdir=$SCRATCH/$folder/work"
done
chmod a+rx /root # user oldump may have to run an interpreter in there
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=0755 tmpfs /run
mount -t tmpfs -o mode=0755 tmpfs /var/spool
mkdir -p /var/spool/cron/crontabs /etc/cron.d /opt/oldump/bin /opt/venv /opt/src /srv/dumps
mount --bind "$VENV" /opt/venv
mount --bind "$ROOT/src" /opt/src
mount --bind "$DUMPS" /srv/dumps

# As in the Dockerfile.
rm -f /etc/cron.d/*
: > /etc/crontab
install --mode=0644 "$ROOT/deploy/crontab" /etc/cron.d/oldump
install --mode=0755 "$ROOT/deploy/cron-start" "$ROOT/deploy/cron-job" /opt/oldump/bin
echo 'oldump:x:10001:10001::/srv/dumps:/bin/bash' >> /etc/passwd
echo 'oldump:x:10001:' >> /etc/group
echo 'oldump:*:19000:0:99999:7:::' >> /etc/shadow
install --mode=0755 "$OLDUMP" /opt/oldump/bin/oldump
[[ -e /etc/pam.d/cron ]] || install --mode=0644 /etc/pam.d/other /etc/pam.d/cron

# Every process started from here on sees this time.
echo "$LIBRARY" > /etc/ld.so.preload
echo "$AHEAD_SECONDS" > /etc/faketimerc
exec env --ignore-environment PATH=/opt/oldump/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:"$CRON" \
    TZ=UTC OLDUMP_OUT=/srv/dumps "$@" cron-start
"""

OLDUMP = """#!/bin/bash
# oldump as installed, which records its arguments. Without --archive, because other tests upload to a fake archive.org.
echo "$(id -un) $*" >> /srv/dumps/called
for argument; do
    shift
    [[ $argument == --archive ]] || set -- "$@" "$argument"
done
export PYTHONPATH=/opt/src FAKETIME_DONT_FAKE_MONOTONIC=1
exec /opt/venv/bin/python -m oldump "$@"
"""


class Container(NamedTuple):
    """The running service."""

    dumps: Path
    """The service's /srv/dumps."""
    process: "subprocess.Popen[bytes]"
    output: Path
    """The standard output and error of its first process."""

    def waits_for(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition is true; fail with the log if it never is."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert self.process.poll() is None, self.shown()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)

    def stopped(self) -> str:
        """Stop the service as an engine does, with SIGTERM to its first process; return the output of `docker logs`."""
        (first,) = psutil.Process(self.process.pid).children()
        first.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_SECONDS)
        return self.shown()

    def shown(self) -> str:
        """Return what `docker logs` would show."""
        return self.output.read_text()

    def log(self) -> str:
        """Return what cron-job has written."""
        path = self.dumps / "cron.log"
        return path.read_text() if path.exists() else ""


def missing_requirement() -> str:
    """Return why this machine cannot run such a container; empty if it can."""
    if os.geteuid():
        return "only root can make the namespaces that cron runs in"
    if _cron() is None:
        return "cron is not installed (apt-get install cron)"
    if _faketime() is None:
        return "libfaketime is not installed (apt-get install faketime)"
    attempt = subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False)
    return "" if attempt.returncode == 0 else "this machine does not let root make namespaces (unshare)"


def _cron() -> Path | None:
    found = shutil.which("cron", path=f"{os.environ['PATH']}:/usr/sbin")
    return Path(found) if found else None


def _faketime() -> Path | None:
    program = shutil.which("faketime")
    libraries = Path(program).parents[1].glob("lib/*/faketime/libfaketime.so.1") if program else ()
    return next(iter(libraries), None)


@contextmanager
def running(
    folder: Path, now: datetime, files: Mapping[str, Path], variables: Mapping[str, str]
) -> Iterator[Container]:
    """Yield the running service.

    `now` is the time that it sees, `files` are copied to /srv/dumps, and `variables` are the container's environment.
    """
    cron, faketime = _cron(), _faketime()
    assert cron
    assert faketime
    dumps, scratch, oldump = folder / "dumps", folder / "scratch", folder / "oldump"
    for made in (dumps, scratch):
        made.mkdir()
    for name, path in files.items():
        shutil.copy(path, dumps / name)
    oldump.write_text(OLDUMP)
    output = folder / "output"
    with output.open("wb") as stream:
        process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", SETTING_UP, "bash"]
            + [f"{name}={value}" for name, value in variables.items()],
            env={
                "PATH": os.environ["PATH"],
                "SCRATCH": str(scratch),
                "VENV": sys.prefix,
                "ROOT": str(ROOT),
                "DUMPS": str(dumps),
                "OLDUMP": str(oldump),
                "CRON": str(cron.parent),
                "LIBRARY": str(faketime),
                "AHEAD_SECONDS": f"{(now - datetime.now(UTC)).total_seconds():+.0f}",
            },
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Container(dumps, process, output)
    finally:
        process.kill()  # --kill-child: this ends all processes in the namespace
        process.wait()
