"""The result of one preflight check.

Does not: check anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from oldump.errors import OldumpError


class CheckStatus(StrEnum):
    """Whether a run can start."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Check:
    """What was checked, with the result."""

    name: str
    status: CheckStatus
    message: str
    """What was found and where, without a full stop."""
    hint: str = ""
    error: OldumpError | None = None
    """The error that a run raises; only for failures."""
    needed_bytes: Mapping[str, int] | None = None
    """The estimated size of everything that the run writes; only for the disk check, None if unknown."""

    @classmethod
    def passed(cls, name: str, message: str) -> "Check":
        """Return a check that found nothing wrong."""
        return cls(name, CheckStatus.OK, message)

    @classmethod
    def warned(cls, name: str, message: str, hint: str) -> "Check":
        """Return a check whose finding may not stop a run."""
        return cls(name, CheckStatus.WARNING, message, hint)

    @classmethod
    def failed(cls, name: str, error: OldumpError) -> "Check":
        """Return a check whose finding makes a run fail with `error`."""
        return cls(name, CheckStatus.FAILURE, error.message, error.hint, error)

    @property
    def row(self) -> tuple[str, ...]:
        """The cells for `doctor`'s table: name, status, message, hint."""
        return self.name, self.status.value, self.message, self.hint

    def __str__(self) -> str:
        """Message and hint, for a log line."""
        return f"{self.message}. {self.hint}" if self.hint else self.message
