"""What goes wrong at the fake archive.org: a share of all requests by a seed, and chosen requests by their number."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from archive_org.asked import Asked, What


class Kind(StrEnum):
    """One way to fail."""

    SLOW_DOWN = "503 SlowDown, once the body has been read"
    SLOW_DOWN_RETRY_AFTER = "503 SlowDown with Retry-After"
    SLOW_DOWN_EARLY = "503 SlowDown before the body has been read, and the connection ends"
    OVER_LIMIT = "check_limit says that there is too much to do"
    INTERNAL_ERROR = "500"
    BAD_GATEWAY = "502, with a page of HTML"
    GATEWAY_TIMEOUT = "504, with a page of HTML"
    UNAVAILABLE = "503, with a page of HTML"
    REDIRECT = "307 to another host"
    RESET_IN_BODY = "the connection is reset in mid-body"
    RESET_BEFORE_ANSWER = "the connection is reset before the answer"
    RESET_AFTER_STORING = "the file is stored, and the connection is reset before the answer"
    STILL = "nothing happens for a while, then the connection ends"
    LATE_METADATA = "the catalogue shows the upload only after some further looks"
    ITEM_FIRST = "the catalogue shows a new item before its first file"
    WRONG_BYTE = "a byte of the file is stored wrong"
    DENIED = "403, as for an account that lacks the right"


_ANYTHING = frozenset(What) - {What.OTHER}
_S3_WRITES = frozenset({What.UPLOAD, What.DELETE})
_READS = frozenset({What.METADATA, What.TASKS, What.DOWNLOAD, What.LIMIT, What.AUTH})

CONCERNS: dict[Kind, frozenset[What]] = {
    Kind.SLOW_DOWN: _S3_WRITES,
    Kind.SLOW_DOWN_RETRY_AFTER: _S3_WRITES,
    Kind.SLOW_DOWN_EARLY: _S3_WRITES,
    Kind.OVER_LIMIT: frozenset({What.LIMIT}),
    Kind.INTERNAL_ERROR: _ANYTHING,
    Kind.BAD_GATEWAY: _ANYTHING,
    Kind.GATEWAY_TIMEOUT: _ANYTHING,
    Kind.UNAVAILABLE: _READS,
    Kind.REDIRECT: frozenset({What.UPLOAD}),
    Kind.RESET_IN_BODY: frozenset({What.UPLOAD, What.DOWNLOAD}),
    Kind.RESET_BEFORE_ANSWER: _READS,
    Kind.RESET_AFTER_STORING: frozenset({What.UPLOAD}),
    Kind.STILL: _ANYTHING,
    Kind.LATE_METADATA: frozenset({What.UPLOAD}),
    Kind.ITEM_FIRST: frozenset({What.UPLOAD}),
    Kind.WRONG_BYTE: frozenset({What.UPLOAD}),
    Kind.DENIED: _S3_WRITES,
}
"""What each kind can happen to."""

PASSING = tuple(kind for kind in Kind if kind is not Kind.DENIED)
"""All that a client gets over by trying again, or by looking again."""


@dataclass
class Faults:
    """A plan: `share` of all requests fail, in each of `kinds` in turn, the same for the same seed.

    Each sort of request has dice of its own: how often a client asks for metadata does not change what becomes of its
    uploads. Add to the plan with `at` and `always`, which go first.
    """

    share: float = 0.0
    seed: int = 0
    kinds: Iterable[Kind] = PASSING
    retry_after_seconds: int = 1
    still_seconds: float = 1.0
    late_looks: int = 3
    happened: list[tuple[int, Kind]] = field(default_factory=list)
    """What has gone wrong so far: the request's number and how."""

    def __post_init__(self) -> None:
        """Shuffle the kinds once for each sort of request, so that each comes in turn there."""
        self._dice = {what: random.Random(f"{self.seed} {what}") for what in What}
        self._seen: Counter[What | None] = Counter()
        self._chosen: dict[tuple[What | None, int], Kind] = {}
        self._always: list[Kind] = []
        self._turns = {what: self._shuffled(what) for what in What}

    def at(self, number: int, kind: Kind, what: What | None = None) -> Self:
        """Let this happen to one request: the so-manieth (from 1) of all, or of those about `what`.

        Raises ValueError for what cannot happen; where only the request will tell, it goes unharmed.
        """
        if what is not None and what not in CONCERNS[kind]:
            raise ValueError(f"{kind.name} cannot happen to {what}")
        self._chosen[what, number] = kind
        return self

    def always(self, *kinds: Kind) -> Self:
        """Let this happen to each request that it concerns, until told otherwise by `never`."""
        self._always.extend(kinds)
        return self

    def never(self) -> Self:
        """Let nothing go wrong any more."""
        self.share = 0.0
        self._always.clear()
        self._chosen.clear()
        return self

    def next(self, asked: Asked) -> Kind | None:
        """What is to go wrong with this request. The caller holds a lock: requests come from many threads."""
        self._seen.update((None, asked.what))
        kind = self._planned(asked.what) or self._diced(asked.what)
        if kind is not None:
            asked.fault = kind.name
            self.happened.append((asked.number, kind))
        return kind

    def _shuffled(self, what: What) -> list[Kind]:
        kinds = [kind for kind in self.kinds if what in CONCERNS[kind]]
        self._dice[what].shuffle(kinds)
        return kinds

    def _planned(self, what: What) -> Kind | None:
        chosen = (self._chosen.get((sort, self._seen[sort])) for sort in (None, what))
        return next((kind for kind in (*chosen, *self._always) if kind and what in CONCERNS[kind]), None)

    def _diced(self, what: What) -> Kind | None:
        turns = self._turns[what]
        if not turns or self._dice[what].random() >= self.share:
            return None
        turns.append(turns.pop(0))
        return turns[-1]
