"""The manifest and the checksum files: they describe published artifacts only."""

import hashlib
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

from oldump.run.journal import Artifact
from oldump.run.manifest import render_manifest, render_sums

DUMP = Artifact("d.txt.gz", "ol_dump", 3, 30, 2, 1, "d" * 64, "d" * 32, "/a", "/z", "2022", "00", {"/type/work": 2})
CDUMP = replace(DUMP, name="c.txt.gz", item="ol_cdump", sha256="c" * 64, md5="c" * 32)
DATA = replace(DUMP, name="data.txt.gz", item=None)


def test_the_manifest_omits_private_artifacts() -> None:
    """It has the artifacts of the items, each under its name."""
    manifest = json.loads(
        render_manifest(date(2022, 7, 31), {"kind": "file"}, {"rows": 2}, [DATA, CDUMP, DUMP], ["ratings"])
    )
    assert list(manifest["artifacts"]) == ["c.txt.gz", "d.txt.gz"]
    assert manifest["artifacts"]["d.txt.gz"]["by_type"] == {"/type/work": 2}
    assert manifest["skipped"] == ["ratings"]
    assert "name" not in manifest["artifacts"]["d.txt.gz"]


def test_the_manifest_is_utf_8_whatever_the_name_of_the_source() -> None:
    """Bytes that are not UTF-8 become JSON escapes."""
    manifest = render_manifest(date(2022, 7, 31), {"name": "caf\udce9 東京"}, {}, [], [])
    assert json.loads(manifest.decode("utf-8"))["source"]["name"] == "caf\udce9 東京"


def test_the_manifest_does_not_depend_on_the_clock() -> None:
    """The same rows give the same bytes."""
    first, second = (render_manifest(date(2022, 7, 31), {}, {}, [DUMP], []) for _ in range(2))
    assert first == second


def test_checksum_files_have_paths_relative_to_their_folder(tmp_path: Path) -> None:
    """With the known digests of artifacts and computed ones of other files; private artifacts are omitted."""
    folder, sibling = tmp_path / "ol_dump", tmp_path / "ol_cdump"
    for each in (folder, sibling):
        each.mkdir()
        (each / "x.index").write_bytes(each.name.encode())
    text = render_sums("sha256", [DATA, CDUMP, DUMP], folder, [folder / "x.index", sibling / "x.index"])
    own, other = (hashlib.sha256(name).hexdigest() for name in (b"ol_dump", b"ol_cdump"))
    assert text.decode().splitlines() == [
        f"{'c' * 64}  ../ol_cdump/c.txt.gz",
        f"{'d' * 64}  d.txt.gz",
        f"{own}  x.index",
        f"{other}  ../ol_cdump/x.index",
    ]
