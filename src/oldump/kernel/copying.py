"""Many stretches of a text, copied one behind another.

Does not: know what a stretch is.
"""

from collections.abc import Iterator

import numpy as np

Text = bytes | memoryview
"""Something to look into that nobody changes meanwhile; a memoryview is of single bytes."""
Places = np.ndarray[tuple[int], np.dtype[np.int64]]


def gathered(text: Text, starts: Places, ends: Places, head: bytes = b"") -> bytes:
    """The head, and behind it what lies in the text from each start to its end."""
    return b"".join((head, *_stretches(memoryview(text), starts, ends)))


def _stretches(view: memoryview, starts: Places, ends: Places) -> Iterator[memoryview]:
    """The stretches; those that follow each other in the text too are one."""
    if not len(starts):
        return iter(())
    is_first = np.append(True, starts[1:] != ends[:-1])
    first = starts[is_first].tolist()
    behind = ends[np.append(is_first[1:], True)].tolist()
    return map(view.__getitem__, map(slice, first, behind))
