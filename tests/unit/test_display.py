"""How progress is shown: log lines without a terminal, a live display on one, nothing on standard output."""

import io
import logging
import sys
import time

import pytest
from rich.console import Console

from oldump.display import LiveProgress, LoggedProgress, boxed, progress_shown


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


def test_the_live_display_has_a_line_for_each_step() -> None:
    """With its name, its rows and its rate."""
    stream = io.StringIO()
    with LiveProgress(Console(file=stream, force_terminal=True, width=120)) as progress:
        for step in ("scatter", "gather"):
            progress.begin("dumps", step)
            progress.update(1_234, 0.5)
            progress.update(2_468, None)
        progress.end("dumps")
        progress.update(9_999, 1.0)
    shown = stream.getvalue()
    assert all(words in shown for words in ("dumps: scatter", "dumps: gather", "2,468 rows", "rows/s", "100 %"))
    assert "9,999" not in shown


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


def test_without_a_terminal_there_is_no_live_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log file is no place for one; nor is a terminal that something else writes to."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(progress_shown(), LoggedProgress)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert isinstance(progress_shown(), LiveProgress)
    assert isinstance(progress_shown(alone=False), LoggedProgress)


def test_the_live_display_leaves_standard_output_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data may go there meanwhile, and must be flushed there."""
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    with LiveProgress(Console(file=Terminal(), force_terminal=True)) as progress:
        progress.begin("sort", "scatter")
        assert sys.stdout is out


def test_a_table_is_folded_to_the_terminal() -> None:
    """Nothing is cut off, and a bracket is no markup."""
    words = " ".join(f"word{number}" for number in range(30))
    text = boxed([("check", "verdict", "found", "what to do"), ("disk", "failure", words, "[bold]room[/]")], 80)
    assert all(f"word{number}" in text for number in range(30))
    assert "[bold]room[/]" in text
    assert "failure" in text


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
