"""What stands in the columns of many lines.

Does not: know what the columns mean.
"""

from oldump.kernel.copying import Places, Text

_HEAD_BYTES = 160
"""Where the first columns nearly always end: looking at these bytes alone spares copying what follows."""


def greatest_column(text: Text, starts: Places, ends: Places, column: int) -> bytes:
    """The greatest text in a column, counted from 0, behind which there is a tab in each line; empty without lines."""
    view = memoryview(text)
    greatest = b""
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        columns = bytes(view[start : min(start + _HEAD_BYTES, end)]).split(b"\t", column + 1)
        if len(columns) < column + 2:
            columns = bytes(view[start:end]).split(b"\t", column + 1)
        greatest = max(greatest, columns[column])
    return greatest
