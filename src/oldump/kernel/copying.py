"""Many stretches of a text, copied one behind another.

Does not: know what a stretch is.
"""

from collections.abc import Iterator
from itertools import starmap

import numpy as np

Text = bytes | memoryview
"""Something to look into that nobody changes meanwhile; a memoryview is of single bytes."""
Places = np.ndarray[tuple[int], np.dtype[np.int64]]


_PAIRS = 1 << 12
"""Places that are Python's integers at a time: forty bytes each, where an array has eight."""


def pairs(starts: Places, ends: Places) -> Iterator[tuple[int, int]]:
    """Each start with its end."""
    for first in range(0, len(starts), _PAIRS):
        chosen = slice(first, first + _PAIRS)
        yield from zip(starts[chosen].tolist(), ends[chosen].tolist(), strict=True)


def gathered(text: Text, starts: Places, ends: Places, head: bytes = b"") -> bytes:
    """The head, and behind it what lies in the text from each start to its end."""
    return b"".join((head, *_stretches(memoryview(text), starts, ends)))


def _stretches(view: memoryview, starts: Places, ends: Places) -> Iterator[memoryview]:
    """The stretches; those that follow each other in the text too are one."""
    if not len(starts):
        return iter(())
    is_first = np.append(True, starts[1:] != ends[:-1])
    is_last = np.append(is_first[1:], True)
    return map(view.__getitem__, starmap(slice, pairs(starts[is_first], ends[is_last])))
