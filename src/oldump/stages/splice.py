"""Splice: the dump is its parts, one after another, in alphabetical order of their names.

Reads:      the parts
Writes:     dump
Promises:   the parts' records, byte for byte; nothing is compressed again
Memory:     one segment
On failure: nothing under the final name; run again
"""

from collections import Counter
from dataclasses import asdict

from oldump.engine.segments import SegmentWriter
from oldump.errors import VerificationError
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress


def splice(parts: list[Artifact], folder: RunFolder, progress: Progress) -> Artifact:
    """Make the dump of these parts. Raises StorageError, SourceDamaged, VerificationError."""
    progress.begin("splice", "copy")
    records = sum(part.records for part in parts)
    by_type: Counter[str] = Counter()
    with SegmentWriter(folder.dump) as writer:
        for part in parts:
            writer.splice(folder.artifact(part.name, part.item))
            by_type.update(part.by_type)
            progress.update(writer.records, writer.records / records if records else 1.0)
        if writer.records != records:
            raise VerificationError(
                f"{folder.dump.name}: {records:,} records in the parts, {writer.records:,} spliced."
            )
        written = writer.commit()
    filled = [part for part in parts if part.records]
    return Artifact(
        **asdict(written),
        item=folder.items[1],
        last_key=filled[-1].last_key if filled else None,
        newest=max((part.newest or "" for part in parts), default="") or None,
        digest=f"{sum(int(part.digest or '0', 16) for part in parts) % (1 << 64):016x}",
        by_type=dict(sorted(by_type.items())),
    )
