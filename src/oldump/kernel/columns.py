"""What stands in the columns of many lines.

Does not: know what the columns mean.
"""

from itertools import starmap

import numpy as np

from oldump.kernel.copying import Places, Text, pairs

_HEAD_BYTES = 160
"""Where the first columns nearly always end: looking at these bytes alone spares copying what follows."""


def greatest_column(text: Text, starts: Places, ends: Places, column: int) -> bytes:
    """The greatest text in a column, counted from 0, behind which there is a tab in each line; empty without lines."""
    view = memoryview(text)
    heads = map(view.__getitem__, starmap(slice, pairs(starts, np.minimum(ends, starts + _HEAD_BYTES))))
    greatest = b""
    for place, head in enumerate(heads):
        columns = head.tobytes().split(b"\t", column + 1)
        if len(columns) < column + 2:
            columns = view[starts[place] : ends[place]].tobytes().split(b"\t", column + 1)
        if greatest < columns[column]:  # noqa: PLR1730 - max is a call for each line
            greatest = columns[column]
    return greatest
