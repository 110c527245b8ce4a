"""Writes the expected files in data/ anew, from the judge: `python tests/commands/expected.py`, on purpose only.

data/table.txt is written by hand. Read the difference that git shows before you commit it: readers depend on each
byte.
"""

import json
import sys
from pathlib import Path

DATA = Path(__file__).parent / "data"
DATE = "2022-07-31"


def expected() -> dict[str, bytes]:
    """The text of each expected file, by name."""
    from reference import dumps_of  # noqa: PLC0415 - as a script, its folder must be made known first

    judged = dumps_of((DATA / "table.txt").read_bytes(), DATE)
    rejects = [b"%d\t%s\t%s\n" % (number, reason.encode(), line) for number, reason, line in judged.rejects]
    counts = {"rows": judged.rows, "drops": judged.drops, "same_revision": judged.same_revision}
    return {
        "cdump.txt": judged.cdump,
        "dump.txt": judged.dump,
        **{f"{part}.txt": text for part, text in judged.parts.items()},
        "rejects.txt": b"".join(rejects),
        "counts.json": json.dumps(counts, indent=2).encode() + b"\n",
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    for name, content in expected().items():
        (DATA / name).write_bytes(content)
