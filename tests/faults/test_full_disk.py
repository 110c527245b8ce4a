"""A full disk raises StorageFull with the file's name, and no file gets its final name.

The tests link a temporary file's name to /dev/full in advance, so that every write to it fails with ENOSPC. This needs
no privileges and works in every container.
"""

from pathlib import Path

import psutil
import pytest

from oldump.engine.budget import Budget
from oldump.engine.commit import TEMPORARY_SUFFIX
from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import INDEX_SUFFIX, segment_of
from oldump.errors import StorageFull
from oldump.synth.table import copy_blocks
from unit.stages.making import AMPLE, folder_in, made


def make_full(path: Path) -> None:
    """Make writes to this file fail with ENOSPC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + TEMPORARY_SUFFIX).symlink_to("/dev/full")


def names(folder: Path) -> set[str]:
    """Return the names of all files except the source."""
    return {path.name for path in folder.rglob("*") if not path.is_dir() and path.name != "data"}


@pytest.mark.parametrize("lines", [1, 20_000], ids=["at commit", "at write"])
@pytest.mark.parametrize("suffix", ["", INDEX_SUFFIX], ids=["file", "index"])
def test_a_full_disk_while_a_seekable_file_is_written(tmp_path: Path, suffix: str, lines: int) -> None:
    """Neither the file nor its index gets its final name when either does not fit, at a write or at commit."""
    path = tmp_path / "a.txt.gz"
    make_full(path.with_name(path.name + suffix))

    def write() -> None:
        with SegmentWriter(path) as writer:
            for number in range(lines):
                writer.append(segment_of(b"%d\n" % number, 0, 1))
            writer.commit()

    with pytest.raises(StorageFull, match=rf"a\.txt\.gz{suffix}\.part: no space left"):
        write()
    assert names(tmp_path) == set()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a table of 2,000 rows."""
    (tmp_path / "data").write_bytes(b"".join(copy_blocks(2000)))
    return tmp_path / "data"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_while_the_cdump_is_written(tmp_path: Path, source: Path, workers: int) -> None:
    """When the first artifact does not fit, no artifact, spill or process is left."""
    folder = folder_in(tmp_path)
    make_full(folder.cdump)
    with pytest.raises(StorageFull, match=folder.cdump.name):
        made(source, tmp_path, workers, Budget(10_000, 20_000, 60))
    assert names(tmp_path) == set()
    assert not folder.checkpoint("dumps").parent.exists()
    assert psutil.Process().children() == []


def test_a_full_disk_while_a_part_is_written(tmp_path: Path, source: Path) -> None:
    """When a later artifact does not fit, no part of it is left, and the run succeeds once there is space."""
    folder = folder_in(tmp_path)
    make_full(folder.part("works"))
    with pytest.raises(StorageFull, match=folder.part("works").name):
        made(source, tmp_path, 2, AMPLE)
    assert not {name for name in names(tmp_path) if TEMPORARY_SUFFIX in name or "works" in name}
    assert made(source, tmp_path).counts.rows == 2000


def test_a_full_disk_while_rejects_are_written(tmp_path: Path, source: Path) -> None:
    """Rejects that cannot be written fail the run like any other file."""
    source.write_bytes(source.read_bytes() + b"no row\n")
    folder = folder_in(tmp_path)
    make_full(folder.rejects)
    with pytest.raises(StorageFull, match=r"rejects\.txt\.gz"):
        made(source, tmp_path)
    assert names(tmp_path) == set()
