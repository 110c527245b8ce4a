"""How a log line looks: time in UTC, the mark that operators grep for, level, message."""

import logging
import time

_FORMAT = "%(asctime)s [openlibrary.dump] %(levelname)s %(message)s"


class LogFormatter(logging.Formatter):
    """Formats log lines, on standard error and in a run's log alike."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        """Take nothing: all lines look the same."""
        super().__init__(_FORMAT, "%Y-%m-%dT%H:%M:%SZ")
