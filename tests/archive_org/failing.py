"""Inject a fault into a request: answer with an error, or delay or reset the connection."""

import threading
from typing import NoReturn

from archive_org.answers import Answer, Cut, page, s3_error
from archive_org.body import Body
from archive_org.faults import Faults, Kind
from archive_org.request import Action, LoggedRequest
from archive_org.s3 import UploadFaults

REDIRECT_HOST = "ia601207.s3dns.us.archive.org"
_PAGES = {Kind.BAD_GATEWAY: 502, Kind.UNAVAILABLE: 503, Kind.GATEWAY_TIMEOUT: 504}


class Failing:
    """The handling of one request, with the fault chosen for it, if any."""

    def __init__(self, faults: Faults, kind: Kind | None, ended: threading.Event) -> None:
        """Use the plan and the kind of fault that it has chosen. `ended` stops all waiting."""
        self._faults = faults
        self._kind = kind
        self._ended = ended

    @property
    def is_over_limit(self) -> bool:
        """Whether check_limit reports that the limit is reached."""
        return self._kind is Kind.OVER_LIMIT

    def upload_faults(self, late_looks: int) -> UploadFaults:
        """Return the faults of an upload that is answered with 200. `late_looks` is the number without a fault."""
        if self._kind is Kind.LATE_METADATA:
            return UploadFaults(late_looks=self._faults.late_looks, item_late_looks=self._faults.late_looks)
        if self._kind is Kind.ITEM_FIRST:
            return UploadFaults(late_looks=self._faults.late_looks)
        return UploadFaults(late_looks, late_looks, self._kind is Kind.WRONG_BYTE)

    def before(self, request: LoggedRequest, body: Body) -> Answer | None:
        """Return the answer of a fault that needs no body; None to continue. May raise Cut."""
        if request.action is Action.UPLOAD and self._kind in {Kind.RESET_IN_BODY, Kind.STALL}:
            body.interrupt(self._cut)
        elif self._kind in {Kind.RESET_BEFORE_ANSWER, Kind.STALL}:
            self._cut()
        return self._answer(request)

    def after(self, request: LoggedRequest, answer: Answer) -> None:
        """Apply the fault to the complete answer, or in the middle of a download. May raise Cut."""
        if self._kind is Kind.RESET_AFTER_STORING:
            self._cut()
        if self._kind is Kind.RESET_IN_BODY and request.action is Action.DOWNLOAD:
            if request.method == "HEAD" or answer.file is None:
                self._cut()
            answer.cut_at_bytes = answer.size_bytes // 2

    def _cut(self) -> NoReturn:
        if self._kind is Kind.STALL:
            self._ended.wait(self._faults.stall_seconds)
        raise Cut

    def _answer(self, request: LoggedRequest) -> Answer | None:
        if self._kind in _PAGES:
            return page(_PAGES[self._kind])
        if self._kind is Kind.INTERNAL_ERROR:
            return s3_error("InternalError") if request.is_s3 else page(500)
        if self._kind is Kind.DENIED:
            return s3_error("AccessDenied", "You lack sufficient privileges to write to this item")
        if self._kind is Kind.REDIRECT:
            return s3_error("TemporaryRedirect", request.item, {"Location": request.elsewhere(REDIRECT_HOST)})
        return self._slow_down()

    def _slow_down(self) -> Answer | None:
        message = "Your request was rate limited: please wait before you try again."
        if self._kind is Kind.SLOW_DOWN_RETRY_AFTER:
            return s3_error("SlowDown", message, {"Retry-After": str(self._faults.retry_after_seconds)})
        if self._kind not in {Kind.SLOW_DOWN, Kind.SLOW_DOWN_EARLY}:
            return None
        answer = s3_error("SlowDown", message)
        answer.ends_connection = self._kind is Kind.SLOW_DOWN_EARLY
        return answer
