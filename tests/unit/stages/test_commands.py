"""The old commands as functions: what they tell of how they get on, and what they hold meanwhile.

That they give what the run gives is tried in tests/commands/test_pipes.py.
"""

import io
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from oldump.engine.text_stream import BLOCK_BYTES
from oldump.settings import Settings
from oldump.stages.dumps.cdump import WINDOW, write_cdump
from oldump.stages.dumps.dump import write_latest
from oldump.stages.dumps.sort import write_sorted
from oldump.stages.dumps.split import write_parts
from oldump.synth.table import copy_blocks
from unit.stages.making import Watching

WORKERS = 2
ROWS = 5_000


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of several blocks."""
    path = tmp_path_factory.mktemp("filters") / "data"
    path.write_bytes(b"".join(copy_blocks(ROWS)))
    assert path.stat().st_size > 3 * BLOCK_BYTES
    return path


def output_of(command: Callable[[io.BytesIO], object]) -> bytes:
    """What a command writes."""
    stream = io.BytesIO()
    command(stream)
    return stream.getvalue()


def test_progress_of_every_command(table: Path, tmp_path: Path) -> None:
    """Each tells its steps, the rows so far and the share of its source; at the end, that it is over."""
    rejects, cdump, records = tmp_path / "rejects.txt.gz", tmp_path / "cdump", tmp_path / "sorted"
    settings = Settings.of(workers=1, level=1)  # so that blocks are done in order
    told: dict[str, Watching] = {name: Watching() for name in ("cdump", "sort", "dump", "split")}
    cdump.write_bytes(output_of(lambda out: write_cdump(table, None, out, rejects, settings, told["cdump"])))
    records.write_bytes(output_of(lambda out: write_sorted(cdump, out, tmp_path, settings, told["sort"])))
    output_of(lambda out: write_latest(records, out, told["dump"]))
    write_parts(records, str(tmp_path / "%s.txt"), settings, told["split"])
    lines = cdump.read_bytes().count(b"\n")
    assert {name: each.steps for name, each in told.items()} == {
        "cdump": ["cdump read"],
        "sort": ["sort scatter", "sort gather"],
        "dump": ["dump read"],
        "split": ["split read"],
    }
    for name, each in told.items():
        assert each.updates[-1] == (ROWS if name == "cdump" else lines, 1.0)
        assert all(share is not None and 0 < share <= 1 for _, share in each.updates)
        assert len(each.updates) > 3
        assert each.ended == [name]


class _Stopping(Watching):
    """Stops a worker when the first block is done, and lets it go on after a while."""

    def __init__(self) -> None:
        super().__init__()
        self.while_stopped = 0
        self._worker: psutil.Process | None = None

    def update(self, rows: int, done: float | None) -> None:
        """Stop it, or count the blocks that are done while it is stopped."""
        if self._worker is None:
            self._worker = psutil.Process().children()[0]
            self._worker.suspend()
            threading.Timer(1.5, self._worker.resume).start()
        elif self._worker.status() == psutil.STATUS_STOPPED:
            self.while_stopped += 1


def test_cdump_does_not_run_ahead_of_a_slow_block(tmp_path: Path) -> None:
    """Its leader holds the records of some blocks, however long the one takes whose records are written next."""
    path = tmp_path / "data"
    path.write_bytes(b"".join(copy_blocks(ROWS)) * 8)
    stopping = _Stopping()
    with (tmp_path / "out").open("wb") as output:
        write_cdump(path, None, output, tmp_path / "rejects.txt.gz", Settings.of(workers=WORKERS), stopping)
    assert path.stat().st_size > 20 * BLOCK_BYTES
    assert stopping.while_stopped <= WINDOW * WORKERS
