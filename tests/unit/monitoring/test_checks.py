"""The checks of notification settings: they find mistakes without sending anything."""

import os
from pathlib import Path

import pytest
from pydantic import SecretStr

from listener import Listener
from oldump.monitoring.checks import notification_checks
from oldump.pipeline.check import Check, CheckStatus
from oldump.settings import NotificationSettings

UUID = "0f4cafe0"


def configured(**settings: object) -> NotificationSettings:
    """Return these settings, and no others."""
    return NotificationSettings.model_construct(**{**NotificationSettings.model_construct().model_dump(), **settings})


def only(settings: NotificationSettings) -> Check:
    """Return the only check of these settings."""
    (check,) = notification_checks(settings)
    return check


def test_what_is_not_configured_is_not_checked() -> None:
    """There is no line for it."""
    assert list(notification_checks(configured())) == []


def test_correct_settings_pass_and_nothing_is_sent(listener: Listener, tmp_path: Path) -> None:
    """Nor is a file created or a hook run."""
    settings = configured(
        metrics=str(tmp_path / "oldump.prom"),
        ping_url=SecretStr(f"http://{listener.place}/{UUID}"),
        sentry_dsn=SecretStr(f"http://{UUID}@{listener.place}/1"),
        on_success=f"touch {tmp_path}/ran",
        on_failure=f"cd / && touch {tmp_path}/ran",
    )
    found = list(notification_checks(settings))
    assert [check.name for check in found] == ["metrics", "ping_url", "sentry_dsn", "on_success", "on_failure"]
    assert {check.status for check in found} == {CheckStatus.OK}
    assert UUID not in "".join(map(str, found))
    assert (listener.heard, list(tmp_path.iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metrics": "/nowhere/oldump.prom"}, "/nowhere"),
        ({"metrics": "/tmp/oldump.txt"}, "does not end with .prom"),  # noqa: S108 - nothing is written there
        ({"ping_url": SecretStr(f"http://user:{UUID}@hc.example/x")}, "contains a user"),
        ({"ping_url": SecretStr(f"hc.example/{UUID}")}, "not a URL"),
        ({"sentry_dsn": SecretStr(f"https://{UUID}/1")}, "not a DSN"),
        ({"on_success": "no-such-program --mail me"}, "no-such-program: program not found"),
        ({"on_failure": "if true; then"}, "/bin/sh cannot parse it"),
    ],
)
def test_a_mistake_is_a_warning(settings: dict[str, object], words: str) -> None:
    """A run would succeed all the same. No secret is shown."""
    check = only(configured(**settings))
    assert check.status is CheckStatus.WARNING
    assert words in check.message
    assert UUID not in str(check)


def test_metrics_must_be_a_regular_file(tmp_path: Path) -> None:
    """Reading a pipe would block forever."""
    os.mkfifo(tmp_path / "oldump.prom")
    check = only(configured(metrics=str(tmp_path / "oldump.prom")))
    assert (check.status, "not a regular file" in check.message) == (CheckStatus.WARNING, True)


@pytest.mark.parametrize("line", ["  ", "A=b no-such-program", "(no-such-program)", '"$HOME/x" y', ". /dev/null"])
def test_commands_that_cannot_be_checked_pass(line: str) -> None:
    """Only a plain word is looked up as a program."""
    assert only(configured(on_failure=line)).status is CheckStatus.OK
