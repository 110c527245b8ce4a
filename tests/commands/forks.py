"""Processes in which oldump is loaded already: a command costs much less there than in an interpreter of its own.

    python forks.py DESCRIPTOR      loads oldump, and leaves a server behind that forks a process for each Order

All else is as it would be in an interpreter of its own: a process with the order's arguments, folder, environment and
standard streams, with no other open file, and with Python's own end. What is read when Python starts cannot be ordered.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import NamedTuple

READ_AT_START = ("PYTHON", "LC_", "LANG", "OPENBLAS_")
"""What the names of variables begin with that Python or numpy read when they start."""
_LARGEST_ORDER_BYTES = 1 << 18
_PACKAGE = "oldump"


@dataclass
class Order:
    """A command, and where it is to run."""

    arguments: list[str]
    cwd: str
    environment: dict[str, str]
    module: str = _PACKAGE

    def do(self, streams: Sequence[int]) -> None:
        """Make this process, which was forked for it, the order's own, and run the command."""
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        os.chdir(self.cwd)
        os.environ.clear()
        os.environ.update(self.environment)
        time.tzset()
        sys.argv = [self.module, *self.arguments]
        sys.path[0] = self.cwd
        runpy.run_module(self.module, run_name="__main__", alter_sys=True)


class Ended(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: bytes
    err: bytes


class Forks:
    """A server of such processes, for one command after the other."""

    def __init__(self, interpreter: Sequence[str], environment: Mapping[str, str], seconds: float) -> None:
        """Start it. It is no child of this process, but ends with it. seconds: what a command may take."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(seconds)
        atexit.register(self._channel.close)
        line = [*interpreter, __file__, str(theirs.fileno())]
        with theirs:  # the streams are pipes, as those of its commands will be
            passed = [theirs.fileno()]
            subprocess.run(line, env=environment, pass_fds=passed, input=b"", capture_output=True, check=True)

    def run(self, order: Order, stdin: bytes) -> Ended:
        """Run a command with this standard input, and wait for its end. Raises TimeoutError, and then it is killed."""
        pipes = [os.pipe() for _ in range(3)]
        theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
        message = json.dumps(asdict(order)).encode()
        socket.send_fds(self._channel, [message], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        with ThreadPoolExecutor(3) as pool:
            pool.submit(_write, pipes[0][1], stdin)
            out, err = (pool.submit(_read, pipe[0]) for pipe in pipes[1:])
            code = self._code()
        return Ended(code, out.result(), err.result())

    def _code(self) -> int:
        process_id = int(self._channel.recv(99))
        try:
            return int(self._channel.recv(99))
        except TimeoutError:
            os.kill(process_id, signal.SIGKILL)
            self._channel.recv(99)
            raise


def _write(descriptor: int, text: bytes) -> None:
    with suppress(BrokenPipeError), open(descriptor, "wb", buffering=0) as stream:
        stream.write(text)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb") as stream:
        return stream.read()


def _serve(channel: socket.socket) -> None:
    """Fork a process for each order; say its id, and how it ended."""
    while True:
        message, streams, _, _ = socket.recv_fds(channel, _LARGEST_ORDER_BYTES, 3)
        if not message:
            return
        child = os.fork()
        if child == 0:
            channel.detach()
            Order(**json.loads(message)).do(streams)
            return
        for descriptor in streams:
            os.close(descriptor)
        channel.send(b"%d" % child)
        channel.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def load() -> None:
    """Import all of oldump, and what its commands import themselves."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does
    package = importlib.import_module(_PACKAGE)
    for module in pkgutil.walk_packages(package.__path__, f"{_PACKAGE}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # so that a collection in a child need not copy what all share


def main() -> None:
    """Serve from a process of its own, for this one is waited for."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    load()
    if os.fork():
        os._exit(0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)
    _serve(channel)


if __name__ == "__main__":
    main()
