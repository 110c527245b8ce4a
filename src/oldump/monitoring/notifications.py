"""Notify about a run: metrics, a dead man's switch, Sentry and a hook.

A run that is refused, fails, is stopped or hits a bug is reported as a failure, with its exit code. A complete run is
reported as a success, even if it was complete before. A run that ends well without being complete yet is neither.

Does not: change how a run ends. A notification that fails is a warning in the log. A killed process (kill -9) notifies
nobody; the dead man's switch exists for that.
"""

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from oldump.errors import ConfigurationError, OldumpError, RunBusy, failed_stage_of
from oldump.monitoring import metrics_file
from oldump.outside import pings, sentry
from oldump.outside.metrics import Figures
from oldump.outside.pings import Event
from oldump.outside.redaction import Redaction
from oldump.outside.timed_tasks import Call, Hook, TimedTask
from oldump.pipeline.check import Check
from oldump.run.folder import RunFolder
from oldump.run.journal import Journal
from oldump.run.lock import Timing, require_free
from oldump.run.log import logged
from oldump.run.signals import stop_signals_held
from oldump.settings import NotificationSettings, date_of

log = logging.getLogger("oldump")

_MAX_ERROR_CHARACTERS = 2_000
_WITHOUT_WAITING = Timing(watch=0, ending=0)
_SIGNAL_BASE = 128
"""Processes that end by a signal have a greater exit code."""


@dataclass(frozen=True)
class NotificationTimeouts:
    """How many seconds to wait for notifications. They run in parallel, so the longest is the most a run is delayed."""

    start: float = 10.0
    end: float = 40.0
    """Enough for three pings of ten seconds."""
    hook: float = 60.0
    stopped: float = 3.0
    """For all notifications of a run that was stopped: a container is killed soon after SIGTERM."""


TIMEOUTS = NotificationTimeouts()


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    exit_code: int
    error: BaseException | None
    seconds: float
    journal: Journal | None
    """The journal of a run that ended well."""

    @property
    def is_stopped(self) -> bool:
        """Whether a signal ended the run."""
        return self.exit_code > _SIGNAL_BASE

    @property
    def is_complete(self) -> bool:
        """Whether the run has published its items, now or before."""
        return self.journal is not None and self.journal.published

    @property
    def event(self) -> Event:
        """The event for the dead man's switch."""
        if self.error is not None:
            return Event.FAILURE
        return Event.SUCCESS if self.is_complete else Event.LOG

    @property
    def error_text(self) -> str:
        """The error message, which may contain secrets; empty if there was no error."""
        if self.error is None:
            return ""
        if isinstance(self.error, OldumpError) or self.is_stopped:
            return str(self.error)
        return f"bug: {type(self.error).__name__}: {self.error}"


class Notification(NamedTuple):
    """A notification that is not sent yet."""

    setting: str
    """The setting that requests it."""
    timeout: float
    send: Callable[[], TimedTask]


@contextmanager
def notifying(
    settings: NotificationSettings,
    day: str | None,
    exit_code_of: Callable[[BaseException], int],
    timeouts: NotificationTimeouts = TIMEOUTS,
) -> Iterator[None]:
    """Send notifications about the start and the end of the run in the block. day: the command line's argument.

    Only the exceptions of the block are raised.
    """
    notifier = RunNotifier(settings, day, timeouts)
    try:
        notifier.report_start()
        yield
    except BaseException as error:
        notifier.report_end(exit_code_of(error), error)
        raise
    notifier.report_end(0, None)


class RunNotifier:
    """Sends the notifications about one run."""

    def __init__(
        self,
        settings: NotificationSettings,
        day: str | None,
        timeouts: NotificationTimeouts = TIMEOUTS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare notifications. day: the command line's argument, which may not be a date."""
        self._settings, self._timeouts, self._clock = settings, timeouts, clock
        self._run_id = str(uuid.uuid4())
        self._started = time.monotonic()
        self._redacted = Redaction([settings.ping_url.get_secret_value(), settings.sentry])
        self._is_busy_elsewhere = False
        """Whether another process works on the run, as far as is known."""
        self._folder: RunFolder | None = None
        with suppress(OldumpError):
            self._folder = RunFolder(settings.out, date_of(day))

    def report_start(self) -> None:
        """Report that the run starts."""
        with self._errors_logged("metrics"):
            self._is_busy_elsewhere = self._is_busy()
            if not self._is_busy_elsewhere:
                self._update_metrics(metrics_file.start_figures(self._clock()))
        with self._errors_logged("ping_url"):
            self._log_failures(self._send(self._ping(Event.START, f"{self._date}: started", self._timeouts.start)))

    def report_end(self, exit_code: int, error: BaseException | None) -> None:
        """Report how the run ended. A signal meanwhile only cuts the notifications short."""
        try:
            with self._run_log(error), self._errors_logged("end"):
                ending = Ending(exit_code, error, time.monotonic() - self._started, self._journal(error))
                with self._errors_logged("metrics"):
                    self._update_metrics(self._figures(ending))
                self._log_failures(self._send(self._end_notifications(ending)))
        except BaseException as signalled:  # noqa: BLE001 - the run is over, and its outcome must not change
            log.warning("%s while sending notifications: some may not have been sent", signalled)

    def send_test(self) -> Iterator[Check]:
        """Send a test to the dead man's switch, Sentry and both hooks; yield whether each succeeded."""
        settings, timeouts = self._settings, self._timeouts
        variables = {**self._variables(None), "DUMP_OUTCOME": "trial"}
        failures = self._send(
            [
                *self._ping(Event.LOG, "test notification of oldump doctor --notify", timeouts.end),
                *self._sentry_event(None, {}, timeouts.end),
                *self._hook("on_success", settings.on_success, variables, timeouts.hook),
                *self._hook("on_failure", settings.on_failure, variables, timeouts.hook),
            ]
        )
        for setting, failure in failures.items():
            if failure is None:
                yield Check.passed(f"{setting} test", "succeeded")
            else:
                error = ConfigurationError(f"{setting}: {failure}", "Correct the setting.")
                yield Check.failed(f"{setting} test", error)

    # --------------------------------------------------------------------------------------------------- contents

    def _end_notifications(self, ending: Ending) -> Iterator[Notification]:
        timeout = self._timeouts.stopped if ending.is_stopped else None
        error = self._redacted(ending.error_text)[:_MAX_ERROR_CHARACTERS]
        yield from self._ping(ending.event, self._ping_body(ending, error), timeout or self._timeouts.end)
        name = {Event.SUCCESS: "on_success", Event.FAILURE: "on_failure"}.get(ending.event)
        if name:
            command = str(getattr(self._settings, name))
            yield from self._hook(name, command, self._variables(ending, error), timeout or self._timeouts.hook)
        if ending.error is not None:
            tags = {
                "exit_code": str(ending.exit_code),
                "stage": failed_stage_of(ending.error) or "none",
                "date": self._date,
            }
            yield from self._sentry_event(ending.error, tags, timeout or self._timeouts.end)

    def _ping(self, event: Event, body: str, timeout: float) -> Iterator[Notification]:
        url = self._settings.ping_url.get_secret_value()
        if url:
            ping = partial(pings.ping, url, event, self._run_id, body)
            yield Notification("ping_url", timeout, partial(Call, ping))

    def _sentry_event(
        self, error: BaseException | None, tags: dict[str, str], timeout: float
    ) -> Iterator[Notification]:
        if self._settings.sentry:
            capture = partial(sentry.capture, self._settings.sentry, error, tags, self._redacted, "oldump test event")
            yield Notification("sentry_dsn", timeout, partial(Call, capture))

    @staticmethod
    def _hook(setting: str, command: str, variables: dict[str, str], timeout: float) -> Iterator[Notification]:
        if command:
            yield Notification(setting, timeout, partial(Hook, command, variables))

    def _ping_body(self, ending: Ending, error: str) -> str:
        after = f"after {ending.seconds:.0f} s"
        if ending.error is not None:
            return f"{self._date}: failed {after} with exit code {ending.exit_code}: {error}"
        return f"{self._date}: {'complete' if ending.is_complete else 'ended well, not complete yet,'} {after}"

    def _variables(self, ending: Ending | None, error: str = "") -> dict[str, str]:
        """Return a hook's environment variables; ending is None for a test."""
        folder = self._folder
        variables = {"DUMP_DATE": self._date, "DUMP_LOG": str(folder.log.absolute()) if folder else ""}
        if ending is None:
            return {**variables, "DUMP_OUTCOME": "", "DUMP_FOLDER": "", "DUMP_EXIT_CODE": "0", "DUMP_SECONDS": "0"}
        return {
            **variables,
            "DUMP_OUTCOME": "success" if ending.is_complete else "failure",
            "DUMP_FOLDER": str(folder.published(folder.items[1]).absolute()) if folder and ending.is_complete else "",
            "DUMP_EXIT_CODE": str(ending.exit_code),
            "DUMP_SECONDS": f"{ending.seconds:.0f}",
            "DUMP_STAGE": failed_stage_of(ending.error),
            # An environment variable cannot contain NUL or lone surrogates.
            "DUMP_ERROR": error.replace("\0", " ").encode(errors="backslashreplace").decode(),
        }

    @property
    def _date(self) -> str:
        return str(self._folder.date) if self._folder else "no date"

    # ---------------------------------------------------------------------------------------------------- sending

    def _send(self, notifications: Iterable[Notification]) -> dict[str, str | None]:
        """Send all notifications in parallel; return why each failed, None if it succeeded, by setting."""
        failures: dict[str, str | None] = {}
        with ExitStack() as stack:
            sent: list[tuple[str, TimedTask, float]] = []
            for setting, timeout, send in notifications:
                try:
                    with stop_signals_held():
                        task = send()
                        stack.callback(task.end)
                except (OSError, ValueError) as error:
                    failures[setting] = self._redacted(str(error))
                else:
                    sent.append((setting, task, time.monotonic() + timeout))
            for setting, task, deadline in sent:
                failure = task.failure(deadline)
                failures[setting] = failure and self._redacted(failure)
                for line in task.output:
                    log.info("%s: %s", setting, self._redacted(line))
        return failures

    @staticmethod
    def _log_failures(failures: dict[str, str | None]) -> None:
        for setting, failure in failures.items():
            if failure is not None:
                log.warning("notification %s failed: %s", setting, failure)

    @contextmanager
    def _errors_logged(self, setting: str) -> Iterator[None]:
        """Log an exception of the block as a warning, and suppress it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a notification that fails never fails a run
            message = str(error) if isinstance(error, OldumpError) else f"{type(error).__name__}: {error}"
            self._log_failures({setting: self._redacted(message)})

    @contextmanager
    def _run_log(self, error: BaseException | None) -> Iterator[None]:
        """Also log to the run's log file, unless another process works on the run."""
        is_ours = not self._is_busy_elsewhere and not isinstance(error, RunBusy)
        with ExitStack() as stack:
            if self._folder and self._folder.private.is_dir() and is_ours:
                with suppress(OldumpError):
                    stack.enter_context(logged(self._folder.log))
            yield

    def _update_metrics(self, figures: Figures) -> None:
        if self._settings.metrics and figures:
            metrics_file.update(Path(self._settings.metrics), figures)

    def _figures(self, ending: Ending) -> Figures:
        """Return the figures that change at the end; none if another process works on the run and reports them."""
        if isinstance(ending.error, RunBusy):
            return {}
        if ending.error is not None:
            return metrics_file.failure_figures(self._clock(), ending.exit_code)
        if ending.journal is None or self._folder is None or not ending.is_complete:
            return {}
        memory_bytes = metrics_file.peak_memory_bytes(self._folder.status)
        return metrics_file.success_figures(self._clock(), ending.journal, self._folder.date, memory_bytes)

    def _is_busy(self) -> bool:
        """Whether another process works on the run."""
        try:
            if self._folder:
                require_free(self._folder.lock, _WITHOUT_WAITING)
        except RunBusy:
            return True
        return False

    def _journal(self, error: BaseException | None) -> Journal | None:
        return Journal(self._folder.journal) if self._folder and error is None else None
