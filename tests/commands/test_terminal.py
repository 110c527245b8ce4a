"""The old commands on a terminal show their progress, and their output stays unchanged."""

import subprocess
from pathlib import Path

import pytest

from commands.command import COMMAND, DATE, SECONDS, cdump_of, environment, oldump
from commands.conftest import Table
from commands.terminal import Terminal, terminal

LIVE = b"\x1b[?25l"
"""A live display starts by hiding the cursor."""


def on_terminal(*arguments: object, cwd: Path, stdin: Path, to_file: bool = True, piped: bool = False) -> Terminal:
    """Run `oldump` with standard error on a terminal; standard output too, or into the file `out`. It must succeed."""
    with terminal() as (descriptor, shown), (cwd / "out").open("wb") as out, stdin.open("rb") as table:
        ran = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=cwd,
            env=environment(TERM="xterm-256color"),
            stdout=out if to_file else descriptor,
            stderr=descriptor,
            timeout=SECONDS,
            check=False,
            **({"input": table.read()} if piped else {"stdin": table}),
        )
    assert ran.returncode == 0, shown.shown
    return shown


@pytest.fixture(scope="module")
def sources(synth: Table, made: Path) -> dict[str, Path]:
    """The input of each command."""
    return {"cdump": synth.path} | dict.fromkeys(("sort", "dump", "split"), cdump_of(made))


def arguments_of(command: str, source: object) -> list[object]:
    """Return the command's arguments for this source; '-' for standard input."""
    return [command, source, *([DATE] if command == "cdump" else [])]


STEPS = {"cdump": [b"cdump: read"], "sort": [b"sort: scatter", b"sort: gather"]} | {
    name: [f"{name}: read".encode()] for name in ("dump", "split")
}


@pytest.mark.parametrize("command", STEPS)
@pytest.mark.parametrize("by_redirection", [False, True], ids=["file", "redirection"])
def test_progress_is_shown_on_standard_error(
    command: str, by_redirection: bool, sources: dict[str, Path], tmp_path: Path
) -> None:
    """Standard output has the data, byte for byte, and nothing else."""
    source = sources[command]
    given = arguments_of(command, "-" if by_redirection else source)
    terminal = on_terminal(*given, cwd=tmp_path, stdin=source)
    assert LIVE in terminal.shown
    assert all(step in terminal.shown for step in STEPS[command])
    assert f"{command}: ".encode() in terminal.shown.rsplit(b"[openlibrary.dump]", 1)[1]
    assert (tmp_path / "out").read_bytes() == oldump(*arguments_of(command, source), cwd=tmp_path).out


@pytest.mark.parametrize("command", ["sort", "dump"])
def test_no_progress_is_shown_among_the_data(command: str, sources: dict[str, Path], tmp_path: Path) -> None:
    """Standard output is the same terminal."""
    records = b"".join(b"/type/work\t/works/OL%dW\t1\t2010-01-01\t{}\n" % number for number in range(1, 100))
    (tmp_path / "records").write_bytes(records)
    terminal = on_terminal(command, "records", cwd=tmp_path, stdin=tmp_path / "records", to_file=False)
    assert terminal.shown.startswith(records.replace(b"\n", b"\r\n"))
    assert b"\x1b" not in terminal.shown


def test_no_progress_is_shown_after_a_pipe(sources: dict[str, Path], tmp_path: Path) -> None:
    """Another command in the pipe may show its own; the two would overwrite each other."""
    terminal = on_terminal("sort", cwd=tmp_path, stdin=sources["sort"], piped=True)
    assert LIVE not in terminal.shown
    assert b"[openlibrary.dump] INFO sort: " in terminal.shown
    assert (tmp_path / "out").stat().st_size > 0
