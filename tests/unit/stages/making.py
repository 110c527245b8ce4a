"""Helpers for tests of dumps: a run in a folder, forms of its input, and comparison with the reference."""

import gzip
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from oldump.engine.budget import Budget
from oldump.engine.checkpoint import Checkpoint
from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import index_path, segment_of, segment_texts
from oldump.records.record import PARTS
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import NoProgress
from oldump.stages.dumps.account import RowCounts
from oldump.stages.dumps.job import DumpsJob
from oldump.stages.dumps.latest import CDUMP
from oldump.stages.dumps.stage import make_dumps
from reference import Reference, dumps_of, same_record
from tables import DATE

Form = Callable[[Path, bytes], None]
DAY = date.fromisoformat(DATE)
NAMES = (CDUMP, *PARTS)

AMPLE = Budget(spill_bytes=64 << 20, bucket_bytes=256 << 20, bucket_shift=40)
"""Everything in memory: one bucket for a million numbers."""
MANY_BUCKETS = Budget(spill_bytes=300_000, bucket_bytes=300_000, bucket_shift=25)
"""Buckets for 32 numbers, in several frames, gathered by 100 kB."""
OVERFULL = Budget(spill_bytes=60_000, bucket_bytes=150_000, bucket_shift=60)
"""A bucket for a whole collection, which takes several merges of its runs, and is gathered in many slices."""


@dataclass(frozen=True)
class Made:
    """The result of a run."""

    folder: RunFolder
    counts: RowCounts
    artifacts: dict[str, Artifact]

    def path(self, name: str) -> Path:
        """Return the path of cdump or a part."""
        return self.folder.cdump if name == CDUMP else self.folder.part(name)

    def text(self, name: str) -> bytes:
        """Return the text of cdump or a part."""
        return gzip.decompress(self.path(name).read_bytes())

    def contents(self) -> dict[str, bytes]:
        """Return the content of all artifacts and indexes, by name."""
        folders = (self.folder.cdump_item, self.folder.dump_item)
        return {path.name: path.read_bytes() for folder in folders for path in folder.iterdir()}


class Watching(NoProgress):
    """Records all progress."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.updates: list[tuple[int, float | None]] = []
        self.ended: list[str] = []

    def begin(self, stage: str, step: str) -> None:
        """Record the step."""
        self.steps.append(f"{stage} {step}")

    def update(self, rows: int, done: float | None) -> None:
        """Record rows and share."""
        self.updates.append((rows, done))

    def end(self, stage: str) -> None:
        """Record the stage."""
        self.ended.append(stage)


def job(folder: RunFolder, workers: int = 2, budget: Budget = AMPLE, max_rejects: int = 1000) -> DumpsJob:
    """Return a quick job: level 1, because file sizes do not matter here."""
    checkpoint = checkpoint_in(folder, "dumps")
    return DumpsJob(folder.date, workers, budget, level=1, max_rejects=max_rejects, checkpoint=checkpoint)


def checkpoint_in(folder: RunFolder, stage: str, seconds: float = math.inf) -> Checkpoint:
    """Return the stage's checkpoint. By default it is never saved."""
    return Checkpoint(folder.checkpoint(stage), {}, seconds)


def folder_in(out: Path) -> RunFolder:
    """Return the folder of the run for tables.DATE."""
    return RunFolder(out, DAY)


def made(source: Path, out: Path, workers: int = 2, budget: Budget = AMPLE, max_rejects: int = 1000) -> Made:
    """Make dumps from the source in a folder."""
    folder = folder_in(out)
    counts, artifacts = make_dumps(source, folder, job(folder, workers, budget, max_rejects), NoProgress())
    shutil.rmtree(folder.spill)  # as the runner does when it has noted that the stage is done
    return Made(folder, counts, dict(zip(NAMES, artifacts, strict=True)))


# Forms of the input


def plain(path: Path, text: bytes) -> None:
    """Plain text."""
    path.write_bytes(text)


def one_member(path: Path, text: bytes) -> None:
    """Gzip, as gzip(1) writes it."""
    path.write_bytes(gzip.compress(text, 1))


def many_members(path: Path, text: bytes) -> None:
    """Gzip of several members, which end in the middle of lines."""
    path.write_bytes(b"".join(gzip.compress(text[at : at + 99_991], 1) for at in range(0, len(text), 99_991)))


def seekable(path: Path, text: bytes) -> None:
    """Seekable gzip."""
    with SegmentWriter(path) as writer:
        for each in segment_texts([text]):
            writer.append(segment_of(each, 0, 1))
        writer.commit()
    assert index_path(path).exists()


FORMS: tuple[Form, ...] = (plain, one_member, many_members, seekable)


# Comparison with the reference


def require_reference(run: Made, text: bytes, *, byte_by_byte: bool = True) -> Reference:
    """Fail unless the run agrees with the reference implementation.

    byte_by_byte=False allows another spelling of escapes in the JSON, which the contract leaves open.
    """
    expected = dumps_of(text, DATE)
    for name in NAMES:
        require_same(run.text(name), expected.cdump if name == CDUMP else expected.parts[name], name, byte_by_byte)
    assert run.counts.rows == expected.rows
    assert run.counts.records == expected.cdump.count(b"\n")
    assert dict(run.counts.drops) == expected.drops
    assert run.counts.rejects.total() == len(expected.rejects)
    assert run.counts.same_revision == expected.same_revision
    assert run.counts.rows == run.counts.records + run.counts.drops.total() + run.counts.rejects.total()
    assert rejects_of(run.folder) == expected.rejects
    return expected


def require_same(found: bytes, expected: bytes, name: str, byte_by_byte: bool) -> None:
    """Fail at the first record that differs, rather than show megabytes."""
    found_lines, expected_lines = found.splitlines(keepends=True), expected.splitlines(keepends=True)
    for place, (one, other) in enumerate(zip(found_lines, expected_lines, strict=False)):
        same = one == other or (not byte_by_byte and same_record(one, other))
        assert same, f"{name}, record {place + 1}: {one[:300]!r} instead of {other[:300]!r}"
    assert len(found_lines) == len(expected_lines), name
    assert not byte_by_byte or found == expected, name


def rejects_of(folder: RunFolder) -> list[tuple[int, str, bytes]]:
    """Return line number, reason and row of each reject."""
    if not folder.rejects.exists():
        return []
    lines = gzip.decompress(folder.rejects.read_bytes()).removesuffix(b"\n").split(b"\n")
    fields = [line.split(b"\t", 2) for line in lines]
    return [(int(number), reason.decode(), row) for number, reason, row in fields]
