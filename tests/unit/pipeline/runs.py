"""Runs for the tests of the pipeline: states with committed stages that have real files, and fake stages."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import segment_of
from oldump.pipeline.choice import choose
from oldump.pipeline.sources import description_of
from oldump.pipeline.state import RunState
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact, Committed
from oldump.settings import Settings

DAY = date(2022, 7, 31)
ROW = b"/type/work\t/works/OL1W\t1\t2022-01-01T00:00:00\t{}\n"


def settings_in(out: Path, **more: object) -> Settings:
    """Return settings for a run from a file in this folder."""
    source = out / "data.txt"
    if not source.exists():
        source.write_bytes(b"1\t1\t{}\n")
    return Settings.of(source=str(source), out=out, **more)


def state_in(
    out: Path, *, only: Sequence[str] = (), skip: Sequence[str] = (), settings: Settings | None = None, **more: object
) -> RunState:
    """Return the state of a run in this folder, for this choice of stages."""
    folder = RunFolder(out, DAY)
    folder.private.mkdir(parents=True, exist_ok=True)
    settings = settings or settings_in(out, **more)
    return RunState(settings, folder, choose(list(only), list(skip), settings))


def artifact_in(folder: RunFolder, name: str, item: str | None = None) -> Artifact:
    """Make an artifact of one row, with its index."""
    path = folder.artifact(name, item)
    path.parent.mkdir(parents=True, exist_ok=True)
    with SegmentWriter(path) as writer:
        writer.append(segment_of(ROW, 1, 1))
        return Artifact(**asdict(writer.commit()), item=item)


def commit(
    state: RunState, stage: str, artifacts: Sequence[Artifact] = (), counts: dict[str, Any] | None = None
) -> None:
    """Commit a stage, after starting the run if it has not started."""
    if state.journal.begun is None:
        state.journal.begin(description_of(state.settings), overwrite=False)
    state.journal.commit(Committed(stage, list(artifacts), counts or {}, 1.0))
