"""`make bench`: measure oldump's commands and compare them with simpler programs on the same machine.

    make bench                              all tables except growth, for 1,000,000 synthetic rows
    make bench ARGS='--rows 10000000'       the same for more rows
    make bench ARGS='--rounds 3'            run the commands in turn, three times each, and print medians
    make bench ARGS='--only pipeline --only sort'
    make bench ARGS='--growth'              dumps and splice of 100,000 to 10,000,000 rows, with 1 and 2 workers

Inputs and outputs are in a temporary folder (TMPDIR) of about 4 KB per row, or 1.5 KB with --growth. It is removed at
the end.
"""

import argparse
import os
import platform
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from bench import deworks, extract, filters, growth, pipeline, record, startup, verify
from bench.inputs import Inputs

TABLES: dict[str, Callable[[Inputs], None]] = {
    "startup": startup.show,
    "pipeline": pipeline.show,
    "sort": filters.show_sort,
    "split": filters.show_split,
    "record": record.show,
    "verify": verify.show,
    "deworks": deworks.show,
    "extract": extract.show,
    "growth": growth.show,
}
_DEFAULT_TABLES = [name for name in TABLES if name != "growth"]
_ROWS = 1_000_000


def main() -> None:
    """Measure, and print the requested tables."""
    options = _options()
    names = ["growth"] if options.growth else options.only or _DEFAULT_TABLES
    rows = options.rows or (growth.ROWS[-1] if names == ["growth"] else _ROWS)
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(
        f"{rows:,} synth rows, {options.workers} workers, --memory {options.memory}, {options.rounds} rounds; "
        f"{machine}; {datetime.now(UTC):%Y-%m-%d}",
        flush=True,
    )
    with tempfile.TemporaryDirectory(prefix="oldump-bench-") as folder:
        inputs = Inputs(Path(folder), rows, options.workers, options.memory, options.rounds)
        for name, show in TABLES.items():
            if name in names:
                show(inputs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--memory", default="512M")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", action="append", choices=TABLES, metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--growth", action="store_true", help="the same as --only growth")
    return parser.parse_args()


if __name__ == "__main__":
    main()
