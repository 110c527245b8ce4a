"""Compare the commands sort and split with sort(1) and a Python script."""

import shlex
import sys
from functools import partial
from pathlib import Path

from bench.inputs import HERE, OLDUMP, Inputs
from bench.measure import measured_in_turn, shell
from bench.table import Table, count, mebibytes, ratio


def show_sort(inputs: Inputs) -> None:
    """Print the table of sort. Input: records in the order of the rows."""
    other = f"LC_ALL=C sort -t $'\\t' -S {inputs.memory} -k2,2 -k3,3n {inputs.records} > sorted.txt"
    ours = f"{shlex.join([*OLDUMP, 'sort', str(inputs.records), *inputs.limits])} > sorted.txt"
    _show({"sort(1)": other, "sort": ours}, inputs)
    (inputs.folder / "sorted.txt").unlink()


def show_split(inputs: Inputs) -> None:
    """Print the table of split."""
    folder = inputs.folder / "split"
    folder.mkdir(exist_ok=True)
    names = str(folder / "part_%s.txt.gz")
    other = f"{shlex.join([sys.executable, str(HERE / 'baseline.py'), 'split', names])} < {inputs.records}"
    workers = ["--workers", str(inputs.workers)]
    ours = shlex.join([*OLDUMP, "split", str(inputs.records), "--format", names, *workers])
    _show({"split, baseline.py": other, "split": ours}, inputs)


def _show(commands: dict[str, str], inputs: Inputs) -> None:
    """Print a line for each command, with its speed relative to the first."""
    records = _lines(inputs.records)
    results = measured_in_turn(
        {name: partial(shell, command, inputs.folder) for name, command in commands.items()}, inputs.rounds
    )
    first = next(iter(results))
    table = Table("seconds", "CPU s", "records/s", "MB/s", "× the first", "peak MiB")
    for name, ran in results.items():
        table.row(
            name,
            f"{ran.seconds:.1f}",
            f"{ran.cpu_seconds:.1f}",
            count(records / ran.seconds),
            f"{inputs.records.stat().st_size / ran.seconds / 1e6:.1f}",
            ratio(results[first].seconds / ran.seconds),
            mebibytes(ran.peak_rss_bytes),
        )


def _lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(text.count(b"\n") for text in iter(lambda: stream.read(1 << 20), b""))
