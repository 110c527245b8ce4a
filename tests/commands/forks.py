"""Run commands in forks of a process that has loaded oldump: much faster than a new interpreter per command.

`python forks.py DESCRIPTOR` loads oldump and leaves a server behind, which forks a process for each Order.

Otherwise the process is like one with its own interpreter: it has the order's arguments, folder, environment and
standard streams, no other open file, and Python's own shutdown. Variables that Python reads at startup have no effect.
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
"""Prefixes of environment variables that Python or numpy read at startup."""
_LARGEST_ORDER_BYTES = 1 << 18
_PACKAGE = "oldump"


@dataclass
class Order:
    """A command and the folder and environment to run it in."""

    arguments: list[str]
    cwd: str
    environment: dict[str, str]
    module: str = _PACKAGE

    def do(self, streams: Sequence[int]) -> None:
        """Set up this forked process for the order and run its command."""
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
    """The exit code and output of a command."""

    code: int
    out: bytes
    err: bytes


class Forks:
    """A fork server that runs one command at a time."""

    def __init__(self, interpreter: Sequence[str], environment: Mapping[str, str], seconds: float) -> None:
        """Start the server. It is not a child of this process, but ends with it. A command may take `seconds`."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(seconds)
        atexit.register(self._channel.close)
        line = [*interpreter, __file__, str(theirs.fileno())]
        with theirs:  # the streams are pipes, like those of the commands
            passed = [theirs.fileno()]
            subprocess.run(line, env=environment, pass_fds=passed, input=b"", capture_output=True, check=True)

    def run(self, order: Order, stdin: bytes) -> Ended:
        """Run a command with this standard input and wait for its end.

        Kills it and raises TimeoutError after the time limit.
        """
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
    """Fork a process for each order; report its process id and how it ended."""
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
    """Import all of oldump and what its commands import."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does
    package = importlib.import_module(_PACKAGE)
    for module in pkgutil.walk_packages(package.__path__, f"{_PACKAGE}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # collections in children then do not copy shared pages


def main() -> None:
    """Start the server in a process of its own, because the caller waits for this one."""
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
