"""Arguments and options that several commands share, and the settings made from them."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from oldump.settings import Settings

log = logging.getLogger("oldump")

Source = Annotated[
    str | None,
    typer.Option(
        metavar="DSN|FILE",
        help="PostgreSQL connection, file of COPY text (plain or gzip), or - for standard input "
        "(default: the database named by PSQL_PARAMS or libpq's variables and files).",
    ),
]
Coverstore = Annotated[
    str | None, typer.Option(metavar="DSN", help="PostgreSQL connection to coverstore, for covers_metadata.")
]
ArchiveDatabase = Annotated[
    str | None,
    typer.Option(metavar="DSN", help="PostgreSQL connection to the Internet Archive's database, for ia-metadata."),
]
Out = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Output folder for items and runs (default: current folder).")
]
Tmpdir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for temporary files (default: TMPDIR, else the run's folder or /tmp)."),
]
Jobs = Annotated[
    int | None, typer.Option(metavar="N", help="Database connections that copy table data in parallel (default: 2).")
]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Number of worker processes (default: one per core).")]
Memory = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="Memory limit for all processes together, such as 512M (default: 2G)."),
]
MaxRejects = Annotated[
    int | None, typer.Option(metavar="N", help="Fail if more rows than this are rejected (default: 1000).")
]
Withhold = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=REASON", help="Leave out all records of KEY (repeatable); REASON is recorded in the manifest."
    ),
]
Checkpoint = Annotated[
    float | None, typer.Option(metavar="SECONDS", help="Interval between checkpoints of a stage (default: 120).")
]
Level = Annotated[
    int | None, typer.Option(metavar="1-9", help="gzip compression level of published files (default: 6).")
]
Archive = Annotated[
    bool | None,
    typer.Option("--archive/--no-archive", help="Upload the complete run to archive.org and update latest.json."),
]
IaConfig = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="ia.ini file with the archive.org keys (default: where `ia` looks for it)."),
]
Sitemaps = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Replace the sitemaps in DIR once the run is complete (default: no sitemaps)."),
]
LogFormat = Annotated[
    str | None, typer.Option(metavar="text|json", help="Format of log lines on standard error (default: text).")
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Start from scratch; keep the existing files until the new run is complete."),
]
OverrideGate = Annotated[
    str | None,
    typer.Option(metavar="REASON", help="Publish despite the gate's findings; REASON is recorded in the manifest."),
]
Only = Annotated[list[str] | None, typer.Option(metavar="STAGE", help="Run only this stage (repeatable).")]
Skip = Annotated[list[str] | None, typer.Option(metavar="STAGE", help="Skip this stage (repeatable).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done without doing it.")]
Rejects = Annotated[Path, typer.Option(metavar="FILE", help="File to write rejected rows to.")]
Date = Annotated[
    str | None, typer.Argument(metavar="[DATE]", help="YYYY-MM-DD (default: the last day of the previous month, UTC).")
]
# readable=False: oldump reports an unreadable file itself, with its own exit code
File = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", readable=False, help="Plain or gzip (default: standard input).")
]
DumpOrIndex = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        readable=False,
        help="A dump or the output of `oldump index`, plain or gzip; - for standard input.",
    ),
]
NewFolder = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Output folder. Existing files stay until the new ones are complete."),
]


_CONNECTIONS = ("source", "coverstore", "archive_database")
"""The options that may contain a password."""


def run_settings(given: dict[str, Any]) -> "Settings":
    """Return the settings of a command that concerns a run, and warn of passwords in its arguments.

    given: all of the command's parameters; those that are not settings are ignored. Raises ConfigurationError.
    """
    from oldump.pipeline.sources import with_psql_params
    from oldump.settings import Settings

    settings = Settings.of(**{name: given[name] for name in given.keys() & Settings.model_fields.keys()})
    warn_of_passwords(**{name: given[name] for name in _CONNECTIONS if name in given})
    return with_psql_params(settings)


def warn_of_passwords(**options: str | None) -> None:
    """Warn if a connection contains a password: argument lists are visible to others. Raises ConfigurationError."""
    from oldump.pipeline.sources import has_password
    from oldump.settings import flag_of

    for name, given in options.items():
        if given and has_password(name, given):
            log.warning(
                "every user of this machine can read the password in %s: put it in a password file (~/.pgpass)",
                flag_of(name),
            )


def input_path(file: Path | None) -> Path | None:
    """Return the path of an input file; None for standard input, given as `-` or by default."""
    return None if file is None or str(file) == "-" else file
