"""What is shown on a terminal: a live display, with nothing of it on standard output, and tables."""

import io
import sys

import pytest
from rich.console import Console

from oldump.terminal.display import LiveProgress, boxed


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
