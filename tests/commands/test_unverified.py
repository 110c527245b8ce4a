"""The stage verify: a run with a finding is not published, and can be resumed."""

import gzip
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from commands.command import DATE, cdump_of, failed, item_of, made_files, oldump, private_of, published, run
from oldump.synth.table import copy_blocks


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small table."""
    path = tmp_path_factory.mktemp("source") / "data"
    path.write_bytes(b"".join(copy_blocks(600)))
    return path


@pytest.fixture
def out(source: Path, tmp_path: Path) -> Path:
    """A complete run."""
    run(source, tmp_path / "out", cwd=tmp_path)
    return tmp_path / "out"


def plant_record(making: Path, journal: Path) -> Path:
    """Replace a record of the works, and update the file's entry in the journal."""
    path = making / f"ol_dump_{DATE}" / f"ol_dump_works_{DATE}.txt.gz"
    text = gzip.decompress(path.read_bytes())
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(gzip.compress(text.replace(b'"title": "', b'"title": "X', 1), 6))
    after = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size_bytes": path.stat().st_size}
    lines = [json.loads(line) for line in journal.read_bytes().splitlines()]
    for line in lines:
        for artifact in line.get("artifacts", ()):
            if artifact["sha256"] == before:
                artifact.update(after)
    journal.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    return path


def test_a_run_that_contradicts_itself_is_not_published(source: Path, tmp_path: Path) -> None:
    """Exit code 40 and a hint.

    After the file is deleted, the same command makes everything that depends on it again.
    """
    out = tmp_path / "out"
    before = [flag for stage in ("dumps", "splice", "deworks", "gate") for flag in ("--only", stage)]
    run(source, out, *before, cwd=tmp_path)
    path = plant_record(private_of(out) / "making", private_of(out) / "journal.jsonl")
    ran = oldump("run", DATE, "--source", source, "--out", out, cwd=tmp_path)
    failed(ran, 40, "Delete a file that the findings name")
    assert f"latest  {path.name}" in ran.err
    assert not item_of(out).exists()
    path.unlink()
    run(source, out, cwd=tmp_path)
    run(source, tmp_path / "fresh", cwd=tmp_path)
    assert published(out) == published(tmp_path / "fresh")


def test_overwrite_keeps_the_old_items_until_the_new_ones_are_verified(source: Path, out: Path, tmp_path: Path) -> None:
    """Old items are replaced only when verify has accepted the new ones."""
    whole = published(out)
    path = private_of(out) / "making" / f"ol_dump_{DATE}" / f"ol_dump_works_{DATE}.txt.gz"
    journal = private_of(out) / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    shutil.copytree(item_of(out), path.parent)
    shutil.copytree(cdump_of(out).parent, private_of(out) / "making" / f"ol_cdump_{DATE}")
    begun = json.loads(lines[0]) | {"overwrite": True}
    journal.write_bytes(b"".join([json.dumps(begun).encode() + b"\n", *lines[1:-2]]))  # killed before it was verified
    plant_record(private_of(out) / "making", journal)
    ran = oldump("run", DATE, "--source", source, "--out", out, cwd=tmp_path)
    failed(ran, 40, "not published")
    assert published(out) == whole
    path.unlink()
    files = made_files(out)
    run(source, out, cwd=tmp_path)
    assert made_files(out) == files
