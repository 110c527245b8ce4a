"""Memory budget: how many workers fit in `--memory`, and how much text each may hold."""

from dataclasses import dataclass

from oldump.engine.frames import FRAME
from oldump.engine.text_stream import TEXT_PER_GZIP_BYTE


@dataclass(frozen=True)
class Budget:
    """The text that one worker may hold, in bytes, and the size of buckets."""

    spill_bytes: int
    """Text collected before it is spilled."""
    bucket_bytes: int
    """The largest bucket that is sorted in memory in one piece; a larger one is sorted in runs, which are merged."""
    bucket_shift: int
    """Records with the same `rank >> bucket_shift` share a bucket, unless there would be too many buckets."""
    flush_buckets: int = 1 << 10
    """The maximum number of buckets in a flush; up to twice as many where the density of ranks varies widely."""


# Measured as the peak resident memory of each process, in complete runs of 300,000 rows with 256M and 512M. A worker
# needs 1.1 bytes in a scatter and 1.6 bytes in a gather for each byte of text it may hold, runs and slices included.
_LEADER_BYTES = 92 << 20
"""Memory of the leader: the interpreter, shared blocks, open segments, results in transit."""
_WORKER_BYTES = 68 << 20
"""Memory of a worker besides its records: the interpreter and numpy, a block and its result."""
_HELD_PER_TEXT = 1.8
"""Bytes of memory for each byte of text that is collected or sorted, including the positions of short lines."""
HELD_PER_TEXT_OF_OBJECTS = 4.0
"""Like _HELD_PER_TEXT, for stages that create a Python object for each line."""
_LEAST_TEXT_BYTES = 4 << 20
_LEAST_FRAME_BYTES = 1 << 16
"""The least text in a frame of a full flush, on average: reading a smaller frame costs less than finding it."""
_MOST_SPILL_BYTES = 512 << 20
FINEST_BUCKET_BYTES = 16 << 20
_TABLE_SHARE = 8
"""The table of frames takes at most about 1/_TABLE_SHARE of the memory."""
_TABLE_BYTES_PER_FRAME = FRAME.itemsize + 8
"""Includes the sort order of the table."""


def workers_within(memory_bytes: int, workers: int) -> int:
    """Return the number of workers that the memory allows: at least 1, at most `workers`."""
    each = _WORKER_BYTES + int(_HELD_PER_TEXT * _LEAST_TEXT_BYTES)
    return max(1, min(workers, (memory_bytes - _LEADER_BYTES) // each))


def budget_within(
    memory_bytes: int,
    workers: int,
    size_bytes: int,
    text_per_key: int,
    key_shift: int,
    held_per_text: float = _HELD_PER_TEXT,
) -> Budget:
    """Return each worker's budget, with buckets small enough to occupy all workers and to fit in memory.

    size_bytes: size of the compressed input, 0 if unknown; text_per_key: average text of all lines whose ranks differ
    only in the lowest key_shift bits. Both only tune the size of buckets and frames.
    """
    workers = workers_within(memory_bytes, workers)
    text_bytes = size_bytes * TEXT_PER_GZIP_BYTE
    most_table_bytes = memory_bytes // _TABLE_SHARE
    frame_bytes = max(_LEAST_FRAME_BYTES, text_bytes * _TABLE_BYTES_PER_FRAME // most_table_bytes)
    table_bytes = text_bytes // frame_bytes * _TABLE_BYTES_PER_FRAME
    each = (memory_bytes - _LEADER_BYTES - table_bytes) / workers - _WORKER_BYTES
    share = max(_LEAST_TEXT_BYTES, int(each / held_per_text))
    target = min(share // 3, max(FINEST_BUCKET_BYTES, text_bytes // (64 * workers)))
    keys = max(1, target // text_per_key)
    spill_bytes = min(share, _MOST_SPILL_BYTES)
    return Budget(spill_bytes, share, key_shift + keys.bit_length() - 1, max(1, spill_bytes // frame_bytes))
