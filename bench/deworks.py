"""Compare deworks with the dumps stage, and dumps with a skewed distribution of links with an even one."""

import json
import shutil

from bench.inputs import DAY, OLDUMP, Inputs
from bench.measure import measured
from bench.skewed import KINDS
from bench.table import Table, count, mebibytes


def show(inputs: Inputs) -> None:
    """Print two tables."""
    _show_stages(inputs)
    _show_skewed(inputs)


def _show_stages(inputs: Inputs) -> None:
    run = inputs.run_of(inputs.seekable, "deworks")
    dumps = measured([*run, "--only", "dumps"], inputs.folder)
    deworks = measured([*run, "--only", "deworks"], inputs.folder)
    journal = inputs.folder / "deworks" / f"run-{DAY}" / "journal.jsonl"
    counts = json.loads(journal.read_text().splitlines()[-1])["counts"]
    documents = counts["works"] + counts["editions"]
    table = Table("seconds", "documents", "per second", "peak MiB")
    for name, ran, read in (("dumps, rows", dumps, inputs.rows), ("deworks, works and editions", deworks, documents)):
        table.row(name, f"{ran.seconds:.1f}", count(read), count(read / ran.seconds), mebibytes(ran.peak_rss_bytes))
    shutil.rmtree(inputs.folder / "deworks")


def _show_skewed(inputs: Inputs) -> None:
    dump, items = inputs.folder / "dump.txt", inputs.folder / "items.txt"
    items.write_bytes(b"")
    table = Table("seconds", "peak MiB")
    for name, records in KINDS.items():
        with dump.open("wb") as stream:
            stream.writelines(records())
        ran = measured([*OLDUMP, "deworks", str(dump), str(items), *inputs.limits], inputs.folder)
        table.row(name, f"{ran.seconds:.1f}", mebibytes(ran.peak_rss_bytes))
    dump.unlink()
