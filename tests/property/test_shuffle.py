"""Scatter and gather sort lines and cut them into the segments of the sorted text.

This holds for any workers, any memory and any division into tasks.
"""

import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from examples import examples
from oldump.engine.buckets import Buckets
from oldump.engine.budget import Budget
from oldump.engine.frames import Batch
from oldump.engine.gather import Gathering, Stream, gather_worker
from oldump.engine.scatter import Scattering, scatter_worker
from oldump.engine.segments import SEGMENT_BYTES, Segment, segment_texts
from oldump.engine.text_lines import Lines
from oldump.engine.workers import Crew

MAX_RANK = (1 << 64) - 1


@dataclass(frozen=True, order=True)
class Line:
    """An input line of the shuffle, ordered by its fields."""

    rank: int
    text: bytes
    tag: int


class ByTag:
    """Arrange lines into one stream of all lines and one for each of three tags."""

    def __init__(self) -> None:
        self._lines = 0

    def __call__(self, batch: Batch, *, last: bool) -> dict[str, Lines]:
        """Return the streams of a slice."""
        self._lines += len(batch.lines)
        return {"all": batch.lines, **{f"tag {tag}": batch.lines.take(batch.tags == tag) for tag in range(3)}}

    def tally(self) -> int:
        """Return the number of lines."""
        return self._lines


def compress(text: bytes) -> Segment:
    """Return the segment uncompressed: compression is not tested here."""
    return Segment(b"", text.count(b"\n"), len(text), 0, text)


def read(lines: list[Line]) -> Generator[Batch, None, int]:
    """Make a task's two batches, of which one or both may be empty."""
    for some in (lines[: len(lines) // 2], lines[len(lines) // 2 :]):
        ranks = np.array([line.rank for line in some], np.uint64)
        yield Batch(Lines.of([line.text for line in some]), ranks, np.array([line.tag for line in some], np.uint8))
    return len(lines)


def shuffled(tasks: list[list[Line]], workers: int, budget: Budget, folder: Path) -> dict[str, list[bytes]]:
    """Return the segments' texts of each stream, with the same number of workers in scatter and gather."""
    with Crew(workers, scatter_worker(read, folder, budget)) as crew:
        scattering = Scattering(crew)
        messages = list(scattering.run([("a task", task) for task in tasks]))
    buckets = Buckets(scattering.frames(), budget)
    assert sorted(messages) == [(number, len(task)) for number, task in enumerate(tasks)]
    sinks: dict[str, list[Segment]] = {name: [] for name in ("all", "tag 0", "tag 1", "tag 2")}
    with Crew(workers, gather_worker(lambda line: line, ByTag, compress, folder, budget)) as crew:
        tallies = list(Gathering(crew, {name: Stream(sink) for name, sink in sinks.items()}, compress).run(buckets))
    assert sum(tally for tally in tallies if isinstance(tally, int)) == sum(map(len, tasks))
    assert all(tallies)  # no empty bucket
    assert not list(folder.glob("runs-*"))
    return {name: [segment.data for segment in segments] for name, segments in sinks.items()}


def expected(lines: list[Line]) -> dict[str, list[bytes]]:
    """Return the expected result: all lines sorted, then cut."""
    lines = sorted(lines)
    return {
        "all": list(segment_texts(line.text + b"\n" for line in lines)),
        **{
            f"tag {tag}": list(segment_texts(line.text + b"\n" for line in lines if line.tag == tag))
            for tag in range(3)
        },
    }


_RANKS = st.one_of(
    st.integers(0, 3),
    st.sampled_from((5 << 40, (5 << 40) + 1, (5 << 40) + (1 << 20), 1 << 63, MAX_RANK)),
    st.integers(0, MAX_RANK),
)
_TEXTS = st.one_of(
    st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"\t")),
    st.sampled_from((b"", b"\0", b"\r", b"a", b"a\tb")),
    st.builds(
        lambda letter, size: letter * size,
        st.sampled_from((b"x", b"y")),
        st.sampled_from((100, 5_000, 90_000, 400_000)),
    ),
    st.sampled_from((b"z" * (SEGMENT_BYTES - 1), b"w" * (SEGMENT_BYTES + 7))),
)


@st.composite
def _tagged(draw: st.DrawFn) -> Line:
    # Two lines with the same rank and text are equal in the order, so the tag must follow from them.
    rank, text = draw(_RANKS), draw(_TEXTS)
    return Line(rank, text, (rank + len(text)) % 3)


@st.composite
def _budgets(draw: st.DrawFn) -> Budget:
    return Budget(
        spill_bytes=draw(st.sampled_from((1, 30, 1000, 1 << 20, 1 << 30))),
        bucket_bytes=draw(st.sampled_from((1, 40, 1000, 100_000, 1_500_000, 1 << 30))),
        bucket_shift=draw(st.sampled_from((0, 1, 20, 40, 60, 63))),
        flush_buckets=draw(st.sampled_from((1, 3, 40, 1 << 10))),
    )


FEW_RANKS = [[Line(number % 3, b"%d" % (number * 7919 % 1000), number % 3)] for number in range(60)]


@given(st.lists(st.lists(_tagged(), max_size=8), max_size=12), st.integers(1, 3), _budgets())
@example(FEW_RANKS, 1, Budget(1, 1, 63))
@example(FEW_RANKS, 3, Budget(1, 200, 63))
@example(FEW_RANKS, 2, Budget(100, 100, 1))
@settings(deadline=None, max_examples=examples(20))
def test_the_lines_are_sorted(tasks: list[list[Line]], workers: int, budget: Budget) -> None:
    """The streams are the sorted lines, and their segments end where those of the whole text would.

    The lines include equal ranks, empty lines and lines longer than a segment; buckets hold one rank or all, and large
    ones need several merges.
    """
    with tempfile.TemporaryDirectory() as folder:
        streams = shuffled(tasks, workers, budget, Path(folder))
    assert streams == expected([line for task in tasks for line in task])


def _long_lines() -> Iterator[list[Line]]:
    for number in range(40):
        yield [
            Line(
                (number * 31 + place) % 5, b"%d\t%d\t" % (place * 7919 % 100, number) + b"x" * (place * 331), place % 3
            )
            for place in range(40)
        ]


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize(
    "budget",
    [
        Budget(1 << 30, 1 << 30, 63),
        Budget(2_000_000, 4_000_000, 0),
        Budget(700_000, 1_000_000, 63),
        Budget(100_000, 3_000_000, 1),
        Budget(1, 1 << 20, 2),
        Budget(100_000, 3_000_000, 0, 2),
    ],
    ids=["in memory", "a bucket a rank", "overfull", "many frames", "tiny frames", "several widths"],
)
def test_the_same_lines_give_the_same_segments(tmp_path: Path, workers: int, budget: Budget) -> None:
    """Each way of sorting 10 MB of long lines gives the same bytes."""
    tasks = list(_long_lines())
    assert shuffled(tasks, workers, budget, tmp_path) == expected([line for task in tasks for line in task])
