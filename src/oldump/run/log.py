"""The log: its line formats, a run's log file, and what a run adds to and takes from log lines.

Each line has the time in UTC, a marker that operators search for, the level and the message. On standard error a line
is text or a JSON object, depending on the setting `log_format`; a run's log file is always text.
"""

import json
import logging
import os
import time
import tomllib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from oldump.errors import storage_errors
from oldump.run.formatting import printable

log = logging.getLogger("oldump")

MARK = "openlibrary.dump"
_FORMAT = f"%(asctime)s [{MARK}] %(levelname)s %(message)s"


class LogFormatter(logging.Formatter):
    """Formats log lines as text."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        """Use the format of all log lines."""
        super().__init__(_FORMAT, "%Y-%m-%dT%H:%M:%SZ")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line without a traceback; a message is one line, whatever it quotes."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802 - logging's signature
        """Return the lines of a traceback."""
        return printable(super().formatException(ei), keep="\n")


class JsonFormatter(LogFormatter):
    """Formats log lines as JSON objects: time, level, logger and message; in a run also its date and stage."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, whatever its message contains."""
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
"""Formatters by the value of the setting `log_format`."""


def named_format(toml: str = "oldump.toml") -> str:
    """Return the setting `log_format` without loading the settings, for messages from before they are loaded.

    Loading them takes long. An invalid value gives text: the error is reported when they are loaded.
    """
    named: object = os.environ.get("OLDUMP_LOG_FORMAT")
    if named is None:
        with suppress(OSError, RecursionError, ValueError):
            path = Path(os.environ.get("OLDUMP_TOML", toml))
            named = tomllib.loads(path.read_text(encoding="utf-8")).get("log_format")
    return named if isinstance(named, str) and named in FORMATTERS else "text"


class LogContext(logging.Filter):
    """Adds the run's date and the stage in progress to log records."""

    def __init__(self, day: str) -> None:
        """Add this date, and the stage that `stage` is set to."""
        super().__init__()
        self.day = day
        self.stage: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields; keep every record."""
        record.__dict__.update(self.fields)
        return True

    @property
    def fields(self) -> dict[str, str | None]:
        """The fields by name."""
        return {"run_date": self.day, "stage": self.stage}


class LastWarnings(logging.Handler):
    """Keeps the last warnings."""

    def __init__(self, number: int) -> None:
        """Keep this many."""
        super().__init__(logging.WARNING)
        self._messages: deque[str] = deque(maxlen=number)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message of a warning."""
        if record.levelno == logging.WARNING:
            self._messages.append(printable(record.getMessage()))

    @property
    def messages(self) -> list[str]:
        """The warnings, the latest last."""
        return list(self._messages)


class _LogFile(logging.FileHandler):
    """A log file whose errors never end the run: a full disk is detected elsewhere."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Ignore a line that cannot be written."""

    def close(self) -> None:
        """Close the file, even if its last lines cannot be written."""
        with suppress(OSError):
            super().close()


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Also write log lines to a file, and the exception that ends the block. Raises StorageError."""
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
