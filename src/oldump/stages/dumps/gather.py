"""Second half of the dumps stage: sort the records of each bucket and write cdump and parts."""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

import msgspec

from oldump.engine.buckets import Buckets
from oldump.engine.frames import Frames
from oldump.engine.gather import FileStream, Gathering, StreamPosition, gather_worker
from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import Compress, segment_of
from oldump.engine.workers import Crew
from oldump.errors import VerificationError
from oldump.records.record import PARTS, part_number, record_order
from oldump.records.tally import Tally
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.stages.dumps.account import RowCounts
from oldump.stages.dumps.job import DumpsJob
from oldump.stages.dumps.latest import CDUMP, BucketTallies, Latest

_KEY_COLUMN = 1
"""The column of a record that holds its key, from 0."""
_BUG = "This is a bug; please report it."


class GatherState(msgspec.Struct, tag=True):
    """A checkpoint during the gather."""

    frames: bytes
    """The frames of the remaining buckets."""
    counts: RowCounts
    tallies: dict[str, Tally]
    last_keys: dict[str, str]
    streams: dict[str, StreamPosition]


class Gather:
    """The second half of the stage, from its beginning or from a checkpoint. engine.gather does the sorting."""

    def __init__(self, counts: RowCounts, resume_from: GatherState | None = None) -> None:
        """counts: from the scatter."""
        self.counts = counts
        self._tallies = resume_from.tallies if resume_from else {name: Tally() for name in (CDUMP, *PARTS)}
        self._last_keys = resume_from.last_keys if resume_from else {}
        self._stream_states: Mapping[str, StreamPosition] = resume_from.streams if resume_from else {}

    def run(
        self, frames: Frames, paths: Mapping[str, Path], folder: RunFolder, job: DumpsJob, progress: Progress
    ) -> list[Artifact]:
        """Write the records in these frames, and commit the artifacts. Raises VerificationError, StorageError."""
        buckets = Buckets(frames, job.budget)
        del frames  # see Buckets
        compress = compressor(job.level)
        with ExitStack() as stack:
            for path in paths.values():
                path.parent.mkdir(parents=True, exist_ok=True)
            streams = {
                name: stack.enter_context(FileStream(path, self._stream_states.get(name)))
                for name, path in paths.items()
            }
            crew = stack.enter_context(
                Crew(job.workers, gather_worker(record_order, Latest, compress, job.spill, job.budget))
            )
            pause = job.checkpoint.pause(lambda: self._state(buckets, streams))
            for tallies in Gathering(crew, streams, compress).run(buckets, pause):
                assert isinstance(tallies, BucketTallies)  # noqa: S101 - what Latest.tally returns
                self._add(tallies)
                records = self._tallies[CDUMP].records
                progress.update(records, records / self.counts.records)
            self._require_complete({name: stream.writer.records for name, stream in streams.items()}, paths)
            self._tallies[CDUMP].newest = self.counts.newest
            items = {name: folder.items[0] if name == CDUMP else folder.items[1] for name in paths}
            return [
                commit_artifact(stream.writer, items[name], self._tallies[name], self._last_keys.get(name))
                for name, stream in streams.items()
            ]

    def _state(self, buckets: Buckets, streams: Mapping[str, FileStream]) -> GatherState:
        stream_states = {name: stream.reached() for name, stream in streams.items()}
        return GatherState(buckets.left().tobytes(), self.counts, self._tallies, self._last_keys, stream_states)

    def _add(self, tallies: BucketTallies) -> None:
        for name, tally in tallies.of_stream.items():
            self._tallies[name].add(tally)
        self._last_keys |= tallies.last_keys
        self.counts.same_revision += tallies.same_revision

    def _require_complete(self, written: Mapping[str, int], paths: Mapping[str, Path]) -> None:
        """Raise VerificationError unless exactly the scattered records were written, each to its part."""
        for name, records in written.items():
            if records != self._tallies[name].records:
                raise VerificationError(
                    f"{paths[name].name}: {records:,} records were written, {self._tallies[name].records:,} arranged",
                    _BUG,
                )
        if written[CDUMP] != self.counts.records:
            raise VerificationError(
                f"{paths[CDUMP].name}: {self.counts.records:,} records were scattered, {written[CDUMP]:,} gathered",
                _BUG,
            )
        gathered: Counter[str] = Counter()
        for type_key, records in self._tallies[CDUMP].by_type.items():
            gathered[PARTS[part_number(type_key.encode())]] += records
        if +gathered != +self.counts.by_part:
            raise VerificationError(
                f"{paths[CDUMP].name}: records by part: {dict(+self.counts.by_part)} were scattered, "
                f"{dict(+gathered)} gathered",
                _BUG,
            )


def compressor(level: int) -> Compress:
    """Return the function that compresses the text of records to a segment."""
    return partial(segment_of, first_key_at=_KEY_COLUMN, level=level)


def commit_artifact(writer: SegmentWriter, item: str, tally: Tally, last_key: str | None) -> Artifact:
    """Commit the file and return its journal entry."""
    written = writer.commit()
    return Artifact(
        **asdict(written),
        item=item,
        last_key=last_key,
        newest=tally.newest or None,
        digest=f"{tally.digest:016x}",
        by_type=dict(sorted(tally.by_type.items())),
    )
