"""Guards: each refuses what would mix two runs, or replace or publish the wrong files, and nothing else."""

import os
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from oldump.errors import ConfigurationError, OldumpError, StorageError
from oldump.pipeline import guards
from oldump.pipeline.choice import choose
from oldump.pipeline.state import RunState
from oldump.pipeline.table import STAGE_OF
from oldump.run.folder import RunFolder
from oldump.run.owner import user_name
from unit.pipeline.runs import DAY, artifact_in, commit, settings_in, state_in


def refusal(guard: Callable[[], None], kind: type[OldumpError] = ConfigurationError) -> str:
    """Return the text of the error that the guard raises."""
    with pytest.raises(kind) as caught:
        guard()
    return str(caught.value)


def test_overwriting_with_a_part_of_the_stages_is_refused(tmp_path: Path) -> None:
    """Skipping optional stages is allowed."""
    settings = settings_in(tmp_path)
    guards.require_all_stages(choose(["dumps"], [], settings), overwrite=False)
    guards.require_all_stages(choose([], ["deworks"], settings), overwrite=True)
    message = refusal(lambda: guards.require_all_stages(choose(["dumps"], [], settings), overwrite=True))
    assert message.startswith("--overwrite reruns all stages. Omit --only")


def test_root_does_not_work_in_a_folder_of_another_user(tmp_path: Path) -> None:
    """That user could neither resume nor replace what root has created. The folder need not exist yet."""
    if os.geteuid() == 0:
        os.chown(tmp_path, 10_001, 10_001)
    owner = tmp_path.stat().st_uid
    folder = RunFolder(tmp_path / "new" / "out", DAY)
    guards.require_same_user(folder, owner)
    message = refusal(lambda: guards.require_same_user(folder, 0))
    assert message.startswith(f"{tmp_path}: belongs to user {user_name(owner)}, and root must not create files there.")
    if os.geteuid() == 0:
        folder.private.mkdir(parents=True)
        guards.require_same_user(folder, 0)
        os.chown(folder.private, 10_001, 10_001)
        assert refusal(lambda: guards.require_same_user(folder, 0)).startswith(f"{folder.private}: belongs to")


@pytest.mark.parametrize(("today", "is_refused"), [(DAY, True), (DAY + timedelta(days=1), False)])
def test_a_day_that_is_not_over_needs_a_reason(tmp_path: Path, today: date, *, is_refused: bool) -> None:
    """A date that was typed too early would be published short. Nothing is asked if nothing is to be made."""
    to_do = state_in(tmp_path).choice.stages
    guards.require_finished_day(to_do, DAY, today, "the server moves tonight")
    guards.require_finished_day([], DAY, today, None)
    if is_refused:
        message = refusal(lambda: guards.require_finished_day(to_do, DAY, today, None))
        assert message.startswith(f"{DAY} is not over yet (UTC): later edits of that day would be missing. Rerun when")
    else:
        guards.require_finished_day(to_do, DAY, today, None)


def test_other_inputs_are_refused(tmp_path: Path) -> None:
    """The message has both values."""
    state = state_in(tmp_path, level=6)
    commit(state, "dumps")
    guards.require_same_inputs(state)
    message = refusal(lambda: guards.require_same_inputs(state_in(tmp_path, level=1)))
    assert "this run started with other inputs: level was 6, is now 1" in message


def test_a_complete_run_without_a_chosen_stage_is_refused(tmp_path: Path) -> None:
    """The hint has the flag that accepts the run as it is."""
    state = state_in(tmp_path)
    for stage in ("dumps", "splice", "gate", "verify"):
        commit(state, stage)
    guards.require_same_stages(state_in(tmp_path, skip=["deworks"]))
    message = refusal(lambda: guards.require_same_stages(state))
    assert "completed without deworks. Use --skip deworks, or --overwrite" in message


def test_a_complete_run_with_a_changed_file_is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    state = state_in(tmp_path)
    artifact = artifact_in(state.folder, "a.txt.gz", state.folder.items[1])
    commit(state, "dumps", [artifact])
    guards.require_unchanged_files(state)
    path = state.folder.artifact(artifact.name, artifact.item)
    path.unlink()
    assert refusal(lambda: guards.require_unchanged_files(state), StorageError).startswith(
        f"{path}: changed or missing"
    )


def test_an_incomplete_run_is_not_delivered(tmp_path: Path) -> None:
    """--only with deliveries alone leaves nothing that could complete it."""
    sitemaps = tmp_path / "sitemaps"
    guards.require_stages(state_in(tmp_path, sitemaps=sitemaps))
    message = refusal(lambda: guards.require_stages(state_in(tmp_path, only=["sitemaps"], sitemaps=sitemaps)))
    assert message.startswith("sitemaps: the run in ")
    assert "is not complete. Omit --only" in message


def test_items_of_another_run_are_not_replaced(tmp_path: Path) -> None:
    """Unless --overwrite allows it."""
    state = state_in(tmp_path)
    guards.require_no_foreign_items(state, overwrite=False)
    (tmp_path / state.folder.items[0]).mkdir()
    guards.require_no_foreign_items(state, overwrite=True)
    message = refusal(lambda: guards.require_no_foreign_items(state, overwrite=False))
    assert f"{state.folder.items[0]} already exists and is not from this run" in message


def consistent(state: RunState) -> None:
    """Guard the chosen stages, all of which must be run."""
    guards.require_consistent_choice(state.choice.stages, state)


def test_published_items_are_not_written_to(tmp_path: Path) -> None:
    """A run that was interrupted while it published must be finished first."""
    state = state_in(tmp_path, only=["splice"])
    commit(state, "dumps")
    consistent(state)
    (tmp_path / state.folder.items[1]).mkdir()
    assert "interrupted while it published" in refusal(lambda: consistent(state))


def test_two_snapshots_of_one_database_are_refused(tmp_path: Path) -> None:
    """A table must be read together with the committed ones."""
    settings = settings_in(tmp_path).model_copy(update={"source": "dbname=ol"})
    state = state_in(tmp_path, only=["ratings"], settings=settings)
    consistent(state)
    commit(state, "extract")
    message = refusal(lambda: consistent(state))
    assert message.startswith("ratings must be read in the same snapshot as extract, which is committed. Omit --only")


@pytest.mark.parametrize(("stage", "refused"), [("splice", True), ("dumps", False)])
def test_changed_files_of_omitted_stages_are_not_read(tmp_path: Path, stage: str, *, refused: bool) -> None:
    """A stage that does not read them may run."""
    state = state_in(tmp_path, only=[stage])
    commit(state, "dumps", [artifact_in(state.folder, "a.txt.gz")])
    (state.folder.private / "a.txt.gz").unlink()
    if refused:
        message = refusal(lambda: consistent(state), StorageError)
        assert "files of dumps changed since they were committed. Omit --only" in message
    else:
        consistent(state)


def test_a_stage_does_not_run_before_its_inputs(tmp_path: Path) -> None:
    """The hint has the stage to run first."""
    state = state_in(tmp_path)
    guards.require_inputs(STAGE_OF["dumps"], state)
    message = refusal(lambda: guards.require_inputs(STAGE_OF["splice"], state))
    assert message.startswith("splice needs the output of dumps, which is not committed. Run --only dumps first")
