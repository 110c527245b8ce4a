"""Lines of table dumps, held against the shape and the order of their table.

Does not: know what is in the database.
"""

from oldump.records.shapes import SHAPES, table_order
from oldump.stages.verify.findings import Finding, Findings, Kind
from oldump.stages.verify.seen import Seen
from oldump.stages.verify.sets import hashes_of

_DAY_COLUMN = {"wikidata": 1}
"""Where the day stands, if it is not the last column."""


def seen_table(text: bytes, file: str, table: str, first_day_after: str) -> Seen:
    """Look at the text of a segment of a table dump."""
    lines = text.removesuffix(b"\n").split(b"\n")
    found = Findings()
    shape, day_column = SHAPES[table], _DAY_COLUMN.get(table, -1)
    held: tuple[object, ...] | None = None
    for number, line in enumerate(lines, start=1):
        key = line.partition(b"\t")[0].decode(errors="backslashreplace")
        if shape.fullmatch(line) is None:
            found.add(Finding(Kind.TABLE, file, f"no line of {table}: {line[:60]!r}", number, key))
            continue
        if line.split(b"\t")[day_column].decode() >= first_day_after:
            found.add(Finding(Kind.CUTOFF, file, "a day after the cutoff", number, key))
        order = table_order(table, line)
        if held is not None and order < held:
            found.add(Finding(Kind.ORDER, file, "stands behind one that comes after it", number, key))
        held = order
    return Seen(len(lines), found, lines[0], lines[-1], hashes_of(lines))


def stands_behind(table: str, last: bytes, first: bytes) -> bool:
    """Whether a line may stand behind another; what has no shape is found elsewhere."""
    shape = SHAPES[table]
    if shape.fullmatch(last) is None or shape.fullmatch(first) is None:
        return True
    return table_order(table, last) <= table_order(table, first)
