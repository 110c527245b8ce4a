"""How progress is shown: log lines without a terminal, a live display on one."""

import io
import logging
import time

import pytest

from oldump.terminal.display import LiveProgress
from oldump.terminal.progress import LoggedProgress, progress_display


def test_log_lines_come_every_30_seconds(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Not before, then with rows, rate, share done and time left."""
    clock = iter([0.0, 0.0, 29.0, 31.0, 32.0, 62.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO, "oldump"), LoggedProgress() as progress:
        caplog.handler.addFilter(lambda record: record.name == "oldump")
        logging.getLogger("oldump").addHandler(caplog.handler)
        progress.begin("dumps", "scatter")
        progress.update(100, 0.1)
        progress.update(3_100, 0.25)
        progress.update(3_200, 0.3)
        progress.update(6_200, None)
        progress.end("dumps")
        logging.getLogger("oldump").removeHandler(caplog.handler)
    said = list(dict.fromkeys(caplog.messages))
    assert said == [
        "dumps: scatter: 3,100 rows, 100 rows/s, 25.0% done, about 1 min 33 s left",
        "dumps: scatter: 6,200 rows, 100 rows/s",
    ]


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_without_a_terminal_there_is_no_live_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log file is no place for one; nor is a terminal that something else writes to."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(progress_display(), LoggedProgress)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert isinstance(progress_display(), LiveProgress)
    assert isinstance(progress_display(live=False), LoggedProgress)


def test_an_upload_is_shown_in_bytes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes sent, rate, share and time left: rows mean nothing there."""
    clock = iter([0.0, 0.0, 40.0, 40.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock, 40.0))
    logger = logging.getLogger("oldump")
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, "oldump"), LoggedProgress() as progress:
        progress.begin("archive", "sending")
        progress.update(4_000_000_000, 0.25)
    logger.removeHandler(caplog.handler)
    assert set(caplog.messages) == {"archive: sending: 4.0 GB, 100.0 MB/s, 25.0% done, about 2 min 00 s left"}
