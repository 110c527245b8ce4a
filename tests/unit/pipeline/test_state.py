"""RunState: what is done, stale, missing or must be rerun, from journal and files."""

from pathlib import Path

import pytest

from oldump.engine.segments import index_path
from oldump.pipeline.state import RunState, leftovers
from oldump.pipeline.table import STAGE_OF
from unit.pipeline.runs import artifact_in, commit, settings_in, state_in


def to_do(state: RunState) -> list[str]:
    """Return the names of the stages that must be run."""
    return [stage.name for stage in state.to_do()]


def test_a_new_run_starts_from_scratch(tmp_path: Path) -> None:
    """Every stage must be run."""
    state = state_in(tmp_path)
    assert state.starts_from_scratch
    assert to_do(state) == ["dumps", "splice", "deworks", "gate", "verify"]
    assert to_do(state_in(tmp_path, only=["splice"])) == ["splice"]


def test_a_committed_stage_is_not_rerun(tmp_path: Path) -> None:
    """As long as its files are unchanged."""
    state = state_in(tmp_path)
    commit(state, "dumps", [artifact_in(state.folder, "a.txt.gz")])
    assert not state.starts_from_scratch
    assert state.is_done(STAGE_OF["dumps"])
    assert to_do(state) == ["splice", "deworks", "gate", "verify"]


@pytest.mark.parametrize("harm", ["changed", "missing", "no index"])
def test_a_stage_with_a_changed_file_is_rerun_with_its_dependents(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    """The log names the file."""
    state = state_in(tmp_path)
    commit(state, "dumps", [artifact_in(state.folder, "a.txt.gz")])
    for stage in ("splice", "deworks", "gate", "verify"):
        commit(state, stage)
    path = state.folder.private / "a.txt.gz"
    if harm == "changed":
        path.write_bytes(path.read_bytes()[::-1])
    else:
        (path if harm == "missing" else index_path(path)).unlink()
    assert to_do(state) == ["dumps", "splice", "deworks", "gate", "verify"]
    assert f"{path}: changed or missing since dumps committed it" in caplog.messages


def test_skipping_a_committed_stage_repeats_the_check_of_the_items(tmp_path: Path) -> None:
    """The items that were checked had more files."""
    state = state_in(tmp_path)
    for stage in ("dumps", "splice", "deworks", "gate", "verify"):
        commit(state, stage)
    assert to_do(state) == []
    skipping = state_in(tmp_path, skip=["deworks"])
    assert to_do(skipping) == ["verify"]
    assert skipping.surplus == {"deworks"}


def test_the_stages_of_a_database_are_rerun_together(tmp_path: Path) -> None:
    """They must read the same snapshot. Other databases are not copied again."""
    databases = {"source": "dbname=ol", "coverstore": "dbname=covers", "archive_database": "dbname=ia"}
    state = state_in(tmp_path, settings=settings_in(tmp_path).model_copy(update=databases))
    names = [stage.name for stage in state.choice.stages]
    for name in names:
        if name != "ratings":
            commit(state, name)
    assert to_do(state) == [name for name in names if name not in {"covers_metadata", "ia-metadata"}]


def test_artifacts_from_another_snapshot_become_stale(tmp_path: Path) -> None:
    """And so does everything that was made from them."""
    state = state_in(tmp_path)
    old, new = ({"snapshot": name, "started": "2022-08-01"} for name in ("1", "2"))
    commit(state, "ratings", counts=old)
    commit(state, "extract", counts=old)
    dependents = {"gate", "verify"}
    assert state.stale_after(STAGE_OF["ratings"], old) == dependents
    assert state.stale_after(STAGE_OF["ratings"], new) == {
        "ratings",
        "extract",
        "dumps",
        "splice",
        "deworks",
        *dependents,
    }


def test_missing_inputs_are_the_required_stages_that_are_not_committed(tmp_path: Path) -> None:
    """Optional stages are not required, and neither are those of a database for a run from a file."""
    state = state_in(tmp_path)
    assert state.missing_inputs(STAGE_OF["dumps"]) == []
    assert state.missing_inputs(STAGE_OF["deworks"]) == ["dumps"]
    commit(state, "dumps")
    assert state.missing_inputs(STAGE_OF["deworks"]) == []


def test_items_are_ready_when_only_their_check_is_missing(tmp_path: Path) -> None:
    """Then sums and manifest can be written."""
    state = state_in(tmp_path, skip=["deworks"])
    for stage in ("dumps", "splice"):
        commit(state, stage)
    before_gate = state.items_are_ready
    commit(state, "gate")
    assert (before_gate, state.items_are_ready) == (False, True)
    assert state.missing == ["verify"]


def test_published_artifacts_are_in_the_order_of_the_table(tmp_path: Path) -> None:
    """Whatever the order in which they were committed; private artifacts are not among them."""
    state = state_in(tmp_path)
    item = state.folder.items[1]
    commit(state, "splice", [artifact_in(state.folder, "b.txt.gz", item)])
    commit(state, "dumps", [artifact_in(state.folder, "a.txt.gz", item), artifact_in(state.folder, "c.txt.gz")])
    assert [artifact.name for artifact in state.published] == ["a.txt.gz", "b.txt.gz"]


def test_changed_inputs_are_found(tmp_path: Path) -> None:
    """A database of which nothing is committed may change."""
    commit(state_in(tmp_path), "dumps")
    assert state_in(tmp_path).changed_inputs() == {}
    assert state_in(tmp_path, coverstore="dbname=covers").changed_inputs() == {}
    level = state_in(tmp_path).settings.level
    assert state_in(tmp_path, level=1).changed_inputs() == {"level": (level, 1)}


def test_a_published_file_that_changed_is_found(tmp_path: Path) -> None:
    """Sums and manifest count as well as artifacts."""
    state = state_in(tmp_path)
    item = state.folder.items[1]
    commit(state, "dumps", [artifact_in(state.folder, "a.txt.gz", item)])
    assert state.changed_published_file() is None
    state.journal.publish({f"{item}/manifest.json": "0" * 64})
    assert state.changed_published_file() == tmp_path / item / "manifest.json"
    path = state.folder.artifact("a.txt.gz", item)
    path.write_bytes(b"")
    assert state.changed_published_file() == path


def test_items_of_another_run_are_told_from_renamed_ones(tmp_path: Path) -> None:
    """Items of this run have left the folder in which they were made."""
    state = state_in(tmp_path)
    item = state.folder.items[1]
    state.folder.published(item).mkdir()
    assert state.foreign_items == [item]
    commit(state, "dumps")
    assert (state.foreign_items, state.renamed_items) == ([], [item])
    state.folder.made(item).mkdir(parents=True)
    assert (state.foreign_items, state.renamed_items) == ([item], [])


def test_leftovers_are_spill_and_temporary_files(tmp_path: Path) -> None:
    """Committed files and the journal are not among them."""
    state = state_in(tmp_path)
    commit(state, "dumps", [artifact_in(state.folder, "a.txt.gz")])
    spilled = state.folder.spill / "dumps" / "spill-0"
    temporary = state.folder.making / state.folder.items[0] / "b.txt.gz.part"
    for path in (spilled, temporary):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    assert leftovers(state.folder) == {spilled, temporary}
