"""Log lines for people and for machines."""

import json
import logging
import sys
from pathlib import Path

import pytest

from oldump.run.log import FORMATTERS, named_format


def record(**more: object) -> logging.LogRecord:
    """Return a record whose message contains a newline."""
    made = logging.LogRecord("oldump", logging.WARNING, __file__, 1, "two\nlines: %s", ("é",), None)
    made.created = 0.0
    made.__dict__.update(more)
    return made


def test_a_text_line_has_the_marker() -> None:
    """Operators search for it."""
    line = FORMATTERS["text"]().format(record())
    assert line == "1970-01-01T00:00:00Z [openlibrary.dump] WARNING two\\nlines: é"


def test_a_json_record_is_one_line() -> None:
    """It has the date and the stage if they are known; a newline in the message is escaped."""
    line = FORMATTERS["json"]().format(record(run_date="2022-07-31", stage=None))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00Z",
        "level": "WARNING",
        "logger": "openlibrary.dump",
        "message": "two\nlines: é",
        "date": "2022-07-31",
    }


def test_a_traceback_is_a_member_of_the_object() -> None:
    """A bug is a single line, too."""
    try:
        raise KeyError("bug")
    except KeyError:
        line = FORMATTERS["json"]().format(record(exc_info=sys.exc_info()))
    assert "KeyError: 'bug'" in json.loads(line)["traceback"]


def test_the_format_is_known_before_the_settings_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable has precedence over oldump.toml. An invalid value gives text; loading the settings reports it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OLDUMP_LOG_FORMAT", raising=False)
    monkeypatch.delenv("OLDUMP_TOML", raising=False)
    assert named_format() == "text"
    for text, named in (('log_format = "json"', "json"), ("log_format = 3", "text"), ("= 3", "text"), ("", "text")):
        (tmp_path / "oldump.toml").write_text(text, encoding="utf-8")
        assert named_format() == named
    for variable, named in (("json", "json"), ("xml", "text")):
        monkeypatch.setenv("OLDUMP_LOG_FORMAT", variable)
        assert named_format() == named


def test_a_message_cannot_move_the_cursor_or_start_a_line() -> None:
    """It may quote a title or a file name. A traceback keeps its lines."""
    error = KeyError("\x1b[2J")
    message = "a \x1b[31m\n\u202eb\udcff é"
    line = FORMATTERS["text"]().format(record(msg=message, args=(), exc_info=(KeyError, error, None)))
    assert "a \\x1b[31m\\n\\u202eb\\udcff é\n" in line
    assert "\x1b" not in line
    assert line.count("\n") == 1
