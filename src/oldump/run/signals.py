"""Hold the signals that stop a run while processes are started."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOP_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_signals_held(*, block: bool = False) -> Iterator[None]:
    """Delay stop signals until the end of the block, then raise them.

    If a handler raises an exception in a callback of fork, the exception is lost; if it raises one before a new process
    is assigned, the process is lost. Therefore the handlers only record signals until the end of the block. Ignored
    signals stay ignored, because programs started in the block inherit this.

    block: also block the signals in this thread. Forked children then receive none until they have their own handlers;
    do not use it for programs that do not unblock them. Recording is still necessary, because another thread may
    receive a signal that this thread blocks.
    """
    received: list[int] = []
    handlers = _handlers() if threading.current_thread() is threading.main_thread() else {}
    for number in handlers:
        signal.signal(number, lambda number, _: received.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS if block else ())
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for each in received:
            signal.raise_signal(each)


def _handlers() -> dict[signal.Signals, Any]:
    """Return the handlers of the stop signals that are not ignored."""
    handlers = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    return {number: handler for number, handler in handlers.items() if handler not in {None, signal.SIG_IGN}}
