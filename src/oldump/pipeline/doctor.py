"""`oldump doctor`: run all checks for a run, and change nothing."""

from datetime import date

from oldump.pipeline.check import Check
from oldump.pipeline.choice import Choice
from oldump.pipeline.preflight import checks, lock_check
from oldump.pipeline.state import RunState
from oldump.pipeline.work import planned_work
from oldump.run.folder import RunFolder
from oldump.settings import Settings


def examine(settings: Settings, day: date, choice: Choice) -> list[Check]:
    """Return the results of all checks for the chosen stages. Stages in the journal need no disk space.

    Raises StorageError if the journal cannot be read.
    """
    state = RunState(settings, RunFolder(settings.out, day), choice)
    uncommitted = [stage for stage in choice.stages if stage.name not in state.journal.stages]
    return [
        lock_check(state.folder),
        *checks(planned_work(choice.stages, uncommitted, state)),
        *(delivery.check(settings) for delivery in choice.deliveries),
    ]
