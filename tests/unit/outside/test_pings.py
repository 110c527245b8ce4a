"""Pings: the conventions of healthchecks.io, new tries for what may pass, and no URL in any error."""

import socket

import pytest

from listener import CLOSE, Listener
from oldump.outside.pings import Event, ping, url_of, what_is_wrong
from oldump.outside.timed_tasks import TaskFailed

RUN = "6a7f2c8e-0000-4000-8000-000000000001"
UUID = "0f4cafe0"


@pytest.mark.parametrize(
    ("event", "path"),
    [(Event.START, "/start"), (Event.SUCCESS, ""), (Event.FAILURE, "/fail"), (Event.LOG, "/log")],
)
def test_the_path_tells_the_event(listener: Listener, event: Event, path: str) -> None:
    """With the run's id as `rid`, and a short text as the body."""
    ping(f"http://{listener.place}/{UUID}", event, RUN, "2022-07-31: 90,000 s – done")
    (heard,) = listener.heard
    assert (heard.path, heard.query) == (f"/{UUID}{path}", f"rid={RUN}")
    assert heard.body.decode() == "2022-07-31: 90,000 s – done"


def test_what_the_operator_put_behind_the_path_stays() -> None:
    """A slug's ?create=1; a slash at the end makes no second one."""
    assert url_of("https://hc.example/key/slug/?create=1", Event.START, "r") == (
        "https://hc.example/key/slug/start?create=1&rid=r"
    )


@pytest.mark.parametrize("answers", [[500, 503, 200], [CLOSE, 429, 200], [408, 200]])
def test_what_may_pass_is_tried_again(listener: Listener, answers: list[int]) -> None:
    """Three times."""
    listener.answers = list(answers)
    ping(f"http://{listener.place}/x", Event.SUCCESS, RUN, "", pause_seconds=0)
    assert len(listener.heard) == len(answers)


@pytest.mark.parametrize(
    ("answers", "tries", "words"),
    [([500], 3, "the answer was 500"), ([CLOSE], 3, "no answer"), ([404], 1, "the answer was 404 Not Found")],
)
def test_what_does_not_pass_fails(listener: Listener, answers: list[int], tries: int, words: str) -> None:
    """At once, if the server says that it does not know the URL; and the URL is in no error."""
    listener.answers = answers
    with pytest.raises(TaskFailed, match=words) as caught:
        ping(f"http://{listener.place}/{UUID}", Event.SUCCESS, RUN, "", pause_seconds=0)
    assert len(listener.heard) == tries
    assert UUID not in str(caught.value)


def test_nobody_there_is_no_answer() -> None:
    """A closed port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(TaskFailed, match="not reached"):
            ping(f"http://{place}/{UUID}", Event.SUCCESS, RUN, "", pause_seconds=0)


@pytest.mark.parametrize(
    "url", ["hc.example/0f4cafe0", "ftp://hc.example/0f4cafe0", "https:///0f4cafe0", "http://[0f4cafe0", "file:///etc"]
)
def test_what_is_no_url_is_said_without_it(url: str) -> None:
    """Neither pinged nor shown."""
    with pytest.raises(TaskFailed) as caught:
        ping(url, Event.SUCCESS, RUN, "")
    assert UUID not in str(caught.value)


def test_a_url_with_blanks_is_none() -> None:
    """What was pasted with a line's end would be two lines of a request."""
    assert what_is_wrong("https://hc.example/a\nb") is not None
    assert what_is_wrong("https://hc.example/a b") is not None
    assert what_is_wrong("https://hc.example/a%20b") is None
