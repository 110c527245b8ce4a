"""A server on loopback that hears what oldump tells others: it notes each request, and answers as it is told to."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, cast

HANG = -1
"""No answer until the test is over."""
CLOSE = -2
"""The connection is closed instead."""
DRIP = -3
"""An answer of a byte now and then, which never ends: no time-out of a single read sees it."""


class Heard(NamedTuple):
    """One request."""

    path: str
    query: str
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The event in an envelope of Sentry's: lines of JSON, the third is the first item's."""
        return cast("dict[str, Any]", json.loads(self.body.split(b"\n")[2]))


class Listener(ThreadingHTTPServer):
    """The server."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        """Listen on a free port, and answer 200."""
        super().__init__(("127.0.0.1", 0), _Answering)
        self.heard: list[Heard] = []
        self.answers: list[int] = []
        """What comes next: status codes, or HANG, CLOSE, DRIP; the last one stays."""
        self.over = threading.Event()

    @property
    def place(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [heard.path for heard in self.heard]

    def answer(self) -> int:
        """The next one."""
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]) if self.answers else 200


class _Answering(BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        path, _, query = self.path.partition("?")
        self.server.heard.append(Heard(path, query, body))
        match self.server.answer():
            case -1:
                self.server.over.wait()
            case -2:
                self.close_connection = True
            case -3:
                while not self.server.over.wait(0.05):
                    self.wfile.write(b"H")
            case code:
                self.send_response(code)
                self.send_header("Content-Length", "0")
                self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@contextmanager
def listening() -> Iterator[Listener]:
    """A server that ends with the test."""
    with Listener() as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listener
        finally:
            listener.over.set()
            listener.shutdown()
            thread.join()
