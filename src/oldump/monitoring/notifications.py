"""Who is told of a run, and of what: metrics, a dead man's switch, Sentry, a hook.

A run that is refused, fails, is stopped, or meets a bug is told as a failure, with the exit code that it ends with; one
that is complete, now or before, as a success. One that ends well and is not complete yet is neither.

Does not: change how a run ends. What cannot be told is a warning in the log. Whoever is killed (kill -9) tells nobody:
that is what the dead man's switch is for.
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
from oldump.outside.timed_tasks import Call, Errand, Hook, stopping_held
from oldump.pipeline.preflight import Check
from oldump.run.folder import RunFolder
from oldump.run.journal import Journal
from oldump.run.lock import Timing, require_free
from oldump.run.log import logged
from oldump.settings import NotificationSettings, date_of

log = logging.getLogger("oldump")

_MOST_CHARACTERS = 2_000
"""Of an error, for those who are told."""
_AT_ONCE = Timing(watch=0, ending=0)
_SIGNALS = 128
"""The exit code of a process that a signal ended is more than this."""


@dataclass(frozen=True)
class Patience:
    """How long, in seconds, is waited for whoever is told: so much at most is a run delayed."""

    start: float = 10.0
    end: float = 40.0
    """Three tries to ping, of ten seconds."""
    hook: float = 60.0
    stopped: float = 3.0
    """All of it, when the run was stopped: a container is killed soon after."""


PATIENCE = Patience()


@dataclass(frozen=True)
class Ending:
    """How a run ended."""

    exit_code: int
    error: BaseException | None
    seconds: float
    journal: Journal | None
    """Of a run that went well."""

    @property
    def is_stopped(self) -> bool:
        """Whether a signal ended it."""
        return self.exit_code > _SIGNALS

    @property
    def is_complete(self) -> bool:
        """Whether it has published its items, now or before."""
        return self.journal is not None and self.journal.published

    @property
    def event(self) -> Event:
        """What the dead man's switch hears."""
        if self.error is not None:
            return Event.FAILURE
        return Event.SUCCESS if self.is_complete else Event.LOG

    @property
    def told(self) -> str:
        """What went wrong, with the secrets that may be in it; empty if nothing did."""
        if self.error is None:
            return ""
        if isinstance(self.error, OldumpError) or self.is_stopped:
            return str(self.error)
        return f"a bug: {type(self.error).__name__}: {self.error}"


class Planned(NamedTuple):
    """An errand that is not begun yet."""

    what: str
    """The setting that it comes from."""
    seconds: float
    begin: Callable[[], Errand]


@contextmanager
def announced(
    told: NotificationSettings,
    day: str | None,
    exit_code_of: Callable[[BaseException], int],
    patience: Patience = PATIENCE,
) -> Iterator[None]:
    """Tell whom the settings name that a run begins, and how it ended. day: as the command line has it.

    Nothing here is raised but what the run raises.
    """
    notices = Notices(told, day, patience)
    try:
        notices.begin()
        yield
    except BaseException as error:
        notices.end(exit_code_of(error), error)
        raise
    notices.end(0, None)


class Notices:
    """What is told of one run."""

    def __init__(
        self,
        told: NotificationSettings,
        day: str | None,
        patience: Patience = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """day: as the command line has it, which may be no date."""
        self._told, self._patience, self._clock = told, patience, clock
        self._run_id = str(uuid.uuid4())
        self._began = time.monotonic()
        self._redacted = Redaction([told.ping_url.get_secret_value(), told.sentry])
        self._is_others = False
        """Whether another process works on the run, as far as is known."""
        self._folder: RunFolder | None = None
        with suppress(OldumpError):
            self._folder = RunFolder(told.out, date_of(day))

    def begin(self) -> None:
        """Tell that the run begins."""
        with self._guarded("metrics"):
            self._is_others = self._is_busy()
            self._renew_metrics({} if self._is_others else metrics_file.of_start(self._clock()))
        with self._guarded("ping_url"):
            self._warn_of(self._performed(self._pings(Event.START, f"{self._date}: begins", self._patience.start)))

    def end(self, exit_code: int, error: BaseException | None) -> None:
        """Tell how it ended. A signal that arrives meanwhile only cuts this short."""
        try:
            with self._logged(error), self._guarded("notices"):
                ending = Ending(exit_code, error, time.monotonic() - self._began, self._journal(error))
                with self._guarded("metrics"):
                    self._renew_metrics(self._figures(ending))
                self._warn_of(self._performed(self._errands(ending)))
        except BaseException as signalled:  # noqa: BLE001 - the run is over, and ends as it did
            log.warning("%s while others were told how the run ended: some may not know", signalled)

    def tried(self) -> Iterator[Check]:
        """Whether everybody hears a trial: a line in the log of the dead man's switch, an event, both hooks."""
        told, patience = self._told, self._patience
        variables = {**self._variables(None), "DUMP_OUTCOME": "trial"}
        failures = self._performed(
            [
                *self._pings(Event.LOG, "a trial: oldump doctor --notify", patience.end),
                *self._sentry(None, {}, patience.end),
                *self._hook("on_success", told.on_success, variables, patience.hook),
                *self._hook("on_failure", told.on_failure, variables, patience.hook),
            ]
        )
        for what, failure in failures.items():
            if failure is None:
                yield Check.passed(f"{what}, tried", "went well")
            else:
                yield Check.failed(f"{what}, tried", ConfigurationError(f"{what}: {failure}", "Correct the setting."))

    # ---------------------------------------------------------------------------------------------- what is told

    def _errands(self, ending: Ending) -> Iterator[Planned]:
        """All that are to be done at the end."""
        most = self._patience.stopped if ending.is_stopped else None
        error = self._redacted(ending.told)[:_MOST_CHARACTERS]
        yield from self._pings(ending.event, self._body(ending, error), most or self._patience.end)
        name = {Event.SUCCESS: "on_success", Event.FAILURE: "on_failure"}.get(ending.event)
        if name:
            line = str(getattr(self._told, name))
            yield from self._hook(name, line, self._variables(ending, error), most or self._patience.hook)
        if ending.error is not None:
            tags = {
                "exit_code": str(ending.exit_code),
                "stage": failed_stage_of(ending.error) or "none",
                "date": self._date,
            }
            yield from self._sentry(ending.error, tags, most or self._patience.end)

    def _pings(self, event: Event, body: str, seconds: float) -> Iterator[Planned]:
        url = self._told.ping_url.get_secret_value()
        if url:
            yield Planned("ping_url", seconds, partial(Call, partial(pings.ping, url, event, self._run_id, body)))

    def _sentry(self, error: BaseException | None, tags: dict[str, str], seconds: float) -> Iterator[Planned]:
        if self._told.sentry:
            event = partial(sentry.capture, self._told.sentry, error, tags, self._redacted, "a trial of oldump's")
            yield Planned("sentry_dsn", seconds, partial(Call, event))

    @staticmethod
    def _hook(name: str, line: str, variables: dict[str, str], seconds: float) -> Iterator[Planned]:
        if line:
            yield Planned(name, seconds, partial(Hook, line, variables))

    def _body(self, ending: Ending, error: str) -> str:
        """For the dead man's switch."""
        after = f"after {ending.seconds:.0f} s"
        if ending.error is not None:
            return f"{self._date}: failed {after} with exit code {ending.exit_code}: {error}"
        return f"{self._date}: {'complete' if ending.is_complete else 'well, but not complete yet,'} {after}"

    def _variables(self, ending: Ending | None, error: str = "") -> dict[str, str]:
        """For a hook. None: of a trial."""
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
            # A variable holds neither a NUL nor half a character.
            "DUMP_ERROR": error.replace("\0", " ").encode(errors="backslashreplace").decode(),
        }

    @property
    def _date(self) -> str:
        return str(self._folder.date) if self._folder else "no date"

    # ----------------------------------------------------------------------------------------------- how it is done

    def _performed(self, errands: Iterable[Planned]) -> dict[str, str | None]:
        """Why each errand failed, None if it went well; all are under way at the same time."""
        failures: dict[str, str | None] = {}
        with ExitStack() as stack:
            begun: list[tuple[str, Errand, float]] = []
            for what, seconds, begin in errands:
                try:
                    with stopping_held():
                        errand = begin()
                        stack.callback(errand.end)
                except (OSError, ValueError) as error:
                    failures[what] = self._redacted(str(error))
                else:
                    begun.append((what, errand, time.monotonic() + seconds))
            for what, errand, until in begun:
                failure = errand.failure(until)
                failures[what] = failure and self._redacted(failure)
                for line in errand.output:
                    log.info("%s: %s", what, self._redacted(line))
        return failures

    @staticmethod
    def _warn_of(failures: dict[str, str | None]) -> None:
        for what, failure in failures.items():
            if failure is not None:
                log.warning("%s: nobody is told by it: %s", what, failure)

    @contextmanager
    def _guarded(self, what: str) -> Iterator[None]:
        """Whatever goes wrong is a warning."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a notification that fails never fails a run
            told = str(error) if isinstance(error, OldumpError) else f"{type(error).__name__}: {error}"
            self._warn_of({what: self._redacted(told)})

    @contextmanager
    def _logged(self, error: BaseException | None) -> Iterator[None]:
        """The run's log has it too, unless it is another process's now."""
        is_ours = not self._is_others and not isinstance(error, RunBusy)
        with ExitStack() as stack:
            if self._folder and self._folder.private.is_dir() and is_ours:
                with suppress(OldumpError):
                    stack.enter_context(logged(self._folder.log))
            yield

    def _renew_metrics(self, news: Figures) -> None:
        if self._told.metrics and news:
            metrics_file.renew(Path(self._told.metrics), news)

    def _figures(self, ending: Ending) -> Figures:
        """What is new at the end. A run that another process works on says nothing: it is that one's to say."""
        if isinstance(ending.error, RunBusy):
            return {}
        if ending.error is not None:
            return metrics_file.of_failure(self._clock(), ending.exit_code)
        if ending.journal is None or self._folder is None or not ending.is_complete:
            return {}
        memory_bytes = metrics_file.most_memory_bytes(self._folder.private / "status.json")
        return metrics_file.of_success(self._clock(), ending.journal, self._folder.date, memory_bytes)

    def _is_busy(self) -> bool:
        """Whether another process works on the run."""
        try:
            if self._folder:
                require_free(self._folder.lock, _AT_ONCE)
        except RunBusy:
            return True
        return False

    def _journal(self, error: BaseException | None) -> Journal | None:
        return Journal(self._folder.journal) if self._folder and error is None else None
