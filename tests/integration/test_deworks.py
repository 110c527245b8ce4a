"""Deworks of real documents."""

import gzip
import json
import subprocess
from pathlib import Path

import pytest

from commands.command import environment, item_of, name_of, run
from deworks_reference import counts_of, deworks_of, same_line
from integration.conftest import PSQL, Database, copied
from reference import dumps_of
from tables import DATE

REAL = Path(__file__).parents[3] / "shared" / "real" / "openlibrary-dev.sql"

pytestmark = pytest.mark.postgres


@pytest.mark.skipif(not REAL.exists(), reason="the real data is not part of the project: ../shared/real is missing")
def test_real_data_matches_the_reference(database: Database, tmp_path: Path) -> None:
    """For Open Library's development database, lines and counts are those of the reference implementation."""
    source = database()
    line = [str(PSQL), source, "--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-f", str(REAL)]
    subprocess.run(line, check=True, capture_output=True, env=environment())
    run(source, "out", "--skip", "covers_metadata", "--skip", "ia-metadata", cwd=tmp_path)
    item = item_of(tmp_path / "out")
    dump = dumps_of(copied(source), DATE).dump
    lines = gzip.decompress((item / name_of("deworks")).read_bytes()).splitlines()
    for made, expected_line in zip(lines, deworks_of(dump, b""), strict=True):
        assert same_line(made, expected_line), (made, expected_line)
    manifest = json.loads((item / "manifest.json").read_bytes())
    counted = manifest["deworks"]
    assert counted.pop("items") is None
    counted["missing_works"] = counted.pop("works_missing")
    assert counted == counts_of(dump)
    assert counted["editions"] == 68
    assert manifest["skipped"] == ["covers_metadata", "ia-metadata"]
