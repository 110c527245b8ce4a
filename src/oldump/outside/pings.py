"""Pings of a dead man's switch, with healthchecks.io's conventions: it tells when it has heard nothing for too long.

URL/start at the beginning, URL when a run is complete, URL/fail when it failed, URL/log for what changes nothing. A
run id (`rid`) says which end belongs to which beginning. The URL is a secret, since who has it can ping: no error shows
it.

Source: healthchecks.io's documentation, "Pinging API".
"""

import urllib.request
from collections.abc import Callable
from enum import StrEnum
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

import tenacity

from oldump.outside.timed_tasks import ErrandFailed

_TRIES = 3
_SECONDS = 10.0
_BODY_BYTES = 10_000


class Event(StrEnum):
    """What is told, and how the URL ends for it."""

    START = "/start"
    SUCCESS = ""
    FAILURE = "/fail"
    LOG = "/log"


def what_is_wrong(url: str) -> str | None:
    """Why the URL cannot be pinged, without the URL; None if it may be."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises if it is none
    except ValueError:
        return "it is no URL"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return "it is no URL that begins with http:// or https:// and names a host"
    if parts.username is not None:
        return "it has a user in it, which is not supported: use one whose path is the secret"
    if any(character <= " " or character > "~" for character in url):
        return "it has a blank, or a character that a URL must not have"
    return None


def url_of(url: str, event: Event, run_id: str) -> str:
    """The URL to be asked for: its path tells the event; what the operator put behind a ? stays."""
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("rid", run_id)])
    return urlunsplit(SplitResult(parts.scheme, parts.netloc, parts.path.rstrip("/") + event, query, ""))


def ping(url: str, event: Event, run_id: str, body: str, pause_seconds: float = 1.0) -> None:
    """Ping, three times if need be. Raises ErrandFailed, which does not name the URL."""
    wrong = what_is_wrong(url)
    if wrong:
        raise ErrandFailed(wrong)
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_exponential(multiplier=pause_seconds),
        reraise=True,
    )
    _translated(lambda: attempts(_post, url_of(url, event, run_id), body.encode(errors="replace")[:_BODY_BYTES]))


def _post(url: str, body: bytes) -> None:
    # what_is_wrong has seen that it is http or https
    request = urllib.request.Request(url, body, {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "oldump"})  # noqa: S310 - see above
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - see above
        answer.read(1)


def _may_pass(error: BaseException) -> bool:
    """Whether another try may help: not if the server does not know the URL."""
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in {408, 429}
    return isinstance(error, OSError | HTTPException)


def _translated(call: Callable[[], None]) -> None:
    """Call it, with errors of the library as ErrandFailed."""
    try:
        call()
    except HTTPError as error:
        error.close()
        raise ErrandFailed(f"the answer was {error.code} {error.reason}") from error
    except URLError as error:
        raise ErrandFailed(f"not reached ({error.reason})") from error
    except (OSError, HTTPException) as error:
        raise ErrandFailed(f"no answer ({type(error).__name__})") from error
