"""The commands cdump, sort, dump and split as functions: their progress and their memory.

tests/commands/test_pipes.py compares their output with that of a run.
"""

import io
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from oldump.engine.text_stream import BLOCK_BYTES
from oldump.engine.workers import AHEAD
from oldump.settings import Settings
from oldump.stages.dumps.cdump import write_cdump
from oldump.stages.dumps.dump import write_latest
from oldump.stages.dumps.sort import write_sorted
from oldump.stages.dumps.split import write_parts
from oldump.synth.table import copy_blocks
from unit.stages.making import Watching

WORKERS = 2
ROWS = 5_000


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a table of several blocks."""
    path = tmp_path_factory.mktemp("filters") / "data"
    path.write_bytes(b"".join(copy_blocks(ROWS)))
    assert path.stat().st_size > 3 * BLOCK_BYTES
    return path


def output_of(command: Callable[[io.BytesIO], object]) -> bytes:
    """Return what a command writes."""
    stream = io.BytesIO()
    command(stream)
    return stream.getvalue()


def test_progress_of_every_command(table: Path, tmp_path: Path) -> None:
    """Each reports its steps, the rows so far, the share of its source, and its end."""
    rejects, cdump, records = tmp_path / "rejects.txt.gz", tmp_path / "cdump", tmp_path / "sorted"
    settings = Settings.of(workers=1, level=1)  # so that blocks are done in order
    progress: dict[str, Watching] = {name: Watching() for name in ("cdump", "sort", "dump", "split")}
    cdump.write_bytes(output_of(lambda out: write_cdump(table, None, out, rejects, settings, progress["cdump"])))
    records.write_bytes(output_of(lambda out: write_sorted(cdump, out, tmp_path, settings, progress["sort"])))
    output_of(lambda out: write_latest(records, out, progress["dump"]))
    write_parts(records, str(tmp_path / "%s.txt"), settings, progress["split"])
    lines = cdump.read_bytes().count(b"\n")
    assert {name: each.steps for name, each in progress.items()} == {
        "cdump": ["cdump read"],
        "sort": ["sort scatter", "sort gather"],
        "dump": ["dump read"],
        "split": ["split read"],
    }
    for name, each in progress.items():
        assert each.updates[-1] == (ROWS if name == "cdump" else lines, 1.0)
        assert all(share is not None and 0 < share <= 1 for _, share in each.updates)
        assert len(each.updates) > 3
        assert each.ended == [name]


class _Stopping(Watching):
    """Suspends a worker when the first block is done, and resumes it after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.while_stopped = 0
        self._worker: psutil.Process | None = None

    def update(self, rows: int, done: float | None) -> None:
        """Suspend it, or count the blocks that finish while it is suspended."""
        if self._worker is None:
            self._worker = psutil.Process().children()[0]
            self._worker.suspend()
            threading.Timer(1.5, self._worker.resume).start()
        elif self._worker.status() == psutil.STATUS_STOPPED:
            self.while_stopped += 1


def test_cdump_does_not_run_ahead_of_a_slow_block(tmp_path: Path) -> None:
    """The leader holds a limited number of blocks, however long the next one takes."""
    path = tmp_path / "data"
    path.write_bytes(b"".join(copy_blocks(ROWS)) * 8)
    stopping = _Stopping()
    with (tmp_path / "out").open("wb") as output:
        write_cdump(path, None, output, tmp_path / "rejects.txt.gz", Settings.of(workers=WORKERS), stopping)
    assert path.stat().st_size > 20 * BLOCK_BYTES
    assert stopping.while_stopped <= AHEAD * WORKERS
