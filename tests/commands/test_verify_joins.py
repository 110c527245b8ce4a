"""Verify notices if deworks misses what the parts have, although each line fits its documents."""

import json
from pathlib import Path
from typing import Any

import pytest

from commands.command import DATE, run
from damaged.damage import lines_of, remake
from oldump.run.progress import NoProgress
from oldump.stages.verify.stage import verify
from oldump.synth.table import copy_blocks


def without_authors(line: dict[str, Any]) -> None:
    """Replace each author by its key."""
    line["authors"] = [{"key": author["key"]} for author in line["authors"]]


def without_duplicates(line: dict[str, Any]) -> None:
    """Empty the duplicates."""
    line["duplicates"] = {}


@pytest.mark.parametrize(
    ("change", "what"),
    [(without_authors, "an author of the part is only a key"), (without_duplicates, "the redirect is not in the")],
)
def test_emptied_joins_are_found(change: Any, what: str, tmp_path: Path) -> None:
    """All authors replaced by their keys; all duplicates emptied."""
    (tmp_path / "data.txt").write_bytes(b"".join(copy_blocks(3_000)))
    run("data.txt", "out", cwd=tmp_path)
    item = tmp_path / "out" / f"ol_dump_{DATE}"
    assert not verify(item, 2, 512 << 20, NoProgress()).findings
    path = item / f"ol_dump_deworks_{DATE}.txt.gz"
    lines = []
    for line in lines_of(path):
        key, text = line.split(b"\t", 1)
        document = json.loads(text)
        change(document)
        lines.append(b"%b\t%b" % (key, json.dumps(document).encode()))
    remake(path, lines, item)
    found = verify(item, 2, 512 << 20, NoProgress()).findings.shown
    assert any(each.what.startswith(what) for each in found), found
