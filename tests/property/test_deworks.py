"""Deworks agree with the reference implementation, for any catalogue, number of workers and memory."""

import io
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from catalogues import Catalogue, catalogues
from deworks_reference import counts_of, deworks_of, same_line
from examples import examples
from oldump.engine.budget import Budget
from oldump.engine.gather import Stream
from oldump.engine.segment_writer import TextWriter
from oldump.engine.segments import uncompressed
from oldump.run.progress import NoProgress
from oldump.stages.deworks.inputs import Input
from oldump.stages.deworks.job import DeworksJob, DeworksResult
from oldump.stages.deworks.stage import make_deworks

AMPLE = Budget(spill_bytes=8 << 20, bucket_bytes=32 << 20, bucket_shift=31)
MANY_BUCKETS = Budget(spill_bytes=3_000, bucket_bytes=2_000, bucket_shift=18, flush_buckets=64)
OVERFULL = Budget(spill_bytes=2_000, bucket_bytes=300, bucket_shift=60)


def made_in(
    folder: Path, dump: bytes, ia_metadata: bytes, workers: int, budget: Budget
) -> tuple[list[bytes], DeworksResult]:
    """Return the lines that the stage makes from a dump in one file, without newlines."""
    (folder / "dump").write_bytes(dump)
    (folder / "ia").write_bytes(ia_metadata)
    output = io.BytesIO()
    (folder / "spill").mkdir()
    made = make_deworks(
        [Input(folder / "dump", has_redirects=True), Input(folder / "ia", is_items=True)],
        Stream(TextWriter(output)),
        DeworksJob(workers, budget, folder / "spill"),
        uncompressed,
        NoProgress(),
    )
    shutil.rmtree(folder / "spill")
    return output.getvalue().split(b"\n")[:-1], made


def require_reference(lines: list[bytes], made: DeworksResult, dump: bytes, ia_metadata: bytes) -> None:
    """Fail unless lines and counts agree with the reference."""
    expected = deworks_of(dump, ia_metadata)
    assert [line.split(b"\t")[0] for line in lines] == [line.split(b"\t")[0] for line in expected]
    for line, wanted in zip(lines, expected, strict=True):
        assert same_line(line, wanted), (line, wanted)
    tally = made.tally
    assert counts_of(dump) == {
        "works": tally.works,
        "editions": tally.editions,
        "missing_works": tally.works_missing,
        "editions_without_work": tally.editions_without_work,
        "lines": tally.lines,
    }


@pytest.mark.parametrize(("workers", "budget"), [(1, AMPLE), (2, MANY_BUCKETS), (2, OVERFULL)])
@given(catalogue=catalogues())
@settings(deadline=None, max_examples=examples(40))
def test_any_catalogue(workers: int, budget: Budget, catalogue: Catalogue) -> None:
    """Chains and loops of redirects, missing works and authors, odd links of every kind."""
    dump = b"".join(catalogue.records)
    with tempfile.TemporaryDirectory() as folder:
        lines, made = made_in(Path(folder), dump, catalogue.ia_metadata, workers, budget)
    require_reference(lines, made, dump, catalogue.ia_metadata)
