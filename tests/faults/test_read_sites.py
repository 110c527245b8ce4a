"""A file cannot be read: one clear line that names it, and the next try makes the same bytes."""

import gzip
from pathlib import Path

import pytest

from commands.command import failed, published, run
from faults.driver import WORKERS, Rule
from faults.faulty import Faulty, Tries, arguments_of

DUMP = "*/ol_dump_2022-07-31/"
OURS = {
    "lock": Rule("EIO", "read", "*/lock"),
    "journal": Rule("EIO", "read", "*/journal.jsonl"),
    "a committed part, held against its digest": Rule("EIO", "read", f"{DUMP}*_lists_*.txt.gz", process=0),
    "a part that is spliced": Rule("EIO", "read", f"{DUMP}*_works_*.txt.gz", nth=4, process=0),
    "an index": Rule("EIO", "read", f"{DUMP}*_works_*.index"),
    "redirects of deworks": Rule("EIO", "read", f"{DUMP}*_redirects_*.txt.gz", nth=4, process=0),
    "works of deworks": Rule("EIO", "read", f"{DUMP}*_works_*.txt.gz", process=WORKERS),
    "the spill": Rule("EIO", "read", "*/spill/*/spill-*"),
    "works of the gate": Rule("EIO", "read", f"{DUMP}*_works_*.txt.gz", process=7),
    "the index of the dump, for its sums": Rule("EIO", "read", f"{DUMP}ol_dump_2022-07-31.txt.gz.index"),
    "the manifest, to verify it": Rule("EIO", "read", "*/making/ol_dump_2022-07-31/manifest.json"),
    "what was published, for the journal": Rule("EIO", "read", "*/out/ol_dump_2022-07-31/manifest.json"),
}
"""In the order in which a run that has the dumps reaches them: each try gets a little further."""
CODES = {10, 11, 30}
"""What is read by the readers of sources has their codes, all else that of storage."""


@pytest.fixture(scope="module")
def tries(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Tries:
    """The output folder that all read sites share; the dumps are committed there."""
    shared = Tries(tmp_path_factory.mktemp("read-sites"))
    run(table, shared.out, "--only", "dumps", cwd=shared.folder)
    return shared


@pytest.mark.parametrize("site", OURS)
def test_a_read_error_in_a_file_of_the_run(site: str, table: Path, tries: Tries, faulty: Faulty) -> None:
    """The error names the file, whether the leader or a worker reads it."""
    rule = OURS[site]
    ran = tries.one(site, [rule], table, faulty)
    assert ran.code in CODES, ran.err
    failed(ran, ran.code, "Input/output error", rule.path.split("*")[-1])


def test_a_run_after_a_read_error_at_every_site(table: Path, undisturbed: dict[str, bytes], tries: Tries) -> None:
    """Each try kept what was committed before, so the last one has nothing left to do."""
    tries.require(list(OURS))
    assert "started" not in run(table, tries.out, cwd=tries.folder).err
    assert published(tries.out) == undisturbed


@pytest.mark.parametrize("process", [0, WORKERS])
def test_the_source(process: int, table: Path, tmp_path: Path, faulty: Faulty) -> None:
    """What only the leader can read, and what the workers do."""
    source = tmp_path / ("data.txt.gz" if process == 0 else "data.txt")
    source.write_bytes(gzip.compress(table.read_bytes(), 1) if process == 0 else table.read_bytes())
    rule = Rule("EIO", "read", f"*/{source.name}", nth=4 if process == 0 else 1, process=process)
    ran = faulty([rule], *arguments_of(source, tmp_path / "out"), cwd=tmp_path)
    failed(ran, 10, f"{source.name}: Input/output error", "Check the disk")
    run(source, tmp_path / "out", cwd=tmp_path)
