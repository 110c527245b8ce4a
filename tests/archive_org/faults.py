"""The faults of the fake archive.org: a seeded share of all requests, and chosen requests by number."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from archive_org.request import Action, LoggedRequest


class Kind(StrEnum):
    """A kind of fault."""

    SLOW_DOWN = "503 SlowDown, after the body has been read"
    SLOW_DOWN_RETRY_AFTER = "503 SlowDown with Retry-After"
    SLOW_DOWN_EARLY = "503 SlowDown before the body has been read, and the connection ends"
    OVER_LIMIT = "check_limit reports that the limit is reached"
    INTERNAL_ERROR = "500"
    BAD_GATEWAY = "502, with a page of HTML"
    GATEWAY_TIMEOUT = "504, with a page of HTML"
    UNAVAILABLE = "503, with a page of HTML"
    REDIRECT = "307 to another host"
    RESET_IN_BODY = "the connection is reset within the body"
    RESET_BEFORE_ANSWER = "the connection is reset before the answer"
    RESET_AFTER_STORING = "the file is stored, and the connection is reset before the answer"
    STALL = "the server stalls, then the connection ends"
    LATE_METADATA = "the catalog shows the upload only after some further looks"
    ITEM_FIRST = "the catalog shows a new item before its first file"
    WRONG_BYTE = "a byte of the file is stored wrong"
    DENIED = "403, as for an account without the right"


_ANYTHING = frozenset(Action) - {Action.OTHER}
_S3_WRITES = frozenset({Action.UPLOAD, Action.DELETE})
_READS = frozenset({Action.METADATA, Action.TASKS, Action.DOWNLOAD, Action.LIMIT, Action.AUTH})

CONCERNS: dict[Kind, frozenset[Action]] = {
    Kind.SLOW_DOWN: _S3_WRITES,
    Kind.SLOW_DOWN_RETRY_AFTER: _S3_WRITES,
    Kind.SLOW_DOWN_EARLY: _S3_WRITES,
    Kind.OVER_LIMIT: frozenset({Action.LIMIT}),
    Kind.INTERNAL_ERROR: _ANYTHING,
    Kind.BAD_GATEWAY: _ANYTHING,
    Kind.GATEWAY_TIMEOUT: _ANYTHING,
    Kind.UNAVAILABLE: _READS,
    Kind.REDIRECT: frozenset({Action.UPLOAD}),
    Kind.RESET_IN_BODY: frozenset({Action.UPLOAD, Action.DOWNLOAD}),
    Kind.RESET_BEFORE_ANSWER: _READS,
    Kind.RESET_AFTER_STORING: frozenset({Action.UPLOAD}),
    Kind.STALL: _ANYTHING,
    Kind.LATE_METADATA: frozenset({Action.UPLOAD}),
    Kind.ITEM_FIRST: frozenset({Action.UPLOAD}),
    Kind.WRONG_BYTE: frozenset({Action.UPLOAD}),
    Kind.DENIED: _S3_WRITES,
}
"""The requests in which each kind can occur."""

PASSING = tuple(kind for kind in Kind if kind is not Kind.DENIED)
"""Faults that a client survives by trying or looking again."""


@dataclass
class Faults:
    """A plan of faults: a share of all requests fails, with each of `kinds` in turn; the same for the same seed.

    Each action has its own random generator, so the number of metadata requests does not change the faults of uploads.
    Faults added with `at` and `always` come first.
    """

    share: float = 0.0
    seed: int = 0
    kinds: Iterable[Kind] = PASSING
    retry_after_seconds: int = 1
    stall_seconds: float = 1.0
    late_looks: int = 3
    happened: list[tuple[int, Kind]] = field(default_factory=list)
    """The faults so far: the request's number and the kind."""

    def __post_init__(self) -> None:
        """Shuffle the kinds once for each action, so that each kind occurs in turn."""
        self._dice = {action: random.Random(f"{self.seed} {action}") for action in Action}
        self._seen: Counter[Action | None] = Counter()
        self._chosen: dict[tuple[Action | None, int], Kind] = {}
        self._always: list[Kind] = []
        self._turns = {action: self._shuffled(action) for action in Action}

    def at(self, number: int, kind: Kind, action: Action | None = None) -> Self:
        """Inject this fault into one request: the one with this number (from 1) of all, or of those with action `what`.

        Raises ValueError for a fault that cannot occur; if only the request shows that, it has no fault.
        """
        if action is not None and action not in CONCERNS[kind]:
            raise ValueError(f"{kind.name} cannot occur in {action}")
        self._chosen[action, number] = kind
        return self

    def always(self, *kinds: Kind) -> Self:
        """Inject this fault into every request in which it can occur, until `never`."""
        self._always.extend(kinds)
        return self

    def never(self) -> Self:
        """Inject no more faults."""
        self.share = 0.0
        self._always.clear()
        self._chosen.clear()
        return self

    def next(self, request: LoggedRequest) -> Kind | None:
        """Return the fault of this request. The caller must hold a lock: requests come from many threads."""
        self._seen.update((None, request.action))
        kind = self._planned(request.action) or self._diced(request.action)
        if kind is not None:
            request.fault = kind.name
            self.happened.append((request.number, kind))
        return kind

    def _shuffled(self, action: Action) -> list[Kind]:
        kinds = [kind for kind in self.kinds if action in CONCERNS[kind]]
        self._dice[action].shuffle(kinds)
        return kinds

    def _planned(self, action: Action) -> Kind | None:
        chosen = (self._chosen.get((sort, self._seen[sort])) for sort in (None, action))
        return next((kind for kind in (*chosen, *self._always) if kind and action in CONCERNS[kind]), None)

    def _diced(self, action: Action) -> Kind | None:
        turns = self._turns[action]
        if not turns or self._dice[action].random() >= self.share:
            return None
        turns.append(turns.pop(0))
        return turns[-1]
