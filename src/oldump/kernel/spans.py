# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Many lines of a text, copied or looked at without an object for each.

A line is where it starts and ends in the text, its newline included. This is plain Python, which Cython compiles in its
pure Python mode; uncompiled it gives the same.
"""

from collections.abc import Callable

import cython  # type: ignore[import-untyped] # it has stubs, but does not say so
import numpy as np

from oldump.kernel.arrays import Digests, Places, Text

_NEWLINE = b"\n"


def gathered(text: Text, starts: Places, ends: Places, head: bytes = b"") -> bytes:
    """The head, and behind it what lies in the text from each start to its end."""
    size_bytes: cython.Py_ssize_t = len(head) + int((ends - starts).sum())
    if not cython.compiled or size_bytes < 2:  # Python keeps one object for each single byte, which is not ours to fill
        return b"".join((head, *(text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True))))
    made = bytes(size_bytes)
    goal: cython.p_uchar = made  # nobody else has it yet
    beginning: cython.p_uchar = head
    source: cython.const[cython.uchar][::1] = text
    start_of: cython.longlong[::1] = starts
    end_of: cython.longlong[::1] = ends
    place: cython.Py_ssize_t = len(head)
    number: cython.Py_ssize_t
    offset: cython.Py_ssize_t
    begin: cython.Py_ssize_t
    size: cython.Py_ssize_t
    for offset in range(place):
        goal[offset] = beginning[offset]
    for number in range(start_of.shape[0]):
        begin = start_of[number]
        size = end_of[number] - begin
        for offset in range(size):
            goal[place + offset] = source[begin + offset]
        place += size
    return made


def breaks(text: Text) -> int:
    """How many newlines there are."""
    if not cython.compiled:
        return bytes(text).count(_NEWLINE)
    source: cython.const[cython.uchar][::1] = text
    size: cython.Py_ssize_t = len(text)
    found: cython.Py_ssize_t = 0
    start: cython.Py_ssize_t
    place: cython.Py_ssize_t
    few: cython.uchar  # a byte, so that many are counted at once
    for start in range(0, size, 255):
        few = 0
        for place in range(start, min(start + 255, size)):
            few += source[place] == ord("\n")
        found += few
    return found


def digests(text: Text, starts: Places, ends: Places, digest: Callable[[bytes], int]) -> Digests:
    """The digest of each line without its newline. digest: gives 64 bits."""
    made = np.empty(len(starts), np.uint64)
    if not cython.compiled or not len(made):
        made[:] = [digest(bytes(text[start : end - 1])) for start, end in zip(starts, ends, strict=True)]
        return made
    view: cython.const[cython.uchar][::1] = text
    source: cython.p_uchar = cython.cast(cython.p_uchar, cython.address(view[0]))
    start_of: cython.longlong[::1] = starts
    end_of: cython.longlong[::1] = ends
    digest_of: cython.ulonglong[::1] = made
    number: cython.Py_ssize_t
    for number in range(start_of.shape[0]):
        digest_of[number] = digest(source[start_of[number] : end_of[number] - 1])
    return made


def greatest_column(text: Text, starts: Places, ends: Places, column: int) -> bytes:
    """The greatest text that stands in this column of the lines, counted from 0.

    Each line must have a tab behind that column: compiled, no other end is looked for.
    """
    if not cython.compiled:
        lines = (bytes(text[start:end]).split(b"\t", column + 1) for start, end in zip(starts, ends, strict=True))
        return bytes(max((fields[column] for fields in lines), default=b""))
    source: cython.const[cython.uchar][::1] = text
    start_of: cython.longlong[::1] = starts
    number: cython.Py_ssize_t
    begin: cython.Py_ssize_t
    end: cython.Py_ssize_t
    offset: cython.Py_ssize_t
    _skipped: cython.Py_ssize_t
    before: cython.Py_ssize_t = column
    best: cython.Py_ssize_t = 0
    best_size: cython.Py_ssize_t = 0
    for number in range(start_of.shape[0]):
        begin = start_of[number]
        for _skipped in range(before):
            while source[begin] != ord("\t"):
                begin += 1
            begin += 1
        end = begin
        while source[end] != ord("\t"):
            end += 1
        offset = 0
        while offset < end - begin and offset < best_size and source[begin + offset] == source[best + offset]:
            offset += 1
        if offset < end - begin and (offset == best_size or source[begin + offset] > source[best + offset]):
            best, best_size = begin, end - begin
    return bytes(text[best : best + best_size])
