"""Sentry's own SDK against a listener: what arrives, and what must not."""

import json
from collections.abc import Callable
from functools import partial

import pytest

from listener import Listener
from oldump.errors import OldumpError, StorageFull
from oldump.outside.redaction import Redaction
from oldump.outside.sentry import capture, what_is_wrong
from oldump.outside.timed_tasks import Call
from unit.outside.test_timed_tasks import failure_of

TAGS = {"exit_code": "31", "stage": "dumps", "date": "2022-07-31"}
KEY = "s3cret"


def raised(by: Callable[[], None]) -> BaseException:
    """What a call raises, with its traceback."""
    try:
        by()
    except Exception as error:  # noqa: BLE001 - any
        return error
    raise AssertionError


def full_disk() -> None:
    """As a stage fails, with secrets where a traceback's reporter might look."""
    password = KEY  # noqa: F841 - a local variable
    try:
        raise OSError(f"postgresql://me:{KEY}@db: no space")
    except OSError as error:
        raise StorageFull("/srv: no space", "Make room.") from error


def dsn_of(listener: Listener) -> str:
    """Its project 1."""
    return f"http://{KEY}key@{listener.place}/1"


def sent(listener: Listener, error: BaseException | None, message: str = "") -> str | None:
    """Capture in a process of its own, as a run does; why it failed."""
    dsn = dsn_of(listener)
    return failure_of(Call(partial(capture, dsn, error, TAGS, Redaction([dsn]), message)))


def test_a_failure_is_told_with_its_tags(listener: Listener) -> None:
    """The exceptions with tracebacks, from the cause on; exit code, stage and date to search by."""
    assert sent(listener, raised(full_disk)) is None
    (heard,) = listener.heard
    assert heard.path == "/api/1/envelope/"
    event = heard.event
    assert event["tags"] == TAGS
    cause, error = event["exception"]["values"]
    assert (cause["type"], error["type"]) == ("OSError", "StorageFull")
    assert error["value"].startswith("/srv: no space. Make room.")
    assert error["stacktrace"]["frames"][-1]["function"] == "full_disk"
    assert event["release"].startswith("oldump@")


def test_no_secret_is_told(listener: Listener) -> None:
    """Neither of local variables, nor of messages, nor the argument list, nor the DSN itself."""
    assert sent(listener, raised(full_disk)) is None
    (heard,) = listener.heard
    told = json.dumps(heard.event)
    assert "postgresql://me:***@db" in told
    assert KEY not in told
    assert '"vars"' not in told
    assert "argv" not in told
    assert "breadcrumbs" not in heard.event or not heard.event["breadcrumbs"]["values"]


@pytest.mark.parametrize("code", [400, 403, 429, 500])
def test_an_event_that_is_not_taken_has_failed(listener: Listener, code: int) -> None:
    """The SDK itself says nothing of it."""
    listener.answers = [code]
    told = sent(listener, OldumpError("no"))
    assert told is not None
    assert told.startswith("not accepted (")


def test_nobody_there_is_a_failure() -> None:
    """A closed port."""
    told = failure_of(Call(partial(capture, f"http://{KEY}@127.0.0.1:1/1", None, TAGS, Redaction([]), "trial")))
    assert told is not None
    assert KEY not in told


def test_a_message_is_told_without_an_error(listener: Listener) -> None:
    """A trial's."""
    assert sent(listener, None, "a trial") is None
    assert listener.heard[0].event["message"] == "a trial"


@pytest.mark.parametrize("dsn", [f"{KEY}", f"https://{KEY}/1", f"ftp://{KEY}@host/1", f"https://{KEY}@h/"])
def test_what_is_no_dsn_is_said_without_it(dsn: str) -> None:
    """It holds a key."""
    told = failure_of(Call(partial(capture, dsn, None, TAGS, Redaction([]), "")))
    assert told == "not a DSN of the form https://KEY@HOST/PROJECT"


def test_without_the_sdk_it_is_said_what_to_install() -> None:
    """The extra."""
    told = what_is_wrong("https://key@host/1", "no_such_sdk")
    assert told is not None
    assert "pip install 'oldump[sentry]'" in told
