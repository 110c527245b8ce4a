"""Everything that oldump can fail with, and the exit code of each.

    OldumpError
    ├── ConfigurationError   2   a flag, a variable, a file of settings, a date
    ├── SourceError         10   the rows could not be read
    │   ├── SourceMissing   11   no such file, or no right to read it
    │   ├── SourceDamaged   12   truncated or corrupted gzip, an index that does not fit, data after the end
    │   ├── SourceUnreachable 13 no connection to the database, or the database broke it off
    │   │   └── SnapshotLost 15  the connection that held the snapshot broke, and broke again at every new beginning
    │   └── SourceEmpty     14   no rows at all, or none that became a record
    ├── RecordError         20   the rows were read, but records cannot be made of them
    │   ├── TooManyRejects  21   more rejects than --max-rejects
    │   └── NotSorted       22   a command that needs sorted records was given others
    ├── StorageError        30   a file of ours could not be written or read back
    │   ├── StorageFull     31   no space left
    │   └── RunBusy         32   another process works on this run
    ├── VerificationError   40   what was made contradicts what was read, or itself
    │   └── GateClosed      41   what was made is not what the last complete run lets expect
    ├── ArchiveError        50   archive.org could not be used
    │   ├── ArchiveRefused  51   it refuses: keys, rights, a collection, a file
    │   ├── ArchiveUnreachable 52 no answer, or "later", for longer than it is waited for
    │   └── ArchiveMismatch 53   what it holds differs from what was sent, again and again
    ├── RunLate             54   a run is late, dead or failed, as `status --check` was to find out
    └── WorkerError         60   a worker process died, or could not be started

Every message says what, where, and what to do next. An exception that is not in this tree is a bug: the command
line shows its traceback and ends with exit code 70. Interrupted by SIGINT or SIGTERM: 130 or 143; 141 when nobody
reads standard output any more.
"""

import errno
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

BUG_EXIT_CODE = 70


class OldumpError(Exception):
    """The root: catch this to catch whatever oldump foresees."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    """Whether the same command may succeed when it is simply given again."""

    def __init__(self, message: str, hint: str = "") -> None:
        """Take what is wrong and where, without a full stop, and what to do about it; or both in one text."""
        super().__init__(f"{message}. {hint}" if hint else message)
        self.message = message
        self.hint = hint


class ConfigurationError(OldumpError):
    """A flag, a variable or a setting that makes no sense."""

    exit_code = 2


class SourceError(OldumpError):
    """The rows could not be read."""

    exit_code = 10


class SourceMissing(SourceError):
    """The file is not there, or may not be read."""

    exit_code = 11


class SourceDamaged(SourceError):
    """The file is there, but is not whole."""

    exit_code = 12


class SourceUnreachable(SourceError):
    """The database could not be reached, or broke off."""

    exit_code = 13
    retryable = True


class SnapshotLost(SourceUnreachable):
    """The connection that held the snapshot is lost, and with it what was copied in it."""

    exit_code = 15


class SourceEmpty(SourceError):
    """The source holds no rows, or none that may be published."""

    exit_code = 14


class RecordError(OldumpError):
    """Records cannot be made of the rows."""

    exit_code = 20


class TooManyRejects(RecordError):
    """More rows were rejected than the run allows."""

    exit_code = 21


class NotSorted(RecordError):
    """Records that must be sorted are not."""

    exit_code = 22


class StorageError(OldumpError):
    """A file of ours could not be written or read back."""

    exit_code = 30


class StorageFull(StorageError):
    """The disk is full; what was committed is safe."""

    exit_code = 31
    retryable = True


class RunBusy(StorageError):
    """Another process holds the run's lock."""

    exit_code = 32
    retryable = True


class VerificationError(OldumpError):
    """Two things that must agree do not: counts, files, or a file and the format."""

    exit_code = 40


class GateClosed(VerificationError):
    """The run differs too much from the last complete one, or not at all."""

    exit_code = 41


class ArchiveError(OldumpError):
    """archive.org could not be used."""

    exit_code = 50


class ArchiveRefused(ArchiveError):
    """archive.org refuses, and will again: the keys, the right to the collection, the collection, the file."""

    exit_code = 51


class ArchiveUnreachable(ArchiveError):
    """archive.org gives no answer, or says to come again later."""

    exit_code = 52
    retryable = True

    def __init__(self, message: str, hint: str = "", wait_seconds: float = 0) -> None:
        """wait_seconds: how long it asks not to be asked again."""
        super().__init__(message, hint)
        self.wait_seconds = wait_seconds


class ArchiveMismatch(ArchiveError):
    """What archive.org holds differs from what was sent, after new tries."""

    exit_code = 53


class RunLate(OldumpError):
    """Somebody should look: a run was not made in time, or ended before it was complete."""

    exit_code = 54


class WorkerError(OldumpError):
    """A worker process died, or could not be started: for want of memory perhaps."""

    exit_code = 60
    retryable = True


class Stopped(BaseException):
    """SIGHUP, SIGINT or SIGTERM arrived."""

    def __init__(self, number: int) -> None:
        """Take the signal's number."""
        self.signal = signal.Signals(number)
        super().__init__(f"stopped by {self.signal.name}")


def exit_code_of(error: BaseException) -> int:
    """What the command ends with because of this."""
    if isinstance(error, OldumpError):
        return error.exit_code
    if isinstance(error, Stopped):
        return 128 + error.signal
    return BUG_EXIT_CODE


def mark(error: BaseException, marks: Mapping[str, str | None]) -> None:
    """Note with what ends a run which run and stage that was: run_date, stage. What was noted first stands."""
    error.__dict__.setdefault("marks", marks)


def marks_of(error: BaseException | None) -> Mapping[str, str | None]:
    """What was noted so; nothing of what was raised elsewhere."""
    return {} if error is None else error.__dict__.get("marks", {})


def stage_of(error: BaseException | None) -> str:
    """The stage that was at work when a run was ended by this; empty if none was."""
    return marks_of(error).get("stage") or ""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Translate errors of the operating system into StorageError and StorageFull, naming the path."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"{path}: no space left on the disk",
                "Free some and give the command again: what was committed is kept, and a run continues from there.",
            ) from error
        raise StorageError(f"{path}: {error.strerror or error}", "Mend it and give the command again.") from error
