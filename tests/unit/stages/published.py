"""A published run that no pipeline made: its files are a few bytes, its manifest and sums are right."""

import hashlib
from datetime import date
from pathlib import Path

from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.manifest import MANIFEST, SUMS, render_manifest, render_sums

DAY = date(2022, 7, 31)
ROLES = ("authors", "editions", "reading-log", "covers_metadata")


def publish(out: Path, day: date = DAY, text: str = "", roles: tuple[str, ...] = ROLES) -> RunFolder:
    """Put a run's items there; text: what its files hold besides their names."""
    folder = RunFolder(out, day)
    cdump, dump = folder.items
    names = [(cdump, f"{cdump}.txt.gz"), (dump, f"{dump}.txt.gz")]
    names += [(dump, f"ol_dump_{role}_{day}.txt.gz") for role in roles]
    artifacts = [_made(folder, item, name, f"{name} {text}") for item, name in names]
    indexes = [folder.published(item) / f"{name}.index" for item, name in names]
    for algorithm, name in SUMS.items():
        path = folder.published(dump) / name
        path.write_bytes(render_sums(algorithm, artifacts, folder.published(dump), indexes))
    path = folder.published(dump) / MANIFEST
    path.write_bytes(render_manifest(day, {"kind": "file"}, {"rows": {}}, artifacts, []))
    return folder


def _made(folder: RunFolder, item: str, name: str, text: str) -> Artifact:
    path = folder.published(item) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode()
    path.write_bytes(content)
    path.with_name(f"{name}.index").write_bytes(b"index of " + content)
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    sha256 = hashlib.sha256(content).hexdigest()
    return Artifact(name, item, len(content), len(content), 3, 1, sha256, md5, None)
