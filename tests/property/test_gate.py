"""The gate finds the changed records that two dictionaries show, for any dumps, segments, ranges and workers."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from examples import examples
from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import segment_of
from oldump.records.keys import order_key
from oldump.records.record import PARTS
from oldump.stages.gate.comparison import RANGE_BYTES, Changes, IndexedPart, compare_parts

KEYS = [
    f"{stem}{number}{letter}" for stem, letter in (("/works/OL", "W"), ("/books/OL", "M")) for number in range(1, 13)
]
KEYS += ["/authors/OL05A", "/authors/OL5A", "/people/a/lists/OL1L", "/subjects/é", "/x", "/works/OL3W-DUP"]

Dump = dict[str, tuple[str, int, str]]
"""For each key: its part, revision and title."""


def dumps() -> SearchStrategy[Dump]:
    """Return a dump with few keys, so that two dumps share many."""
    record = st.tuples(st.sampled_from(PARTS), st.integers(1, 12), st.sampled_from(["", "a", "b", "c" * 200]))
    return st.dictionaries(st.sampled_from(KEYS), record)


def written(dump: Dump, folder: Path, cuts: int, *, is_earlier: bool) -> list[IndexedPart]:
    """Write the parts of a dump, with this many records per segment."""
    parts = []
    folder.mkdir()
    for name in PARTS:
        path = folder / f"{name}.txt.gz"
        keys = sorted(
            (key for key, (part, _, _) in dump.items() if part == name), key=lambda key: order_key(key.encode())
        )
        lines = [record(name, key, *dump[key][1:]) for key in keys]
        with SegmentWriter(path) as writer:
            for start in range(0, len(lines), cuts):
                writer.append(segment_of(b"".join(lines[start : start + cuts]), 1, 1))
            writer.commit()
        parts.append(IndexedPart.at(name, path, is_earlier=is_earlier))
    return parts


def record(part: str, key: str, revision: int, title: str) -> bytes:
    """Return a record with its newline."""
    return f'/type/{part}\t{key}\t{revision}\t2022-07-01\t{{"title": "{title}"}}\n'.encode()


def expected(now: Dump, before: Dump) -> Changes:
    """Return the changes, computed with dictionaries."""
    kinds = Counter(
        "gone"
        if key not in now
        else "new"
        if key not in before
        else "same"
        if now[key] == before[key]
        else "older"
        if now[key][1] < before[key][1]
        else "changed"
        for key in {*now, *before}
    )
    return Changes(**kinds)


@pytest.mark.parametrize("workers", [1, 2])
@given(
    now=dumps(),
    before=dumps(),
    kept=st.booleans(),
    cuts=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    range_bytes=st.sampled_from([1, 200, 1_000, RANGE_BYTES]),
)
@settings(deadline=None, max_examples=examples(100))
def test_any_two_dumps(
    workers: int, now: Dump, before: Dump, kept: bool, cuts: tuple[int, int], range_bytes: int
) -> None:
    """Records are equal, changed, older, new or gone; titles change; and every record of the run is read once."""
    now = {**before, **now} if kept else now
    with tempfile.TemporaryDirectory() as name:
        parts = written(now, Path(name) / "now", cuts[0], is_earlier=False)
        parts += written(before, Path(name) / "before", cuts[1], is_earlier=True)
        seen = [0]
        read = compare_parts(parts, workers, seen.append, range_bytes)
    assert read.changes == expected(now, before)
    assert (read.records, max(seen), read.damage) == (len(now), len(now), "")
    titles = Counter(part for part, _, title in now.values() if title)
    assert {part: counts["title"] for part, counts in read.filled.items() if "title" in counts} == {
        part: titles[part] for part in ("editions", "works") if any(each[0] == part for each in now.values())
    }
