"""Regenerate the expected files in data/ from the reference implementation: `python tests/commands/expected.py`.

data/table.txt is written by hand. Review the diff before you commit it: readers depend on each byte.
"""

import json
import sys
from pathlib import Path

DATA = Path(__file__).parent / "data"
DATE = "2022-07-31"


def expected() -> dict[str, bytes]:
    """Return the text of each expected file, by name."""
    from reference import dumps_of  # noqa: PLC0415 - when run as a script, tests/ is added to sys.path first

    reference = dumps_of((DATA / "table.txt").read_bytes(), DATE)
    rejects = [b"%d\t%s\t%s\n" % (number, reason.encode(), line) for number, reason, line in reference.rejects]
    drops = {**reference.drops, "withheld": 0}  # the reference does not know of withheld keys
    counts = {"rows": reference.rows, "drops": drops, "same_revision": reference.same_revision}
    return {
        "cdump.txt": reference.cdump,
        "dump.txt": reference.dump,
        **{f"{part}.txt": text for part, text in reference.parts.items()},
        "rejects.txt": b"".join(rejects),
        "counts.json": json.dumps(counts, indent=2).encode() + b"\n",
    }


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    for name, content in expected().items():
        (DATA / name).write_bytes(content)
