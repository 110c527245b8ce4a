"""When a worker is killed during a run, for example for lack of memory, the run ends at once and leaves nothing."""

import time
from pathlib import Path

import psutil
import pytest

from commands.command import started
from oldump.errors import WorkerError
from oldump.run.progress import NoProgress
from oldump.stages.dumps.stage import make_dumps
from oldump.synth.table import copy_blocks
from unit.stages.making import MANY_BUCKETS, folder_in, job, made, plain


class Killing(NoProgress):
    """An observer that kills a worker at the first progress report of a step."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._has_started = False

    def begin(self, stage: str, step: str) -> None:
        """Remember whether the step has started."""
        self._has_started = step == self._step

    def update(self, rows: int, done: float | None) -> None:
        """Kill one worker, once."""
        if self._has_started:
            self._has_started = False
            psutil.Process().children()[0].kill()


@pytest.mark.parametrize("step", ["scatter", "gather"])
def test_a_run_whose_worker_is_killed(tmp_path: Path, step: str) -> None:
    """The error names the signal, no artifact, spill or process is left, and the next run succeeds."""
    plain(tmp_path / "data", b"".join(copy_blocks(8000)))
    folder = folder_in(tmp_path)
    with pytest.raises(WorkerError, match=r"SIGKILL .*--memory"):
        make_dumps(tmp_path / "data", folder, job(folder, 2, MANY_BUCKETS), Killing(step))
    assert {path.name for path in tmp_path.rglob("*") if not path.is_dir()} == {"data"}
    assert not folder.checkpoint("dumps").parent.exists()
    assert psutil.Process().children() == []
    assert made(tmp_path / "data", tmp_path).counts.rows == 8000


@pytest.mark.parametrize("command", ["cdump -", "sort"])
@pytest.mark.parametrize("sent", [b"", b"/type/work\t/works/OL1W\t1\t2010\t{}\n"], ids=["nothing", "a line"])
def test_a_worker_that_is_killed_while_standard_input_is_silent(command: str, sent: bytes, tmp_path: Path) -> None:
    """A dead worker ends the command at once, even while the leader waits for the next row from standard input."""
    with started(*command.split(), "--workers", 2, cwd=tmp_path) as process:
        try:
            assert process.stdin
            process.stdin.write(sent)
            process.stdin.flush()
            deadline = time.monotonic() + 30
            while len(workers := psutil.Process(process.pid).children()) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            workers[-1].kill()
            assert process.wait(30) == 60
            assert process.stderr
            assert b"SIGKILL" in process.stderr.read()
        finally:
            process.kill()
