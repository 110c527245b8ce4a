"""Report failures to Sentry through its SDK, which is an extra.

An event contains the exceptions with their tracebacks, and tags. It contains no local variables, arguments, log lines
or modules, since these may contain a password. All texts are redacted.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from oldump.outside.timed_tasks import TaskFailed

_HOW_TO_INSTALL = "the SDK is not installed: pip install 'oldump[sentry]'"
_FLUSH_SECONDS = 30.0
_SDK_OPTIONS: dict[str, Any] = {
    "default_integrations": False,
    "auto_enabling_integrations": False,
    "include_local_variables": False,
    "send_client_reports": False,
    "auto_session_tracking": False,
    "max_breadcrumbs": 0,
    "debug": False,
    "spotlight": False,
}


def what_is_wrong(dsn: str, sdk: str = "sentry_sdk") -> str | None:
    """Return why events cannot be sent, without revealing the DSN; None if they can. sdk: the required module."""
    if find_spec(sdk) is None:
        return _HOW_TO_INSTALL
    from sentry_sdk.utils import BadDsn, Dsn  # noqa: PLC0415 - an extra, and slow

    try:
        Dsn(dsn)
    except (BadDsn, ValueError):
        return "not a DSN of the form https://KEY@HOST/PROJECT"
    return None


def capture(
    dsn: str, error: BaseException | None, tags: Mapping[str, str], redacted: Callable[[str], str], message: str = ""
) -> None:
    """Send the error or the message, and wait until it is sent. Raises TaskFailed, which does not show the DSN.

    Call this in a process of its own: the SDK starts threads and installs hooks in the interpreter.
    """
    wrong = what_is_wrong(dsn)
    if wrong:
        raise TaskFailed(wrong)
    import sentry_sdk  # noqa: PLC0415 - an extra, and slow
    from sentry_sdk.transport import HttpTransport  # noqa: PLC0415 - an extra, and slow

    dropped: list[str] = []

    class Transport(HttpTransport):
        """Records events that were not delivered; the SDK does not report them."""

        def on_dropped_event(self, reason: str) -> None:
            dropped.append(reason)

    def before_send(event: Any, _: object) -> Any:  # noqa: ANN401 - an event is any JSON
        if error is not None:  # the SDK would send `message` alone, without the hint
            event["exception"]["values"][-1]["value"] = str(error)
        return redacted_in(event, redacted)

    release = f"oldump@{version('oldump')}"
    sentry_sdk.init(dsn=dsn, release=release, transport=Transport, before_send=before_send, **_SDK_OPTIONS)
    with sentry_sdk.new_scope() as scope:
        for name, value in tags.items():
            scope.set_tag(name, value)
        if error is None:
            scope.capture_message(message)
        else:
            scope.capture_exception(error)
    sentry_sdk.flush(_FLUSH_SECONDS)
    if dropped:
        raise TaskFailed(f"not accepted ({', '.join(dropped)})")


def redacted_in(value: Any, redacted: Callable[[str], str]) -> Any:  # noqa: ANN401 - as JSON has it
    """Return the value with every text in it redacted."""
    match value:
        case str():
            return redacted(value)
        case dict():
            return {name: redacted_in(each, redacted) for name, each in value.items()}
        case list():
            return [redacted_in(each, redacted) for each in value]
        case _:
            return value
