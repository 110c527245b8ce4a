"""Memory for texts that come one after another.

New memory is dear: the system clears it page by page as it is written to. So what one text has used, the next one uses
again. Pages that were never written to are not there: a large room costs what is in it.
"""

import mmap


class Buffer:
    """Buffer for one text at a time."""

    def __init__(self, size_bytes: int = 0) -> None:
        """Take how much is going to be asked for, if it is known."""
        self._memory = _memory(size_bytes)

    def of(self, size_bytes: int) -> memoryview:
        """So much room. What was in it before is gone when it is written to; so have done with that."""
        if size_bytes > len(self._memory):
            self._memory = _memory(1 << (size_bytes - 1).bit_length())  # lest every next text is a little too long
        return self._memory[:size_bytes]


def _memory(size_bytes: int) -> memoryview:
    return memoryview(mmap.mmap(-1, max(size_bytes, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
