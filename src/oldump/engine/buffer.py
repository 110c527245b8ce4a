"""A reusable buffer for texts that are processed one after another.

New memory is expensive: the system clears each page when it is first written to. So all texts share one buffer. Pages
that were never written to take no memory, so a large buffer costs only its content.
"""

import mmap


class Buffer:
    """A buffer for one text at a time."""

    def __init__(self, size_bytes: int = 0) -> None:
        """size_bytes: the size that will be needed, if it is known."""
        self._memory = _memory(size_bytes)

    def view(self, size_bytes: int) -> memoryview:
        """Return a view of this size. Writing to it overwrites the previous text."""
        if size_bytes > len(self._memory):
            self._memory = _memory(
                1 << (size_bytes - 1).bit_length()
            )  # a power of 2, so that slightly longer texts fit
        return self._memory[:size_bytes]

    def release(self) -> None:
        """Return the memory to the system, as soon as no text in it is used."""
        self._memory = _memory(0)


def _memory(size_bytes: int) -> memoryview:
    return memoryview(mmap.mmap(-1, max(size_bytes, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
