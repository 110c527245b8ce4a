# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""Operations on many lines of a text that create no Python object for each line.

A line is given by its start and end offsets, newline included. This is plain Python that Cython compiles in its pure
Python mode. Uncompiled, it gives the same results.
"""

from collections.abc import Callable

import cython  # type: ignore[import-untyped] # it has stubs, but does not say so
import numpy as np

from oldump.kernel.arrays import Digests, Places, Text

_NEWLINE = b"\n"


def gathered(text: Text, starts: Places, ends: Places, head: bytes = b"") -> bytes:
    """Return the head followed by the spans of the text from each start to its end."""
    size_bytes: cython.Py_ssize_t = len(head) + int((ends - starts).sum())
    if not cython.compiled or size_bytes < 2:  # bytes of length 1 are shared objects, which must not be changed
        return b"".join((head, *(text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True))))
    result = bytes(size_bytes)
    target: cython.p_uchar = result  # no other reference to it exists yet
    head_bytes: cython.p_uchar = head
    source: cython.const[cython.uchar][::1] = text
    start_of: cython.longlong[::1] = starts
    end_of: cython.longlong[::1] = ends
    place: cython.Py_ssize_t = len(head)
    number: cython.Py_ssize_t
    offset: cython.Py_ssize_t
    begin: cython.Py_ssize_t
    size: cython.Py_ssize_t
    for offset in range(place):
        target[offset] = head_bytes[offset]
    for number in range(start_of.shape[0]):
        begin = start_of[number]
        size = end_of[number] - begin
        for offset in range(size):
            target[place + offset] = source[begin + offset]
        place += size
    return result


def breaks(text: Text) -> int:
    """Return the number of newlines."""
    if not cython.compiled:
        return bytes(text).count(_NEWLINE)
    source: cython.const[cython.uchar][::1] = text
    size: cython.Py_ssize_t = len(text)
    found: cython.Py_ssize_t = 0
    start: cython.Py_ssize_t
    place: cython.Py_ssize_t
    in_chunk: cython.uchar  # one byte wide, so that the compiler can vectorize the loop
    for start in range(0, size, 255):
        in_chunk = 0
        for place in range(start, min(start + 255, size)):
            in_chunk += source[place] == ord("\n")
        found += in_chunk
    return found


def digests(text: Text, starts: Places, ends: Places, digest: Callable[[bytes], int]) -> Digests:
    """Return the 64-bit digest of each line without its newline."""
    result = np.empty(len(starts), np.uint64)
    if not cython.compiled or not len(result):
        result[:] = [digest(bytes(text[start : end - 1])) for start, end in zip(starts, ends, strict=True)]
        return result
    view: cython.const[cython.uchar][::1] = text
    source: cython.p_uchar = cython.cast(cython.p_uchar, cython.address(view[0]))
    start_of: cython.longlong[::1] = starts
    end_of: cython.longlong[::1] = ends
    digest_of: cython.ulonglong[::1] = result
    number: cython.Py_ssize_t
    for number in range(start_of.shape[0]):
        digest_of[number] = digest(source[start_of[number] : end_of[number] - 1])
    return result


def greatest_column(text: Text, starts: Places, ends: Places, column: int) -> bytes:
    """Return the greatest text in this column of the lines. Columns count from 0.

    Each line must have a tab after the column: the compiled function looks for no other end.
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
    columns_before: cython.Py_ssize_t = column
    best: cython.Py_ssize_t = 0
    best_size: cython.Py_ssize_t = 0
    for number in range(start_of.shape[0]):
        begin = start_of[number]
        for _skipped in range(columns_before):
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
