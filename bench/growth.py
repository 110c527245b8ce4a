"""Measure dumps and splice for increasing numbers of rows. Rate and memory should not depend on that number."""

import shutil
from dataclasses import replace
from itertools import islice
from pathlib import Path

from bench.inputs import Inputs, seekable
from bench.measure import Measured, measured
from bench.pipeline import ONLY, spill_of
from bench.table import Table, count, mebibytes, ratio

ROWS = (100_000, 1_000_000, 3_000_000, 10_000_000)
_STANDARD = 1_000_000
"""Rates are relative to the rate for this number of rows, or for the largest if it is not measured."""
_WORKERS = (1, 2)
_OUT = "growth"


def show(inputs: Inputs) -> None:
    """Print the table. All inputs are the first rows of one synthetic table."""
    sizes = sorted({*(rows for rows in ROWS if rows < inputs.rows), inputs.rows})
    standard = _STANDARD if _STANDARD in sizes else sizes[-1]
    rates: dict[int, float] = {}
    table = Table("workers", "seconds", "CPU s", "rows/s", f"× {standard:,} rows", "peak MiB", "spill/text")
    for rows in sorted(sizes, key=lambda each: (each != standard, each)):
        source, text_bytes = _first_rows(rows, inputs)
        for workers in _WORKERS:
            ran = _run(replace(inputs, workers=workers), source)
            rate = rows / ran.seconds
            rates.setdefault(workers, rate)
            table.row(
                f"{rows:,} rows",
                str(workers),
                f"{ran.seconds:.1f}",
                f"{ran.cpu_seconds:.1f}",
                count(rate),
                ratio(rate / rates[workers]),
                mebibytes(ran.peak_rss_bytes),
                ratio(ran.spill_bytes / text_bytes),
            )
        shutil.rmtree(source.parent)


def _first_rows(rows: int, inputs: Inputs) -> tuple[Path, int]:
    """Return the file that extract would write for the first rows, and the size of their text."""
    head = inputs.folder / "head.txt"
    with inputs.text.open("rb") as stream, head.open("wb") as output:
        output.writelines(islice(stream, rows))
    text_bytes = head.stat().st_size
    source = seekable(head, inputs.folder / f"first-{rows}")
    head.unlink()
    return source, text_bytes


def _run(inputs: Inputs, source: Path) -> Measured:
    ran = measured([*inputs.run_of(source, _OUT), *ONLY], inputs.folder, spill_of(inputs, _OUT))
    shutil.rmtree(inputs.folder / _OUT)
    return ran
