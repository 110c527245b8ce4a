"""How a log line looks: time in UTC, the mark that operators grep for, level, message; and a run's log file.

On standard error a line is text or a JSON object, as the setting `log_format` says; in a run's log it is text.
"""

import json
import logging
import os
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oldump.errors import storage_errors

log = logging.getLogger("oldump")

MARK = "openlibrary.dump"
_FORMAT = f"%(asctime)s [{MARK}] %(levelname)s %(message)s"


class LogFormatter(logging.Formatter):
    """Formats log lines, on standard error and in a run's log alike."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        """Take nothing: all lines look the same."""
        super().__init__(_FORMAT, "%Y-%m-%dT%H:%M:%SZ")


class JsonFormatter(LogFormatter):
    """Formats a log line as a JSON object: time, level, logger, message; date and stage of the run, if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, which is one whatever the message holds."""
        members = {
            "time": self.formatTime(record, self.datefmt),
            "level": record.levelname,
            "logger": MARK,
            "message": record.getMessage(),
            "date": getattr(record, "run_date", None),
            "stage": getattr(record, "stage", None),
            "traceback": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in members.items() if value is not None})


FORMATTERS = {"text": LogFormatter, "json": JsonFormatter}
"""By what the setting says."""


def named_format(toml: str = "oldump.toml") -> str:
    """The setting log_format, for what is said before there are settings, which take long to import.

    Text if it makes no sense: whoever reads the settings says so.
    """
    named: object = os.environ.get("OLDUMP_LOG_FORMAT")
    if named is None:
        with suppress(OSError, RecursionError, ValueError):
            path = Path(os.environ.get("OLDUMP_TOML", toml))
            named = tomllib.loads(path.read_text(encoding="utf-8")).get("log_format")
    return named if isinstance(named, str) and named in FORMATTERS else "text"


class _LogFile(logging.FileHandler):
    """A log that is not worth ending a run for: a full disk is noticed elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say nothing."""

    def close(self) -> None:
        """End the log, whether its last lines can be written or not."""
        with suppress(OSError):
            super().close()


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Log lines go to the run's log file too."""
    with storage_errors(path):
        handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(LogFormatter())
    log.addHandler(handler)
    try:
        yield
    except BaseException as error:
        what = "%s: %s", (type(error).__name__, error)
        handler.handle(log.makeRecord(log.name, logging.ERROR, __file__, 0, *what, None))
        raise
    finally:
        log.removeHandler(handler)
        handler.close()
