"""Mutations of a finished run, by name.

`bytes` mutations change a file as it is. `lines` mutations change the text of an artifact and then rebuild gzip, index,
manifest and checksums, so that only the content of the lines can reveal the change.
"""

import gzip
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from oldump.engine.segment_writer import SegmentWriter
from oldump.engine.segments import segment_of, segment_texts
from oldump.engine.text_lines import Lines as Placed
from oldump.kernel.arrays import Places, Text
from oldump.records.tally import digests_of, newest_of, types_of

Lines = list[bytes]
Change = Callable[[Lines, random.Random], Lines]


class Damage(NamedTuple):
    """A mutation that was applied."""

    file: str
    kinds: frozenset[str]
    """Kinds of finding that name the mutation correctly, any of them; if empty, any kind at all."""


def flipped(data: bytes, chance: random.Random) -> bytes:
    """Flip one bit."""
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]


def truncated(data: bytes, chance: random.Random) -> bytes:
    """Cut the data somewhere."""
    return data[: chance.randrange(len(data))]


def longer(data: bytes, chance: random.Random) -> bytes:
    """Append bytes."""
    return data + chance.randbytes(1 + chance.randrange(20))


BYTES = {"flipped": flipped, "truncated": truncated, "longer": longer}


def swapped(lines: Lines, chance: random.Random) -> Lines:
    """Swap two neighbouring lines."""
    at = chance.randrange(len(lines) - 1)
    return [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]


def deleted(lines: Lines, chance: random.Random) -> Lines:
    """Delete a line."""
    at = chance.randrange(len(lines))
    return lines[:at] + lines[at + 1 :]


def doubled(lines: Lines, chance: random.Random) -> Lines:
    """Repeat a line."""
    at = chance.randrange(len(lines))
    return lines[: at + 1] + lines[at:]


def stale(lines: Lines, chance: random.Random) -> Lines:
    """Change a revision, in its column and in the JSON."""
    at = chance.randrange(len(lines))
    fields = lines[at].split(b"\t")
    new = b"%d" % (int(fields[2]) + 7)
    text = fields[4].replace(b'"revision": ' + fields[2], b'"revision": ' + new)
    return [*lines[:at], b"\t".join((*fields[:2], new, fields[3], text)), *lines[at + 1 :]]


def rekeyed(new: str, type_key: str | None = None) -> Change:
    """Return a change that gives a record another key or type, consistently."""

    def change(lines: Lines, chance: random.Random) -> Lines:
        at = chance.randrange(len(lines))
        old_type, _, revision, moment, text = lines[at].split(b"\t")
        made = json.loads(text) | {"key": new}
        if type_key:
            made["type"] = {"key": type_key}
        record = b"\t".join(
            (type_key.encode() if type_key else old_type, new.encode(), revision, moment, json.dumps(made).encode())
        )
        return [*lines[:at], record, *lines[at + 1 :]]

    return change


def with_member(name: str, value: Any) -> Change:
    """Return a change that adds a forbidden member to a document."""

    def change(lines: Lines, chance: random.Random) -> Lines:
        at = chance.randrange(len(lines))
        *head, text = lines[at].split(b"\t")
        made = json.dumps(json.loads(text) | {name: value}).encode()
        return [*lines[:at], b"\t".join((*head, made)), *lines[at + 1 :]]

    return change


def respelled(old: bytes, new: bytes) -> Change:
    """Return a change that replaces bytes in one line."""

    def change(lines: Lines, chance: random.Random) -> Lines:
        at = chance.choice([place for place, line in enumerate(lines) if old in line])
        return [*lines[:at], lines[at].replace(old, new, 1), *lines[at + 1 :]]

    return change


HASH = "0a1b2$" + "0123456789abcdef" * 2
LINES: dict[str, tuple[Change, set[str]]] = {
    "swapped lines": (swapped, {"order"}),
    "deleted line": (deleted, {"latest", "manifest"}),
    "doubled line": (doubled, {"duplicate", "manifest"}),
    "stale revision": (stale, {"latest", "order"}),
    "private page": (rekeyed("/people/mary"), {"private"}),
    "user": (rekeyed("/works/OL1W", "/type/user"), {"private"}),
    "administration": (rekeyed("/admin/block"), {"private"}),
    "obsolete page": (rekeyed("/scan_record/b/OL1M"), {"private"}),
    "password": (with_member("enc_password", HASH), {"account"}),
    "hash": (with_member("note", HASH), {"account"}),
    "e-mail": (with_member("email", "mary@example.org"), {"account"}),
    "id": (with_member("id", 7), {"spelling"}),
    "legacy key": (with_member("link", {"key": "/b/OL1M"}), {"spelling"}),
    "spaced datetime": (with_member("on", {"type": "/type/datetime", "value": "2008-04-30 20:50:18"}), {"spelling"}),
    "other spaces": (respelled(b'": ', b'":  '), {"non-canonical"}),
    "no JSON": (respelled(b"{", b"{{"), {"json"}),
    "six columns": (respelled(b"\t{", b"\tx\t{"), {"columns"}),
    "another type": (respelled(b"/type/", b"/type/x"), {"mismatch"}),
    "another key": (with_member("key", "/x/OL1X"), {"mismatch"}),
    "after the cutoff": (
        lambda lines, chance: with_last_modified(lines, chance, b"2999-01-01T00:00:00"),
        {"cutoff"},
    ),
}


def with_last_modified(lines: Lines, chance: random.Random, moment: bytes) -> Lines:
    """Change a record's last_modified, in its column and in the JSON."""
    at = chance.randrange(len(lines))
    type_key, key, revision, _, text = lines[at].split(b"\t")
    made = json.loads(text) | {"last_modified": {"type": "/type/datetime", "value": moment.decode()}}
    record = b"\t".join((type_key, key, revision, moment, json.dumps(made).encode()))
    return [*lines[:at], record, *lines[at + 1 :]]


def remake(path: Path, lines: Lines, item: Path) -> None:
    """Write the artifact with these lines, and update manifest and checksums to match."""
    with SegmentWriter(path) as writer:
        for text in segment_texts([b"".join(line + b"\n" for line in lines)]):
            writer.append(segment_of(text, 1))
        written = writer.commit()
    manifest = json.loads((item / "manifest.json").read_bytes())
    artifact = manifest["artifacts"][path.name]
    regular = [line for line in lines if line.count(b"\t") >= 4]
    artifact |= {
        "size_bytes": written.size_bytes,
        "text_bytes": written.text_bytes,
        "records": written.records,
        "segments": written.segments,
        "sha256": written.sha256,
        "md5": written.md5,
        "first_key": written.first_key,
        "last_key": lines[-1].split(b"\t")[1].decode() if lines else None,
        "newest": newest_of(*_placed(regular)) or None,
        "digest": f"{int(digests_of(*_placed(lines)).sum()):016x}",
        "by_type": dict(sorted(types_of(lines).items())),
    }
    (item / "manifest.json").write_bytes(json.dumps(manifest, indent=2).encode() + b"\n")
    resum(item)


def _placed(lines: Lines) -> tuple[Text, Places, Places]:
    placed = Placed.of(lines)
    return placed.text, placed.starts, placed.ends


def resum(item: Path) -> None:
    """Rewrite the checksum files."""
    for name, algorithm in (("SHA256SUMS", "sha256"), ("MD5SUMS", "md5")):
        sums = item / name
        new = []
        for line in sums.read_text(encoding="utf-8").splitlines():
            place = line.split("  ")[1]
            new.append(f"{hashlib.new(algorithm, (item / place).read_bytes()).hexdigest()}  {place}\n")
        sums.write_text("".join(new), encoding="utf-8")


Manifest = dict[str, Any]
Edit = Callable[[Manifest, random.Random], None]


def edited(member: str, change: Callable[[Any], Any]) -> Edit:
    """Return an edit that changes one member of one artifact."""

    def edit(manifest: Manifest, chance: random.Random) -> None:
        artifacts = [each for each in manifest["artifacts"].values() if each.get(member)]
        artifact = chance.choice(artifacts)
        artifact[member] = change(artifact[member])

    return edit


def counted(*path: str) -> Edit:
    """Return an edit that increases one count by one."""

    def edit(manifest: Manifest, chance: random.Random) -> None:
        place = manifest
        for member in path[:-1]:
            place = place[member]
        place[path[-1]] += 1

    return edit


def with_value(member: str, value: Any) -> Edit:
    """Return an edit that sets a member."""

    def edit(manifest: Manifest, chance: random.Random) -> None:
        manifest[member] = value

    return edit


def _one_more_of_a_type(by_type: dict[str, int]) -> dict[str, int]:
    first, *_ = by_type
    return by_type | {first: by_type[first] + 1}


EDITS: dict[str, Edit] = {
    **{
        f"artifact's {member}": edited(member, lambda value: value + 1)
        for member in ("records", "size_bytes", "text_bytes", "segments")
    },
    **{
        f"artifact's {member}": edited(member, lambda value: value[:-1] + ("0" if value[-1] != "0" else "1"))
        for member in ("digest", "sha256", "md5", "newest", "first_key", "last_key")
    },
    "artifact's item": edited(
        "item", lambda item: "ol_dump_" + item[-10:] if "cdump" in item else "ol_cdump_" + item[-10:]
    ),
    "artifact's by_type": edited("by_type", _one_more_of_a_type),
    **{f"rows' {member}": counted("rows", member) for member in ("rows", "records", "same_revision")},
    **{f"deworks' {member}": counted("deworks", member) for member in ("lines", "works", "editions", "works_missing")},
    "cutoff": with_value("cutoff", "2022-07-30T23:59:59.999999"),
    "skipped": with_value("skipped", ["deworks"]),
    "no deworks": with_value("deworks", None),
    "format": with_value("format", 2),
    "date": with_value("date", "2022-07-30"),
}


def edit_manifest(edit: Edit, item: Path, chance: random.Random) -> None:
    """Apply the edit to the manifest, and update the checksums."""
    manifest = json.loads((item / "manifest.json").read_bytes())
    edit(manifest, chance)
    (item / "manifest.json").write_bytes(json.dumps(manifest, indent=2).encode() + b"\n")
    resum(item)


def lines_of(path: Path) -> Lines:
    """Return the lines of an artifact."""
    return gzip.decompress(path.read_bytes()).split(b"\n")[:-1]
