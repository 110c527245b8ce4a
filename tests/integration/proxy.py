"""A proxy in front of PostgreSQL that misbehaves when it is told to: it cuts, goes deaf, restarts, and looks older.

It listens on loopback TCP and passes on to wherever a connection string leads. What is to happen is said beforehand, by
the number of a connection (the first is 1) and the bytes that have come from the server: `when`. So nothing depends on
how fast anybody is.

It lives in threads: a test that forks, as extract does with its workers, gives the proxy to a command of its own.
"""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_PIECE_BYTES = 1 << 14


class _Passage:
    """A connection through the proxy: what comes from the one side goes to the other."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.passed_bytes = 0
        """From the server to the client."""
        self.is_deaf = threading.Event()
        self.is_cut = threading.Event()

    def cut(self) -> None:
        """End it on both sides. A forked process may hold the sockets too: to close them would do nothing."""
        self.is_cut.set()
        for side in (self.client, self.server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


class Proxy:
    """A proxy, for `with`."""

    def __init__(self, conninfo: str) -> None:
        """Take where the server is."""
        self._target = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
        self._conninfo = conninfo
        self._passages: list[_Passage] = []
        self._plans: list[tuple[int, int, Callable[[], None]]] = []
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self._down_seconds = 0.0
        self._listener = self._listening(0)
        self.port: int = self._listener.getsockname()[1]
        self.server_version = b""
        """What the server is made to say that it is; empty: what it is."""

    @property
    def conninfo(self) -> str:
        """How to connect to the same database through the proxy, unencrypted: it reads what the server says."""
        return make_conninfo(self._conninfo, host="127.0.0.1", port=self.port, sslmode="disable", gssencmode="disable")

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self._passages)

    def when(self, number: int, passed_bytes: int, action: Callable[[], None]) -> None:
        """Do this once, as soon as connection `number` has brought exactly so many bytes from the server."""
        self._plans.append((number, passed_bytes, action))

    def cut(self, number: int) -> None:
        """End this connection."""
        self._passages[number - 1].cut()

    def deafen(self, number: int) -> None:
        """Pass nothing on any more on this connection, and keep it open."""
        self._passages[number - 1].is_deaf.set()

    def restart(self, seconds: float) -> None:
        """End all connections and refuse new ones for so long."""
        self._down_seconds = seconds
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for passage in self._passages:
            passage.cut()

    def __enter__(self) -> Self:
        """Begin to listen."""
        self._begin(self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        """End all connections, and wait for the threads."""
        self._ended.set()
        self.restart(0)
        for thread in self._threads:
            thread.join()

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listening(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        return listener

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:  # shut down, by restart
                self._listener.close()
                if not self._ended.wait(self._down_seconds):
                    self._listener = self._listening(self.port)
                continue
            passage = _Passage(client, self._connected())
            self._passages.append(passage)
            self._begin(self._pass_on, passage, len(self._passages))
        self._listener.close()

    def _connected(self) -> socket.socket:
        host, port = self._target["host"], self._target.get("port", "5432")
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _pass_on(self, passage: _Passage, number: int) -> None:
        greeting = _Greeting(self.server_version)
        with suppress(OSError), passage.client, passage.server:
            while not (passage.is_cut.is_set() or passage.is_deaf.is_set()):
                readable, _, _ = select.select([passage.client, passage.server], [], [])
                for side in readable:
                    piece = side.recv(_PIECE_BYTES)
                    if not piece:
                        passage.cut()
                    elif side is passage.client:
                        passage.server.sendall(piece)
                    else:
                        self._bring(passage, number, greeting.seen(piece))
            passage.is_cut.wait()

    def _bring(self, passage: _Passage, number: int, piece: bytes) -> None:
        """Pass on what the server sent, and do what was planned for the very byte."""
        for plan in sorted((plan for plan in self._plans if plan[0] == number), key=lambda plan: plan[1]):
            lacking = plan[1] - passage.passed_bytes
            if lacking <= len(piece):
                self._plans.remove(plan)
                passage.client.sendall(piece[:lacking])
                passage.passed_bytes += lacking
                piece = piece[lacking:]
                plan[2]()
                if passage.is_cut.is_set() or passage.is_deaf.is_set():
                    return
        passage.client.sendall(piece)
        passage.passed_bytes += len(piece)


class _Greeting:
    """What the server says till it is ready for the first time, with another version in it.

    Source: PostgreSQL's documentation, 54.7 "Message Formats": a letter, the length of all but the letter, the content.
    """

    def __init__(self, server_version: bytes) -> None:
        self._server_version = server_version
        self._held = b""
        self._is_over = not server_version

    def seen(self, piece: bytes) -> bytes:
        """What the client is to see of it; an incomplete message is held back."""
        if self._is_over:
            return piece
        self._held += piece
        shown = b""
        while not self._is_over and len(self._held) >= 5:
            length = 1 + int.from_bytes(self._held[1:5], "big")
            if len(self._held) < length:
                break
            letter, content = self._held[:1], self._held[5:length]
            self._held = self._held[length:]
            if letter == b"S" and content.startswith(b"server_version\0"):
                content = b"server_version\0%b\0" % self._server_version
            shown += letter + (4 + len(content)).to_bytes(4, "big") + content
            self._is_over = letter in b"ZE"
        if self._is_over:
            shown, self._held = shown + self._held, b""
        return shown
