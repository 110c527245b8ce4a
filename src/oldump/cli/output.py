"""Standard output: data, text and tables; and the progress display that must not mix with them."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from oldump.errors import StorageError, storage_errors
from oldump.run.formatting import printable
from oldump.run.progress import Progress


class OutputClosed(BaseException):
    """The reader of standard output has closed it, as `| head` does. Not an Exception, so that typer ignores it."""


@contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Yield standard output for binary data, and flush it at the end. Raises StorageError and OutputClosed."""
    try:
        with storage_errors(Path("standard output")):
            try:
                yield sys.stdout.buffer
                sys.stdout.flush()
            except BrokenPipeError:
                raise OutputClosed("standard output is closed") from None
    except (StorageError, OutputClosed):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # prevents an error at exit
        raise


def print_text(text: str) -> None:
    """Print text on standard output. Escapes control characters except newlines; raises as `standard_output` does."""
    _print_rendered(printable(text, keep="\n"))


def _print_rendered(text: str) -> None:
    with standard_output() as output:
        output.write(text.encode() + b"\n")


def print_table(lines: list[tuple[str, ...]], *, is_boxed: bool = True) -> None:
    """Print a table, heading first. On a terminal cells wrap, with a box if wanted; elsewhere each row is one line."""
    lines = [tuple(map(printable, line)) for line in lines]
    if sys.stdout.isatty():
        from oldump.terminal.display import aligned, boxed

        _print_rendered((boxed if is_boxed else aligned)(lines, shutil.get_terminal_size().columns))
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    print_text("\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines))


def print_pairs(pairs: list[tuple[str, str]]) -> None:
    """Print names and values, one pair per line."""
    pairs = [(name, printable(value)) for name, value in pairs]
    if sys.stdout.isatty():
        from oldump.terminal.display import paired

        _print_rendered(paired(pairs, shutil.get_terminal_size().columns))
        return
    width = max(len(name) for name, _ in pairs)
    print_text("\n".join(f"{name.ljust(width)}  {value}" for name, value in pairs))


@contextmanager
def filter_progress(*, reads_input: bool, writes_data: bool = True) -> Iterator[Progress]:
    """Yield the progress display of a command that may be part of a pipe or write data to the terminal.

    A live display needs the terminal to itself. If data goes to the terminal, or input comes from a pipe (another
    oldump command with its own display may be at the other end), progress is logged instead.
    """
    from oldump.terminal.progress import progress_display

    data_on_terminal = writes_data and sys.stdout.isatty()
    reads_pipe = reads_input and Path("/dev/stdin").is_fifo()
    with progress_display(live=not data_on_terminal and not reads_pipe) as progress:
        yield progress
