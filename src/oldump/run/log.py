"""How a log line looks: time in UTC, the mark that operators grep for, level, message; and a run's log file."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from oldump.errors import storage_errors

log = logging.getLogger("oldump")

_FORMAT = "%(asctime)s [openlibrary.dump] %(levelname)s %(message)s"


class LogFormatter(logging.Formatter):
    """Formats log lines, on standard error and in a run's log alike."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        """Take nothing: all lines look the same."""
        super().__init__(_FORMAT, "%Y-%m-%dT%H:%M:%SZ")


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
