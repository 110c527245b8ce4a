"""The body of a request, read in pieces, so that a fault can occur between two pieces."""

from collections.abc import Callable, Iterator
from io import BufferedIOBase

from archive_org.request import LoggedRequest

PIECE_BYTES = 1 << 16


class Body:
    """A body of stated length or in chunks. `Expect: 100-continue` is answered at the first read."""

    def __init__(
        self,
        request: LoggedRequest,
        source: BufferedIOBase,
        go_on: Callable[[], None],
        received: Callable[[LoggedRequest], None],
    ) -> None:
        """Read from `source`. `go_on` sends "100 Continue"; `received` is called after each piece."""
        self._request = request
        self._source = source
        self._go_on = go_on
        self._received = received
        self.is_chunked = "chunked" in request.headers.get("transfer-encoding", "").lower()
        length = request.headers.get("content-length")
        self.length = None if length is None or self.is_chunked else int(length)
        self.is_expected = request.headers.get("expect", "").lower() == "100-continue"
        """Whether the client waits for "100 Continue" before it sends the body."""
        self._is_read = False
        self.interruption: tuple[int, Callable[[], None]] | None = None
        """The number of bytes after which to run an action, and the action."""

    def interrupt(self, action: Callable[[], None]) -> None:
        """Run this in the middle of the body."""
        self.interruption = ((self.length or 0) // 2, action)

    def pieces(self) -> Iterator[bytes]:
        """Yield the body; raises ConnectionError if the client disconnects before its end."""
        if self.is_expected:
            self.is_expected = False
            self._go_on()
        self._is_read = True
        self._interrupted()
        for piece in self._chunks() if self.is_chunked else self._counted(self.length or 0):
            self._request.received_bytes += len(piece)
            self._received(self._request)
            yield piece
            self._interrupted()

    def discard(self) -> bool:
        """Read the rest of the body; return whether another request can follow on this connection."""
        if self.is_expected:
            return False
        if self._is_read:
            return True
        for _ in self.pieces():
            pass
        return True

    def _interrupted(self) -> None:
        if self.interruption is not None and self._request.received_bytes >= self.interruption[0]:
            action, self.interruption = self.interruption[1], None
            action()

    def _counted(self, size_bytes: int) -> Iterator[bytes]:
        while size_bytes:
            wanted = min(size_bytes, PIECE_BYTES)
            if self.interruption is not None:
                wanted = min(wanted, max(1, self.interruption[0] - self._request.received_bytes))
            piece = self._source.read(wanted)
            if not piece:
                raise ConnectionAbortedError(f"the client went away {size_bytes} bytes before the end of the body")
            size_bytes -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        """Yield a chunked body.

        RFC 9112, 7.1: length in hexadecimal, content, an empty line; the last chunk has length 0.
        """
        while size_bytes := self._chunk_bytes():
            yield from self._counted(size_bytes)
            self._source.readline()
        while self._source.readline().strip():
            pass

    def _chunk_bytes(self) -> int:
        line = self._source.readline()
        if not line:
            raise ConnectionAbortedError("the client went away between two chunks")
        return int(line.partition(b";")[0], 16)
