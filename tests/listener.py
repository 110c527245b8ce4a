"""An HTTP server on loopback that records each request and answers as the test sets it."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, cast

HANG = -1
"""Do not answer until the test is over."""
CLOSE = -2
"""Close the connection instead of answering."""
DRIP = -3
"""Send single bytes slowly without end, so that no read times out."""


class Heard(NamedTuple):
    """A recorded request."""

    path: str
    query: str
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """Return the event in a Sentry envelope: lines of JSON, of which the third is the first item's content."""
        return cast("dict[str, Any]", json.loads(self.body.split(b"\n")[2]))


class Listener(ThreadingHTTPServer):
    """An HTTP server that records requests."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        """Listen on a free port and answer 200."""
        super().__init__(("127.0.0.1", 0), _Answering)
        self.heard: list[Heard] = []
        self.answers: list[int] = []
        """The next answers: status codes, or HANG, CLOSE, DRIP. The last one repeats."""
        self.over = threading.Event()

    @property
    def place(self) -> str:
        """HOST:PORT of the server."""
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def paths(self) -> list[str]:
        """The requested paths, in order."""
        return [heard.path for heard in self.heard]

    def answer(self) -> int:
        """Return the next answer."""
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
        """Suppress the log."""


@contextmanager
def listening() -> Iterator[Listener]:
    """Run a server until the end of the block."""
    with Listener() as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield listener
        finally:
            listener.over.set()
            listener.shutdown()
            thread.join()
