"""One limit of nesting in every stage: an edition at it is published, one beyond it is a reject."""

import gzip
from pathlib import Path

import pytest

from commands.command import DATE, oldump, run
from oldump.records.document import MAX_DEPTH
from oldump.synth.table import copy_blocks
from tables import copy_row

EDITION = (
    '{"key": "/books/OL1000M", "type": {"key": "/type/edition"}, "revision": 1, "works": [{"key": "/works/OL1W"}],'
    ' "last_modified": {"type": "/type/datetime", "value": "2010-01-01T00:00:00"}, "ocaid": "x", "deep": %s}'
)


@pytest.mark.parametrize("depth", [960, 4_948, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 20_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a": ', "}")])
def test_an_edition_is_published_up_to_the_limit(depth: int, opening: str, closing: str, tmp_path: Path) -> None:
    """With deworks, gate, verify and sitemaps; depth counts the document itself."""
    inner = depth - 1 if opening == "[" else depth - 2
    value = opening * inner + ("" if opening == "[" else "{}") + closing * inner
    source, out = tmp_path / "data.txt", tmp_path / "out"
    source.write_bytes(b"".join(copy_blocks(200)) + copy_row(1, 1, EDITION % value))
    run(source, out, "--sitemaps", tmp_path / "sitemaps", cwd=tmp_path)
    item = out / f"ol_dump_{DATE}"
    for name in ("deworks", "editions"):
        text = gzip.decompress((item / f"ol_dump_{name}_{DATE}.txt.gz").read_bytes())
        assert (value.encode() in text) == (depth <= MAX_DEPTH)
    rejects = out / f"run-{DATE}" / "rejects.txt.gz"
    assert rejects.exists() == (depth > MAX_DEPTH)
    assert oldump("verify", out, cwd=tmp_path).code == 0
