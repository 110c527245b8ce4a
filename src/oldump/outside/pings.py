"""Pings to a dead man's switch, by healthchecks.io's conventions: it alerts if no ping arrives in time.

URL/start when a run starts, URL when it is complete, URL/fail when it fails, URL/log for messages. The run id (`rid`)
connects a start with its end. The URL is a secret, because anyone who has it can ping: no error shows it.

Source: healthchecks.io's documentation, "Pinging API".
"""

import urllib.request
from collections.abc import Callable
from enum import StrEnum
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

import tenacity

from oldump.outside.timed_tasks import TaskFailed

_TRIES = 3
_SECONDS = 10.0
_BODY_BYTES = 10_000


class Event(StrEnum):
    """An event, and the suffix of its URL."""

    START = "/start"
    SUCCESS = ""
    FAILURE = "/fail"
    LOG = "/log"


def what_is_wrong(url: str) -> str | None:
    """Return why the URL cannot be pinged, without showing it; None if it can."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is none
    except ValueError:
        return "not a URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "not a URL with http:// or https:// and a host"
    if parts.username is not None:
        return "it contains a user, which is not supported: use a URL whose path is the secret"
    if any(character <= " " or character > "~" for character in url):
        return "it contains a blank or a character that is not allowed in a URL"
    return None


def url_of(url: str, event: Event, run_id: str) -> str:
    """Return the URL to request for an event. The query that the operator configured is kept."""
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("rid", run_id)])
    return urlunsplit(SplitResult(parts.scheme, parts.netloc, parts.path.rstrip("/") + event, query, ""))


def ping(url: str, event: Event, run_id: str, body: str, pause_seconds: float = 1.0) -> None:
    """Ping, with up to three attempts. Raises TaskFailed, which does not show the URL."""
    wrong = what_is_wrong(url)
    if wrong:
        raise TaskFailed(wrong)
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_exponential(multiplier=pause_seconds),
        reraise=True,
    )
    _translated(lambda: attempts(_post, url_of(url, event, run_id), body.encode(errors="replace")[:_BODY_BYTES]))


def _post(url: str, body: bytes) -> None:
    # what_is_wrong has checked the scheme
    request = urllib.request.Request(url, body, {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "oldump"})  # noqa: S310 - see above
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - see above
        answer.read(1)


def _may_pass(error: BaseException) -> bool:
    """Whether a retry may help; it does not if the server does not know the URL."""
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in {408, 429}
    return isinstance(error, OSError | HTTPException)


def _translated(call: Callable[[], None]) -> None:
    """Call it, and translate the library's errors into TaskFailed."""
    try:
        call()
    except HTTPError as error:
        error.close()
        raise TaskFailed(f"the answer was {error.code} {error.reason}") from error
    except URLError as error:
        raise TaskFailed(f"not reached ({error.reason})") from error
    except (OSError, HTTPException) as error:
        raise TaskFailed(f"no answer ({type(error).__name__})") from error
