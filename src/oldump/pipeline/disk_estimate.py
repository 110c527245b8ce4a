"""How much disk space a run needs, estimated from the size of its input.

Does not: look at a disk.
"""

from collections.abc import Mapping

from oldump.outside.postgres.examination import TableSize
from oldump.stages import extract
from oldump.stages.dumps.latest import CDUMP
from oldump.stages.tables import TABLE_OF

# Measured on 24 November 2026 on synth's rows (200,000 and 1 million, --memory 192M to 2G) and on the 690 rows of Open
# Library's development database. Each factor is the largest that was measured, rounded up; together they exceed the
# peak of a run by a fifth. docs/performance.md, "Disk space", has the figures.
TEXT_PER_TABLE = 1.0
"""COPY text per byte of table data on the server's disk: synth 0.91, development database 0.79."""
DATA_PER_TEXT = 0.30
"""data.txt.gz per byte of text: 0.264 and 0.165."""
SPILL_PER_TEXT = 0.25
"""The spill per byte of text: dumps 0.14 to 0.21 and 0.24, later deworks 0.09 to 0.10 and 0.23."""
CDUMP_PER_TEXT = 0.14
"""The cdump per byte of text, at level 6: 0.108 and 0.134."""
DUMP_PER_TEXT = 0.08
"""The dump per byte of text, at level 6: synth 0.070; the development database has no earlier revisions."""
DEWORKS_PER_TEXT = 0.09
"""Deworks per byte of text, at level 6: 0.077 and 0.087."""
LOW_LEVEL = 1.6
"""Size at level 1 relative to level 6: 1.51 to 1.59. Used for all levels below 6."""
DUMPS_PER_TABLE = 0.15
"""A table dump per byte of its table: 0.03 to 0.114 in the demo."""
_MEASURED_LEVEL = 6

_TABLES = "tables"
_SPILL = "spill"
_FILES_OF = {
    "data": ("data",),
    CDUMP: ("spill", "cdump", "parts"),
    "dump": ("dump",),
    "deworks": ("spill", "deworks"),
}
"""The files that take space when an artifact of this name is written. All table dumps are estimated together."""


def estimate_bytes(
    writes: set[str], text_bytes: int | None, sizes: Mapping[str, TableSize], level: int
) -> dict[str, int] | None:
    """Return the estimated size of each kind of file that is written; None if it cannot be known.

    writes: names of artifacts; text_bytes: text of the rows, None to derive it from the size of table data, if known.
    """
    if text_bytes is None and extract.TABLE in sizes:
        text_bytes = int(TEXT_PER_TABLE * sizes[extract.TABLE].all_bytes)
    tables = [table for stage in sorted(writes & set(TABLE_OF)) for table in TABLE_OF[stage].tables]
    if not sizes.keys() >= set(tables):
        return None
    table_bytes = sum(sizes[table].all_bytes for table in tables)
    estimate = {_TABLES: int(DUMPS_PER_TABLE * table_bytes)} if table_bytes else {}
    larger = LOW_LEVEL if level < _MEASURED_LEVEL else 1
    shares = {
        "data": DATA_PER_TEXT,
        "spill": SPILL_PER_TEXT,
        "cdump": larger * CDUMP_PER_TEXT,
        "parts": larger * DUMP_PER_TEXT,
        "dump": larger * DUMP_PER_TEXT,
        "deworks": larger * DEWORKS_PER_TEXT,
    }
    for name, files in _FILES_OF.items():
        if name in writes:
            if text_bytes is None:
                return None
            estimate |= {file: int(shares[file] * text_bytes) for file in files}
    return estimate


def bytes_for(writes: set[str], estimate: Mapping[str, int]) -> int:
    """Return how much of an estimate belongs to these artifacts. The spill of two stages counts once."""
    files = {file for name, files in _FILES_OF.items() if name in writes for file in files}
    if writes & set(TABLE_OF):
        files.add(_TABLES)
    return sum(size for file, size in estimate.items() if file in files)


def split_off_spill(estimate: Mapping[str, int] | None) -> tuple[dict[str, int] | None, dict[str, int] | None]:
    """Return the estimate without the spill, and that of the spill alone."""
    if estimate is None:
        return None, None
    spill = {file: size for file, size in estimate.items() if file == _SPILL}
    return {file: size for file, size in estimate.items() if file not in spill}, spill
