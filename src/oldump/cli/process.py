"""The process around a command: signals, exit codes, logging to standard error, garbage collection."""

import gc
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, TextIO

from oldump.cli.output import OutputClosed
from oldump.errors import OldumpError, Stopped, exit_code_of, log_fields_of
from oldump.run.log import FORMATTERS, named_format

log = logging.getLogger("oldump")

_GARBAGE_THRESHOLD = 10_000
"""Allocations between two garbage collections. Python's default of 700 causes hundreds of them during imports."""


@contextmanager
def command_process() -> Iterator[None]:
    """Prepare the process for a command; on the way out, log what went wrong and exit with the right code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy does no linear algebra here, and workers are forked
    _replace_closed_streams()
    _log_to_standard_error()
    _handle_signals()
    gc.set_threshold(_GARBAGE_THRESHOLD)
    try:
        with _exit_codes():
            yield
    finally:
        gc.freeze()  # or a collection of all modules at exit takes as long as running --help


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error that ends the process."""
    return 128 + signal.SIGPIPE if isinstance(error, OutputClosed) else exit_code_of(error)


def set_log_format(name: str) -> None:
    """Set the format of log lines on standard error: text or json."""
    for handler in log.handlers:
        if isinstance(handler, _StandardErrorHandler):
            handler.setFormatter(FORMATTERS[name]())


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Log any error that ends the command, and exit with its code."""
    try:
        yield
    except OldumpError as error:
        log.error("%s", error, extra=log_fields_of(error))  # noqa: TRY400 - expected: one line, no traceback
        sys.exit(exit_code(error))
    except Stopped as stopped:
        message = "%s; committed work is kept; rerun to resume"
        log.error(message, stopped, extra=log_fields_of(stopped))  # noqa: TRY400 - expected: one line, no traceback
        sys.exit(exit_code(stopped))
    except OutputClosed as error:
        sys.exit(exit_code(error))
    except Exception as error:
        log.exception("This is a bug in oldump. Please report it with the lines below.", extra=log_fields_of(error))
        sys.exit(exit_code(error))


def _handle_signals() -> None:
    """Raise Stopped on SIGTERM, SIGINT and, unless nohup ignores it, SIGHUP."""
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _stop)
    signal.signal(signal.SIGINT, _stop)  # typer would swallow Python's KeyboardInterrupt


def _stop(number: int, _: FrameType | None) -> NoReturn:
    raise Stopped(number)


def _replace_closed_streams() -> None:
    """Replace standard output and error by /dev/null if they are closed (`2>&-`)."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - open as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - open as long as the process


def _log_to_standard_error() -> None:
    log.setLevel(logging.INFO)
    log.propagate = False  # keep out the log lines of libraries
    log.addHandler(_StandardErrorHandler())


class _StandardErrorHandler(logging.StreamHandler):  # type: ignore[type-arg] # the stream is a property here
    """Writes log lines to the current sys.stderr, which the live display replaces while it is shown."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(FORMATTERS[named_format()]())

    @property
    def stream(self) -> TextIO:
        """The current standard error."""
        return sys.stderr
