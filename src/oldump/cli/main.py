"""The command line: all commands in their help groups, and the entry point.

`cli` is the only package that prints or exits. Imports that take long are inside the commands, so that --help is fast.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from oldump.cli import make_dumps, old_steps, site
from oldump.cli.output import print_text
from oldump.cli.process import command_process

_GROUPS = {
    "Make dumps": (
        make_dumps.run,
        make_dumps.plan,
        make_dumps.status,
        make_dumps.doctor,
        make_dumps.verify,
        make_dumps.archive,
        make_dumps.demo,
        make_dumps.synth,
    ),
    "Site": (site.sitemaps, site.index, site.htmlindex),
    "Old steps": (
        old_steps.cdump,
        old_steps.sort,
        old_steps.dump,
        old_steps.split,
        old_steps.idump,
        old_steps.ia_metadata,
        old_steps.deworks,
    ),
}

# \b keeps the line breaks
_EXIT_CODES = """\b
Exit codes:
  general  0 success, 2 invalid option, setting or date, 60 worker died, 70 bug
  source   10 cannot be read, 11 not found, 12 damaged, 13 database unreachable,
           14 no rows, 15 snapshot lost
  records  20 invalid rows, 21 too many rejects, 22 input not sorted
  storage  30 cannot read or write, 31 disk full, 32 run in use
  checks   40 verification failed, 41 gate closed, 54 run late or failed
  archive  50 upload failed, 51 refused, 52 unreachable, 53 content differs
  signals  129 SIGHUP, 130 SIGINT, 141 standard output closed, 143 SIGTERM

docs/settings.md says what to do about each.
"""


class _GroupedHelp(TyperGroup):
    """Lists the commands in the help under the headings of their groups."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401, ARG002 - typer keeps these types private
        """Write one section per group."""
        width = max(map(len, self.commands))
        for title, members in _GROUPS.items():
            names = [each.__name__.replace("_", "-") for each in members]
            with formatter.section(title):
                limit = formatter.width - 6 - width
                short = [self.commands[name].get_short_help_str(limit) for name in names]
                formatter.write_dl([(name.ljust(width), text) for name, text in zip(names, short, strict=True)])


app = typer.Typer(
    cls=_GroupedHelp,
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        print_text(f"oldump {version('oldump')}")
        raise typer.Exit


@app.callback()
def options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Make, verify and publish Open Library's data dumps."""


for _members in _GROUPS.values():
    for _command in _members:
        app.command()(_command)


def main() -> None:
    """Run the command line."""
    with command_process():
        app()
