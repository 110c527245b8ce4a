"""What doctor says of those who are to be told; nobody is."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from listener import Listener
from oldump.monitoring.checks import checks
from oldump.pipeline.preflight import Check, Verdict
from oldump.settings import NotificationSettings

UUID = "0f4cafe0"


def told(**settings: object) -> NotificationSettings:
    """With these settings, and no others."""
    return NotificationSettings.model_construct(**{**NotificationSettings.model_construct().model_dump(), **settings})


def only(settings: NotificationSettings) -> Check:
    """The one check."""
    (check,) = checks(settings)
    return check


def test_who_is_not_to_be_told_is_not_checked() -> None:
    """No line for what is not set."""
    assert list(checks(told())) == []


def test_all_is_well_and_nobody_hears_of_it(listener: Listener, tmp_path: Path) -> None:
    """One line each; no file is made, no hook run."""
    settings = told(
        metrics=str(tmp_path / "oldump.prom"),
        ping_url=SecretStr(f"http://{listener.place}/{UUID}"),
        sentry_dsn=SecretStr(f"http://{UUID}@{listener.place}/1"),
        on_success=f"touch {tmp_path}/ran",
        on_failure=f"cd / && touch {tmp_path}/ran",
    )
    found = list(checks(settings))
    assert [check.what for check in found] == ["metrics", "ping_url", "sentry_dsn", "on_success", "on_failure"]
    assert {check.verdict for check in found} == {Verdict.OK}
    assert UUID not in "".join(map(str, found))
    assert (listener.heard, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metrics": "/nowhere/oldump.prom"}, "/nowhere"),
        ({"metrics": "/tmp/oldump.txt"}, "does not end with .prom"),  # noqa: S108 - nothing is written there
        ({"ping_url": SecretStr(f"http://user:{UUID}@hc.example/x")}, "has a user in it"),
        ({"ping_url": SecretStr(f"hc.example/{UUID}")}, "no URL"),
        ({"sentry_dsn": SecretStr(f"https://{UUID}/1")}, "no DSN"),
        ({"on_success": "no-such-program --mail me"}, "no-such-program: no such program"),
        ({"on_failure": "if true; then"}, "/bin/sh does not understand it"),
    ],
)
def test_what_is_wrong_is_a_warning(settings: dict[str, object], words: str) -> None:
    """A run would go well without it. No secret is shown."""
    check = only(told(**settings))
    assert check.verdict is Verdict.WARNING
    assert words in check.told
    assert UUID not in str(check)


def test_metrics_are_written_to_a_plain_file_alone(tmp_path: Path) -> None:
    """Whoever reads a pipe waits for ever."""
    os.mkfifo(tmp_path / "oldump.prom")
    check = only(told(metrics=str(tmp_path / "oldump.prom")))
    assert (check.verdict, "no plain file" in check.told) == (Verdict.WARNING, True)


@pytest.mark.parametrize("line", ["  ", "A=b no-such-program", "(no-such-program)", '"$HOME/x" y', ". /dev/null"])
def test_of_what_cannot_be_known_nothing_is_said_against(line: str) -> None:
    """Only a plain word that is no program is."""
    assert only(told(on_failure=line)).verdict is Verdict.OK
