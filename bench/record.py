"""One record by its key, by the script that docs/format.md gives to readers, beside zcat and grep."""

import shlex
import shutil
import sys
from pathlib import Path

from bench.inputs import DAY, HERE, Inputs
from bench.measure import Measured, measured, timed, typical
from bench.table import Table, ratio
from oldump.engine.segments import read_index

_LEAST_ROUNDS = 5


def show(inputs: Inputs) -> None:
    """Print a table. The key is that of the segment in the middle of the cdump."""
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
    runs: dict[str, list[Measured]] = {name: [] for name in commands}
    for _ in range(max(_LEAST_ROUNDS, inputs.rounds)):
        for name, command in commands.items():
            runs[name].append(timed(command, inputs.folder))
    table = Table("seconds", "× the first")
    first = typical(runs["zcat | grep"]).seconds
    for name, each in runs.items():
        table.row(f"{key}, {name}", f"{typical(each).seconds:.3f}", ratio(first / typical(each).seconds))
    shutil.rmtree(inputs.folder / "record")


def _documented(page: Path) -> str:
    """The script of the page that finds a record."""
    blocks = page.read_text(encoding="utf-8").split("```")[1::2]
    _, _, script = next(block for block in blocks if "bisect_left" in block).partition("\n")
    return script
