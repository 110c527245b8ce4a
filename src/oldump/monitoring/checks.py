"""Check the notification settings for `oldump doctor`, without sending anything.

Does not: fail. A run succeeds without notifications, so every problem is a warning.
"""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from oldump.errors import OldumpError, storage_errors
from oldump.outside import pings, sentry
from oldump.pipeline.check import Check
from oldump.settings import NotificationSettings


def notification_checks(settings: NotificationSettings) -> Iterator[Check]:
    """Yield a check of each notification that is configured."""
    if settings.metrics:
        yield _check("metrics", f"{settings.metrics}: writable", _metrics_problem(Path(settings.metrics)))
    url = settings.ping_url.get_secret_value()
    if url:
        yield _check("ping_url", "well-formed; not contacted", pings.what_is_wrong(url))
    if settings.sentry:
        yield _check("sentry_dsn", "well-formed, and the SDK is installed", sentry.what_is_wrong(settings.sentry))
    for name in ("on_success", "on_failure"):
        command = str(getattr(settings, name))
        if command:
            yield _check(name, "valid shell syntax, program found", _hook_problem(command))


def _check(setting: str, found: str, problem: str | None) -> Check:
    if problem is None:
        return Check.passed(setting, found)
    return Check.warned(setting, problem, "Correct the setting; until then this notification fails.")


def _metrics_problem(path: Path) -> str | None:
    if path.suffix != ".prom":
        return f"{path}: does not end with .prom; node_exporter reads no other files"
    if path.exists() and not path.is_file():
        return f"{path}: not a regular file"
    try:
        with storage_errors(path), tempfile.TemporaryFile(dir=path.parent):
            return None
    except OldumpError as error:
        return error.message


def _hook_problem(command: str) -> str | None:
    """Return what the shell reports about a command without running it; None if it is fine."""
    parsed = subprocess.run(["/bin/sh", "-n", "-c", command], capture_output=True, text=True, check=False)
    if parsed.returncode:
        return f"/bin/sh cannot parse it: {parsed.stderr.strip()}"
    program = command.split(maxsplit=1)[0] if command.strip() else "true"
    found = subprocess.run(["/bin/sh", "-c", 'command -v -- "$1"', "sh", program], capture_output=True, check=False)
    is_plain_word = not any(character in program for character in "=$`\"'(){};&|<>")
    return f"{program}: program not found" if is_plain_word and found.returncode else None
