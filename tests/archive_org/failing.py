"""How a fault looks to the client: the answers of those that answer, and what is done to the connection by others."""

import threading
from typing import NoReturn

from archive_org.answers import Answer, Cut, page, s3_error
from archive_org.asked import Asked, What
from archive_org.body import Body
from archive_org.faults import Faults, Kind
from archive_org.s3 import Mishaps

REDIRECT_HOST = "ia601207.s3dns.us.archive.org"
_PAGES = {Kind.BAD_GATEWAY: 502, Kind.UNAVAILABLE: 503, Kind.GATEWAY_TIMEOUT: 504}


class Failing:
    """What becomes of one request, by the fault that was chosen for it, if any."""

    def __init__(self, faults: Faults, kind: Kind | None, ended: threading.Event) -> None:
        """Take the plan, what it has chosen, and what ends all waiting."""
        self._faults = faults
        self._kind = kind
        self._ended = ended

    @property
    def is_over_limit(self) -> bool:
        """Whether check_limit says so."""
        return self._kind is Kind.OVER_LIMIT

    def mishaps(self, late_looks: int) -> Mishaps:
        """What goes wrong with an upload though it is answered with 200; `late_looks` is what is usual."""
        if self._kind is Kind.LATE_METADATA:
            return Mishaps(late_looks=self._faults.late_looks, item_late_looks=self._faults.late_looks)
        if self._kind is Kind.ITEM_FIRST:
            return Mishaps(late_looks=self._faults.late_looks)
        return Mishaps(late_looks, late_looks, self._kind is Kind.WRONG_BYTE)

    def before(self, asked: Asked, body: Body) -> Answer | None:
        """The answer of what fails at once; None where it goes on, perhaps to fail in mid-body. May raise Cut."""
        if asked.what is What.UPLOAD and self._kind in {Kind.RESET_IN_BODY, Kind.STILL}:
            body.interrupt(self._cut)
        elif self._kind in {Kind.RESET_BEFORE_ANSWER, Kind.STILL}:
            self._cut()
        return self._answer(asked)

    def after(self, asked: Asked, answer: Answer) -> None:
        """Let it fail at its end, or in the middle of what is downloaded. May raise Cut."""
        if self._kind is Kind.RESET_AFTER_STORING:
            self._cut()
        if self._kind is Kind.RESET_IN_BODY and asked.what is What.DOWNLOAD:
            if asked.method == "HEAD" or answer.file is None:
                self._cut()
            answer.cut_at_bytes = answer.size_bytes // 2

    def _cut(self) -> NoReturn:
        if self._kind is Kind.STILL:
            self._ended.wait(self._faults.still_seconds)
        raise Cut

    def _answer(self, asked: Asked) -> Answer | None:
        if self._kind in _PAGES:
            return page(_PAGES[self._kind])
        if self._kind is Kind.INTERNAL_ERROR:
            return s3_error("InternalError") if asked.is_s3 else page(500)
        if self._kind is Kind.DENIED:
            return s3_error("AccessDenied", "You lack sufficient privileges to write to this item")
        if self._kind is Kind.REDIRECT:
            return s3_error("TemporaryRedirect", asked.item, {"Location": asked.elsewhere(REDIRECT_HOST)})
        return self._slow_down()

    def _slow_down(self) -> Answer | None:
        said = "Your request was rate limited: please wait before you try again."
        if self._kind is Kind.SLOW_DOWN_RETRY_AFTER:
            return s3_error("SlowDown", said, {"Retry-After": str(self._faults.retry_after_seconds)})
        if self._kind not in {Kind.SLOW_DOWN, Kind.SLOW_DOWN_EARLY}:
            return None
        answer = s3_error("SlowDown", said)
        answer.ends_connection = self._kind is Kind.SLOW_DOWN_EARLY
        return answer
