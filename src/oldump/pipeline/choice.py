"""Which stages and deliveries a command runs: what the settings require, without what --only and --skip leave out.

Does not: know what is committed (`state` does).
"""

from typing import NamedTuple

from oldump.errors import ConfigurationError
from oldump.pipeline.sources import connection_of, is_database
from oldump.pipeline.stage import Delivery, Stage
from oldump.pipeline.table import DELIVERIES, STAGES
from oldump.settings import Settings, flag_of


class Choice(NamedTuple):
    """The stages and deliveries of a command."""

    stages: list[Stage]
    """The stages that this command may run."""
    needed: list[str]
    """The stages that a complete run must have committed."""
    deliveries: list[Delivery]

    @property
    def omits_stages(self) -> bool:
        """Whether a needed stage is not to be run."""
        return [stage.name for stage in self.stages] != self.needed


def choose(only: list[str], skip: list[str], settings: Settings) -> Choice:
    """Return the choice that --only, --skip and the settings make.

    Raises ConfigurationError if a name is unknown, does not apply, or if nothing is left.
    """
    names = [each.name for each in (*STAGES, *DELIVERIES)]
    for name in (*only, *skip):
        if name not in names:
            raise ConfigurationError(f"{name!r} is not a stage", f"Use one of: {', '.join(names)}.")
    applicable = [stage for stage in STAGES if applies(stage, settings)]
    requested = [delivery for delivery in DELIVERIES if getattr(settings, delivery.name)]
    _require_applicable(set(only) - {each.name for each in (*applicable, *requested)})
    chosen = {name for name in names if (not only or name in only) and name not in skip}
    stages = [stage for stage in applicable if stage.name in chosen]
    deliveries = [delivery for delivery in requested if delivery.name in chosen]
    if not stages and not deliveries:
        raise ConfigurationError("--only and --skip leave nothing to run", "Omit one of them.")
    needed = [stage.name for stage in applicable if not (stage.is_optional and stage.name in skip)]
    return Choice(stages, needed, deliveries)


def applies(stage: Stage, settings: Settings) -> bool:
    """Whether a run with these settings includes the stage.

    A run from a database includes all stages. A run from a file includes those whose database is configured.
    """
    if stage.database is None or is_database(settings.source):
        return True
    return connection_of(stage.database, settings) is not None


def _require_applicable(names: set[str]) -> None:
    """Refuse --only with the names of stages that do not apply."""
    for delivery in DELIVERIES:
        if delivery.name in names:
            raise ConfigurationError(f"{delivery.name} is not requested", f"Set {flag_of(delivery.name)} too.")
    if names:
        raise ConfigurationError(
            f"{', '.join(sorted(names))}: not part of a run from a file",
            "Set --source to a database connection, or omit --only.",
        )
