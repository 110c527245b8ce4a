"""One document must not block a publication: account data is a warning, and a key can be withheld."""

import gzip
import json
from pathlib import Path
from typing import Any

from commands.command import DATE, failed, oldump, run
from commands.stages import stages_run
from oldump.synth.table import copy_blocks
from tables import copy_row

WHEN = {"type": "/type/datetime", "value": "2010-01-01T00:00:00"}
HASH = "0a1b2$" + "0123456789abcdef" * 2


def written(folder: Path, **members: Any) -> Path:
    """A table with one more work, which has these members."""
    document = {"key": "/works/OL1W", "type": {"key": "/type/work"}, "revision": 99, "last_modified": WHEN, **members}
    path = folder / "data.txt"
    path.write_bytes(b"".join(copy_blocks(300)) + copy_row(1, 99, json.dumps(document)))
    return path


def manifest_of(out: Path) -> dict[str, Any]:
    """The manifest of the run."""
    return dict(json.loads((out / f"ol_dump_{DATE}" / "manifest.json").read_bytes()))


def keys_in(path: Path) -> set[bytes]:
    """The keys of a file of records."""
    return {line.split(b"\t")[1] for line in gzip.decompress(path.read_bytes()).splitlines()}


def test_a_hash_in_a_title_is_published_with_a_warning(tmp_path: Path) -> None:
    """The manifest counts the revisions; `oldump verify` compares the count."""
    out = tmp_path / "out"
    ran = run(written(tmp_path, title=HASH), out, cwd=tmp_path)
    assert "WARNING verify: a string that looks like a password hash: 1 records" in ran.err
    manifest = manifest_of(out)
    assert manifest["verify"] == {"warnings": {"a string that looks like a password hash": 1}}
    assert oldump("verify", out, cwd=tmp_path).code == 0
    manifest["verify"]["warnings"] = {}
    (out / f"ol_dump_{DATE}" / "manifest.json").write_text(json.dumps(manifest))
    assert oldump("verify", out, cwd=tmp_path).code == 40


def test_a_withheld_record_lets_a_refused_run_pass(tmp_path: Path) -> None:
    """An account's document closes verify; with the key in oldump.toml and another as option, the rest is published."""
    source, out = written(tmp_path, enc_password=HASH, lusername="mary"), tmp_path / "out"
    line = ("run", DATE, "--source", source, "--out", out)
    failed(oldump(*line, cwd=tmp_path), 40, "--withhold KEY=REASON")
    (tmp_path / "oldump.toml").write_text('[withhold]\n"/works/OL1W" = "an account"\n')
    ran = oldump(*line, "--withhold", "/books/OL3M=asked by mail", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert stages_run(ran.err)[0] == "dumps"
    rows = manifest_of(out)["rows"]
    assert rows["withheld"] == {"/works/OL1W": "an account", "/books/OL3M": "asked by mail"}
    assert rows["drops"]["withheld"] >= 2
    plain = oldump("cdump", source, DATE, cwd=tmp_path).out
    expected = {each.split(b"\t")[1] for each in plain.splitlines()} - {b"/works/OL1W", b"/books/OL3M"}
    assert keys_in(out / f"ol_cdump_{DATE}" / f"ol_cdump_{DATE}.txt.gz") == expected
    withheld = oldump("cdump", source, DATE, "--withhold", "/books/OL3M=x", cwd=tmp_path).out
    assert {each.split(b"\t")[1] for each in withheld.splitlines()} == expected
    again = oldump(*line, cwd=tmp_path)
    assert (again.code, "use --overwrite" in again.err) == (0, True)


def test_withhold_needs_a_key_and_a_reason(tmp_path: Path) -> None:
    """A key without a reason is refused before anything is read."""
    for wrong in ("/works/OL1W", "/works/OL1W= ", "OL1W=x"):
        failed(oldump("run", DATE, "--source", "x", "--withhold", wrong, cwd=tmp_path), 2, "KEY=REASON")
