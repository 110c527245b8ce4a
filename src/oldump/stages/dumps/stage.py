"""Dumps: convert rows to records; write the complete dump and the latest records by type.

Reads:      data    COPY text of table `data`, in any order, plain or gzip
Writes:     cdump, one part per type; rejects.txt.gz beside the journal
Guarantees: the record contract; no record that records.privacy withholds; last_modified within the cutoff;
            rows = records + drops + rejects
Memory:     --memory, whatever the input's size
On failure: no partial file under a final name; a rerun resumes
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oldump.engine.blocks import SLOTS_AHEAD, START, SharedMemory, Source
from oldump.engine.frames import Frames, frames_of
from oldump.engine.segments import index_path
from oldump.engine.spill_files import spill_sizes, truncate_spills
from oldump.errors import SourceEmpty, VerificationError, storage_errors
from oldump.records.record import PARTS
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.stages.dumps.account import Account, RowCounts
from oldump.stages.dumps.gather import Gather, GatherState
from oldump.stages.dumps.job import DumpsJob
from oldump.stages.dumps.latest import CDUMP
from oldump.stages.dumps.rejects import RejectsWriter
from oldump.stages.dumps.scatter import ScatterState, scatter

log = logging.getLogger("oldump")


def make_dumps(
    source_path: Path | None, folder: RunFolder, job: DumpsJob, progress: Progress, rows_expected: int | None = None
) -> tuple[RowCounts, list[Artifact]]:
    """Make cdump and parts from the rows of a source. rows_expected: the number of extracted rows, if known.

    The spill stays until the caller has recorded that the stage is done. Raises OldumpError as in errors.py.
    """
    paths = {CDUMP: folder.cdump, **{part: folder.part(part) for part in PARTS}}
    with job.checkpoint.kept():
        state = _resume(job, folder, paths)
        if isinstance(state, GatherState):
            gather = Gather(state.counts, state)
            frames = frames_of(state.frames)
        else:
            counts, frames = _scattered(source_path, state, folder, job, progress, rows_expected)
            gather = Gather(counts)
        progress.begin("dumps", "gather")
        return gather.counts, gather.run(frames, paths, folder, job, progress)


def _resume(job: DumpsJob, folder: RunFolder, paths: Mapping[str, Path]) -> ScatterState | GatherState | None:
    """Return the state to resume from; remove an earlier try's files if there is none."""

    def files(state: ScatterState | GatherState) -> dict[Path, int]:
        sizes = spill_sizes(job.spill, frames_of(state.frames))
        if isinstance(state, GatherState):
            for name, stream in state.streams.items():
                sizes |= stream.position.files(paths[name])
        elif state.rejects.position is not None:
            sizes |= state.rejects.position.files(folder.rejects)
        return sizes

    kind: Any = ScatterState | GatherState
    state: ScatterState | GatherState | None = job.checkpoint.resumed(kind, files)
    if state is None:
        job.checkpoint.clear()
        with storage_errors(folder.rejects):
            for path in (folder.rejects, index_path(folder.rejects)):
                path.unlink(missing_ok=True)
    elif isinstance(state, ScatterState):
        truncate_spills(job.spill, files(state))
        log.info("dumps: resuming after row %s", f"{state.account.counts.rows:,}")
    else:
        log.info("dumps: resuming after record %s of the cdump", f"{state.tallies[CDUMP].records:,}")
    return state


def _scattered(
    source_path: Path | None,
    state: ScatterState | None,
    folder: RunFolder,
    job: DumpsJob,
    progress: Progress,
    rows_expected: int | None,
) -> tuple[RowCounts, Frames]:
    """Scatter the source's rows and check the counts; return the counts and the frames of the records."""
    source = Source(source_path, SharedMemory(job.workers + SLOTS_AHEAD), state.place if state else START)
    progress.begin("dumps", "scatter")
    with RejectsWriter(folder.rejects, source.name, job.max_rejects, state.rejects if state else None) as rejects:
        account = Account(source.name, rejects, state.account if state else None)
        frames = scatter(source, job, account, state, progress)
        source.require_unchanged()
        rejects.commit()
    counts = account.counts
    if rows_expected not in {None, counts.rows}:
        raise VerificationError(
            f"{source.name}: {rows_expected:,} rows were extracted, {counts.rows:,} are in the file",
            "The file changed after the extraction: remove it and rerun.",
        )
    _require_records(counts, source, folder)
    return counts, frames


def _require_records(counts: RowCounts, source: Source, folder: RunFolder) -> None:
    """Raise SourceEmpty unless there are records; VerificationError if a row was not counted."""
    if not counts.rows:
        raise SourceEmpty(f"{source.name}: contains no rows", "Check whether the export failed.")
    if not counts.records:
        raise SourceEmpty(
            f"{source.name}: no row became a record ({counts}; rejects are in {folder.rejects})", counts.hint_if_empty
        )
    if counts.rows != counts.records + counts.drops.total() + counts.rejects.total():
        raise VerificationError(f"{counts.rows:,} rows do not add up: {counts}", "This is a bug; please report it.")
