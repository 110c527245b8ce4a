"""Settings: flags, then OLDUMP_… environment variables, then oldump.toml, then the defaults here.

A password belongs in libpq's own places (PGPASSFILE, ~/.pgpass, a service file); one that stands in `source` is used,
but shown nowhere.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from oldump.errors import ConfigurationError

DEFAULT_TOML = "oldump.toml"
_PREFIX = "OLDUMP_"
_TOML_VARIABLE = "OLDUMP_TOML"
_TEST_PREFIX = "OLDUMP_TESTS_"
_FLAGLESS = (
    "gate_",
    "late_",
    "archive_collection",
    "archive_creator",
    "archive_licence",
    "archive_url",
    "archive_patience",
    "archive_backoff",
    "metrics",
    "on_",
    "ping_",
    "sentry_",
)
"""What the names of settings begin with that have no flag: they are chosen once, not for each run."""
LEAST_MEMORY_BYTES = 192 << 20

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9/_.~-]*)?", re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size_bytes(text: object) -> object:
    """Bytes, from '512M', '2GiB' (both in powers of 1024) or a number. Raises ValueError."""
    if not isinstance(text, str):
        return text
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write 512M or 2G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _enough_memory(size_bytes: int) -> int:
    if size_bytes < LEAST_MEMORY_BYTES:
        raise ValueError(f"at least {LEAST_MEMORY_BYTES >> 20}M are needed")
    return size_bytes


def _none_if_empty(text: Any) -> Any:  # noqa: ANN401 - of any type: pydantic looks at it next
    return text or None


def _address(text: str) -> str:
    """The address without a slash at its end. Raises ValueError."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is not an address: write https://openlibrary.org, say")
    return text.rstrip("/")


class NotificationSettings(BaseSettings):
    """Who is told of runs, and where these lie: readable apart from the rest, so that they hear of a mistake in it."""

    # What is wrong with a value is said without the value, which may be a secret.
    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    out: Path = Path()
    """The folder that holds items and runs."""
    metrics: str = ""
    """The file NAME.prom for node_exporter's textfile collector; empty: none."""
    ping_url: SecretStr = SecretStr("")
    """The URL of a dead man's switch with healthchecks.io's conventions; empty: none."""
    sentry_dsn: SecretStr = SecretStr("")
    """Where Sentry hears of failures; empty: what the variable SENTRY_DSN says."""
    on_success: str = ""
    """A line for /bin/sh when a run is complete; empty: none."""
    on_failure: str = ""
    """The same when a run failed."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags before variables before the file."""
        toml = TomlConfigSettingsSource(settings_cls, Path(_toml()))
        return init_settings, env_settings, toml

    @classmethod
    def load_leniently(cls, out: Path | None) -> "NotificationSettings":
        """What can be read of it, whatever is wrong elsewhere: all, else what variables say, else nothing.

        out: what the flag says.
        """
        told = NotificationSettings.model_construct()
        for source in (_NotificationSettingsWithoutFile, NotificationSettings):
            with suppress(OSError, RecursionError, ValueError):
                told = source()
        return told if out is None else told.model_copy(update={"out": out})

    @property
    def sentry(self) -> str:
        """The DSN, wherever it stands."""
        return self.sentry_dsn.get_secret_value() or os.environ.get("SENTRY_DSN", "")

    @property
    def is_any_set(self) -> bool:
        """Whether anybody is told."""
        return any((self.metrics, self.ping_url.get_secret_value(), self.sentry, self.on_success, self.on_failure))


class _NotificationSettingsWithoutFile(NotificationSettings):
    """The same, when oldump.toml cannot be read."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables alone."""
        return init_settings, env_settings


class Settings(NotificationSettings):
    """All that a run can be told."""

    model_config = SettingsConfigDict(extra="forbid")

    source: str = ""
    """A COPY-text file, '-' for standard input, or a PostgreSQL connection (URI or key=value words); empty:
    PSQL_PARAMS, or else libpq's own variables and files say which database."""
    coverstore: str = ""
    """A PostgreSQL connection to coverstore; empty: there is none."""
    archive_database: str = ""
    """A PostgreSQL connection to the Internet Archive's table `metadata`; empty: there is none."""
    jobs: int = Field(2, ge=1, le=64)
    """Connections that copy table `data` at a time."""
    tmpdir: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        default_factory=lambda: _none_if_empty(os.environ.get("TMPDIR"))
    )
    """The folder that holds the spill, on another disk perhaps; none: it lies beside what is made of it."""
    workers: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, le=512)
    """Worker processes."""
    memory: Annotated[int, BeforeValidator(size_bytes), AfterValidator(_enough_memory)] = 2 << 30
    """What all processes together may use."""
    checkpoint: float = Field(120, ge=0)
    """Seconds between two checkpoints of a stage: what is lost at most of its work when it is killed."""
    max_rejects: int = Field(1_000, ge=0)
    """More rejected rows than this fail the run."""
    level: int = Field(6, ge=1, le=9)
    """The gzip level of what is published."""
    log_format: Literal["text", "json"] = "text"
    """How log lines look on standard error."""
    late_days: int = Field(3, ge=0)
    """A run of the last month that is not complete so many days after its date is late."""
    sitemaps: Annotated[Path | None, BeforeValidator(_none_if_empty)] = None
    """The folder of the site's sitemaps, replaced behind a complete run; none: they are not made."""
    base_url: Annotated[str, AfterValidator(_address)] = Field("https://openlibrary.org", max_length=500)
    """The site's address, in sitemaps."""
    gate_records_fall: float = Field(0.05, ge=0, le=1)
    """A greater fall, as a share, of the records of a part, a type or a table dump keeps a run from publication."""
    gate_cdump_fall: float = Field(0.01, ge=0, le=1)
    """The same of the records of the cdump, from which hardly anything is ever taken away."""
    gate_bytes_fall: float = Field(0.10, ge=0, le=1)
    """The same of the size of an artifact, and of its text."""
    gate_fill_fall: float = Field(0.10, ge=0, le=1)
    """The same of the share of documents in which a member has a value."""
    gate_lost: float = Field(0.001, ge=0, le=1)
    """A greater share of keys that are gone, or have an earlier revision, keeps a run from publication."""
    gate_changed: float = Field(0.5, ge=0, le=1)
    """The same of records that changed."""
    gate_newest_days: int = Field(3, ge=0)
    """A newest record that is more days before the cutoff keeps a run from publication."""
    gate_least: int = Field(100, ge=0)
    """A fall by fewer records than this is not looked at, whatever its share."""
    archive: bool = False
    """Whether a complete run is uploaded to archive.org."""
    ia_config: Path | None = None
    """The file ia.ini with the keys to archive.org; None: where the library looks itself."""
    archive_collection: str = Field("ol_exports", min_length=1)
    """The collection of archive.org that the items belong to."""
    archive_creator: str = "Open Library"
    """Who made the items, in their metadata."""
    archive_licence: str = "https://creativecommons.org/publicdomain/zero/1.0/"
    """The address of the items' licence, in their metadata."""
    archive_url: str = Field("https://archive.org", min_length=1)
    """What stands before /download/ in latest.json."""
    archive_patience_seconds: float = Field(6 * 3600, gt=0)
    """How long archive.org is waited for: to answer, and to show what was sent."""
    archive_backoff_seconds: float = Field(5, gt=0)
    """The first pause before archive.org is asked again; each further one is twice as long, up to 5 minutes."""

    @classmethod
    def of(cls, **flags: Any) -> Self:  # noqa: ANN401 - flags of any type; None is a flag that was not given
        """The settings, with these flags. Raises ConfigurationError."""
        _refuse_misspelt(cls.model_fields)
        try:
            return cls(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            if first["type"] == "extra_forbidden":
                raise ConfigurationError(
                    f"{name}, in {_toml()}, is no setting. There are: {', '.join(sorted(cls.model_fields))}."
                ) from error
            places = "" if name.startswith(_FLAGLESS) else f"{flag_of(name)}, "
            raise ConfigurationError(
                f"{name}: {first['msg'].removeprefix('Value error, ')}. It comes from {places}"
                f"OLDUMP_{name.upper()} or {DEFAULT_TOML}."
            ) from error
        except (RecursionError, ValueError) as error:  # oldump.toml is not TOML, or nests too deep
            raise ConfigurationError(f"{_toml()}: {error}.") from error
        except OSError as error:
            raise ConfigurationError(
                f"{_toml()}: cannot be read ({error.strerror})", "Let the user who runs oldump read it."
            ) from error


def flag_of(name: str) -> str:
    """The flag that gives a setting."""
    return f"--{name.replace('_', '-')}"


def _toml() -> str:
    return os.environ.get(_TOML_VARIABLE, DEFAULT_TOML)


def _refuse_misspelt(names: Iterable[str]) -> None:
    """A variable that sets nothing is a mistake that nobody would see."""
    known = {f"{_PREFIX}{name.upper()}" for name in names} | {_TOML_VARIABLE}
    for variable in os.environ:
        if variable.startswith(_PREFIX) and variable not in known and not variable.startswith(_TEST_PREFIX):
            raise ConfigurationError(f"{variable} is no setting. There are: {', '.join(sorted(known))}.")
    toml = os.environ.get(_TOML_VARIABLE)
    if toml and not Path(toml).is_file():
        raise ConfigurationError(f"{_TOML_VARIABLE} names {toml}, which is no file.")


def date_of(text: str | None) -> date:
    """The run's date, from YYYY-MM-DD; the last day of the month before (UTC) if there is none.

    Raises ConfigurationError.
    """
    if text is None:
        return datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        raise ConfigurationError(f"{text!r} is not a date: write YYYY-MM-DD, such as 2022-07-31.")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not a date: {error}.") from error


def reason_of(given: str | None) -> str | None:
    """The reason to let findings pass. Raises ConfigurationError if it says nothing."""
    if given is not None and not given.strip():
        raise ConfigurationError("--override-gate wants a reason: it is kept in the manifest, for readers to see.")
    return given
