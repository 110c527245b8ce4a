"""Settings: from options, then OLDUMP_… environment variables, then oldump.toml, then the defaults here.

Passwords belong in libpq's own places (PGPASSFILE, ~/.pgpass, a service file). A password in `source` works, but is
never shown.
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
"""Prefixes of the settings without an option: they are set once, not for each run."""
LEAST_MEMORY_BYTES = 192 << 20

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9/_.~-]*)?", re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size_bytes(text: object) -> object:
    """Convert a size such as '512M' or '2GiB' (powers of 1024) to bytes. A number is in bytes. Raises ValueError."""
    if not isinstance(text, str):
        return text
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: use a number with a unit, such as 512M or 2G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _enough_memory(size_bytes: int) -> int:
    if size_bytes < LEAST_MEMORY_BYTES:
        raise ValueError(f"must be at least {LEAST_MEMORY_BYTES >> 20}M")
    return size_bytes


def _none_if_empty(text: Any) -> Any:  # noqa: ANN401 - any type: pydantic validates it next
    return text or None


def _reasons_by_key(given: Any) -> Any:  # noqa: ANN401 - any type: pydantic validates it next
    """Return a dict as it is, or one of a list of KEY=REASON. Raises ValueError if a key or a reason is missing."""
    pairs = given.items() if isinstance(given, dict) else [each.partition("=")[::2] for each in given]
    reasons = dict(pairs)
    for key, reason in reasons.items():
        if not key.startswith("/") or not str(reason).strip():
            raise ValueError(f"{key!r} needs a key such as /works/OL1W and a reason: KEY=REASON")
    return reasons


def _address(text: str) -> str:
    """Return the URL without a trailing slash. Raises ValueError."""
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is not a web address such as https://openlibrary.org")
    return text.rstrip("/")


class NotificationSettings(BaseSettings):
    """Where to report the outcome of runs, and the output folder.

    Loaded separately from the other settings, so that a mistake in those is reported too.
    """

    # Error messages omit the value, which may be a secret.
    model_config = SettingsConfigDict(env_prefix=_PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    out: Path = Path()
    """Output folder for items and runs."""
    metrics: str = ""
    """File NAME.prom for node_exporter's textfile collector; empty: none."""
    ping_url: SecretStr = SecretStr("")
    """URL of a dead man's switch that follows healthchecks.io's conventions; empty: none."""
    sentry_dsn: SecretStr = SecretStr("")
    """Sentry DSN for reporting failures; empty: the value of SENTRY_DSN."""
    on_success: str = ""
    """Shell command to run when a run is complete; empty: none."""
    on_failure: str = ""
    """Shell command to run when a run failed; empty: none."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in order of precedence: options, environment variables, file."""
        toml = TomlConfigSettingsSource(settings_cls, Path(_toml()))
        return init_settings, env_settings, toml

    @classmethod
    def load_leniently(cls, out: Path | None) -> "NotificationSettings":
        """Load as much as possible, without raising an error: everything, else only variables, else the defaults.

        out: the value of the option --out.
        """
        told = NotificationSettings.model_construct()
        for source in (_NotificationSettingsWithoutFile, NotificationSettings):
            with suppress(OSError, RecursionError, ValueError):
                told = source()
        return told if out is None else told.model_copy(update={"out": out})

    @property
    def sentry(self) -> str:
        """The Sentry DSN, from the settings or from SENTRY_DSN."""
        return self.sentry_dsn.get_secret_value() or os.environ.get("SENTRY_DSN", "")

    @property
    def is_any_set(self) -> bool:
        """Whether any notification is configured."""
        return any((self.metrics, self.ping_url.get_secret_value(), self.sentry, self.on_success, self.on_failure))


class _NotificationSettingsWithoutFile(NotificationSettings):
    """Notification settings from environment variables only, for when oldump.toml is unreadable."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources without the file."""
        return init_settings, env_settings


class Settings(NotificationSettings):
    """All settings of a run."""

    model_config = SettingsConfigDict(extra="forbid")

    source: str = ""
    """A file of COPY text, '-' for standard input, or a PostgreSQL connection (URI or key=value pairs); empty: the
    database named by PSQL_PARAMS, or by libpq's own variables and files."""
    coverstore: str = ""
    """PostgreSQL connection to coverstore; empty: none."""
    archive_database: str = ""
    """PostgreSQL connection to the database with the Internet Archive's table `metadata`; empty: none."""
    jobs: int = Field(2, ge=1, le=64)
    """Database connections that copy table `data` in parallel."""
    tmpdir: Annotated[Path | None, BeforeValidator(_none_if_empty)] = Field(
        default_factory=lambda: _none_if_empty(os.environ.get("TMPDIR"))
    )
    """Folder for the spill, possibly on another disk; None: next to the output."""
    workers: int = Field(default_factory=lambda: len(os.sched_getaffinity(0)), ge=1, le=512)
    """Number of worker processes."""
    memory: Annotated[int, BeforeValidator(size_bytes), AfterValidator(_enough_memory)] = 2 << 30
    """Memory limit in bytes for all processes together."""
    checkpoint: float = Field(120, ge=0)
    """Seconds between checkpoints of a stage: the most work that is lost if it is killed."""
    max_rejects: int = Field(1_000, ge=0)
    """The run fails if more rows than this are rejected."""
    withhold: Annotated[dict[str, str], BeforeValidator(_reasons_by_key)] = Field(default_factory=dict)
    """Keys whose records are left out, with the operator's reasons. Those of options and of oldump.toml add up."""
    level: int = Field(6, ge=1, le=9)
    """gzip compression level of published files."""
    log_format: Literal["text", "json"] = "text"
    """Format of log lines on standard error."""
    late_days: int = Field(3, ge=0)
    """Days after its date when last month's run counts as late, unless it is complete."""
    sitemaps: Annotated[Path | None, BeforeValidator(_none_if_empty)] = None
    """Folder of sitemaps to replace once a run is complete; None: make no sitemaps."""
    base_url: Annotated[str, AfterValidator(_address)] = Field("https://openlibrary.org", max_length=500)
    """Address of the site, used in sitemaps."""
    gate_records_fall: float = Field(0.05, ge=0, le=1)
    """The gate closes if the records of a part, type or table dump fall by more than this share."""
    gate_cdump_fall: float = Field(0.01, ge=0, le=1)
    """The gate closes if the records of the cdump fall by more than this share; they should hardly ever fall."""
    gate_bytes_fall: float = Field(0.10, ge=0, le=1)
    """The gate closes if the size of an artifact or of its text falls by more than this share."""
    gate_fill_fall: float = Field(0.10, ge=0, le=1)
    """The gate closes if the share of documents with a value in some member falls by more than this share."""
    gate_lost: float = Field(0.001, ge=0, le=1)
    """The gate closes if more than this share of keys is gone or has an earlier revision."""
    gate_changed: float = Field(0.5, ge=0, le=1)
    """The gate closes if more than this share of keys has a changed record."""
    gate_repeated: float = Field(0.001, ge=0, le=1)
    """The gate closes if records with the key and revision of another rise by more than this share of all."""
    gate_newest_days: int = Field(3, ge=0)
    """The gate closes if the newest record is more days than this before the cutoff."""
    gate_least: int = Field(100, ge=0)
    """The gate ignores falls by fewer records than this."""
    archive: bool = False
    """Whether to upload a complete run to archive.org."""
    ia_config: Path | None = None
    """The ia.ini file with the archive.org keys; None: the internetarchive library's default."""
    archive_collection: str = Field("ol_exports", min_length=1)
    """archive.org collection of the items."""
    archive_creator: str = "Open Library"
    """Creator in the items' metadata."""
    archive_licence: str = "https://creativecommons.org/publicdomain/zero/1.0/"
    """URL of the licence in the items' metadata."""
    archive_url: str = Field("https://archive.org", min_length=1)
    """Base of the download URLs in latest.json."""
    archive_patience_seconds: float = Field(6 * 3600, gt=0)
    """How long to wait for archive.org to answer, and to show the uploaded files."""
    archive_backoff_seconds: float = Field(5, gt=0)
    """First delay before a request to archive.org is retried; it doubles each time, up to 5 minutes."""

    @classmethod
    def of(cls, **flags: Any) -> Self:  # noqa: ANN401 - any type; None: option not given
        """Return the settings, given these options. Raises ConfigurationError."""
        _refuse_misspelt(cls.model_fields)
        given = {name: value for name, value in flags.items() if value is not None}
        try:
            if "withhold" in given:  # as a dict, it is merged with that of oldump.toml
                given["withhold"] = _reasons_by_key(given["withhold"])
        except ValueError as error:
            raise ConfigurationError(f"--withhold: {error}.") from error
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            if first["type"] == "extra_forbidden":
                raise ConfigurationError(
                    f"{_toml()}: unknown setting {name}", f"Settings are: {', '.join(sorted(cls.model_fields))}."
                ) from error
            places = "" if name.startswith(_FLAGLESS) else f"{flag_of(name)}, "
            raise ConfigurationError(
                f"{name}: {first['msg'].removeprefix('Value error, ')}",
                f"Check {places}OLDUMP_{name.upper()} or {DEFAULT_TOML}.",
            ) from error
        except (RecursionError, ValueError) as error:  # oldump.toml is not valid TOML, or nested too deeply
            raise ConfigurationError(f"{_toml()}: {error}.") from error
        except OSError as error:
            raise ConfigurationError(
                f"{_toml()}: cannot be read ({error.strerror})", "Make it readable for the user who runs oldump."
            ) from error


def flag_of(name: str) -> str:
    """Return the command-line option of a setting."""
    return f"--{name.replace('_', '-')}"


def _toml() -> str:
    return os.environ.get(_TOML_VARIABLE, DEFAULT_TOML)


def _refuse_misspelt(names: Iterable[str]) -> None:
    """Refuse unknown OLDUMP_… variables: a misspelled one would be ignored silently."""
    known = {f"{_PREFIX}{name.upper()}" for name in names} | {_TOML_VARIABLE}
    for variable in os.environ:
        if variable.startswith(_PREFIX) and variable not in known and not variable.startswith(_TEST_PREFIX):
            raise ConfigurationError(f"unknown variable {variable}", f"Variables are: {', '.join(sorted(known))}.")
    toml = os.environ.get(_TOML_VARIABLE)
    if toml and not Path(toml).is_file():
        raise ConfigurationError(f"{_TOML_VARIABLE}: no such file: {toml}", "Correct or unset the variable.")


def date_of(text: str | None) -> date:
    """Parse a run's date, YYYY-MM-DD; None is the last day of the previous month (UTC).

    Raises ConfigurationError.
    """
    if text is None:
        return datetime.now(UTC).date().replace(day=1) - timedelta(days=1)
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        raise ConfigurationError(f"{text!r} is not a date", "Use YYYY-MM-DD, such as 2022-07-31.")
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not a date: {error}.") from error


def reason_of(given: str | None) -> str | None:
    """Return the reason for overriding the gate, unchanged. Raises ConfigurationError if it is blank."""
    if given is not None and not given.strip():
        raise ConfigurationError("--override-gate needs a reason", "Give one: the manifest publishes it.")
    return given
