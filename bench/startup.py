"""Measure commands with little to do: the help, and a run of 1,000 rows."""

import shutil
from collections.abc import Iterator

from bench.inputs import DAY, OLDUMP, Inputs
from bench.measure import Measured, shell, summary, timed
from bench.pipeline import ONLY
from bench.table import Table

_MIN_ROUNDS = 5
_FEW_ROWS = 1_000


def show(inputs: Inputs) -> None:
    """Print the table of short commands."""
    few = inputs.folder / "few.txt"
    shell(f"{' '.join(OLDUMP)} synth --rows {_FEW_ROWS} > {few}", inputs.folder)
    run = ["run", DAY, "--source", str(few), "--out", str(inputs.folder / "few"), *inputs.limits, *ONLY]
    table = Table("seconds", "CPU s")
    for name, flags in (
        ("oldump --help", ["--help"]),
        ("oldump run --help", ["run", "--help"]),
        (f"dumps and splice of {_FEW_ROWS:,} rows", run),
    ):
        ran = summary(list(_rounds(flags, inputs)))
        table.row(name, f"{ran.seconds:.2f}", f"{ran.cpu_seconds:.2f}")


def _rounds(flags: list[str], inputs: Inputs) -> Iterator[Measured]:
    for _ in range(max(_MIN_ROUNDS, inputs.rounds)):
        yield timed([*OLDUMP, *flags], inputs.folder)
        shutil.rmtree(inputs.folder / "few", ignore_errors=True)
