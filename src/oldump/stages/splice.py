"""Splice: the dump is its parts, one after another, in alphabetical order of their names.

Reads:      the parts
Writes:     dump
Promises:   the parts' records, byte for byte; nothing is compressed again
Memory:     one segment
On failure: nothing under the final name; run again
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
    """Where the copying rests."""

    parts: int
    """That are copied whole."""
    segments: int
    """Of the part behind them."""
    position: Position


def splice(parts: list[Artifact], folder: RunFolder, checkpoint: Checkpoint, progress: Progress) -> Artifact:
    """Make the dump of these parts. Raises StorageError, SourceDamaged, VerificationError."""
    progress.begin("splice", "copy")
    records = sum(part.records for part in parts)
    with checkpoint.kept(), _begun(folder, checkpoint) as (writer, so_far):
        for number, part in enumerate(parts[so_far.parts :], start=so_far.parts):
            after = so_far.segments if number == so_far.parts else 0
            for segment in writer.splice(folder.artifact(part.name, part.item), after):
                if checkpoint.is_due():
                    checkpoint.save(SpliceState(number, segment + 1, writer.reached()))
                progress.update(writer.records, writer.records / records)
                WATCH.check()
        if writer.records != records:
            raise VerificationError(
                f"{folder.dump.name}: {records:,} records in the parts, {writer.records:,} spliced."
            )
        written = writer.commit()
    by_type: Counter[str] = Counter()
    for part in parts:
        by_type.update(part.by_type)
    filled = [part for part in parts if part.records]
    return Artifact(
        **asdict(written),
        item=folder.items[1],
        last_key=filled[-1].last_key if filled else None,
        newest=max((part.newest or "" for part in parts), default="") or None,
        digest=f"{sum(int(part.digest or '0', 16) for part in parts) % (1 << 64):016x}",
        by_type=dict(sorted(by_type.items())),
    )


@contextmanager
def _begun(folder: RunFolder, checkpoint: Checkpoint) -> Iterator[tuple[SegmentWriter, SpliceState]]:
    """The dump in the making, and where to go on."""
    reached = checkpoint.resumed(SpliceState, lambda state: state.position.files(folder.dump))
    if reached is not None:
        log.info("splice: goes on behind record %s", f"{reached.position.records:,}")
    so_far = reached or SpliceState(0, 0, BEGINNING)
    with SegmentWriter(folder.dump, so_far.position) as writer:
        yield writer, so_far
