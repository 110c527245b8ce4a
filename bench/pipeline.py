"""Compare dumps and splice with the baseline and the floor: times, sizes of the outputs, and the spill."""

import shlex
import shutil
import sys
from pathlib import Path

from bench.inputs import DAY, HERE, Inputs
from bench.measure import Measured, measured, measured_in_turn, shell
from bench.table import Table, count, mebibytes, ratio
from oldump.engine.segments import DEFAULT_LEVEL
from oldump.records.record import PARTS

ONLY = ["--only", "dumps", "--only", "splice"]
"""The stages that the baseline and the floor do too."""
_OUT = "oldump"


def show(inputs: Inputs) -> None:
    """Print three tables."""
    for name in ("baseline", "texts"):
        (inputs.folder / name).mkdir()
    # The floor compresses the outputs of oldump, so it runs after it.
    results = measured_in_turn(
        {
            "oldump": lambda: _oldump(inputs, inputs.gzipped),
            "oldump, seekable input": lambda: _oldump(inputs, inputs.seekable),
            "floor": lambda: _floor(inputs),
            "baseline": lambda: _baseline(inputs),
        },
        inputs.rounds,
    )
    _show_times(results, inputs)
    _show_sizes(inputs)
    spilled = results["oldump, seekable input"].spill_bytes
    table = Table("bytes", "of text")
    table.row("largest spill", count(spilled), ratio(spilled / inputs.text_bytes))
    for name in ("baseline", "texts", _OUT):
        shutil.rmtree(inputs.folder / name)


def _show_times(results: dict[str, Measured], inputs: Inputs) -> None:
    table = Table("seconds", "CPU s", "rows/s", "× baseline", "time/floor", "peak MiB")
    for name, ran in sorted(results.items()):
        table.row(
            name,
            f"{ran.seconds:.1f}",
            f"{ran.cpu_seconds:.1f}",
            count(inputs.rows / ran.seconds),
            ratio(results["baseline"].seconds / ran.seconds),
            ratio(ran.seconds / results["floor"].seconds),
            mebibytes(ran.peak_rss_bytes),
        )


def _show_sizes(inputs: Inputs) -> None:
    """Compare sizes with gzip -6 of the same records in stored order."""
    baseline, making = inputs.folder / "baseline", _making(inputs)
    latest = f"{sys.executable} -m bench.stored_order {baseline}/dump.txt.gz {baseline}/cdump.txt.gz"
    shell(f"cd {HERE.parent} && {latest} | gzip -6 > {baseline}/dump-stored-order.txt.gz", inputs.folder)
    table = Table("bytes", "gzip -6 of stored order", "ratio")
    for name, ours, plain in (
        ("cdump", making / f"ol_cdump_{DAY}" / f"ol_cdump_{DAY}.txt.gz", baseline / "cdump.txt.gz"),
        ("dump", making / f"ol_dump_{DAY}" / f"ol_dump_{DAY}.txt.gz", baseline / "dump-stored-order.txt.gz"),
    ):
        size, other = ours.stat().st_size, plain.stat().st_size
        table.row(name, count(size), count(other), f"{size / other:.3f}")


def _oldump(inputs: Inputs, source: Path) -> Measured:
    shutil.rmtree(inputs.folder / _OUT, ignore_errors=True)
    return measured([*inputs.run_of(source, _OUT), *ONLY], inputs.folder, spill_of(inputs, _OUT))


def spill_of(inputs: Inputs, out: str) -> Path:
    """Return the path of a run's spill folder."""
    return inputs.folder / out / f"run-{DAY}" / "spill"


def _making(inputs: Inputs) -> Path:
    """Return the folder that contains the items of a run without gate and verify."""
    return inputs.folder / _OUT / f"run-{DAY}" / "making"


def _floor(inputs: Inputs) -> Measured:
    command = [sys.executable, str(HERE / "floor.py"), str(inputs.gzipped), str(inputs.workers), str(DEFAULT_LEVEL)]
    return measured([*command, *map(str, _texts(inputs))], inputs.folder)


def _texts(inputs: Inputs) -> list[Path]:
    """Return files with the plain text of the outputs: the cdump and the parts."""
    dump = _making(inputs) / f"ol_dump_{DAY}"
    sources = [_making(inputs) / f"ol_cdump_{DAY}" / f"ol_cdump_{DAY}.txt.gz"]
    sources += [dump / f"ol_dump_{part}_{DAY}.txt.gz" for part in PARTS]
    texts = [inputs.folder / "texts" / source.stem for source in sources]
    for source, text in zip(sources, texts, strict=True):
        if not text.exists():
            shell(f"zcat {source} > {text}", inputs.folder)
    return texts


def _baseline(inputs: Inputs) -> Measured:
    script = shlex.join([sys.executable, str(HERE / "baseline.py")])
    steps = (
        f"gzip -cd {inputs.gzipped} | {script} cdump {DAY} | gzip -6 > cdump.txt.gz",
        f"gzip -cd cdump.txt.gz | LC_ALL=C sort -t $'\\t' -S 1G -k2,2 -k3,3n | {script} dump | gzip -6 > dump.txt.gz",
        f"gzip -cd dump.txt.gz | {script} split part_%s.txt.gz",
    )
    runs = [shell(step, inputs.folder / "baseline") for step in steps]
    return Measured(
        sum(run.seconds for run in runs),
        sum(run.cpu_seconds for run in runs),
        max(run.peak_rss_bytes for run in runs),
    )
