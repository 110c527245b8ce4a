"""Commands that make, check and publish the dumps of a date: "Make dumps" in the help."""

import json
import logging
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from oldump.cli.options import (
    Archive,
    ArchiveDatabase,
    Checkpoint,
    Coverstore,
    Date,
    DryRun,
    IaConfig,
    Jobs,
    Level,
    LogFormat,
    MaxRejects,
    Memory,
    Only,
    Out,
    OverrideGate,
    Overwrite,
    Sitemaps,
    Skip,
    Source,
    Tmpdir,
    Withhold,
    Workers,
    run_settings,
)
from oldump.cli.output import print_pairs, print_table, print_text, standard_output
from oldump.cli.process import exit_code, set_log_format
from oldump.errors import ConfigurationError, Stopped

if TYPE_CHECKING:
    from oldump.monitoring.summary import RunSummary
    from oldump.monitoring.watch import RunWatcher
    from oldump.pipeline.plan import Plan

log = logging.getLogger("oldump")


def _notifying(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that the services in the settings are notified of its start and end, except in a dry run."""

    @wraps(command)  # typer reads the options from the wrapped function
    def notifying_command(**given: Any) -> None:  # noqa: ANN401 - options of any type
        from oldump.settings import NotificationSettings

        settings = NotificationSettings.load_leniently(given["out"])
        if given["dry_run"] or not settings.is_any_set:
            command(**given)
            return
        from oldump.monitoring.notifications import notifying

        with notifying(settings, given["date"], exit_code):
            command(**given)

    return notifying_command


@_notifying
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
    withhold: Withhold = None,
    checkpoint: Checkpoint = None,
    level: Level = None,
    archive: Archive = None,
    ia_config: IaConfig = None,
    sitemaps: Sitemaps = None,
    log_format: LogFormat = None,
    overwrite: Overwrite = False,
    override_gate: OverrideGate = None,
    only: Only = None,
    skip: Skip = None,
    dry_run: DryRun = False,
) -> None:
    """Make the dumps for a date, or resume an interrupted run."""
    settings = run_settings(locals())
    from oldump.pipeline import runner
    from oldump.pipeline.choice import choose
    from oldump.pipeline.plan import plan_of
    from oldump.settings import date_of, reason_of
    from oldump.terminal.progress import progress_display

    set_log_format(settings.log_format)
    day = date_of(date)
    choice = choose(only or [], skip or [], settings)
    reason = reason_of(override_gate)
    if dry_run:
        _print_plan(plan_of(settings, day, choice, overwrite=overwrite))
        return
    with progress_display() as progress:
        item = runner.run(settings, day, choice, progress, overwrite=overwrite, override_gate=reason)
    if item:
        print_text(str(item))


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
    """List the stages: inputs, outputs and what is committed.

    Changes nothing.
    """
    settings = run_settings(locals())
    from oldump.pipeline.choice import choose
    from oldump.pipeline.plan import plan_of
    from oldump.settings import date_of

    choice = choose(only or [], skip or [], settings)
    _print_plan(plan_of(settings, date_of(date), choice))


def _print_plan(plan: "Plan") -> None:
    """Print the table of stages and the estimated duration."""
    print_table(plan.table)
    if plan.forecast:
        print_text(plan.forecast)


def status(
    date: Annotated[
        str | None, typer.Argument(metavar="[DATE]", help="YYYY-MM-DD: show this run in detail (default: all runs).")
    ] = None,
    out: Out = None,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the run until it ends.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Exit with code 54 if a run is late, dead or failed (for monitoring).")
    ] = False,
    archive: Annotated[
        bool | None,
        typer.Option("--archive/--no-archive", help="Treat a run that is not uploaded to archive.org as late."),
    ] = None,
) -> None:
    """Show the state of all runs, or of one.

    Changes nothing, and works from any terminal while a run is active.
    """
    from oldump.monitoring.health import Expectation, require_healthy
    from oldump.monitoring.watch import RunWatcher
    from oldump.settings import Settings, date_of

    settings = Settings.of(out=out, archive=archive)
    expected = Expectation(settings.late_days, settings.archive)
    watcher = RunWatcher(settings.out, expected, None if date is None else date_of(date))
    try:
        runs = _watch(watcher, as_json=as_json) if watch else watcher.read()
    except Stopped as stopped:  # without the usual advice to rerun: there is nothing to resume
        sys.exit(exit_code(stopped))
    if not (watch and watcher.day):
        _print_runs(runs, watcher, as_json=as_json)
    if check:
        require_healthy(runs)


def _watch(watcher: "RunWatcher", *, as_json: bool) -> list["RunSummary"]:
    """Show the run whenever it changes until it ends: in place on a terminal, otherwise as lines."""
    from oldump.monitoring import text
    from oldump.terminal.display import show_in_place

    if not watcher.select_running():
        return watcher.read()
    if sys.stdout.isatty() and not as_json:
        with standard_output():
            return show_in_place(watcher.changes, text.run_facts, text.stages_table)
    runs: list[RunSummary] = []
    previous = ""
    for runs in watcher.changes():
        line = json.dumps(runs[0].as_json()) if as_json else text.run_line(runs[0])
        if line != previous:
            print_text(line)
        previous = line
    return runs


def _print_runs(runs: list["RunSummary"], watcher: "RunWatcher", *, as_json: bool) -> None:
    """Print a table of all runs, or the details of one."""
    from oldump.monitoring import text

    if as_json:
        print_text(text.runs_as_json(runs, watcher.day))
    elif watcher.day:
        print_pairs(text.run_facts(runs[0]))
        if stages := text.stages_table(runs[0]):
            print_text("")
            print_table(stages, is_boxed=False)
    elif runs:
        print_table(text.runs_table(runs), is_boxed=False)
    else:
        log.info("%s: no runs", watcher.out)


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
    notify: Annotated[bool, typer.Option("--notify", help="Also send a test message to each notification.")] = False,
) -> None:
    """Check that a run can succeed: databases, rights, disk, clock.

    Changes nothing locally. With --archive, uploads a tiny file to a test item at archive.org.
    """
    settings = run_settings(locals())
    from oldump.monitoring.checks import notification_checks
    from oldump.monitoring.notifications import RunNotifier
    from oldump.pipeline.choice import choose
    from oldump.pipeline.doctor import examine
    from oldump.settings import date_of

    choice = choose(only or [], skip or [], settings)
    results = [*examine(settings, date_of(date), choice), *notification_checks(settings)]
    if notify:
        results += RunNotifier(settings, date).send_test()
    print_table([("check", "verdict", "found", "what to do")] + [result.row for result in results])
    for result in results:
        if result.error:
            raise result.error


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder ol_dump_DATE, or the folder that contains it.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Check structure and checksums only, without decompressing.")
    ] = False,
    workers: Workers = None,
    memory: Memory = None,
) -> None:
    """Check the files of a complete dump and list all findings."""
    from oldump.engine.budget import workers_within
    from oldump.settings import Settings
    from oldump.stages.verify import stage
    from oldump.terminal.progress import progress_display

    settings = Settings.of(workers=workers, memory=memory)
    with progress_display() as progress:
        workers_allowed = workers_within(settings.memory, settings.workers)
        result = stage.verify(stage.item_in(folder), workers_allowed, settings.memory, progress, quick=quick)
        progress.end("verify")
    if result.findings:
        print_table(result.findings.table)
    stage.require_clean(result, folder)
    print_text(result.summary)


def archive(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Folder ol_dump_DATE, or the folder that contains it and the cdump folder."),
    ],
    ia_config: IaConfig = None,
) -> None:
    """Upload a complete run to archive.org and update latest.json.

    Compares what archive.org holds with the local files before latest.json points to it.
    """
    from oldump.pipeline import runner
    from oldump.settings import Settings
    from oldump.stages.archive.files import run_of
    from oldump.stages.verify.stage import item_in
    from oldump.terminal.progress import progress_display

    settings = Settings.of(ia_config=ia_config)
    run_folder = run_of(item_in(folder.resolve()))
    with progress_display() as progress:
        items = runner.archive(run_folder, settings, progress)
    for item in items:
        print_text(f"{settings.archive_url}/details/{item}")


def demo(
    rows: Annotated[int, typer.Option(metavar="N", min=1_000, help="Number of rows in the synthetic table.")] = 200_000,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Output folder for items and runs (default: a new folder demo-DATE-TIME)."),
    ] = None,
    workers: Workers = None,
    memory: Memory = None,
) -> None:
    """Run the whole pipeline on synthetic data and show the result.

    The data is in an embedded PostgreSQL server that ends with the command.
    """
    from oldump.pipeline.demo import run_demo
    from oldump.terminal.progress import progress_display

    with progress_display() as progress:
        report = run_demo(rows, out, workers, memory, progress)
    print_text(report)


def synth(
    things: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of documents, each with all its revisions.")
    ] = None,
    rows: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of rows, instead of --things.")] = None,
    seed: Annotated[int, typer.Option(metavar="S", help="Seed: another seed gives another table.")] = 0,
    odd_rows: Annotated[int, typer.Option(metavar="N", min=0, help="Number of unusual but valid rows to include.")] = 0,
    broken_rows: Annotated[
        int, typer.Option(metavar="N", min=0, help="Number of rows to include that must be rejected.")
    ] = 0,
) -> None:
    """Write a synthetic data table as COPY text to standard output.

    The same arguments always give the same table.
    """
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
    with standard_output() as output:
        output.writelines(blocks)
