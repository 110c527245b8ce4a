"""The demo, end to end: its report is right and it leaves nothing running."""

import gzip
import json
import shutil
import tempfile
from pathlib import Path

import psutil
import pytest

from commands.command import oldump
from deworks_reference import deworks_of, same_line
from oldump.pipeline.demo import DAY
from oldump.stages.tables import TABLES
from reference import PARTS, dumps_of

pytestmark = pytest.mark.postgres


def test_the_demo_reports_its_files_and_cleans_up(tmp_path: Path) -> None:
    """The demo reports correct files and removes its server and temporary folder."""
    temporary = Path(tempfile.mkdtemp(prefix="oldump-tests-", dir="/tmp"))
    temporary.chmod(0o755)
    try:
        ran = oldump("demo", "--rows", 5_000, "--out", "shown", cwd=tmp_path, env={"TMPDIR": str(temporary)})
        assert ran.code == 0, ran.err
        assert [path.name for path in temporary.iterdir() if "oldump" in path.name] == []
        running = [process.info for process in psutil.process_iter(["cmdline"])]
        assert not any(str(temporary) in " ".join(info["cmdline"] or ()) for info in running)
    finally:
        shutil.rmtree(temporary)
    report = ran.out.decode()
    item = tmp_path / "shown" / f"ol_dump_{DAY}"
    names = [f"ol_dump_{DAY}.txt.gz", *(f"ol_dump_{part}_{DAY}.txt.gz" for part in PARTS)]
    deworks = f"ol_dump_deworks_{DAY}.txt.gz"
    assert deworks in report
    assert all(name in report for name in (f"ol_cdump_{DAY}.txt.gz", *names, "zcat", "sha256sum -c"))
    tables = {f"ol_dump_{table.name}_{DAY}.txt.gz" for table in TABLES if table.is_published}
    assert {path.name for path in item.iterdir() if path.name.endswith(".gz")} == {*names, *tables, deworks}
    manifest = json.loads((item / "manifest.json").read_bytes())
    assert manifest["source"]["rows"] == 5_000
    data = gzip_text(tmp_path / "shown" / f"run-{DAY}" / "data.txt.gz")
    expected = dumps_of(data, DAY.isoformat())
    assert gzip_text(item / names[0]) == expected.dump
    for part, name in zip(PARTS, names[1:], strict=True):
        assert gzip_text(item / name) == expected.parts[part]
    items = gzip_text(tmp_path / "shown" / f"run-{DAY}" / f"ia_metadata_dump_{DAY}.txt.gz")
    lines = gzip_text(item / deworks).splitlines(keepends=True)
    for line, expected_line in zip(lines, deworks_of(expected.dump, items), strict=True):
        assert same_line(line, expected_line + b"\n"), (line, expected_line)
    assert b'"boxid": ["IA' in b"".join(lines)
    assert manifest["deworks"]["items"] == items.count(b"\n")


def gzip_text(path: Path) -> bytes:
    """Return the text of a gzip file."""
    return gzip.decompress(path.read_bytes())
