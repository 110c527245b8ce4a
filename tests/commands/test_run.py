"""`oldump run` on a hand-written and a synthetic table makes the right bytes, for any workers and memory."""

import gzip
import hashlib
import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from xxhash import xxh3_64_intdigest

from commands.command import (
    DATE,
    assert_same_records,
    cdump_of,
    item_of,
    name_of,
    oldump,
    private_of,
    published,
    run,
    texts,
)
from commands.conftest import Table
from commands.expected import DATA, expected
from reference import PARTS

TABLE = DATA / "table.txt"
WAYS = {
    "1 worker": ("--workers", 1),
    "3 workers": ("--workers", 3),
    "least memory": ("--workers", 3, "--memory", "192M"),
}


def manifest_of(out: Path) -> dict[str, Any]:
    """Return the manifest of a complete run."""
    manifest = json.loads((item_of(out) / "manifest.json").read_bytes())
    assert isinstance(manifest, dict)
    return manifest


def path_of(out: Path, artifact: str) -> Path:
    """Return the path of an artifact that the manifest names."""
    return (cdump_of(out) if artifact.startswith("ol_cdump") else item_of(out) / artifact).with_name(artifact)


def test_the_expected_files_agree_with_the_reference() -> None:
    """The files in data/ are what the contract makes of table.txt, not what oldump once made of it."""
    assert {name: (DATA / name).read_bytes() for name in expected()} == expected()


@pytest.mark.parametrize("way", WAYS)
def test_the_hand_written_table_gives_the_expected_files(way: str, tmp_path: Path) -> None:
    """Cdump, dump, parts, rejects and counts, byte for byte, with any number of workers and in the least memory."""
    run(TABLE, tmp_path, *WAYS[way], cwd=tmp_path)
    assert texts(tmp_path) == {name: (DATA / f"{name}.txt").read_bytes() for name in ("cdump", "dump", *PARTS)}
    rejects = gzip.decompress((private_of(tmp_path) / "rejects.txt.gz").read_bytes())
    assert rejects == (DATA / "rejects.txt").read_bytes()
    counts, wanted = manifest_of(tmp_path)["rows"], json.loads((DATA / "counts.json").read_bytes())
    assert {name: counts[name] for name in wanted} == wanted


def test_synth_agrees_with_the_reference(synth: Table, made: Path) -> None:
    """Record by record, in order: cdump, each part, and the dump as the parts in alphabetical order."""
    text = texts(made)
    assert_same_records(text["cdump"], synth.reference.cdump)
    for part in PARTS:
        assert_same_records(text[part], synth.reference.parts[part])
    assert text["dump"] == b"".join(text[part] for part in sorted(PARTS))


def test_the_counts_of_synth_agree_with_the_reference(synth: Table, made: Path) -> None:
    """Each row is a record, a drop or a reject with its reason; none is lost."""
    rows = manifest_of(made)["rows"]
    reasons = Counter(reason for _, reason, _ in synth.reference.rejects)
    assert {name: count for name, count in rows["drops"].items() if count} == synth.reference.drops
    assert {name: count for name, count in rows["rejects"].items() if count} == reasons
    assert (rows["rows"], rows["same_revision"]) == (synth.reference.rows, synth.reference.same_revision)
    assert rows["records"] == synth.reference.cdump.count(b"\n")
    assert rows["rows"] == rows["records"] + sum(rows["drops"].values()) + sum(rows["rejects"].values())


def test_rejects_have_line_and_reason(synth: Table, made: Path) -> None:
    """Each row can be found in the source: line number, reason, and the line as it was."""
    text = gzip.decompress((private_of(made) / "rejects.txt.gz").read_bytes())
    wanted = [b"%d\t%s\t%s" % (number, reason.encode(), line) for number, reason, line in synth.reference.rejects]
    assert text.split(b"\n")[:-1] == wanted


@pytest.mark.parametrize("way", WAYS)
def test_the_same_rows_give_the_same_bytes(way: str, synth: Table, made: Path, tmp_path: Path) -> None:
    """Every published file, with index, sums and manifest, for any workers and memory."""
    run(synth.path, tmp_path, *WAYS[way], cwd=tmp_path)
    assert published(tmp_path) == published(made)


@pytest.mark.parametrize("kind", ["one member", "many members", "standard input"])
def test_the_input_may_be_compressed_or_piped(kind: str, synth: Table, made: Path, tmp_path: Path) -> None:
    """Gzip with one or many members, and standard input, give the same records as the plain file."""
    half = len(synth.text) // 2
    pieces = [synth.text] if kind == "one member" else [synth.text[:half], synth.text[half:]]
    zipped = b"".join(gzip.compress(piece, 1) for piece in pieces)
    if kind == "standard input":
        run("-", tmp_path, cwd=tmp_path, stdin=zipped)
    else:
        (tmp_path / "data.txt.gz").write_bytes(zipped)
        run("data.txt.gz", tmp_path, cwd=tmp_path)
    assert texts(tmp_path) == texts(made)


def test_the_manifest_has_the_members_of_the_design(synth: Table, made: Path) -> None:
    """Format, date, cutoff, tool, source, rows, and every artifact of both items: design.md, section 6."""
    manifest = manifest_of(made)
    members = [
        "format",
        "date",
        "cutoff",
        "tool",
        "source",
        "rows",
        "deworks",
        "gate",
        "verify",
        "skipped",
        "artifacts",
    ]
    assert list(manifest) == members
    assert (manifest["format"], manifest["date"], manifest["cutoff"]) == (1, DATE, f"{DATE}T23:59:59.999999")
    assert manifest["tool"]["name"] == "oldump"
    assert manifest["source"] == {"kind": "file", "name": "data.txt", "size_bytes": len(synth.text)}
    names = {f"ol_cdump_{DATE}.txt.gz", name_of(None), *(name_of(part) for part in (*PARTS, "deworks"))}
    assert set(manifest["artifacts"]) == names


def test_the_manifest_describes_every_artifact(made: Path) -> None:
    """Sizes, digests, records by type, first and last key and newest record agree with a recount of the files."""
    for name, entry in manifest_of(made)["artifacts"].items():
        data = path_of(made, name).read_bytes()
        lines = gzip.decompress(data).splitlines()
        columns = [line.split(b"\t") for line in lines]
        is_deworks = name == name_of("deworks")
        assert {len(each) for each in columns} <= {2 if is_deworks else 5}
        assert entry["item"] == (f"ol_cdump_{DATE}" if name.startswith("ol_cdump") else f"ol_dump_{DATE}")
        assert entry["size_bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["md5"] == hashlib.md5(data, usedforsecurity=False).hexdigest()
        assert entry["records"] == len(lines)
        assert entry["text_bytes"] == sum(map(len, lines)) + len(lines)
        key_at = 0 if is_deworks else 1
        assert entry["first_key"] == columns[0][key_at].decode()
        assert entry["last_key"] == columns[-1][key_at].decode()
        if is_deworks:
            assert (entry["columns"], entry["by_type"], entry["newest"]) == (["key", "json"], {}, None)
        else:
            assert entry["by_type"] == Counter(each[0].decode() for each in columns)
            assert entry["newest"] == max(each[3] for each in columns).decode()
        assert entry["digest"] == f"{sum(map(xxh3_64_intdigest, lines)) % 2**64:016x}"


def test_gzip_and_wc_agree_with_the_manifest(made: Path) -> None:
    """Standard tools agree: gzip -t accepts every file, and zcat | wc -l counts its records."""
    for name, entry in manifest_of(made)["artifacts"].items():
        path = path_of(made, name)
        subprocess.run(["gzip", "-t", path], check=True)
        line = ["bash", "-o", "pipefail", "-c", 'zcat "$1" | wc -l', "bash", str(path)]
        counted = subprocess.run(line, check=True, capture_output=True)
        assert int(counted.stdout) == entry["records"]


@pytest.mark.parametrize(("program", "sums"), [("sha256sum", "SHA256SUMS"), ("md5sum", "MD5SUMS")])
def test_sha256sum_and_md5sum_accept_both_items(program: str, sums: str, made: Path) -> None:
    """Each file is listed, indexes too, and matches its sums."""
    checked = subprocess.run([program, "--strict", "-c", sums], cwd=item_of(made), capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
    named = {Path(line.rpartition(b": ")[0].decode()).name for line in checked.stdout.splitlines()}
    assert named == set(published(made)) - {"SHA256SUMS", "MD5SUMS", "manifest.json"}


@pytest.mark.parametrize("program", ["sha256sum", "md5sum"])
def test_sha256sum_and_md5sum_find_a_changed_byte(program: str, small: Path, tmp_path: Path) -> None:
    """One flipped bit in one file fails the check."""
    run(small, tmp_path, cwd=tmp_path)
    path = item_of(tmp_path) / name_of("works")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    sums = "SHA256SUMS" if program == "sha256sum" else "MD5SUMS"
    checked = subprocess.run([program, "-c", sums], cwd=path.parent, capture_output=True, check=False)
    assert checked.returncode != 0
    assert f"{path.name}: FAILED".encode() in checked.stdout


def test_standard_output_has_only_the_path_of_the_dump(small: Path, tmp_path: Path) -> None:
    """A script can use the output; everything else goes to standard error."""
    ran = run(small, "out", cwd=tmp_path)
    assert ran.out.decode() == f"out/ol_dump_{DATE}\n"


def test_a_dry_run_writes_nothing(small: Path, tmp_path: Path) -> None:
    """It shows what would be done, and leaves no file."""
    ran = oldump("run", DATE, "--source", small, "--out", tmp_path / "out", "--dry-run", cwd=tmp_path)
    assert ran.code == 0, ran.err
    assert b"to be run" in ran.out
    assert list(tmp_path.iterdir()) == []
