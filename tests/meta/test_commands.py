"""Every command, option and exit code is in --help and in the documents."""

import inspect
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
import typer

from oldump import errors
from oldump.cli import main as cli

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"
SETTINGS = ROOT / "docs" / "settings.md"
SETTINGS_FREE = {"--help"}


def commands() -> dict[str, "click.Command"]:
    """Return every command by name."""
    group = typer.main.get_command(cli.app)
    return dict(group.commands)  # type: ignore[attr-defined] # a group has some


@cache
def shown_help() -> str:
    """Return the output of `oldump --help`."""
    line = [sys.executable, "-m", "oldump", "--help"]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def options() -> Iterator[tuple[str, str]]:
    """Yield every command with each of its options."""
    for name, command in commands().items():
        for parameter in command.params:
            yield from ((name, option) for option in parameter.opts if option.startswith("--"))


def error_classes() -> list[type[errors.OldumpError]]:
    """Return all error classes except the root."""
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, errors.OldumpError)]
    return [each for each in classes if each is not errors.OldumpError]


def signal_codes() -> set[int]:
    """Return 128 + SIGHUP, SIGINT, SIGPIPE, SIGTERM."""
    return {129, 130, 141, 143}


def documented_codes(text: str) -> Counter[int]:
    """Return the exit codes in the headings of settings.md, such as "### 13*: the database cannot be reached"."""
    headings = re.findall(r"(?m)^### ([0-9][0-9, *]*): \S", text)
    return Counter(int(code) for heading in headings for code in re.findall(r"[0-9]+", heading))


@pytest.mark.parametrize("command", commands())
def test_a_command_is_in_the_help_and_in_the_documents(command: str) -> None:
    """Every command is in `oldump --help` and in the README or docs."""
    assert re.search(rf"(?m)^  {command} ", shown_help())
    documents = "".join(page.read_text(encoding="utf-8") for page in (README, OPERATIONS, SETTINGS))
    assert re.search(rf"(oldump |make |`){command}\b", documents)


def test_every_option_has_a_help_text() -> None:
    """No option appears in --help without a description."""
    for command, option in options():
        parameters = [each for each in commands()[command].params if option in each.opts]
        assert all(getattr(each, "help", None) for each in parameters), (command, option)


@pytest.mark.parametrize("option", sorted({option for _, option in options()} - SETTINGS_FREE))
def test_an_option_is_in_the_documents(option: str) -> None:
    """Every option is in the README, operations.md or settings.md."""
    documents = "".join(page.read_text(encoding="utf-8") for page in (README, OPERATIONS, SETTINGS))
    assert re.search(rf"{option}\b", documents)


def test_the_documents_name_only_existing_options() -> None:
    """Every `oldump COMMAND --option` in the documents exists."""
    known = set(options()) | {(command, "--help") for command in commands()}
    for path in (README, OPERATIONS, SETTINGS):
        for line in path.read_text(encoding="utf-8").splitlines():
            for command, rest in re.findall(r"\boldump ([a-z]+)((?: [^|;&`#]*)?)", line):
                if command in commands():
                    documented = {(command, option) for option in re.findall(r"(?<!\S)\[?(--[a-z-]+)", rest)}
                    assert documented <= known, line


def test_exit_codes_are_unique() -> None:
    """Each kind of failure has its own code, different from those of success, bugs and signals."""
    codes = Counter(each.exit_code for each in error_classes())
    assert max(codes.values()) == 1
    assert not set(codes) & ({0, 1, errors.BUG_EXIT_CODE} | signal_codes())


@pytest.mark.parametrize("place", ["the help", "docs/settings.md"])
def test_every_exit_code_is_documented(place: str) -> None:
    """It is in the last lines of the help, and has one heading with advice in settings.md."""
    codes = {0, errors.BUG_EXIT_CODE, *signal_codes(), *(each.exit_code for each in error_classes())}
    if place == "the help":
        text = str(cli.app.info.epilog).split("Exit codes:")[1].split("docs/")[0]
        assert {int(code) for code in re.findall(r"[0-9]+", text)} == codes
        return
    assert documented_codes(SETTINGS.read_text(encoding="utf-8")) == Counter(codes)


def test_a_star_marks_retryable_errors() -> None:
    """In the headings of settings.md, a star agrees with the class: scripts and people rely on it."""
    starred = {int(code) for code in re.findall(r"(?m)^### ([0-9]+)\*: ", SETTINGS.read_text(encoding="utf-8"))}
    assert starred == {each.exit_code for each in error_classes() if each.retryable}


def test_the_error_tree_is_complete() -> None:
    """The docstring of errors.py lists every class with its exit code."""
    drawn = dict(re.findall(r"([A-Z]\w+) +([0-9]+) ", str(errors.__doc__)))
    assert drawn == {each.__name__: str(each.exit_code) for each in error_classes()}
