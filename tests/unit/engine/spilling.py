"""Spilled lines for the tests of scatter and gather."""

from pathlib import Path

import numpy as np

from oldump.engine.budget import Budget
from oldump.engine.frames import Batch, Frames
from oldump.engine.gather import Gathering, Stream, gather_worker
from oldump.engine.segments import Segment
from oldump.engine.spill_files import Spill
from oldump.engine.text_lines import Lines
from oldump.engine.workers import Crew

BUDGET = Budget(spill_bytes=1000, bucket_bytes=1 << 20, bucket_shift=8)


class ArrangeAll:
    """An arrange step that puts all lines into one stream."""

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:
        """Return all lines as one stream."""
        return {"all": batch.lines}

    def tally(self) -> None:
        """Return nothing."""


def store(text: bytes) -> Segment:
    """Return a segment with the uncompressed text."""
    return Segment(b"", text.count(b"\n"), len(text), 0, text)


def add(spill: Spill, lines: list[bytes], ranks: list[int], tags: list[int]) -> Frames:
    """Add lines with these ranks and tags to a spill; return the frames that are written."""
    return spill.add(Batch(Lines.of(lines), np.array(ranks, np.uint64), np.array(tags, np.uint8)))


def spill_ranks(folder: Path, ranks: list[int], budget: Budget = BUDGET) -> Frames:
    """Spill one incompressible line per rank, and return the frames."""
    spill = Spill(folder, 0, budget)
    return np.concatenate(
        [
            *(add(spill, [random_line(number)], [rank], [number % 256]) for number, rank in enumerate(ranks)),
            spill.flush(),
        ]
    )


def random_line(number: int) -> bytes:
    """Return random bytes without a newline; they depend only on the number."""
    random = np.random.default_rng(number).integers(11, 256, 200, np.uint8)
    return random.tobytes()


def gather(folder: Path, frames: Frames, budget: Budget = BUDGET, workers: int = 1) -> bytes:
    """Gather the frames as one bucket, and return its text."""
    segments: list[Segment] = []
    with Crew(workers, gather_worker(lambda line: line, ArrangeAll, store, folder, budget)) as crew:
        list(Gathering(crew, {"all": Stream(segments)}, store).run([("bucket 0x1", frames)]))
    return b"".join(segment.data for segment in segments)


def sparse_ranks(seed: int, count: int) -> list[int]:
    """Return ranks that are far apart: nearly all of them are in buckets of their own."""
    return [(3 << 60) + (number << 20) for number in np.random.default_rng(seed).integers(0, 1 << 34, count).tolist()]
