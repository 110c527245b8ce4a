"""The runner: it runs what is not committed, in order, and delivers what is complete. Stages here are fakes."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from oldump.errors import ConfigurationError, SourceMissing, StorageFull, WorkerError
from oldump.pipeline import runner
from oldump.pipeline.check import Check
from oldump.pipeline.choice import Choice
from oldump.pipeline.stage import ComputingStage, Delivery, DeliveryContext, Outcome, StageContext
from oldump.run.progress import NoProgress
from oldump.settings import Settings
from unit.pipeline.runs import DAY, artifact_in, commit, settings_in, state_in

NEEDED = ["dumps", "splice", "gate", "verify"]


class Fakes:
    """Fake stages and deliveries that record their calls."""

    def __init__(self) -> None:
        """Start without calls."""
        self.calls: list[str] = []
        self.contexts: list[StageContext] = []

    def stage(self, name: str, error: Exception | None = None) -> ComputingStage:
        """Return a stage that makes one artifact, or fails."""

        def run(context: StageContext) -> Outcome:
            self.calls.append(name)
            self.contexts.append(context)
            context.progress.begin(name, "work")
            if error:
                raise error
            return Outcome([artifact_in(context.folder, f"{name}.txt.gz")], {"rows": 1})

        return ComputingStage(name, (), (), run)

    def delivery(self, name: str, error: Exception | None = None) -> Delivery:
        """Return a delivery that succeeds, or fails."""

        def deliver(context: DeliveryContext) -> dict[str, int]:
            self.calls.append(name)
            context.require_lock()
            if error:
                raise error
            return {"files": 1}

        return Delivery(name, (), deliver, lambda _: Check.passed(name, "reachable"))


def run(settings: Settings, *stages: ComputingStage, overwrite: bool = False) -> Path | None:
    """Run these stages of a run that needs more."""
    return runner.run(settings, DAY, Choice(list(stages), NEEDED, []), NoProgress(), overwrite=overwrite)


def test_stages_run_in_order_and_are_committed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A run whose needed stages are not all committed is not published."""
    caplog.set_level(logging.INFO, "oldump")
    fakes = Fakes()
    assert run(settings_in(tmp_path), fakes.stage("dumps"), fakes.stage("splice")) is None
    assert fakes.calls == ["dumps", "splice"]
    assert list(state_in(tmp_path).journal.stages) == ["dumps", "splice"]
    assert "not complete: missing gate, verify" in caplog.messages
    assert fakes.contexts[1].committed.keys() >= {"dumps"}


def test_a_failed_stage_ends_the_run_and_the_next_one_resumes(tmp_path: Path) -> None:
    """What was committed before stays committed and is not run again."""
    fakes = Fakes()
    failing = fakes.stage("splice", WorkerError("a worker died", "Rerun."))
    with pytest.raises(WorkerError, match="a worker died"):
        run(settings_in(tmp_path), fakes.stage("dumps"), failing)
    assert list(state_in(tmp_path).journal.stages) == ["dumps"]
    run(settings_in(tmp_path), fakes.stage("dumps"), fakes.stage("splice"))
    assert fakes.calls == ["dumps", "splice", "splice"]


def test_a_bug_in_a_stage_is_not_hidden(tmp_path: Path) -> None:
    """Errors that are not oldump's reach the caller as they are."""
    with pytest.raises(ZeroDivisionError):
        run(settings_in(tmp_path), Fakes().stage("dumps", ZeroDivisionError()))


def test_a_refused_command_runs_nothing(tmp_path: Path) -> None:
    """Neither guards nor preflight leave a journal behind."""
    fakes = Fakes()
    with pytest.raises(ConfigurationError, match="--overwrite reruns all stages"):
        run(settings_in(tmp_path), fakes.stage("dumps"), overwrite=True)
    reading = ComputingStage("dumps", ("data",), ("cdump",), fakes.stage("dumps").run)
    missing = settings_in(tmp_path).model_copy(update={"source": str(tmp_path / "missing.txt")})
    with pytest.raises(SourceMissing, match=r"missing\.txt: cannot be read"):
        run(missing, reading)
    assert fakes.calls == []
    assert not state_in(tmp_path).folder.journal.exists()


def complete_run(out: Path) -> Settings:
    """Return the settings of a run that is complete, without artifacts."""
    state = state_in(out)
    for name in NEEDED:
        commit(state, name)
    state.journal.publish({})
    return state.settings


def deliver(settings: Settings, *deliveries: Delivery) -> Path | None:
    """Run a complete run again, with deliveries."""
    return runner.run(settings, DAY, Choice([], NEEDED, list(deliveries)), NoProgress())


def test_a_complete_run_is_not_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It returns the folder of the dump, as the first run did."""
    caplog.set_level(logging.INFO, "oldump")
    fakes = Fakes()
    item = run(complete_run(tmp_path), fakes.stage("dumps"))
    assert item == state_in(tmp_path).folder.dump_item
    assert f"already complete: {item}" in caplog.messages
    assert fakes.calls == []


def test_a_complete_run_is_delivered_each_time(tmp_path: Path) -> None:
    """Its target may have changed."""
    settings, fakes = complete_run(tmp_path), Fakes()
    for _ in range(2):
        deliver(settings, fakes.delivery("archive"))
    assert fakes.calls == ["archive", "archive"]
    assert state_in(tmp_path).journal.delivered.keys() == {"archive"}


def test_a_failed_delivery_does_not_stop_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first error is raised, the others are logged."""
    settings, fakes = complete_run(tmp_path), Fakes()
    full = StorageFull("disk full", "Free space.")
    with pytest.raises(StorageFull):
        deliver(
            settings,
            fakes.delivery("archive", full),
            fakes.delivery("sitemaps"),
            fakes.delivery("third", WorkerError("a worker died")),
        )
    assert fakes.calls == ["archive", "sitemaps", "third"]
    assert state_in(tmp_path).journal.delivered.keys() == {"sitemaps"}
    assert "third also failed: a worker died" in caplog.messages


@pytest.mark.parametrize("error", [None, StorageFull("disk full", "Free space.")])
def test_leftovers_are_removed_unless_a_checkpoint_needs_them(tmp_path: Path, error: Exception | None) -> None:
    """A stage that was stopped with a checkpoint resumes from its spill."""
    fakes = Fakes()
    spill = state_in(tmp_path).folder.spill / "dumps"

    def spilling(write: Callable[[StageContext], Outcome]) -> Callable[[StageContext], Outcome]:
        def stage(context: StageContext) -> Outcome:
            spill.mkdir(parents=True)
            (spill / "spill-0").write_bytes(b"rows")
            if error:
                context.checkpoint.path.write_bytes(b"state")
            return write(context)

        return stage

    stage = ComputingStage("dumps", (), (), spilling(fakes.stage("dumps", error).run))
    if error:
        with pytest.raises(StorageFull):
            run(settings_in(tmp_path), stage)
    else:
        run(settings_in(tmp_path), stage)
    assert (spill / "spill-0").exists() == (error is not None)
