"""Whether whoever the settings name can be told of runs, as doctor wants to know it: nobody is told.

Does not: fail. A run goes well without, so what is wrong is a warning.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from oldump.errors import OldumpError, storage_errors
from oldump.outside import pings, sentry
from oldump.pipeline.preflight import Check
from oldump.settings import NotificationSettings


def checks(told: NotificationSettings) -> Iterator[Check]:
    """All of them, of what is set."""
    if told.metrics:
        yield _verdict("metrics", f"{told.metrics}: can be written", _wrong_with_metrics(Path(told.metrics)))
    url = told.ping_url.get_secret_value()
    if url:
        yield _verdict("ping_url", "is well-formed; nobody was asked", pings.what_is_wrong(url))
    if told.sentry:
        yield _verdict("sentry_dsn", "is well-formed, and the SDK is there", sentry.what_is_wrong(told.sentry))
    for name in ("on_success", "on_failure"):
        line = str(getattr(told, name))
        if line:
            yield _verdict(name, "the shell understands it, and finds its program", _wrong_with_hook(line))


def _verdict(what: str, told: str, wrong: str | None) -> Check:
    if wrong is None:
        return Check.passed(what, told)
    return Check.warned(what, wrong, "Correct it, or nobody is told by it how runs end.")


def _wrong_with_metrics(path: Path) -> str | None:
    if path.suffix != ".prom":
        return f"{path}: does not end with .prom, and node_exporter reads nothing else"
    if path.exists() and not path.is_file():
        return f"{path}: is there, and no plain file"
    try:
        with storage_errors(path), tempfile.TemporaryFile(dir=path.parent):
            return None
    except OldumpError as error:
        return error.message


def _wrong_with_hook(line: str) -> str | None:
    """What the shell says against it, without running it."""
    parsed = subprocess.run(["/bin/sh", "-n", "-c", line], capture_output=True, text=True, check=False)
    if parsed.returncode:
        return f"/bin/sh does not understand it: {parsed.stderr.strip()}"
    program = line.split(maxsplit=1)[0] if line.strip() else "true"
    found = subprocess.run(["/bin/sh", "-c", 'command -v -- "$1"', "sh", program], capture_output=True, check=False)
    is_plain = not any(character in program for character in "=$`\"'(){};&|<>")
    return f"{program}: no such program" if is_plain and found.returncode else None
