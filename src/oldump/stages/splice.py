"""Splice: make the dump from its parts, one after another, in alphabetical order of their names.

Reads:      the parts
Writes:     dump
Guarantees: the parts' records, byte for byte; nothing is compressed again
Memory:     one segment
On failure: no partial file under a final name; a rerun resumes
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import msgspec

from oldump.engine.checkpoint import Checkpoint
from oldump.engine.segment_writer import BEGINNING, Position, SegmentWriter
from oldump.errors import VerificationError
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.run.watch import WATCH

log = logging.getLogger("oldump")


class SpliceState(msgspec.Struct):
    """A checkpoint of the stage."""

    parts: int
    """How many parts are copied completely."""
    segments: int
    """How many segments of the next part are copied."""
    position: Position
    """Where the dump ends."""


def splice(parts: list[Artifact], folder: RunFolder, checkpoint: Checkpoint, progress: Progress) -> Artifact:
    """Make the dump from these parts. Raises StorageError, SourceDamaged, VerificationError."""
    progress.begin("splice", "copy")
    records = sum(part.records for part in parts)
    with checkpoint.kept(), _writer(folder, checkpoint) as (writer, state):
        for number, part in enumerate(parts[state.parts :], start=state.parts):
            after = state.segments if number == state.parts else 0
            for segment in writer.splice(folder.artifact(part.name, part.item), after):
                if checkpoint.is_due():
                    checkpoint.save(SpliceState(number, segment + 1, writer.reached()))
                progress.update(writer.records, writer.records / records)
                WATCH.check()
        if writer.records != records:
            raise VerificationError(
                f"{folder.dump.name}: the parts have {records:,} records, {writer.records:,} were copied",
                "This is a bug; please report it.",
            )
        written = writer.commit()
    by_type: Counter[str] = Counter()
    for part in parts:
        by_type.update(part.by_type)
    # The digest of disjoint sets of records is the sum of their digests (see records.tally).
    digest = sum(int(part.digest or "0", 16) for part in parts) % (1 << 64)
    filled = [part for part in parts if part.records]
    return Artifact(
        **asdict(written),
        item=folder.items[1],
        last_key=filled[-1].last_key if filled else None,
        newest=max((part.newest or "" for part in parts), default="") or None,
        digest=f"{digest:016x}",
        by_type=dict(sorted(by_type.items())),
    )


@contextmanager
def _writer(folder: RunFolder, checkpoint: Checkpoint) -> Iterator[tuple[SegmentWriter, SpliceState]]:
    """Open the dump for writing; yield the writer and the state to resume from."""
    state = checkpoint.resumed(SpliceState, lambda saved: saved.position.files(folder.dump))
    if state is not None:
        log.info("splice: resuming after record %s", f"{state.position.records:,}")
    state = state or SpliceState(0, 0, BEGINNING)
    with SegmentWriter(folder.dump, state.position) as writer:
        yield writer, state
