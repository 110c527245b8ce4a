"""Look up one record by its key: compare the script in docs/format.md with zcat and grep."""

import shlex
import shutil
import sys
from functools import partial
from pathlib import Path

from bench.inputs import DAY, HERE, Inputs
from bench.measure import measured, measured_in_turn, timed
from bench.table import Table, ratio
from oldump.engine.segments import read_index

_MIN_ROUNDS = 5


def show(inputs: Inputs) -> None:
    """Print the table. The key is the first of the middle segment of the cdump."""
    measured([*inputs.run_of(inputs.seekable, "record"), "--only", "dumps"], inputs.folder)
    cdump = inputs.folder / "record" / f"run-{DAY}" / "making" / f"ol_cdump_{DAY}" / f"ol_cdump_{DAY}.txt.gz"
    entries = read_index(cdump)
    key = entries[len(entries) // 2].first_key.decode()
    script = inputs.folder / "one.py"
    script.write_text(_documented(HERE.parent / "docs" / "format.md"), encoding="utf-8")
    search = f"zcat {cdump} | LC_ALL=C grep -F -m 1 {shlex.quote(f'{chr(9)}{key}{chr(9)}')}"
    commands = {
        "zcat | grep": ["bash", "-c", search],
        "through the index": [sys.executable, str(script), str(cdump), key],
    }
    results = measured_in_turn(
        {name: partial(timed, command, inputs.folder) for name, command in commands.items()},
        max(_MIN_ROUNDS, inputs.rounds),
    )
    table = Table("seconds", "× the first")
    for name, ran in results.items():
        table.row(f"{key}, {name}", f"{ran.seconds:.3f}", ratio(results["zcat | grep"].seconds / ran.seconds))
    shutil.rmtree(inputs.folder / "record")


def _documented(page: Path) -> str:
    """Return the script of the page that looks up a record."""
    blocks = page.read_text(encoding="utf-8").split("```")[1::2]
    _, _, script = next(block for block in blocks if "bisect_left" in block).partition("\n")
    return script
