"""The old commands sort and split beside sort(1) and a Python script."""

import shlex
import sys
from pathlib import Path

from bench.inputs import HERE, OLDUMP, Inputs
from bench.measure import Measured, shell, typical
from bench.table import Table, count, mebibytes, ratio


def show_sort(inputs: Inputs) -> None:
    """Print a table: records in the rows' order are sorted."""
    beside = f"LC_ALL=C sort -t $'\\t' -S {inputs.memory} -k2,2 -k3,3n {inputs.records} > sorted.txt"
    ours = f"{shlex.join([*OLDUMP, 'sort', str(inputs.records), *inputs.limits])} > sorted.txt"
    _show({"sort(1)": beside, "sort": ours}, inputs)
    (inputs.folder / "sorted.txt").unlink()


def show_split(inputs: Inputs) -> None:
    """Print a table: records become one file a part."""
    folder = inputs.folder / "split"
    folder.mkdir(exist_ok=True)
    names = str(folder / "part_%s.txt.gz")
    beside = f"{shlex.join([sys.executable, str(HERE / 'baseline.py'), 'split', names])} < {inputs.records}"
    workers = ["--workers", str(inputs.workers)]
    ours = shlex.join([*OLDUMP, "split", str(inputs.records), "--format", names, *workers])
    _show({"split, baseline.py": beside, "split": ours}, inputs)


def _show(commands: dict[str, str], inputs: Inputs) -> None:
    """Print a line for each command, and how many times as fast it is as the first."""
    records = _lines(inputs.records)
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(inputs.rounds):
        for name, command in commands.items():
            runs[name].append(shell(command, inputs.folder))
    results = {name: typical(each) for name, each in runs.items()}
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
