"""A fake archive.org on loopback: the real library uploads to it, readers download from it, and faults can be injected.

It is an HTTP proxy that answers requests itself: a client with HTTP_PROXY=http://127.0.0.1:PORT sends it `PUT
http://s3.us.archive.org/ITEM/KEY`, and no host name is ever resolved. `archive_org(folder)` starts one.

Version 5.12 of `internetarchive` reads `secure = false` from ia.ini as the text "False", which counts as true, so it
still uses https. Pass the boolean instead: `get_session(config={"general": {"secure": False}})`. Its `get_user_info`
always uses https; request `http://s3.us.archive.org/?check_auth=1` through the session instead. Or start the fake with
`tls=True` and let the session trust its certificate: `session.verify = str(archive.certificate)`. The variable
REQUESTS_CA_BUNDLE does not suffice, since the library's uploads bypass the code that reads it.

The fake imitates, with the source of each:

- https://archive.org/developers/ias3.html: items are buckets; `x-archive-auto-make-bucket` makes the item with the
  first file; `x-archive-meta-NAME` and `x-archive-metaNN-NAME` become its metadata only then, `--` for `_`, `uri(…)`
  for non-ASCII text; `x-archive-ignore-preexisting-bucket` replaces it later; only its uploader may write to an item;
  a bucket cannot be deleted; 307 redirects are common, and `Expect: 100-continue` helps then; 503 SlowDown;
  `?check_limit=1&accesskey=…&bucket=…`; files are staged and show when the catalog has processed them.
- the source of internetarchive 5.12: `LOW ACCESS:SECRET`; a Content-MD5 in hexadecimal; Message and Resource of an XML
  error; no chunked bodies; `username` and `error` of `check_auth`; summary and rows of the tasks API; `tasks` in the
  metadata of an item with pending tasks.
- its tests and issues: the members of check_limit's `detail`; the XML of a SlowDown (#170, #383); 400 "Bad Data" with
  "Uploaded content is unacceptable." (#358); 403 with "You lack sufficient privileges to write to those collections"
  after the body, for a missing collection as for another account's (#668), and "… to this item".
- Amazon's list of S3 error codes, to which the first page refers: all other codes, statuses and messages.
- https://archive.org/developers/md-read.html: the metadata API: {} for no item, parts by path as `result`, every value
  of a file as text; ITEM_meta.xml and ITEM_files.xml among the files, the latter without size and date.
- https://archive.org/developers/tasks.html: the task queue.

It does not imitate search, derivation, multipart uploads, POST, changes of metadata alone, or listings of buckets.
"""

import socket
import ssl
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from archive_org.answers import Answer, Cut, Refused, page, s3_error
from archive_org.body import PIECE_BYTES, Body
from archive_org.failing import Failing
from archive_org.faults import Faults
from archive_org.request import Action, LoggedRequest
from archive_org.s3 import S3
from archive_org.store import Account, Item, Store
from archive_org.tls import tls_context
from archive_org.web import Web

ACCOUNT = Account("accessKeyOfTheDumps", "secretKeyOfTheDumps", "dumps@openlibrary.example")
OTHER_ACCOUNT = Account("accessKeyOfAStranger", "secretKeyOfAStranger", "stranger@example.org", frozenset())
"""An account without rights to any collection."""
ACCOUNTS = (ACCOUNT, OTHER_ACCOUNT)
COLLECTIONS = ("ol_exports", "opensource_data", "prelinger")
"""The default account may add to the first two."""


class ArchiveOrg:
    """The fake archive.org: its items, its log of requests, and its faults."""

    def __init__(self, folder: Path, store: Store, faults: Faults) -> None:
        """Use the store; `archive_org` starts to serve it."""
        self.folder = folder
        self.store = store
        self.s3 = S3(store)
        self.web = Web(store)
        self.faults = faults
        self.log: list[LoggedRequest] = []
        """All requests in the order of arrival, with their keys."""
        self.port = 0
        self.speaks_tls = False
        self.late_looks = 0
        """The number of further looks at an item until an upload shows, without faults."""
        self.on_request: Callable[[LoggedRequest], None] | None = None
        """Called before a request is answered; may raise Cut."""
        self.on_bytes: Callable[[str, str, int], None] | None = None
        """Called after each piece of an upload with item, key and the bytes so far; may raise Cut."""
        self.on_answer: Callable[[LoggedRequest], object] | None = None
        """Called after a request was answered, or was not."""
        self.ended = threading.Event()
        self.errors: list[BaseException] = []
        """Errors of the fake itself; the first one is raised at the end."""
        self._running = threading.Event()
        self._running.set()

    @property
    def items(self) -> dict[str, Item]:
        """All uploaded items, whether the catalog shows them or not."""
        return self.store.items

    @property
    def url(self) -> str:
        """The address, for HTTP_PROXY."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        """The certificate that an https client must trust."""
        return self.folder / "certificate.pem"

    @property
    def config(self) -> Path:
        """The default account's ia.ini."""
        return self.folder / "ia.ini"

    def environment(self) -> dict[str, str]:
        """Return the environment variables of a client: every host name except loopback's leads here."""
        proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), self.url)
        direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        trusted = (
            dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), str(self.certificate)) if self.speaks_tls else {}
        )
        return {**proxies, **direct, **trusted, "IA_CONFIG_FILE": str(self.config)}

    def file(self, item: str, key: str) -> bytes:
        """Return the last upload with this key."""
        return self.items[item].files[key].read_bytes()

    def requests(self, action: Action, item: str = "", key: str = "") -> list[LoggedRequest]:
        """Return the requests with this action, in order."""
        return [
            request
            for request in self.log
            if request.action is action and item in {"", request.item} and key in {"", request.key}
        ]

    def puts(self) -> Counter[tuple[str, str]]:
        """Return the number of upload attempts of each key, successful or not; see also Item.uploads."""
        return Counter((request.item, request.key) for request in self.requests(Action.UPLOAD))

    def pause(self) -> None:
        """Hold every request, also between the pieces of a body, until `resume`."""
        self._running.clear()

    def resume(self) -> None:
        """Continue."""
        self._running.set()

    def begin(self, method: str, target: str, headers: dict[str, str], scheme: str) -> LoggedRequest:
        """Add a request to the log."""
        with self.store.lock:
            request = LoggedRequest.of(len(self.log) + 1, method, target, headers, scheme)
            self.log.append(request)
        return request

    def answer(self, request: LoggedRequest, body: Body) -> Answer:
        """Return the answer; raises Cut if the connection is to be reset."""
        if self.on_request is not None:
            self.on_request(request)
        self._running.wait()
        with self.store.lock:
            failing = Failing(self.faults, self.faults.next(request), self.ended)
        answer = failing.before(request, body) or self._answered(request, body, failing)
        failing.after(request, answer)
        if not answer.ends_connection:
            answer.ends_connection = not body.discard()
        return answer

    def received(self, request: LoggedRequest) -> None:
        """Record a received piece of a body."""
        if self.on_bytes is not None and request.action is Action.UPLOAD:
            self.on_bytes(request.item, request.key, request.received_bytes)
        self._running.wait()

    def _answered(self, request: LoggedRequest, body: Body, failing: Failing) -> Answer:
        """Return the answer of a request without faults, or with faults that the client cannot see yet."""
        if request.action is Action.LIMIT:
            return self.s3.limit(request, failing.is_over_limit)
        if not request.is_s3:
            return self.web.answer(request)
        try:
            return self.s3.answer(request, body, failing.upload_faults(self.late_looks))
        except Refused as refused:
            return s3_error(refused.code, refused.resource)


_GONE = (ConnectionError, ssl.SSLError)
"""The client disconnected or does not trust the certificate."""


class _Server(ThreadingHTTPServer):
    """An HTTP server with one thread for each connection."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, archive: ArchiveOrg, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.archive = archive
        self.tls = tls
        self.connections: set[socket.socket] = set()

    def end(self) -> None:
        """Stop without waiting for clients."""
        self.archive.ended.set()
        self.archive.resume()
        self.shutdown()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close the connection, with a reset if a handler requested one."""
        assert isinstance(request, socket.socket)
        self.connections.discard(request)
        if _is_to_be_reset(request):
            request.close()
        else:
            super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep the fake's own errors for the end. A client may disconnect between two requests."""
        error = sys.exception()
        if error is not None and not isinstance(error, _GONE):
            self.archive.errors.append(error)


def _is_to_be_reset(connection: socket.socket) -> bool:
    with suppress(OSError):
        lingers, _ = struct.unpack("ii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
        return bool(lingers)
    return False


class _Handler(BaseHTTPRequestHandler):
    """One HTTP connection."""

    protocol_version = "HTTP/1.1"
    server_version = "nginx"
    sys_version = ""
    server: _Server

    def setup(self) -> None:
        """Register with the server, which closes all connections at its end."""
        super().setup()
        self.scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        """Close the TLS socket that has replaced the connection."""
        super().finish()
        self.server.connections.discard(self.connection)
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()

    def handle_expect_100(self) -> bool:
        """Do not answer yet: whether the body is needed is decided later."""
        return True

    def log_message(self, *_: object) -> None:
        """Write nothing: the log is in memory."""

    def do_GET(self) -> None:
        """Handle any request."""
        archive = self.server.archive
        request = archive.begin(self.command, self.path, dict(self.headers.items()), self.scheme)
        body = Body(request, self.rfile, self._send_continue, archive.received)
        try:
            self._send(request, archive.answer(request, body))
        except Cut:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        except _GONE:
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 - an error of the fake itself, which the test must see
            archive.errors.append(error)
            self.close_connection = True
        if archive.on_answer is not None:
            archive.on_answer(request)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - http.server's names

    def do_CONNECT(self) -> None:
        """Switch this connection to TLS, or refuse: nothing may leave the machine."""
        request = self.server.archive.begin(self.command, f"//{self.path}", dict(self.headers.items()), "https")
        if self.server.tls is None:
            self.close_connection = True
            self._send(request, page(501))
            return
        request.status = 200
        self.send_response_only(200, "Connection established")
        self.end_headers()
        self.request = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.setup()
        self.close_connection = False

    def _send_continue(self) -> None:
        self.send_response_only(100)
        self.end_headers()

    def _send(self, request: LoggedRequest, answer: Answer) -> None:
        request.status = answer.status
        self.send_response(answer.status, answer.reason or None)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(answer.size_bytes))
        if answer.ends_connection or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(request, answer)

    def _send_body(self, request: LoggedRequest, answer: Answer) -> None:
        if answer.file is None:
            self.wfile.write(answer.body)
            request.sent_bytes += len(answer.body)
            return
        path, first, end = answer.file
        if answer.cut_at_bytes is not None:
            end = first + answer.cut_at_bytes
        with path.open("rb") as file:
            file.seek(first)
            while request.sent_bytes < end - first:
                piece = file.read(min(PIECE_BYTES, end - first - request.sent_bytes))
                self.wfile.write(piece)
                request.sent_bytes += len(piece)
        if answer.cut_at_bytes is not None:
            raise Cut


@contextmanager
def archive_org(
    folder: Path,
    *,
    accounts: tuple[Account, ...] = ACCOUNTS,
    collections: tuple[str, ...] = COLLECTIONS,
    faults: Faults | None = None,
    port: int = 0,
    tls: bool = False,
) -> Generator[ArchiveOrg]:
    """Run a fake archive.org until the end of the block. The first account's ia.ini is written to `folder`.

    tls: speak https too, with a certificate of its own, and omit `secure` from ia.ini.
    """
    store = Store(folder / "files", accounts, collections)
    archive = ArchiveOrg(folder, store, faults or Faults())
    archive.speaks_tls = tls
    server = _Server(archive, port, tls_context(archive.certificate) if tls else None)
    archive.port = server.server_address[1]
    write_config(archive.config, accounts[0], is_secure=tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield archive
    finally:
        server.end()
        thread.join()
    if archive.errors:
        raise archive.errors[0]


def write_config(path: Path, account: Account, *, is_secure: bool) -> None:
    """Write the ia.ini that the library reads, readable by its owner only."""
    lines = ["[s3]", f"access = {account.access}", f"secret = {account.secret}", ""]
    lines += ["[general]", f"screenname = {account.screenname}", *([] if is_secure else ["secure = false"]), ""]
    path.touch(mode=0o600)
    path.write_text("\n".join(lines))
