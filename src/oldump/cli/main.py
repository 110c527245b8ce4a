"""The command line: arguments → settings → pipeline. The only module that prints or exits.

Imports that take long stand inside the commands, so that --help is quick.
"""

import gc
import json
import logging
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, NoReturn, TextIO

import typer

from oldump.errors import (
    ConfigurationError,
    OldumpError,
    Stopped,
    StorageError,
    exit_code_of,
    log_fields_of,
    storage_errors,
)
from oldump.run.log import FORMATTERS, named_format
from oldump.run.progress import Progress

if TYPE_CHECKING:
    from oldump.monitoring.summary import RunSummary
    from oldump.monitoring.watch import RunWatcher
    from oldump.pipeline.plan import Plan
    from oldump.settings import Settings

log = logging.getLogger("oldump")

_EXIT_CODES = """
Exit codes: 0 done · 2 flags, settings, date · 10 source cannot be read · 11 no such file · 12 damaged gzip or
table · 13 database not reached · 14 no rows · 15 snapshot lost · 20 not records · 21 too many rejects ·
22 not sorted · 30 storage · 31 disk full · 32 another process works on the run · 40 what was made contradicts itself ·
41 kept back by the gate · 50 archive.org failed · 51 it refuses · 52 it is not reached · 53 it has other files ·
54 late, by status --check · 60 a worker died · 70 a bug · 129, 130, 143 interrupted · 141 nobody reads the output.
docs/operations.md says what to do about each.
"""

_GARBAGE_THRESHOLD = 10_000
"""New objects between two searches for garbage: at Python's own 700, imports are interrupted by hundreds of them."""

app = typer.Typer(
    help="Makes Open Library's public data dumps: every revision of every document, the latest of each, by type.",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Source = Annotated[
    str | None,
    typer.Option(
        metavar="DSN|FILE",
        help="PostgreSQL connection, COPY-text file (plain or gzip), or - for standard input. "
        "Default: the database that PSQL_PARAMS, or libpq's variables and files name.",
    ),
]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Worker processes. Default: one a core.")]
Memory = Annotated[
    str | None, typer.Option(metavar="SIZE", help="What all processes together may use, such as 512M. Default: 2G.")
]
Coverstore = Annotated[
    str | None, typer.Option(metavar="DSN", help="PostgreSQL connection to coverstore, for covers_metadata.")
]
ArchiveDatabase = Annotated[
    str | None,
    typer.Option(metavar="DSN", help="PostgreSQL connection to the archive's table metadata, for ia-metadata."),
]
Archive = Annotated[
    bool | None,
    typer.Option(
        "--archive/--no-archive", help="Upload the complete run to archive.org, and let latest.json point to it."
    ),
]
Sitemaps = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Replace the sitemaps in DIR by those of the complete run. Default: none are made."
    ),
]
IaConfig = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="ia.ini, with the keys to archive.org. Default: where `ia` looks for it."),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Where items and runs lie. Default: here.")]
Only = Annotated[list[str] | None, typer.Option(metavar="STAGE", help="Only this stage (repeatable).")]
Skip = Annotated[list[str] | None, typer.Option(metavar="STAGE", help="Leave this stage out (repeatable).")]
Jobs = Annotated[int | None, typer.Option(metavar="N", help="Connections that copy table data. Default: 2.")]
MaxRejects = Annotated[
    int | None, typer.Option(metavar="N", help="More rejected rows than this fail the command. Default: 1000.")
]
Checkpoint = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="How often a stage notes how far it has got, to go on from. Default: 120."),
]
Rejects = Annotated[Path, typer.Option(metavar="FILE", help="Where rows go that cannot become records.")]
Level = Annotated[int | None, typer.Option(metavar="1-9", help="gzip level of what is published. Default: 6.")]
LogFormat = Annotated[
    str | None,
    typer.Option(metavar="text|json", help="How log lines look on standard error. Default: text."),
]
Tmpdir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Where the spill goes. Default: TMPDIR, or else /tmp; of a run, its own folder."),
]
# readable=False: whether a file can be read is ours to say, with our exit code
File = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", readable=False, help="Plain or gzip; default: standard input.")
]
DumpOrIndex = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", readable=False, help="A dump, or what index wrote, plain or gzip; - for standard input."
    ),
]
NewFolder = Annotated[
    Path, typer.Argument(metavar="DIR", help="Where the files go. Those that were there stay until the new are whole.")
]
Date = Annotated[
    str | None, typer.Argument(metavar="[DATE]", help="YYYY-MM-DD. Default: the last day of the month before, UTC.")
]


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        _say(f"oldump {version('oldump')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Makes Open Library's public data dumps: every revision of every document, the latest of each, by type."""


def _announced(command: Callable[..., None]) -> Callable[..., None]:
    """The command, told of to whom the settings name; of a dry run nobody is told."""

    @wraps(command)  # typer reads the flags from what is wrapped
    def announced_command(**given: Any) -> None:  # noqa: ANN401 - flags of any type
        from oldump.settings import NotificationSettings

        told = NotificationSettings.load_leniently(given["out"])
        if given["dry_run"] or not told.is_any_set:
            command(**given)
            return
        from oldump.monitoring.notifications import notifying

        with notifying(told, given["date"], _exit_code_of):
            command(**given)

    return announced_command


@app.command()
@_announced
def run(
    date: Date = None,
    source: Source = None,
    coverstore: Coverstore = None,
    archive_database: ArchiveDatabase = None,
    out: Out = None,
    tmpdir: Tmpdir = None,
    jobs: Jobs = None,
    workers: Workers = None,
    memory: Memory = None,
    max_rejects: MaxRejects = None,
    checkpoint: Checkpoint = None,
    level: Level = None,
    archive: Archive = None,
    ia_config: IaConfig = None,
    sitemaps: Sitemaps = None,
    log_format: LogFormat = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew; what is there goes when the new one is complete.")
    ] = False,
    override_gate: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Publish whatever the gate finds; the reason goes into the manifest."),
    ] = None,
    only: Only = None,
    skip: Skip = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Make the dumps for a date. A run that stopped goes on where it stopped."""
    given = locals()
    from oldump.pipeline import runner
    from oldump.pipeline.choice import choose
    from oldump.pipeline.plan import plan_of
    from oldump.settings import date_of, reason_of
    from oldump.terminal.progress import progress_shown

    settings = _settings(given)
    _log_as(settings.log_format)
    day = date_of(date)
    choice = choose(only or [], skip or [], settings)
    reason = reason_of(override_gate)
    _warn_of_passwords(source=source, coverstore=coverstore, archive_database=archive_database)
    if dry_run:
        _print_plan(plan_of(settings, day, choice, overwrite=overwrite))
        return
    with progress_shown() as progress:
        item = runner.run(settings, day, choice, progress, overwrite=overwrite, override_gate=reason)
    if item:
        _say(str(item))


@app.command()
def plan(
    date: Date = None,
    source: Source = None,
    coverstore: Coverstore = None,
    archive_database: ArchiveDatabase = None,
    out: Out = None,
    archive: Archive = None,
    sitemaps: Sitemaps = None,
    only: Only = None,
    skip: Skip = None,
) -> None:
    """Print the table of stages: what each reads and writes, and whether it is committed for the date."""
    given = locals()
    from oldump.pipeline.choice import choose
    from oldump.pipeline.plan import plan_of
    from oldump.settings import date_of

    settings = _settings(given)
    choice = choose(only or [], skip or [], settings)
    _print_plan(plan_of(settings, date_of(date), choice))


@app.command()
def status(
    date: Annotated[
        str | None, typer.Argument(metavar="[DATE]", help="YYYY-MM-DD: one run, in detail. Default: all runs.")
    ] = None,
    out: Out = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run until it ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="End with exit code 54 if a run is late, dead or failed, for monitors.")
    ] = False,
    archive: Annotated[
        bool | None, typer.Option("--archive/--no-archive", help="A run is late, too, if it is not archived.")
    ] = None,
) -> None:
    """Say how runs stand: all in the output folder, or one. It changes nothing, and needs no terminal of the run's."""
    from oldump.monitoring.health import Expectation, require_healthy
    from oldump.monitoring.watch import RunWatcher
    from oldump.settings import Settings, date_of

    settings = Settings.of(out=out, archive=archive)
    expected = Expectation(settings.late_days, settings.archive)
    watcher = RunWatcher(settings.out, expected, None if date is None else date_of(date))
    try:
        runs = _followed(watcher, as_json=as_json) if watch else watcher.read()
    except Stopped as stopped:  # nothing was at work here that could be gone on with
        sys.exit(_exit_code_of(stopped))
    if not (watch and watcher.day):
        _say_runs(runs, watcher, as_json=as_json)
    if check:
        require_healthy(runs)


def _followed(watcher: "RunWatcher", *, as_json: bool) -> list["RunSummary"]:
    """Show the run whenever it changes, until it ends: on a terminal in place, elsewhere line by line."""
    from oldump.monitoring import text
    from oldump.terminal.display import shown_in_place

    if not watcher.select_running():
        return watcher.read()
    if sys.stdout.isatty() and not as_json:
        with _standard_output():
            return shown_in_place(watcher.changes, text.run_facts, text.stages_table)
    runs: list[RunSummary] = []
    before = ""
    for runs in watcher.changes():
        told = json.dumps(runs[0].as_json()) if as_json else text.run_line(runs[0])
        if told != before:
            _say(told)
        before = told
    return runs


def _say_runs(runs: list["RunSummary"], watcher: "RunWatcher", *, as_json: bool) -> None:
    """Print a table of all runs, or what is to be said of one."""
    from oldump.monitoring import text

    if as_json:
        _say(text.runs_as_json(runs, watcher.day))
    elif watcher.day:
        _print_pairs(text.run_facts(runs[0]))
        if stages := text.stages_table(runs[0]):
            _say("")
            _print_table(stages, is_boxed=False)
    elif runs:
        _print_table(text.runs_table(runs), is_boxed=False)
    else:
        log.info("%s: no runs", watcher.out)


@app.command()
def doctor(
    date: Date = None,
    source: Source = None,
    coverstore: Coverstore = None,
    archive_database: ArchiveDatabase = None,
    out: Out = None,
    tmpdir: Tmpdir = None,
    jobs: Jobs = None,
    workers: Workers = None,
    memory: Memory = None,
    max_rejects: MaxRejects = None,
    level: Level = None,
    archive: Archive = None,
    ia_config: IaConfig = None,
    sitemaps: Sitemaps = None,
    only: Only = None,
    skip: Skip = None,
    notify: Annotated[
        bool, typer.Option("--notify", help="Try also whether everybody hears who is told of runs: they are told.")
    ] = False,
) -> None:
    """Check what a run would need: databases, rights, room on the disk, clock. It changes nothing here.

    With --archive a tiny file is sent to an item of archive.org that is there for that.
    """
    given = locals()
    from oldump.monitoring.checks import notification_checks
    from oldump.monitoring.notifications import RunNotifier
    from oldump.pipeline.choice import choose
    from oldump.pipeline.doctor import examine
    from oldump.settings import date_of

    settings = _settings(given)
    choice = choose(only or [], skip or [], settings)
    _warn_of_passwords(source=source, coverstore=coverstore, archive_database=archive_database)
    found = [*examine(settings, date_of(date), choice), *notification_checks(settings)]
    if notify:
        found += RunNotifier(settings, date).send_test()
    _print_table([("check", "verdict", "found", "what to do")] + [each.row for each in found])
    for check in found:
        if check.error:
            raise check.error


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder ol_dump_DATE, or the one that holds it.")],
    quick: Annotated[bool, typer.Option("--quick", help="Check structure and sums only; decompress nothing.")] = False,
    workers: Workers = None,
    memory: Memory = None,
) -> None:
    """Check a finished dump, from its files alone, and print what is wrong."""
    from oldump.engine.budget import workers_within
    from oldump.settings import Settings
    from oldump.stages.verify import stage
    from oldump.terminal.progress import progress_shown

    settings = Settings.of(workers=workers, memory=memory)
    with progress_shown() as progress:
        jobs = workers_within(settings.memory, settings.workers)
        result = stage.verify(stage.item_in(folder), jobs, settings.memory, progress, quick=quick)
        progress.end("verify")
    if result.findings:
        _print_table(result.findings.table)
    stage.require_clean(result, folder)
    _say(result.summary)


@app.command()
def archive(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder ol_dump_DATE, or the one that holds it and the cdump's.")
    ],
    ia_config: IaConfig = None,
) -> None:
    """Upload a complete run to archive.org, compare what is there, and let latest.json point to it."""
    from oldump.pipeline import runner
    from oldump.settings import Settings
    from oldump.stages.archive.files import run_of
    from oldump.stages.verify.stage import item_in
    from oldump.terminal.progress import progress_shown

    settings = Settings.of(ia_config=ia_config)
    run_folder = run_of(item_in(folder.resolve()))
    with progress_shown() as progress:
        items = runner.archive(run_folder, settings, progress)
    for item in items:
        _say(f"{settings.archive_url}/details/{item}")


@app.command()
def cdump(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", readable=False, help="COPY text of table data, plain or gzip; - for standard input."
        ),
    ],
    date: Annotated[
        str | None, typer.Argument(metavar="[DATE]", help="YYYY-MM-DD: later records are left out. Default: none is.")
    ] = None,
    workers: Workers = None,
    memory: Memory = None,
    max_rejects: MaxRejects = None,
    rejects: Rejects = Path("rejects.txt.gz"),
) -> None:
    """Write the records of the rows in FILE to standard output, in the rows' order."""
    from oldump.settings import Settings, date_of
    from oldump.stages.dumps import cdump as stage

    settings = Settings.of(workers=workers, memory=memory, max_rejects=max_rejects)
    day = None if date is None else date_of(date)
    path = _path(file)
    with _standard_output() as output, _progress_of_filter(reads_input=path is None) as progress:
        counts = stage.write_cdump(path, day, output, rejects, settings, progress)
    log.info("cdump: %s", counts)
    if counts.rejects:
        log.warning("cdump: the rejected rows are in %s", rejects)


@app.command()
def sort(
    file: File = None,
    tmpdir: Tmpdir = None,
    workers: Workers = None,
    memory: Memory = None,
) -> None:
    """Write records to standard output in order: by key, then by revision."""
    from oldump.settings import Settings
    from oldump.stages.dumps import sort as stage

    settings = Settings.of(tmpdir=tmpdir, workers=workers, memory=memory)
    path = _path(file)
    with _standard_output() as output, _progress_of_filter(reads_input=path is None) as progress:
        records = stage.write_sorted(path, output, settings.tmpdir, settings, progress)
    log.info("sort: %s records", f"{records:,}")


@app.command()
def dump(file: File = None) -> None:
    """Write the latest record of each key to standard output, from records in order."""
    from oldump.stages.dumps import dump as stage

    path = _path(file)
    with _standard_output() as output, _progress_of_filter(reads_input=path is None) as progress:
        records = stage.write_latest(path, output, progress)
    log.info("dump: %s records", f"{records:,}")


@app.command()
def split(
    file: File = None,
    name_format: Annotated[
        str,
        typer.Option("--format", metavar="NAME_%s.txt.gz", help="Names of the files; %s stands for the part's name."),
    ] = "ol_dump_%s.txt.gz",
    workers: Workers = None,
) -> None:
    """Write records to one file a part: authors, deletes, editions, lists, other, redirects, works."""
    from oldump.settings import Settings
    from oldump.stages.dumps import split as stage

    settings = Settings.of(workers=workers)
    path = _path(file)
    with _progress_of_filter(reads_input=path is None, writes_data=False) as progress:
        counts = stage.write_parts(path, name_format, settings, progress)
    for part, records in counts.items():
        log.info("split: %s, %s records", part, f"{records:,}")


@app.command()
def idump(
    day: Annotated[str, typer.Argument(metavar="DAY", help="YYYY-MM-DD, in UTC.")],
    source: Annotated[
        str | None,
        typer.Option(metavar="DSN", help="PostgreSQL connection. Default: what libpq's variables and files name."),
    ] = None,
    max_rejects: MaxRejects = None,
    rejects: Rejects = Path("rejects.txt.gz"),
) -> None:
    """Write the records of the revisions that were created on DAY to standard output, as they were created."""
    from oldump.outside.postgres import SnapshotConnection
    from oldump.pipeline.check import CheckStatus
    from oldump.pipeline.preflight import date_check
    from oldump.pipeline.sources import checked_connection_of, with_psql_params
    from oldump.settings import Settings, date_of
    from oldump.stages.dumps import idump as stage

    settings = with_psql_params(Settings.of(source=source, max_rejects=max_rejects))
    _warn_of_passwords(source=source)
    conninfo = checked_connection_of("source", settings)
    if conninfo is None:
        raise ConfigurationError("idump reads the database: give --source a PostgreSQL connection, not a file.")
    check = date_check(date_of(day), datetime.now(UTC).date())
    if check.status is CheckStatus.WARNING:
        log.warning("%s", check)
    with (
        SnapshotConnection(conninfo, stage.TABLES) as leading,
        _standard_output() as output,
        _progress_of_filter(reads_input=False) as progress,
    ):
        counts = stage.idump(leading, date_of(day), output, rejects, settings.max_rejects, progress)
    log.info("idump: %s", counts)
    if counts.rejects:
        log.warning("idump: the rejected rows are in %s", rejects)


@app.command("ia-metadata")
def ia_metadata(archive_database: ArchiveDatabase = None) -> None:
    """Write identifier, boxid and collection of the archive's texts to standard output, sorted by identifier."""
    from oldump.outside.postgres import SnapshotConnection
    from oldump.pipeline.sources import checked_connection_of
    from oldump.settings import Settings, date_of
    from oldump.stages import tables

    _warn_of_passwords(archive_database=archive_database)
    conninfo = checked_connection_of("archive_database", Settings.of(archive_database=archive_database))
    if conninfo is None:
        raise ConfigurationError(
            "ia-metadata reads the archive's database, which is not libpq's default one: give --archive-database."
        )
    table = tables.TABLE_OF["ia-metadata"]
    with SnapshotConnection(conninfo, table.tables) as leading, _standard_output() as output:
        rows = tables.write_table(table, leading, date_of(None), output)
    log.info("ia-metadata: %s rows", f"{rows:,}")


@app.command()
def deworks(
    dump: Annotated[Path, typer.Argument(metavar="DUMP", readable=False, help="A dump, plain or gzip.")],
    items: Annotated[
        Path, typer.Argument(metavar="IA_METADATA", readable=False, help="What ia-metadata wrote, plain or gzip.")
    ],
    tmpdir: Tmpdir = None,
    workers: Workers = None,
    memory: Memory = None,
) -> None:
    """Write denormalized works to standard output: a line a work, with editions, authors and archive items."""
    from oldump.settings import Settings
    from oldump.stages.deworks import stage

    settings = Settings.of(tmpdir=tmpdir, workers=workers, memory=memory)
    with _standard_output() as output, _progress_of_filter(reads_input=False) as progress:
        made = stage.write_deworks(dump, items, output, settings.tmpdir, settings, progress)
    log.info("deworks: %s lines", f"{made.tally.lines:,}")


@app.command()
def index(file: File = None, workers: Workers = None, memory: Memory = None) -> None:
    """Write path with slug, title, created and last_modified of each record of a dump to standard output."""
    from oldump.settings import Settings
    from oldump.stages.sitemaps.index import write_index

    settings = Settings.of(workers=workers, memory=memory)
    path = _path(file)
    with _standard_output() as output, _progress_of_filter(reads_input=path is None) as progress:
        lines = write_index(path, output, settings, progress)
    log.info("index: %s lines", f"{lines:,}")


@app.command()
def sitemaps(
    file: DumpOrIndex,
    folder: NewFolder,
    prefix: Annotated[
        str, typer.Argument(metavar="[PREFIX]", help="Stands in all names: siteindex_PREFIX.xml.gz. Default: nothing.")
    ] = "",
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="The site's address. Default: https://openlibrary.org.")
    ] = None,
    workers: Workers = None,
    memory: Memory = None,
) -> None:
    """Replace the sitemaps of works and authors in DIR, and their index, by those of a dump."""
    from oldump.settings import Settings
    from oldump.stages.sitemaps.stage import make_sitemaps

    settings = Settings.of(base_url=base_url, workers=workers, memory=memory)
    path = _path(file)
    with _progress_of_filter(reads_input=path is None, writes_data=False) as progress:
        counts = make_sitemaps([path], folder, settings, progress, prefix=prefix)
    log.info("sitemaps: %s", counts)


@app.command()
def htmlindex(file: DumpOrIndex, folder: NewFolder, workers: Workers = None, memory: Memory = None) -> None:
    """Replace the HTML index in DIR, pages of 1,000 links to editions, works and authors, by that of a dump.

    DIR should hold nothing else: index.html, and what else has a name as these pages have, is replaced or removed.
    """
    from oldump.settings import Settings
    from oldump.stages.sitemaps.htmlindex import make_htmlindex

    settings = Settings.of(workers=workers, memory=memory)
    path = _path(file)
    with _progress_of_filter(reads_input=path is None, writes_data=False) as progress:
        counts = make_htmlindex(path, folder, settings, progress)
    log.info("htmlindex: %s", counts)


@app.command()
def synth(
    things: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="So many documents, with all revisions.")
    ] = None,
    rows: Annotated[int | None, typer.Option(metavar="N", min=1, help="Or so many rows.")] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Another seed, another table.")] = 0,
    odd_rows: Annotated[int, typer.Option(metavar="N", min=0, help="Legal but odd rows among them.")] = 0,
    broken_rows: Annotated[int, typer.Option(metavar="N", min=0, help="Rows among them that must be rejected.")] = 0,
) -> None:
    """Write a synthetic data table in COPY text to standard output: the same for the same arguments."""
    from oldump.synth.table import copy_blocks, copy_blocks_of_things

    if (things is None) == (rows is None):
        raise ConfigurationError("Give either --things or --rows.")
    try:
        if rows is not None:
            blocks = copy_blocks(rows, seed=seed, odd_rows=odd_rows, broken_rows=broken_rows)
        else:
            blocks = copy_blocks_of_things(things or 0, seed=seed, odd_rows=odd_rows, broken_rows=broken_rows)
    except ValueError as error:
        raise ConfigurationError(f"{error}. Give fewer --odd-rows or --broken-rows, or more rows.") from error
    with _standard_output() as output:
        output.writelines(blocks)


@app.command()
def demo(
    rows: Annotated[int, typer.Option(metavar="N", min=1_000, help="Rows of the synthetic table.")] = 200_000,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where items and runs lie. Default: a new folder demo-DATE-TIME.")
    ] = None,
    workers: Workers = None,
    memory: Memory = None,
) -> None:
    """Run the whole pipeline on an embedded PostgreSQL that is filled by synth, and show what it made."""
    from oldump.pipeline.demo import run_demo
    from oldump.terminal.progress import progress_shown

    with progress_shown() as progress:
        report = run_demo(rows, out, workers, memory, progress)
    _say(report)


def _settings(given: dict[str, Any]) -> "Settings":
    """The settings of a command that concerns a run. given: its parameters, of which those count that bear their names.

    Raises ConfigurationError.
    """
    from oldump.pipeline.sources import with_psql_params
    from oldump.settings import Settings

    return with_psql_params(Settings.of(**{name: given[name] for name in given.keys() & Settings.model_fields.keys()}))


def _warn_of_passwords(**flags: str | None) -> None:
    """A password in an argument list is no secret. Raises ConfigurationError."""
    from oldump.pipeline.sources import has_password
    from oldump.settings import flag_of

    for name, given in flags.items():
        if given and has_password(name, given):
            log.warning(
                "every user of this machine can read the password in %s: put it in a password file (~/.pgpass)",
                flag_of(name),
            )


def _path(file: Path | None) -> Path | None:
    return None if file is None or str(file) == "-" else file


@contextmanager
def _progress_of_filter(*, reads_input: bool, writes_data: bool = True) -> Iterator[Progress]:
    """How a command shows that it goes on that may stand in a pipe, or write data to the terminal.

    A live display must have the terminal to itself: where data goes there too, or where the command reads from a pipe,
    in which another one of ours may stand with its own, there are log lines.
    """
    from oldump.terminal.progress import progress_shown

    data_goes_there = writes_data and sys.stdout.isatty()
    reads_pipe = reads_input and Path("/dev/stdin").is_fifo()
    with progress_shown(alone=not data_goes_there and not reads_pipe) as progress:
        yield progress


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    """Where data goes. Raises StorageError, StorageFull, and _NobodyReads, which typer does not take for its own."""
    try:
        with storage_errors(Path("standard output")):
            try:
                yield sys.stdout.buffer
                sys.stdout.flush()
            except BrokenPipeError:
                raise _NobodyReads("nobody reads standard output any more") from None
    except (StorageError, _NobodyReads):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter complains at exit
        raise


def _print_table(lines: list[tuple[str, ...]], *, is_boxed: bool = True) -> None:
    """Print rows, a heading first: folded on a terminal, and boxed if wanted; otherwise a line each."""
    if sys.stdout.isatty():
        from oldump.terminal.display import aligned, boxed

        _say((boxed if is_boxed else aligned)(lines, shutil.get_terminal_size().columns))
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    _say("\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines))


def _print_pairs(pairs: list[tuple[str, str]]) -> None:
    """Print names and what is said of each, a line each."""
    if sys.stdout.isatty():
        from oldump.terminal.display import paired

        _say(paired(pairs, shutil.get_terminal_size().columns))
        return
    width = max(len(name) for name, _ in pairs)
    _say("\n".join(f"{name.ljust(width)}  {told}" for name, told in pairs))


def _print_plan(plan: "Plan") -> None:
    """Print the table of stages, and how long all of it will take."""
    _print_table(plan.table)
    if plan.forecast:
        _say(plan.forecast)


def _say(text: str) -> None:
    """Print on standard output, as data is written there."""
    with _standard_output() as output:
        output.write(text.encode() + b"\n")


class _StandardError(logging.StreamHandler):  # type: ignore[type-arg] # the stream is a property here
    """Writes to what sys.stderr is at the time, which the live display replaces to keep its lines whole."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(FORMATTERS[named_format()]())

    @property
    def stream(self) -> TextIO:
        """Where log lines go."""
        return sys.stderr


def _open_what_is_closed() -> None:
    """Standard output and error may be closed (2>&-): then nobody wants them."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - as long as the process


def _log_as(named: str) -> None:
    """Let log lines look so on standard error."""
    for handler in log.handlers:
        if isinstance(handler, _StandardError):
            handler.setFormatter(FORMATTERS[named]())


def _log_to_standard_error() -> None:
    log.setLevel(logging.INFO)
    log.propagate = False  # a library's log lines are not ours
    log.addHandler(_StandardError())


class _NobodyReads(BaseException):
    """Whoever read standard output has gone, as head does."""


def _stop(number: int, _: FrameType | None) -> NoReturn:
    raise Stopped(number)


def _exit_code_of(error: BaseException) -> int:
    """What the process ends with when it is ended by this."""
    return 128 + signal.SIGPIPE if isinstance(error, _NobodyReads) else exit_code_of(error)


@contextmanager
def _exit_codes() -> Iterator[None]:
    """Every way to end, with its message and its exit code."""
    try:
        yield
    except OldumpError as error:
        log.error("%s", error, extra=log_fields_of(error))  # noqa: TRY400 - foreseen: one clear line, no traceback
        sys.exit(_exit_code_of(error))
    except Stopped as stopped:
        told = "%s; committed work is kept; rerun to resume"
        log.error(told, stopped, extra=log_fields_of(stopped))  # noqa: TRY400 - foreseen
        sys.exit(_exit_code_of(stopped))
    except _NobodyReads as error:
        sys.exit(_exit_code_of(error))
    except Exception as error:
        log.exception("This is a bug in oldump. Please report it with the lines below.", extra=log_fields_of(error))
        sys.exit(_exit_code_of(error))


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy is not used for algebra, and workers are forked
    _open_what_is_closed()
    _log_to_standard_error()
    signal.signal(signal.SIGTERM, _stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        signal.signal(signal.SIGHUP, _stop)
    signal.signal(signal.SIGINT, _stop)  # Python's own KeyboardInterrupt would be typer's to swallow
    gc.set_threshold(_GARBAGE_THRESHOLD)
    try:
        with _exit_codes():
            app()
    finally:
        gc.freeze()  # else the interpreter takes all modules apart at exit, which takes as long as to run --help
