"""The steps of the old procedure as separate commands, mostly for pipes: "Old steps" in the help."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from oldump.cli.options import (
    ArchiveDatabase,
    File,
    MaxRejects,
    Memory,
    Rejects,
    Tmpdir,
    Withhold,
    Workers,
    input_path,
    warn_of_passwords,
)
from oldump.cli.output import filter_progress, standard_output
from oldump.errors import ConfigurationError

log = logging.getLogger("oldump")


def cdump(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", readable=False, help="COPY text of the data table, plain or gzip; - for standard input."
        ),
    ],
    date: Annotated[
        str | None, typer.Argument(metavar="[DATE]", help="YYYY-MM-DD: omit later records (default: keep all).")
    ] = None,
    workers: Workers = None,
    memory: Memory = None,
    max_rejects: MaxRejects = None,
    withhold: Withhold = None,
    rejects: Rejects = Path("rejects.txt.gz"),
) -> None:
    """Convert the rows in FILE to records, in the same order.

    Writes them to standard output.
    """
    from oldump.settings import Settings, date_of
    from oldump.stages.dumps import cdump as stage

    settings = Settings.of(workers=workers, memory=memory, max_rejects=max_rejects, withhold=withhold)
    day = None if date is None else date_of(date)
    path = input_path(file)
    with standard_output() as output, filter_progress(reads_input=path is None) as progress:
        counts = stage.write_cdump(path, day, output, rejects, settings, progress)
    log.info("cdump: %s", counts)
    if counts.rejects:
        log.warning("cdump: the rejected rows are in %s", rejects)


def sort(
    file: File = None,
    tmpdir: Tmpdir = None,
    workers: Workers = None,
    memory: Memory = None,
) -> None:
    """Sort records by key, then by revision.

    Writes them to standard output.
    """
    from oldump.settings import Settings
    from oldump.stages.dumps import sort as stage

    settings = Settings.of(tmpdir=tmpdir, workers=workers, memory=memory)
    path = input_path(file)
    with standard_output() as output, filter_progress(reads_input=path is None) as progress:
        records = stage.write_sorted(path, output, settings.tmpdir, settings, progress)
    log.info("sort: %s records", f"{records:,}")


def dump(file: File = None) -> None:
    """Keep only the latest record of each key.

    The input must be sorted. Writes to standard output.
    """
    from oldump.stages.dumps import dump as stage

    path = input_path(file)
    with standard_output() as output, filter_progress(reads_input=path is None) as progress:
        records = stage.write_latest(path, output, progress)
    log.info("dump: %s records", f"{records:,}")


def split(
    file: File = None,
    name_format: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME_%s.txt.gz", help="Pattern for file names; %s is replaced by the part's name."
        ),
    ] = "ol_dump_%s.txt.gz",
    workers: Workers = None,
) -> None:
    """Split records into one file per part.

    The parts are authors, deletes, editions, lists, other, redirects and works.
    """
    from oldump.settings import Settings
    from oldump.stages.dumps import split as stage

    settings = Settings.of(workers=workers)
    path = input_path(file)
    with filter_progress(reads_input=path is None, writes_data=False) as progress:
        counts = stage.write_parts(path, name_format, settings, progress)
    for part, records in counts.items():
        log.info("split: %s, %s records", part, f"{records:,}")


def idump(
    day: Annotated[str, typer.Argument(metavar="DAY", help="YYYY-MM-DD, in UTC.")],
    source: Annotated[
        str | None,
        typer.Option(
            metavar="DSN", help="PostgreSQL connection (default: the database named by libpq's variables and files)."
        ),
    ] = None,
    max_rejects: MaxRejects = None,
    withhold: Withhold = None,
    rejects: Rejects = Path("rejects.txt.gz"),
) -> None:
    """Write the records created on DAY, in order of creation.

    Writes to standard output.
    """
    from oldump.outside.postgres.snapshot import SnapshotConnection
    from oldump.pipeline.check import CheckStatus
    from oldump.pipeline.preflight import date_check
    from oldump.pipeline.sources import checked_connection_of, with_psql_params
    from oldump.settings import Settings, date_of
    from oldump.stages.dumps import idump as stage

    settings = with_psql_params(Settings.of(source=source, max_rejects=max_rejects, withhold=withhold))
    warn_of_passwords(source=source)
    conninfo = checked_connection_of("source", settings)
    if conninfo is None:
        raise ConfigurationError("idump reads from a database, not a file", "Set --source to a PostgreSQL connection.")
    check = date_check(date_of(day), datetime.now(UTC).date())
    if check.status is CheckStatus.WARNING:
        log.warning("%s", check)
    with (
        SnapshotConnection(conninfo, stage.TABLES) as snapshot,
        standard_output() as output,
        filter_progress(reads_input=False) as progress,
    ):
        counts = stage.idump(snapshot, date_of(day), output, rejects, settings, progress)
    log.info("idump: %s", counts)
    if counts.rejects:
        log.warning("idump: the rejected rows are in %s", rejects)


def ia_metadata(archive_database: ArchiveDatabase = None) -> None:
    """List the archive's texts: identifier, boxid and collection.

    Writes to standard output, sorted by identifier.
    """
    from oldump.outside.postgres.snapshot import SnapshotConnection
    from oldump.pipeline.sources import checked_connection_of
    from oldump.settings import Settings, date_of
    from oldump.stages import tables

    warn_of_passwords(archive_database=archive_database)
    conninfo = checked_connection_of("archive_database", Settings.of(archive_database=archive_database))
    if conninfo is None:
        raise ConfigurationError(
            "ia-metadata needs the Internet Archive's database, which has no default", "Set --archive-database."
        )
    table = tables.TABLE_OF["ia-metadata"]
    with SnapshotConnection(conninfo, table.tables) as snapshot, standard_output() as output:
        rows = tables.write_table(table, snapshot, date_of(None), output)
    log.info("ia-metadata: %s rows", f"{rows:,}")


def deworks(
    dump: Annotated[Path, typer.Argument(metavar="DUMP", readable=False, help="A dump, plain or gzip.")],
    items: Annotated[
        Path,
        typer.Argument(
            metavar="IA_METADATA", readable=False, help="The output of `oldump ia-metadata`, plain or gzip."
        ),
    ],
    tmpdir: Tmpdir = None,
    workers: Workers = None,
    memory: Memory = None,
) -> None:
    """Join works with their editions, authors and archive items.

    Writes one line per work to standard output.
    """
    from oldump.settings import Settings
    from oldump.stages.deworks import stage

    settings = Settings.of(tmpdir=tmpdir, workers=workers, memory=memory)
    with standard_output() as output, filter_progress(reads_input=False) as progress:
        made = stage.write_deworks(dump, items, output, settings.tmpdir, settings, progress)
    log.info("deworks: %s lines", f"{made.tally.lines:,}")
