"""`make bench`: the pipeline beside the plain baseline and the codec floor, in one run, as ratios.

    make bench                              1,000,000 synth rows
    make bench ARGS='--rows 10000000'       more
    make bench ARGS='--rounds 3'            each thing several times in turn; the medians are printed

Inputs and outputs lie in a temporary folder (TMPDIR) of about 4 KB a row, removed at the end.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench.extract import print_extract
from bench.measure import Measured, measured, shell
from bench.skewed import KINDS
from oldump.engine.segments import DEFAULT_LEVEL
from oldump.records.record import PARTS

DAY = "2022-07-31"
HERE = Path(__file__).parent
OLDUMP = [sys.executable, "-m", "oldump"]
NAMES = ("baseline", "floor", "oldump", "oldump, seekable input")


def main() -> None:
    """Measure, and print one table."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="oldump-bench-") as name:
        folder = Path(name)
        _prepare(folder, options)
        results: dict[str, list[Measured]] = {each: [] for each in NAMES}
        for _ in range(options.rounds):
            results["oldump"].append(_oldump(folder, folder / "data.txt.gz", options))
            results["oldump, seekable input"].append(_oldump(folder, folder / "seekable" / "data.txt.gz", options))
            results["floor"].append(_floor(folder, options))
            results["baseline"].append(_baseline(folder))
        _print(results, options)
        _print_sizes(folder)
        _print_verify(folder, options)
        _print_deworks(folder, options)
        for path in folder.glob("*/*.gz"):
            path.unlink()
        print_extract(folder, options.rows, options.rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--memory", default="512M")
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


def _prepare(folder: Path, options: argparse.Namespace) -> None:
    """The input, as psql and gzip make it and as extract makes it; the baseline's folder."""
    for name in ("seekable", "baseline", "texts"):
        (folder / name).mkdir()
    shell(f"{sys.executable} -m oldump synth --rows {options.rows} | tee data.txt | gzip -6 > data.txt.gz", folder)
    measured([sys.executable, "-m", "bench.seekable", str(folder / "data.txt"), str(folder / "seekable")], HERE.parent)


def _oldump(folder: Path, source: Path, options: argparse.Namespace) -> Measured:
    out = folder / "oldump"
    shutil.rmtree(out, ignore_errors=True)
    limits = ["--workers", str(options.workers), "--memory", options.memory]
    only = ["--only", "dumps", "--only", "splice"]  # what baseline and floor do: neither gate nor verify
    return measured([*OLDUMP, "run", DAY, "--source", str(source), "--out", str(out), *only, *limits], folder)


def _making(folder: Path) -> Path:
    """The folder in which a run without gate and verify leaves its items."""
    return folder / "oldump" / f"run-{DAY}" / "making"


def _floor(folder: Path, options: argparse.Namespace) -> Measured:
    texts = _texts(folder)
    command = [sys.executable, str(HERE / "floor.py"), "data.txt.gz", str(options.workers), str(DEFAULT_LEVEL)]
    return measured([*command, *map(str, texts)], folder)


def _texts(folder: Path) -> list[Path]:
    """The outputs' plain text: of the cdump and of the parts."""
    out = _making(folder)
    dump = out / f"ol_dump_{DAY}"
    sources = [out / f"ol_cdump_{DAY}" / f"ol_cdump_{DAY}.txt.gz"]
    sources += [dump / f"ol_dump_{part}_{DAY}.txt.gz" for part in PARTS]
    texts = [folder / "texts" / source.stem for source in sources]
    for source, text in zip(sources, texts, strict=True):
        if not text.exists():
            shell(f"zcat {source} > {text}", folder)
    return texts


def _baseline(folder: Path) -> Measured:
    script = f"{sys.executable} {HERE / 'baseline.py'}"
    steps = (
        f"gzip -cd ../data.txt.gz | {script} cdump {DAY} | gzip -6 > cdump.txt.gz",
        f"gzip -cd cdump.txt.gz | LC_ALL=C sort -t $'\\t' -S 1G -k2,2 -k3,3n | {script} dump | gzip -6 > dump.txt.gz",
        f"gzip -cd dump.txt.gz | {script} split part_%s.txt.gz",
    )
    runs = [shell(step, folder / "baseline") for step in steps]
    return Measured(sum(run.seconds for run in runs), max(run.peak_rss_bytes for run in runs))


def _print(results: dict[str, list[Measured]], options: argparse.Namespace) -> None:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(
        f"{options.rows:,} synth rows, {options.workers} workers, --memory {options.memory}, "
        f"{options.rounds} rounds; {machine}; {datetime.now(UTC):%Y-%m-%d}\n"
    )
    seconds = {name: statistics.median(run.seconds for run in runs) for name, runs in results.items()}
    print(f"{'':24}{'seconds':>10}{'rows/s':>12}{'× baseline':>12}{'of floor':>10}{'peak MiB':>10}")
    for name, runs in results.items():
        peak = max(run.peak_rss_bytes for run in runs) >> 20
        print(
            f"{name:24}{seconds[name]:>10.1f}{options.rows / seconds[name]:>12,.0f}"
            f"{seconds['baseline'] / seconds[name]:>12.2f}{seconds[name] / seconds['floor']:>10.2f}{peak:>10,}"
        )


def _print_verify(folder: Path, options: argparse.Namespace) -> None:
    """Verify of a whole run beside its dumps stage alone, in the rows' text a second: at least 0.5 is wanted."""
    limits = ["--workers", str(options.workers), "--memory", options.memory]
    run = [*OLDUMP, "run", DAY, "--source", "seekable/data.txt.gz", "--out", "verified", *limits]
    dumps = measured([*run, "--only", "dumps"], folder)
    measured(run, folder)
    verify = measured([*OLDUMP, "verify", "verified", "--workers", str(options.workers)], folder)
    text_bytes = (folder / "data.txt").stat().st_size
    print(f"\n{'':24}{'seconds':>10}{'MB/s of rows':>14}{'of dumps':>12}{'peak MiB':>10}")
    for name, ran in (("dumps", dumps), ("verify", verify)):
        rate, share = text_bytes / ran.seconds / 1e6, dumps.seconds / ran.seconds
        print(f"{name:24}{ran.seconds:>10.1f}{rate:>14.1f}{share:>12.2f}{ran.peak_rss_bytes >> 20:>10,}")
    shutil.rmtree(folder / "verified")


def _print_deworks(folder: Path, options: argparse.Namespace) -> None:
    """Deworks beside dumps, as stages of a run; and dumps in which much hangs on one key beside dumps in which not."""
    limits = ["--workers", str(options.workers), "--memory", options.memory]
    run = [*OLDUMP, "run", DAY, "--source", "seekable/data.txt.gz", "--out", "deworks", *limits]
    dumps = measured([*run, "--only", "dumps"], folder)
    deworks = measured([*run, "--only", "deworks"], folder)
    counts = json.loads((folder / "deworks" / f"run-{DAY}" / "journal.jsonl").read_text().splitlines()[-1])["counts"]
    documents = counts["works"] + counts["editions"]
    print(f"\n{'':24}{'seconds':>10}{'of what':>26}{'a second':>12}{'peak MiB':>10}")
    for name, run_of, count, what in (
        ("dumps", dumps, options.rows, "rows"),
        ("deworks", deworks, documents, "works and editions"),
    ):
        peak = run_of.peak_rss_bytes >> 20
        print(f"{name:24}{run_of.seconds:>10.1f}{count:>10,} {what:<19}{count / run_of.seconds:>8,.0f}{peak:>10,}")
    shutil.rmtree(folder / "deworks")
    print(f"\n{'deworks of a dump':36}{'seconds':>10}{'peak MiB':>10}")
    for name, records in KINDS.items():
        with (folder / "dump.txt").open("wb") as stream:
            stream.writelines(records())
        (folder / "items.txt").write_bytes(b"")
        ran = measured([*OLDUMP, "deworks", "dump.txt", "items.txt", *limits], folder)
        print(f"{name:36}{ran.seconds:>10.1f}{ran.peak_rss_bytes >> 20:>10,}")


def _print_sizes(folder: Path) -> None:
    """Sizes beside gzip -6 of the same records in stored order."""
    baseline, out = folder / "baseline", _making(folder)
    latest = f"{sys.executable} -m bench.stored_order {baseline}/dump.txt.gz {baseline}/cdump.txt.gz"
    shell(f"cd {HERE.parent} && {latest} | gzip -6 > {baseline}/dump-stored-order.txt.gz", folder)
    print(f"\n{'':24}{'bytes':>14}{'gzip -6 of stored order':>26}{'ratio':>8}")
    for name, ours, plain in (
        ("cdump", out / f"ol_cdump_{DAY}" / f"ol_cdump_{DAY}.txt.gz", baseline / "cdump.txt.gz"),
        ("dump", out / f"ol_dump_{DAY}" / f"ol_dump_{DAY}.txt.gz", baseline / "dump-stored-order.txt.gz"),
    ):
        size, other = ours.stat().st_size, plain.stat().st_size
        print(f"{name:24}{size:>14,}{other:>26,}{size / other:>8.3f}")


if __name__ == "__main__":
    main()
