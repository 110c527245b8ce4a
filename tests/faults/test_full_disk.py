"""The disk is full: StorageFull, naming the file, and nothing has its final name.

/dev/full stands for the disk: a temporary file's name is made a link to it beforehand, so that all that is written to
it fails with ENOSPC. That needs no rights, and works in every container.
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


def fill_up(path: Path) -> None:
    """Let the disk be full when this file is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(path.name + TEMPORARY_SUFFIX).symlink_to("/dev/full")


def names(folder: Path) -> set[str]:
    """All that is there but folders and the source."""
    return {path.name for path in folder.rglob("*") if not path.is_dir() and path.name != "data"}


@pytest.mark.parametrize("lines", [1, 20_000], ids=["at commit", "at write"])
@pytest.mark.parametrize("suffix", ["", INDEX_SUFFIX], ids=["file", "index"])
def test_a_seekable_file(tmp_path: Path, suffix: str, lines: int) -> None:
    """Neither the file nor its index has its name, whichever of them did not fit, and whenever that shows."""
    path = tmp_path / "a.txt.gz"
    fill_up(path.with_name(path.name + suffix))

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
    """A table."""
    (tmp_path / "data").write_bytes(b"".join(copy_blocks(2000)))
    return tmp_path / "data"


@pytest.mark.parametrize("workers", [1, 2])
def test_the_cdump(tmp_path: Path, source: Path, workers: int) -> None:
    """The first artifact does not fit: no artifact has its name, no spill and no process is left."""
    folder = folder_in(tmp_path)
    fill_up(folder.cdump)
    with pytest.raises(StorageFull, match=folder.cdump.name):
        made(source, tmp_path, workers, Budget(10_000, 20_000, 60))
    assert names(tmp_path) == set()
    assert not folder.checkpoint("dumps").parent.exists()
    assert psutil.Process().children() == []


def test_a_part(tmp_path: Path, source: Path) -> None:
    """A later one: it has no name, nothing half-written is there, and the same run succeeds when there is room."""
    folder = folder_in(tmp_path)
    fill_up(folder.part("works"))
    with pytest.raises(StorageFull, match=folder.part("works").name):
        made(source, tmp_path, 2, AMPLE)
    assert not {name for name in names(tmp_path) if TEMPORARY_SUFFIX in name or "works" in name}
    assert made(source, tmp_path).counts.rows == 2000


def test_the_rejects(tmp_path: Path, source: Path) -> None:
    """Rejects that cannot be kept end the run as anything else that cannot be written."""
    source.write_bytes(source.read_bytes() + b"no row\n")
    folder = folder_in(tmp_path)
    fill_up(folder.rejects)
    with pytest.raises(StorageFull, match=r"rejects\.txt\.gz"):
        made(source, tmp_path)
    assert names(tmp_path) == set()
