"""Scatter: errors of a worker's spill reach the leader."""

from pathlib import Path

import pytest

from oldump.engine.frames import Batch
from oldump.engine.scatter import FLUSH, scatter_worker
from oldump.engine.workers import Crew
from oldump.errors import StorageFull
from unit.engine.spilling import BUDGET


def test_a_full_disk_while_spilling(tmp_path: Path) -> None:
    """The leader raises the worker's StorageFull, with the path. Here the disk is /dev/full."""
    (tmp_path / "spill-0").symlink_to("/dev/full")
    scatter = scatter_worker(lambda content: (Batch.of([line], [0]) for line in [content]), tmp_path, BUDGET)
    with pytest.raises(StorageFull, match="spill-0: no space left"), Crew(1, scatter) as crew:
        list(crew.run([("a", bytes(2000)), ("b", bytes(2000))]))
    with Crew(1, scatter) as crew:
        list(crew.run([("a", b"little")]))
        with pytest.raises(StorageFull, match="spill-0: no space left"):
            crew.each("the last", FLUSH)
