"""A fake archive.org on loopback: the real library uploads to it, readers download from it, and it fails when told to.

It is an HTTP proxy that answers itself: a client with HTTP_PROXY=http://127.0.0.1:PORT sends `PUT
http://s3.us.archive.org/ITEM/KEY` to it, and no name is ever looked up. `archive_org(folder)` starts one.

Mind: version 5.12 of `internetarchive` reads `secure = false` from ia.ini as the text "False", which counts as true,
and goes on speaking https. Hand it the truth: `get_session(config={"general": {"secure": False}})`. Its
`get_user_info` always speaks https; ask `http://s3.us.archive.org/?check_auth=1` through the session instead. Or start
the fake with `tls=True` and have the session trust its certificate: `session.verify = str(archive.certificate)`; the
variable REQUESTS_CA_BUNDLE is not enough, since the library sends uploads past what reads it.

What is imitated, and where that is said:

- https://archive.org/developers/ias3.html: items are buckets; `x-archive-auto-make-bucket` makes the item with the
  first file; `x-archive-meta-NAME` and `x-archive-metaNN-NAME` become its metadata at that moment only, `--` for `_`,
  `uri(…)` for what is not ASCII; `x-archive-ignore-preexisting-bucket` replaces it later; an item can be written by its
  uploader only; DELETE of a bucket is not allowed; 307 redirects occur often, and `Expect: 100-continue` helps then;
  503 SlowDown; `?check_limit=1&accesskey=…&bucket=…`; files are staged, and show when the catalogue has worked on them.
- the source of internetarchive 5.12: `LOW ACCESS:SECRET`; a Content-MD5 in hexadecimal digits; an XML error's Message
  and Resource; no chunked bodies; `check_auth`'s `username` and `error`; the tasks API's summary and rows; `tasks` in
  the metadata of an item that has work to do.
- its tests and issues: the members of check_limit's `detail`; the XML of a SlowDown (#170, #383); 400 "Bad Data" with
  "Uploaded content is unacceptable." (#358); 403 with "You lack sufficient privileges to write to those collections"
  once the body has been sent, for a collection that does not exist as for another's (#668), and "… to this item".
- Amazon's list of S3 error codes, which the first page refers to: all other codes, statuses and messages.
- https://archive.org/developers/md-read.html: the metadata API: {} for no item, parts by their path as `result`, every
  value of a file as text; ITEM_meta.xml and ITEM_files.xml among the files, the latter without size and date.
- https://archive.org/developers/tasks.html: the queue of tasks.

What is not: search, derivation, multipart uploads, POST, changing metadata by itself, XML listings of buckets.
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
from archive_org.asked import Asked, What
from archive_org.body import PIECE_BYTES, Body
from archive_org.failing import Failing
from archive_org.faults import Faults
from archive_org.s3 import S3
from archive_org.store import Account, Item, Store
from archive_org.tls import tls_context
from archive_org.web import Web

ACCOUNT = Account("accessKeyOfTheDumps", "secretKeyOfTheDumps", "dumps@openlibrary.example")
OTHER_ACCOUNT = Account("accessKeyOfAStranger", "secretKeyOfAStranger", "stranger@example.org", frozenset())
"""Somebody with no right to any collection."""
ACCOUNTS = (ACCOUNT, OTHER_ACCOUNT)
COLLECTIONS = ("ol_exports", "opensource_data", "prelinger")
"""The default account may add to the first two."""


class ArchiveOrg:
    """The fake: what it holds, what it was asked, and what is to go wrong."""

    def __init__(self, folder: Path, store: Store, faults: Faults) -> None:
        """Take the store; `archive_org` begins to serve it."""
        self.folder = folder
        self.store = store
        self.s3 = S3(store)
        self.web = Web(store)
        self.faults = faults
        self.log: list[Asked] = []
        """Every request in the order of its arrival, with the keys that came with it."""
        self.port = 0
        self.speaks_tls = False
        self.late_looks = 0
        """How many further looks at an item it takes till an upload shows, faults aside."""
        self.on_request: Callable[[Asked], None] | None = None
        """Called before a request is answered; may raise Cut."""
        self.on_bytes: Callable[[str, str, int], None] | None = None
        """Called with item, key and the bytes received so far, after each piece of an upload; may raise Cut."""
        self.on_answer: Callable[[Asked], object] | None = None
        """Called after a request was answered, or was not."""
        self.ended = threading.Event()
        self.errors: list[BaseException] = []
        """What the fake itself did wrong: raised when it ends."""
        self._running = threading.Event()
        self._running.set()

    @property
    def items(self) -> dict[str, Item]:
        """What has been uploaded, whether the catalogue shows it or not."""
        return self.store.items

    @property
    def url(self) -> str:
        """Where it listens: what HTTP_PROXY has to be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        """What a client has to trust, where https is spoken."""
        return self.folder / "certificate.pem"

    @property
    def config(self) -> Path:
        """The default account's ia.ini."""
        return self.folder / "ia.ini"

    def environment(self) -> dict[str, str]:
        """What a client's environment needs: all names but loopback's lead here, and nothing leaves the machine."""
        proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"), self.url)
        direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        trusted = (
            dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), str(self.certificate)) if self.speaks_tls else {}
        )
        return {**proxies, **direct, **trusted, "IA_CONFIG_FILE": str(self.config)}

    def file(self, item: str, key: str) -> bytes:
        """What was uploaded last under this key."""
        return self.items[item].files[key].read_bytes()

    def asked(self, what: What, item: str = "", key: str = "") -> list[Asked]:
        """The requests about this, in their order."""
        return [
            asked for asked in self.log if asked.what is what and item in {"", asked.item} and key in {"", asked.key}
        ]

    def puts(self) -> Counter[tuple[str, str]]:
        """How often a client tried to upload each key, with success or not; see also Item.uploads."""
        return Counter((asked.item, asked.key) for asked in self.asked(What.UPLOAD))

    def pause(self) -> None:
        """Go no further with any request, till `resume`: not by a piece of a body."""
        self._running.clear()

    def resume(self) -> None:
        """Go on."""
        self._running.set()

    def begin(self, method: str, target: str, headers: dict[str, str], scheme: str) -> Asked:
        """Put a request into the log."""
        with self.store.lock:
            asked = Asked.of(len(self.log) + 1, method, target, headers, scheme)
            self.log.append(asked)
        return asked

    def answer(self, asked: Asked, body: Body) -> Answer:
        """What to say; raises Cut where the connection is to be reset."""
        if self.on_request is not None:
            self.on_request(asked)
        self._running.wait()
        with self.store.lock:
            failing = Failing(self.faults, self.faults.next(asked), self.ended)
        answer = failing.before(asked, body) or self._answered(asked, body, failing)
        failing.after(asked, answer)
        if not answer.ends_connection:
            answer.ends_connection = not body.discard()
        return answer

    def received(self, asked: Asked) -> None:
        """A piece of a body has come."""
        if self.on_bytes is not None and asked.what is What.UPLOAD:
            self.on_bytes(asked.item, asked.key, asked.received_bytes)
        self._running.wait()

    def _answered(self, asked: Asked, body: Body, failing: Failing) -> Answer:
        """The answer when nothing goes wrong, or only what the client cannot see yet."""
        if asked.what is What.LIMIT:
            return self.s3.limit(asked, failing.is_over_limit)
        if not asked.is_s3:
            return self.web.answer(asked)
        try:
            return self.s3.answer(asked, body, failing.mishaps(self.late_looks))
        except Refused as refused:
            return s3_error(refused.code, refused.resource)


_GONE = (ConnectionError, ssl.SSLError)
"""The client went away, or does not trust the certificate."""


class _Server(ThreadingHTTPServer):
    """One thread for each connection."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 64

    def __init__(self, archive: ArchiveOrg, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.archive = archive
        self.tls = tls
        self.connections: set[socket.socket] = set()

    def end(self) -> None:
        """Wait for no client."""
        self.archive.ended.set()
        self.archive.resume()
        self.shutdown()
        for connection in list(self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close the connection: by a reset, where a handler has asked for one."""
        assert isinstance(request, socket.socket)
        self.connections.discard(request)
        if _is_to_be_reset(request):
            request.close()
        else:
            super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep what the fake itself did wrong, for the end; a client may go away between two requests."""
        error = sys.exception()
        if error is not None and not isinstance(error, _GONE):
            self.archive.errors.append(error)


def _is_to_be_reset(connection: socket.socket) -> bool:
    with suppress(OSError):
        lingers, _ = struct.unpack("ii", connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
        return bool(lingers)
    return False


class _Handler(BaseHTTPRequestHandler):
    """One connection: HTTP in, HTTP out."""

    protocol_version = "HTTP/1.1"
    server_version = "nginx"
    sys_version = ""
    server: _Server

    def setup(self) -> None:
        """Be known to the server, which ends all connections at its end."""
        super().setup()
        self.scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        """Close what TLS has put in the place of the connection."""
        super().finish()
        self.server.connections.discard(self.connection)
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()

    def handle_expect_100(self) -> bool:
        """Say nothing yet: whether the body is wanted is known later."""
        return True

    def log_message(self, *_: object) -> None:
        """The log is in memory."""

    def do_GET(self) -> None:
        """Any request."""
        archive = self.server.archive
        asked = archive.begin(self.command, self.path, dict(self.headers.items()), self.scheme)
        body = Body(asked, self.rfile, self._send_continue, archive.received)
        try:
            self._send(asked, archive.answer(asked, body))
        except Cut:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        except _GONE:
            self.close_connection = True
        except Exception as error:  # noqa: BLE001 - a mistake of the fake's own, which the test is to see
            archive.errors.append(error)
            self.close_connection = True
        if archive.on_answer is not None:
            archive.on_answer(asked)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - http.server's names

    def do_CONNECT(self) -> None:
        """Speak TLS on this connection from here on, or refuse: nothing may leave the machine."""
        asked = self.server.archive.begin(self.command, f"//{self.path}", dict(self.headers.items()), "https")
        if self.server.tls is None:
            self.close_connection = True
            self._send(asked, page(501))
            return
        asked.status = 200
        self.send_response_only(200, "Connection established")
        self.end_headers()
        self.request = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.setup()
        self.close_connection = False

    def _send_continue(self) -> None:
        self.send_response_only(100)
        self.end_headers()

    def _send(self, asked: Asked, answer: Answer) -> None:
        asked.status = answer.status
        self.send_response(answer.status, answer.reason or None)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != 204:
            self.send_header("Content-Length", str(answer.size_bytes))
        if answer.ends_connection or self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self._send_body(asked, answer)

    def _send_body(self, asked: Asked, answer: Answer) -> None:
        if answer.file is None:
            self.wfile.write(answer.body)
            asked.sent_bytes += len(answer.body)
            return
        path, first, end = answer.file
        if answer.cut_at_bytes is not None:
            end = first + answer.cut_at_bytes
        with path.open("rb") as file:
            file.seek(first)
            while asked.sent_bytes < end - first:
                piece = file.read(min(PIECE_BYTES, end - first - asked.sent_bytes))
                self.wfile.write(piece)
                asked.sent_bytes += len(piece)
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
    """A fake archive.org that serves till the end of `with`; the first account's ia.ini stands in `folder`.

    tls: speak https too, with a certificate of its own, and leave `secure` out of ia.ini.
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
    """The ia.ini that the library reads, and that nobody else may."""
    lines = ["[s3]", f"access = {account.access}", f"secret = {account.secret}", ""]
    lines += ["[general]", f"screenname = {account.screenname}", *([] if is_secure else ["secure = false"]), ""]
    path.touch(mode=0o600)
    path.write_text("\n".join(lines))
