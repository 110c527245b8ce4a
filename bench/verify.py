"""Compare verify with the dumps stage, in text of rows per second. The budget is at least 0.5."""

import shutil

from bench.inputs import OLDUMP, Inputs
from bench.measure import measured
from bench.table import Table, mebibytes, ratio


def show(inputs: Inputs) -> None:
    """Print the table of verify and dumps."""
    run = inputs.run_of(inputs.seekable, "verified")
    dumps = measured([*run, "--only", "dumps"], inputs.folder)
    measured(run, inputs.folder)
    verify = measured([*OLDUMP, "verify", "verified", "--workers", str(inputs.workers)], inputs.folder)
    table = Table("seconds", "MB/s of rows", "× dumps", "peak MiB")
    for name, ran in (("dumps", dumps), ("verify", verify)):
        rate = inputs.text_bytes / ran.seconds / 1e6
        share = ratio(dumps.seconds / ran.seconds)
        table.row(name, f"{ran.seconds:.1f}", f"{rate:.1f}", share, mebibytes(ran.peak_rss_bytes))
    shutil.rmtree(inputs.folder / "verified")
