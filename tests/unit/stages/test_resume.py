"""Stopped stages resume from their checkpoint and give the same bytes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oldump.engine.budget import Budget
from oldump.engine.checkpoint import Checkpoint
from oldump.engine.commit import temporary_path
from oldump.errors import SourceDamaged, VerificationError
from oldump.records.record import PARTS
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import NoProgress
from oldump.settings import Settings
from oldump.stages.deworks.stage import make_artifact
from oldump.stages.dumps.account import RowCounts
from oldump.stages.dumps.gather import GatherState
from oldump.stages.dumps.job import DumpsJob
from oldump.stages.dumps.scatter import ScatterState
from oldump.stages.dumps.stage import make_dumps
from oldump.stages.splice import splice
from oldump.synth.table import copy_blocks
from unit.stages.making import (
    FORMS,
    MANY_BUCKETS,
    OVERFULL,
    Form,
    checkpoint_in,
    folder_in,
    job,
    made,
    one_member,
    plain,
    rejects_of,
)

pytestmark = pytest.mark.slow  # whole stages on files

ROWS = 6_000
TABLE = b"".join(copy_blocks(ROWS, odd_rows=40, broken_rows=30))


class Stopped(Exception):
    """A stand-in for a signal."""


class Stopping(NoProgress):
    """Stops a stage at its n-th update."""

    def __init__(self, news: int) -> None:
        self._left = news
        self.steps: list[str] = []

    def begin(self, stage: str, step: str) -> None:
        """Record the step."""
        self.steps.append(step)

    def update(self, rows: int, done: float | None) -> None:
        """Stop after the last update."""
        self._left -= 1
        if self._left == 0:
            raise Stopped


def until_it_is_done(stage: Callable[[Stopping], object], every: int) -> tuple[int, set[tuple[str, ...]]]:
    """Run the stage until it is done, stopping it after `every` updates; return the tries and their steps."""
    steps: set[tuple[str, ...]] = set()
    for tries in range(1, 400):
        stopping = Stopping(every)
        try:
            stage(stopping)
        except Stopped:
            steps.add(tuple(stopping.steps))
        else:
            return tries, steps
    raise AssertionError("the stage makes no progress")


def contents(folder: RunFolder) -> dict[str, bytes]:
    """Return the content of all files in the items."""
    items = (folder.cdump_item, folder.dump_item)
    return {path.name: path.read_bytes() for item in items for path in item.iterdir()}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
@pytest.mark.parametrize("budget", [MANY_BUCKETS, OVERFULL], ids=["many buckets", "overfull"])
def test_dumps_stopped_repeatedly(tmp_path: Path, form: Form, budget: Budget) -> None:
    """Workers and budget change with each try; bytes, counts and rejects are those of an undisturbed run."""
    form(tmp_path / "data", TABLE)
    undisturbed = made(tmp_path / "data", tmp_path / "undisturbed")
    folder = folder_in(tmp_path / "stopped")
    found: list[tuple[RowCounts, list[Artifact]]] = []
    number = 0

    def stage(progress: NoProgress) -> None:
        nonlocal number
        number += 1
        work = job(folder, 1 + number % 3, (MANY_BUCKETS, OVERFULL)[number % 2 == (budget == OVERFULL)])
        work = replace(work, checkpoint=checkpoint_in(folder, "dumps", 0))
        found.append(make_dumps(tmp_path / "data", folder, work, progress))

    tries, steps = until_it_is_done(stage, 3)
    assert tries > 3
    assert {("scatter",), ("gather",)} <= steps  # it was stopped in both, and did not scatter again
    assert contents(folder) == undisturbed.contents()
    assert rejects_of(folder) == rejects_of(undisturbed.folder)
    assert found[0][0] == undisturbed.counts
    assert found[0][1] == list(undisturbed.artifacts.values())


def test_a_stage_stopped_between_renames_of_its_artifacts(tmp_path: Path) -> None:
    """If only some have their final names, it still resumes from the checkpoint."""
    plain(tmp_path / "data", TABLE)
    undisturbed = made(tmp_path / "data", tmp_path / "undisturbed")
    folder = folder_in(tmp_path / "stopped")
    work = replace(job(folder, 2, MANY_BUCKETS), checkpoint=checkpoint_in(folder, "dumps", 0))
    make_dumps(tmp_path / "data", folder, work, NoProgress())
    for path in list(folder.dump_item.iterdir())[::2]:
        path.rename(temporary_path(path))  # as if these had not been committed yet
    stopping = Stopping(10**9)
    make_dumps(tmp_path / "data", folder, work, stopping)
    assert stopping.steps == ["gather"]
    assert contents(folder) == undisturbed.contents()


def stopped_in(out: Path, news: int) -> tuple[RunFolder, DumpsJob]:
    """Return a run of out/data that was stopped after some updates, with a checkpoint at every pause."""
    folder = folder_in(out)
    work = replace(job(folder, 2, MANY_BUCKETS), checkpoint=checkpoint_in(folder, "dumps", 0))
    with pytest.raises(Stopped):
        make_dumps(out / "data", folder, work, Stopping(news))
    return folder, work


@pytest.mark.parametrize("what", ["damaged", "of other input", "without its spill", "without an artifact"])
def test_a_stale_checkpoint(tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture) -> None:
    """The stage restarts and logs why; nothing of the old state gets into the artifacts."""
    plain(tmp_path / "data", TABLE)
    folder, work = stopped_in(tmp_path, 9)
    path = work.checkpoint.path
    if what == "damaged":
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
    elif what == "of other input":
        work = replace(work, checkpoint=Checkpoint(path, {"inputs": "others"}, 0))
    elif what == "without its spill":
        next(work.spill.glob("spill-*")).unlink()
    else:
        temporary_path(folder.cdump).unlink()
    stopping = Stopping(10**9)
    make_dumps(tmp_path / "data", folder, work, stopping)
    assert stopping.steps == ["scatter", "gather"]
    assert "the stage restarts" in caplog.text
    assert contents(folder) == made(tmp_path / "data", tmp_path / "undisturbed").contents()


def test_records_that_change_their_type_are_detected(tmp_path: Path) -> None:
    """If the gathered types differ from the scattered ones, no artifact is committed."""
    plain(tmp_path / "data", TABLE)
    folder, work = stopped_in(tmp_path, 9)
    kind: Any = ScatterState | GatherState
    state: Any = work.checkpoint.resumed(kind, lambda _: {})
    counts = state.counts if isinstance(state, GatherState) else state.account.counts
    counts.by_part["works"] += 1
    counts.by_part["authors"] -= 1
    work.checkpoint.save(state)
    with pytest.raises(VerificationError, match="records by part"):
        make_dumps(tmp_path / "data", folder, work, NoProgress())
    assert not folder.cdump.exists()


def test_an_ordinary_gzip_that_was_replaced(tmp_path: Path) -> None:
    """The skipped text is compared with the text read before, so rows of two tables never mix."""
    one_member(tmp_path / "data", TABLE)
    folder, work = stopped_in(tmp_path, 4)
    one_member(tmp_path / "data", TABLE.replace(b"2008", b"2009"))
    with pytest.raises(SourceDamaged, match=r"differ from the source of the run.*--overwrite"):
        make_dumps(tmp_path / "data", folder, work, NoProgress())
    one_member(tmp_path / "data", TABLE[:2_000_000])
    with pytest.raises(SourceDamaged, match="differ from the source of the run"):
        make_dumps(tmp_path / "data", folder, work, NoProgress())


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Finished dumps."""
    out = tmp_path_factory.mktemp("dumps")
    plain(out / "data", TABLE)
    return made(out / "data", out).folder


def test_deworks_stopped_repeatedly(tmp_path: Path, dumps: RunFolder) -> None:
    """The stage is stopped in every pass."""
    paths = {part: dumps.part(part) for part in PARTS}
    settings = Settings.of(workers=2, level=1, memory="192M")

    def stage(folder: RunFolder, seconds: float, progress: NoProgress) -> tuple[dict[str, int], Artifact]:
        folder.dump_item.mkdir(parents=True, exist_ok=True)
        checkpoint = checkpoint_in(folder, "deworks", seconds)
        return make_artifact(paths, None, folder, settings, checkpoint, progress)

    undisturbed, stopped = folder_in(tmp_path / "undisturbed"), folder_in(tmp_path / "stopped")
    expected = stage(undisturbed, 10**9, NoProgress())
    found: list[tuple[dict[str, int], Artifact]] = []
    tries, steps = until_it_is_done(lambda progress: found.append(stage(stopped, 0, progress)), 2)
    assert tries > 4
    assert {("redirects", "scatter"), ("join",)} & steps
    assert found == [expected]
    assert contents_of(stopped) == contents_of(undisturbed)


def contents_of(folder: RunFolder) -> dict[str, bytes]:
    """Return the content of the dump's item."""
    return {path.name: path.read_bytes() for path in folder.dump_item.iterdir()}


def test_a_splice_stopped_repeatedly(tmp_path: Path) -> None:
    """The stage is stopped at any segment of any part."""
    plain(tmp_path / "data", TABLE)
    run = made(tmp_path / "data", tmp_path)
    parts = list(run.artifacts.values())[1:]
    expected = splice(parts, run.folder, checkpoint_in(run.folder, "splice"), NoProgress())
    content = run.folder.dump.read_bytes()
    run.folder.dump.unlink()
    shutil.rmtree(run.folder.spill)
    found: list[Artifact] = []
    tries, _ = until_it_is_done(
        lambda progress: found.append(splice(parts, run.folder, checkpoint_in(run.folder, "splice", 0), progress)), 2
    )
    assert tries > 2
    assert found == [expected]
    assert run.folder.dump.read_bytes() == content
