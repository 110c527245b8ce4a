"""A read error ends the run with one clear line that names the file, and the next run makes the same bytes."""

import gzip
from pathlib import Path

import pytest

from commands.command import failed, published, run
from faults.driver import WORKERS, Rule
from faults.faulty import Faulty, Tries, arguments_of

DUMP = "*/ol_dump_2022-07-31/"
READ_SITES = {
    "lock": Rule("EIO", "read", "*/lock"),
    "journal": Rule("EIO", "read", "*/journal.jsonl"),
    "a committed part, compared with its digest": Rule("EIO", "read", f"{DUMP}*_lists_*.txt.gz", process=0),
    "a part read by splice": Rule("EIO", "read", f"{DUMP}*_works_*.txt.gz", nth=4, process=0),
    "an index": Rule("EIO", "read", f"{DUMP}*_works_*.index"),
    "redirects read by deworks": Rule("EIO", "read", f"{DUMP}*_redirects_*.txt.gz", nth=4, process=0),
    "works read by deworks": Rule("EIO", "read", f"{DUMP}*_works_*.txt.gz", process=WORKERS),
    "the spill": Rule("EIO", "read", "*/spill/*/spill-*"),
    "works read by the gate": Rule("EIO", "read", f"{DUMP}*_works_*.txt.gz", process=7),
    "the index of the dump, for the checksums": Rule("EIO", "read", f"{DUMP}ol_dump_2022-07-31.txt.gz.index"),
    "the manifest, to verify it": Rule("EIO", "read", "*/making/ol_dump_2022-07-31/manifest.json"),
    "the published manifest, for the journal": Rule("EIO", "read", "*/out/ol_dump_2022-07-31/manifest.json"),
}
"""In the order in which a run that already has the dumps reaches them: each try gets a little further."""
CODES = {10, 11, 30}
"""Source readers use the source errors' codes; all other reads use those of storage."""


@pytest.fixture(scope="module")
def tries(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Tries:
    """Return the output folder that all read sites share, with the dumps committed."""
    shared = Tries(tmp_path_factory.mktemp("read-sites"))
    run(table, shared.out, "--only", "dumps", cwd=shared.folder)
    return shared


@pytest.mark.parametrize("site", READ_SITES)
def test_a_read_error_in_a_file_of_the_run(site: str, table: Path, tries: Tries, faulty: Faulty) -> None:
    """The error names the file, whether the leader or a worker reads it."""
    rule = READ_SITES[site]
    ran = tries.one(site, [rule], table, faulty)
    assert ran.code in CODES, ran.err
    failed(ran, ran.code, "Input/output error", rule.path.split("*")[-1])


def test_a_run_after_a_read_error_at_every_site(table: Path, undisturbed: dict[str, bytes], tries: Tries) -> None:
    """Each try kept the stages committed before it, so the last run has nothing left to do."""
    tries.require(list(READ_SITES))
    assert "started" not in run(table, tries.out, cwd=tries.folder).err
    assert published(tries.out) == undisturbed


@pytest.mark.parametrize("process", [0, WORKERS])
def test_a_read_error_in_the_source(process: int, table: Path, tmp_path: Path, faulty: Faulty) -> None:
    """A read error in the source names it, whether the leader (gzip) or the workers (plain text) read it."""
    source = tmp_path / ("data.txt.gz" if process == 0 else "data.txt")
    source.write_bytes(gzip.compress(table.read_bytes(), 1) if process == 0 else table.read_bytes())
    rule = Rule("EIO", "read", f"*/{source.name}", nth=4 if process == 0 else 1, process=process)
    ran = faulty([rule], *arguments_of(source, tmp_path / "out"), cwd=tmp_path)
    failed(ran, 10, f"{source.name}: Input/output error", "Check the disk")
    run(source, tmp_path / "out", cwd=tmp_path)
