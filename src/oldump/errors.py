"""Error classes of oldump, each with its exit code.

    OldumpError
    ├── ConfigurationError   2   invalid option, environment variable, settings file or date
    ├── SourceError         10   the rows cannot be read
    │   ├── SourceMissing   11   no such file, or no permission to read it
    │   ├── SourceDamaged   12   truncated or corrupt gzip, an index that does not match, data after the end
    │   ├── SourceUnreachable 13 cannot connect to the database, or the connection broke
    │   │   └── SnapshotLost 15  the connection that held the snapshot broke, and so did each new attempt
    │   └── SourceEmpty     14   the source has no rows, or none that can be published
    ├── RecordError         20   the rows were read, but cannot become records
    │   ├── TooManyRejects  21   more rejects than --max-rejects
    │   └── NotSorted       22   the input of a command that needs sorted records is not sorted
    ├── StorageError        30   an output or temporary file cannot be written or read back
    │   ├── StorageFull     31   no space left on the disk
    │   └── RunBusy         32   another process is using the run
    ├── VerificationError   40   the output contradicts the input, or itself
    │   └── GateClosed      41   the output differs too much from the last complete run
    ├── ArchiveError        50   an upload to archive.org failed
    │   ├── ArchiveRefused  51   archive.org refuses the keys, the permissions, the collection or a file
    │   ├── ArchiveUnreachable 52 archive.org does not answer, or keeps asking to retry later
    │   └── ArchiveMismatch 53   archive.org repeatedly holds something other than what was sent
    ├── RunLate             54   `status --check` found a run that is late, dead or failed
    └── WorkerError         60   a worker process died or could not be started

An error says what happened and where (`message`), and what to do about it (`hint`). `retryable` says whether rerunning
the same command can help. Any other exception is a bug: the command line shows its traceback and exits with code 70.
The remaining exit codes are 129, 130 and 143 (stopped by SIGHUP, SIGINT or SIGTERM) and 141 (standard output closed).
"""

import errno
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

BUG_EXIT_CODE = 70


class OldumpError(Exception):
    """The base class of all expected errors."""

    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    """Whether rerunning the same command, with nothing changed, can succeed."""

    def __init__(self, message: str, hint: str = "") -> None:
        """message: what happened and where, without a full stop. hint: what to do about it, as full sentences."""
        super().__init__(f"{message}. {hint}" if hint else message)
        self.message = message
        self.hint = hint


class ConfigurationError(OldumpError):
    """An option, environment variable or setting is invalid."""

    exit_code = 2


class SourceError(OldumpError):
    """The rows cannot be read."""

    exit_code = 10


class SourceMissing(SourceError):
    """The source file does not exist, or its permissions forbid reading it."""

    exit_code = 11


class SourceDamaged(SourceError):
    """The source file exists, but is truncated or corrupt."""

    exit_code = 12


class SourceUnreachable(SourceError):
    """Cannot connect to the database, or the connection broke."""

    exit_code = 13
    retryable = True


class SnapshotLost(SourceUnreachable):
    """The connection that held the snapshot broke, so the rows copied from it are unusable."""

    exit_code = 15


class SourceEmpty(SourceError):
    """The source has no rows, or none that can be published."""

    exit_code = 14


class RecordError(OldumpError):
    """The rows cannot become records."""

    exit_code = 20


class TooManyRejects(RecordError):
    """More rows were rejected than `max_rejects` allows."""

    exit_code = 21


class NotSorted(RecordError):
    """Records that must be sorted are not sorted."""

    exit_code = 22


class StorageError(OldumpError):
    """An output or temporary file cannot be written or read back."""

    exit_code = 30


class StorageFull(StorageError):
    """The disk is full. Committed work is kept."""

    exit_code = 31
    retryable = True


class RunBusy(StorageError):
    """Another process holds the run's lock."""

    exit_code = 32
    retryable = True


class VerificationError(OldumpError):
    """Counts or files contradict each other, or a file violates the format."""

    exit_code = 40


class GateClosed(VerificationError):
    """The run differs too much from the last complete run, or not at all."""

    exit_code = 41


class ArchiveError(OldumpError):
    """An upload to archive.org failed."""

    exit_code = 50


class ArchiveRefused(ArchiveError):
    """archive.org refuses the keys, the permissions, the collection or a file; a retry does not help."""

    exit_code = 51


class ArchiveUnreachable(ArchiveError):
    """archive.org does not answer, or asks to retry later."""

    exit_code = 52
    retryable = True

    def __init__(self, message: str, hint: str = "", wait_seconds: float = 0) -> None:
        """wait_seconds: how long archive.org asks to wait before the next request."""
        super().__init__(message, hint)
        self.wait_seconds = wait_seconds


class ArchiveMismatch(ArchiveError):
    """archive.org holds something other than what was sent, even after retries."""

    exit_code = 53


class RunLate(OldumpError):
    """A run is late, or ended before it was complete."""

    exit_code = 54


class WorkerError(OldumpError):
    """A worker process died or could not be started, for example because memory ran out."""

    exit_code = 60
    retryable = True


class Stopped(BaseException):
    """The process received SIGHUP, SIGINT or SIGTERM. Not an Exception, so that only the top level handles it."""

    def __init__(self, number: int) -> None:
        """number: the signal's number."""
        self.signal = signal.Signals(number)
        super().__init__(f"stopped by {self.signal.name}")


def exit_code_of(error: BaseException) -> int:
    """Return the exit code for this error."""
    if isinstance(error, OldumpError):
        return error.exit_code
    if isinstance(error, Stopped):
        return 128 + error.signal
    return BUG_EXIT_CODE


def attach_log_fields(error: BaseException, fields: Mapping[str, str | None]) -> None:
    """Attach log fields (run_date, stage) to an error. Fields that are already attached are kept."""
    error.__dict__.setdefault("log_fields", fields)


def log_fields_of(error: BaseException | None) -> Mapping[str, str | None]:
    """Return the log fields attached to an error, or an empty mapping."""
    return {} if error is None else error.__dict__.get("log_fields", {})


def failed_stage_of(error: BaseException | None) -> str:
    """Return the name of the stage that raised this error, or an empty string if no stage did."""
    return log_fields_of(error).get("stage") or ""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Translate OSError into StorageError or StorageFull, with the path in the message."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                f"{path}: no space left on the disk",
                "Free space and rerun. Committed work is kept.",
            ) from error
        raise StorageError(f"{path}: {error.strerror or error}", "Fix the cause and rerun.") from error
