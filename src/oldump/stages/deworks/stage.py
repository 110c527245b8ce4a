"""Denormalized works: one line per work, with its editions, authors, archive items and duplicates.

Reads:      authors, editions, redirects, works; ia-metadata if available
Writes:     deworks
Guarantees: every work and every edition is in exactly one line; the same bytes for any number of workers and any memory
Memory:     --memory, whatever the input's size; but a single line must fit
On failure: no partial file under a final name; a rerun resumes
"""

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from oldump.engine.checkpoint import Checkpoint
from oldump.engine.frames import frames_of
from oldump.engine.gather import FileStream, Stream
from oldump.engine.segment_writer import TextWriter
from oldump.engine.segments import Compress, segment_of, uncompressed
from oldump.engine.spill_files import spill_folder, spill_sizes, truncate_spills
from oldump.errors import SourceEmpty, VerificationError
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.deworks.inputs import Input, redirects_in
from oldump.stages.deworks.job import DeworksJob, DeworksResult, DeworksState
from oldump.stages.deworks.passes import Passes
from oldump.stages.deworks.redirects import Redirects

log = logging.getLogger("oldump")

COLUMNS = ("key", "json")
READS = ("authors", "editions", "redirects", "works")
"""The parts that the stage reads."""
_KEY_COLUMN = 0
_REDIRECTS = "redirects.sqlite"
_BUG = "This is a bug; please report it."


def make_artifact(
    parts: dict[str, Path],
    items: Path | None,
    folder: RunFolder,
    settings: Settings,
    checkpoint: Checkpoint,
    progress: Progress,
) -> tuple[dict[str, Any], Artifact]:
    """Make deworks from these parts, and return the counts and the artifact.

    items: the file of ia-metadata; None to omit archive items. The spill stays until the caller has recorded that the
    stage is done. Raises OldumpError as in errors.py.
    """
    inputs = [Input(parts[name], has_redirects=name == "redirects") for name in READS]
    if items is not None:
        inputs.append(Input(items, is_items=True))
    job = DeworksJob.within(settings, inputs, checkpoint.folder, checkpoint)
    compress = partial(segment_of, first_key_at=_KEY_COLUMN, level=settings.level)
    path = folder.part("deworks")
    with checkpoint.kept():
        state = _resume(checkpoint, path)
        with FileStream(path, state.stream if state else None) as stream:
            result = make_deworks(inputs, stream, job, compress, progress, state)
            tally = result.tally
            if stream.writer.records != tally.lines:
                raise VerificationError(
                    f"deworks: {tally.lines:,} lines were assembled, {stream.writer.records:,} were written", _BUG
                )
            artifact = Artifact(
                **asdict(stream.writer.commit()),
                item=folder.items[1],
                last_key=tally.last_key.decode() or None,
                digest=f"{tally.digest:016x}",
                columns=list(COLUMNS),
            )
    return result.as_json(with_items=items is not None), artifact


def _resume(checkpoint: Checkpoint, path: Path) -> DeworksState | None:
    """Return the state to resume from; remove an earlier try's files if there is none."""
    spill = checkpoint.folder

    def files(state: DeworksState) -> dict[Path, int]:
        sizes = spill_sizes(spill, np.concatenate([frames_of(state.frames), frames_of(state.joins or b"")]))
        if state.joins is None:
            sizes[spill / _REDIRECTS] = 1
        return sizes | (state.stream.position.files(path) if state.stream else {})

    state = checkpoint.resumed(DeworksState, files)
    if state is None:
        checkpoint.clear()
    else:
        truncate_spills(spill, files(state))
        log.info("deworks: resuming after %s works and editions", f"{state.read.works + state.read.editions:,}")
    return state


def write_deworks(
    dump: Path, items: Path, output: BinaryIO, spill_parent: Path | None, settings: Settings, progress: Progress
) -> DeworksResult:
    """Write the lines of deworks for a dump, as text. Raises OldumpError as in errors.py."""
    inputs = [Input(dump, has_redirects=True), Input(items, is_items=True)]
    with spill_folder("deworks", spill_parent) as spill:
        job = DeworksJob.within(settings, inputs, spill)
        result = make_deworks(inputs, Stream(TextWriter(output)), job, uncompressed, progress)
    progress.end("deworks")
    if not result.tally.lines:
        raise SourceEmpty(f"{dump}: contains neither works nor editions", "Check that it is a dump.")
    return result


def make_deworks(
    inputs: list[Input],
    stream: Stream,
    job: DeworksJob,
    compress: Compress,
    progress: Progress,
    resume_from: DeworksState | None = None,
) -> DeworksResult:
    """Write deworks to the stream, from the beginning or from a checkpoint.

    Raises SourceError, RecordError, StorageError, VerificationError, WorkerError.
    """
    passes = Passes(job, resume_from)
    if not passes.is_scattered:
        progress.begin("deworks", "redirects")
        redirects = Redirects(job.spill / _REDIRECTS, None if resume_from else redirects_in(inputs))
        progress.begin("deworks", "scatter")
        passes.scatter(inputs, redirects, progress)
    progress.begin("deworks", "join")
    passes.join(progress)
    progress.begin("deworks", "gather")
    result = passes.gather(stream, compress, progress)
    tally, read = result
    if (tally.works, tally.editions) != (read.works, read.editions):
        raise VerificationError(
            f"{read.works:,} works and {read.editions:,} editions were read, "
            f"{tally.works:,} and {tally.editions:,} are in deworks",
            _BUG,
        )
    return result
