"""A proxy in front of PostgreSQL that breaks on demand: it cuts or silences connections, restarts, and fakes a version.

It listens on loopback TCP and forwards to the server of a connection string. `when` plans an action in advance, by the
number of a connection (the first is 1) and the bytes received from the server, so no test depends on timing.

The proxy runs in threads. A test whose code forks, as extract does, runs that code as a separate command.
"""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

from psycopg.conninfo import conninfo_to_dict, make_conninfo

_PIECE_BYTES = 1 << 14


class _ForwardedConnection:
    """A connection through the proxy, forwarded in both directions."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.received_bytes = 0
        """Bytes forwarded from the server to the client."""
        self.is_silent = threading.Event()
        self.is_cut = threading.Event()

    def cut(self) -> None:
        """End the connection on both sides. Closing does not suffice: forked processes may hold the sockets."""
        self.is_cut.set()
        for side in (self.client, self.server):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


class Proxy:
    """A proxy, as a context manager."""

    def __init__(self, conninfo: str) -> None:
        """Forward to the server of this connection string."""
        self._target = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
        self._conninfo = conninfo
        self._forwarded: list[_ForwardedConnection] = []
        self._plans: list[tuple[int, int, Callable[[], None]]] = []
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self._down_seconds = 0.0
        self._listener = self._listening(0)
        self.port: int = self._listener.getsockname()[1]
        self.server_version = b""
        """The version to report instead of the server's own; empty to report the real one."""

    @property
    def conninfo(self) -> str:
        """Return the connection to the same database through the proxy, unencrypted so that the proxy can read it."""
        return make_conninfo(self._conninfo, host="127.0.0.1", port=self.port, sslmode="disable", gssencmode="disable")

    @property
    def connections(self) -> int:
        """Return the number of connections made so far."""
        return len(self._forwarded)

    def when(self, number: int, received_bytes: int, action: Callable[[], None]) -> None:
        """Perform the action once, when connection `number` has received exactly this many bytes from the server."""
        self._plans.append((number, received_bytes, action))

    def cut(self, number: int) -> None:
        """End this connection."""
        self._forwarded[number - 1].cut()

    def silence(self, number: int) -> None:
        """Keep this connection open, but forward nothing more."""
        self._forwarded[number - 1].is_silent.set()

    def restart(self, seconds: float) -> None:
        """End all connections, and refuse new ones for this many seconds."""
        self._down_seconds = seconds
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for connection in self._forwarded:
            connection.cut()

    def __enter__(self) -> Self:
        """Start to listen."""
        self._start_thread(self._serve)
        return self

    def __exit__(self, *_: object) -> None:
        """End all connections and wait for the threads."""
        self._ended.set()
        self.restart(0)
        for thread in self._threads:
            thread.join()

    def _start_thread(self, target: Callable[..., None], *arguments: object) -> None:
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
            except OSError:  # shut down by restart
                self._listener.close()
                if not self._ended.wait(self._down_seconds):
                    self._listener = self._listening(self.port)
                continue
            connection = _ForwardedConnection(client, self._connected())
            self._forwarded.append(connection)
            self._start_thread(self._forward, connection, len(self._forwarded))
        self._listener.close()

    def _connected(self) -> socket.socket:
        host, port = self._target["host"], self._target.get("port", "5432")
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def _forward(self, connection: _ForwardedConnection, number: int) -> None:
        greeting = _Greeting(self.server_version)
        with suppress(OSError), connection.client, connection.server:
            while not (connection.is_cut.is_set() or connection.is_silent.is_set()):
                readable, _, _ = select.select([connection.client, connection.server], [], [])
                for side in readable:
                    piece = side.recv(_PIECE_BYTES)
                    if not piece:
                        connection.cut()
                    elif side is connection.client:
                        connection.server.sendall(piece)
                    else:
                        self._forward_from_server(connection, number, greeting.rewrite(piece))
            connection.is_cut.wait()

    def _forward_from_server(self, connection: _ForwardedConnection, number: int, piece: bytes) -> None:
        """Forward what the server sent, and perform planned actions at their exact byte."""
        for plan in sorted((plan for plan in self._plans if plan[0] == number), key=lambda plan: plan[1]):
            remaining = plan[1] - connection.received_bytes
            if remaining <= len(piece):
                self._plans.remove(plan)
                connection.client.sendall(piece[:remaining])
                connection.received_bytes += remaining
                piece = piece[remaining:]
                plan[2]()
                if connection.is_cut.is_set() or connection.is_silent.is_set():
                    return
        connection.client.sendall(piece)
        connection.received_bytes += len(piece)


class _Greeting:
    """The server's messages until it is ready for the first time, with another version in them.

    Source: PostgreSQL's documentation, 54.7 "Message Formats": a letter, the length of all but the letter, the content.
    """

    def __init__(self, server_version: bytes) -> None:
        self._server_version = server_version
        self._held = b""
        self._is_over = not server_version

    def rewrite(self, piece: bytes) -> bytes:
        """Return what the client receives; an incomplete message is held back."""
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
