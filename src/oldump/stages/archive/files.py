"""The files of a complete run to upload, in order, with their checksums.

Does not: assume that a file is unchanged since its commit; `require_committed` reads and compares it.
"""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from oldump.engine.segments import INDEX_SUFFIX
from oldump.errors import ConfigurationError, VerificationError, storage_errors
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact, Journal
from oldump.run.manifest import MANIFEST, SUMS, Manifest

log = logging.getLogger("oldump")

_PIECE_BYTES = 1 << 20
_DAMAGED_HINT = "Do not archive it: find the damage with `oldump verify`, then copy the files again or repeat the run."


@dataclass(frozen=True)
class PublishedFile:
    """A file of an item, as it was committed."""

    item: str
    path: Path
    role: str
    """cdump, dump, deworks, the name of a part or of a table dump; with .index for an index; or the file's own name."""
    size_bytes: int
    md5: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name in the item."""
        return self.path.name

    @property
    def place(self) -> str:
        """Item and name, which identify the file."""
        return f"{self.item}/{self.name}"

    @property
    def is_seal(self) -> bool:
        """Whether it is a sums file or the manifest, which list all others."""
        return self.name in {*SUMS.values(), MANIFEST}


def run_of(item: Path) -> RunFolder:
    """Return the run that this item folder belongs to. Raises ConfigurationError."""
    name = item.name.removeprefix("ol_dump_")
    try:
        if name == item.name:
            raise ValueError(f"{item.name} is not ol_dump_DATE")
        return RunFolder(item.parent, date.fromisoformat(name))
    except ValueError as error:
        message = f"{item}: not a folder ol_dump_DATE ({error})"
        raise ConfigurationError(message, "Rename the folder: its name is the name of the item.") from error


def read_manifest(folder: RunFolder) -> Manifest:
    """Return the manifest of a complete run. Raises ConfigurationError, VerificationError, StorageError."""
    path = folder.published(folder.items[1]) / MANIFEST
    if not path.is_file():
        message = f"{path} does not exist, so the run of {folder.date} is not complete"
        raise ConfigurationError(message, f"Complete it with `oldump run {folder.date}`, or pass another folder.")
    manifest = Manifest.read_file(path)
    if manifest.date != folder.date:
        raise VerificationError(f"{path}: has the date {manifest.date} in a folder of {folder.date}", _DAMAGED_HINT)
    return manifest


def published_files(folder: RunFolder, manifest: Manifest) -> list[PublishedFile]:
    """Return all files of both items in the order of upload: the cdump's item, the dump's, its sums, its manifest.

    Raises VerificationError if one is missing or has another size, or if sums and manifest contradict each other.
    """
    sums = {algorithm: _sums_in(folder, name) for algorithm, name in SUMS.items()}
    files = [file for artifact in manifest.artifacts for file in _with_index(artifact, folder, sums)]
    files.sort(key=lambda file: folder.items.index(file.item))
    files += [_seal(folder.published(folder.items[1]) / name) for name in (*sorted(SUMS.values()), MANIFEST)]
    _require_as_journalled(files, folder)
    _warn_of_unknown_files(files, folder)
    return files


def require_committed(file: PublishedFile) -> None:
    """Read the file, and raise VerificationError if it is not the one that was committed; StorageError."""
    if _digests(file.path) != (file.size_bytes, file.md5, file.sha256):
        raise VerificationError(f"{file.path}: not the file that was committed: its checksum differs", _DAMAGED_HINT)


def _with_index(artifact: Artifact, folder: RunFolder, sums: dict[str, dict[str, str]]) -> Iterator[PublishedFile]:
    """Yield the artifact's index and the artifact."""
    role = role_of(artifact.name, folder)
    if role is None or artifact.item not in folder.items:
        raise VerificationError(
            f"the manifest names {artifact.name}, which is not a file of {folder.date}", _DAMAGED_HINT
        )
    for name, of_role, size_bytes in (  # the small file first: a refusal comes before the large one is sent
        (artifact.name + INDEX_SUFFIX, role + INDEX_SUFFIX, None),
        (artifact.name, role, artifact.size_bytes),
    ):
        path = folder.published(artifact.item) / name
        found = _size_bytes(path)
        if size_bytes not in {None, found}:
            raise VerificationError(f"{path}: has {found} bytes, the manifest says {size_bytes}", _DAMAGED_HINT)
        md5, sha256 = (sums[algorithm].get(f"{artifact.item}/{name}", "") for algorithm in ("md5", "sha256"))
        is_as_listed = size_bytes is None or (md5, sha256) == (artifact.md5, artifact.sha256)
        if not (md5 and sha256 and is_as_listed):
            raise VerificationError(f"{path}: its checksums are missing, or differ from the manifest", _DAMAGED_HINT)
        yield PublishedFile(artifact.item, path, of_role, found, md5, sha256)


def role_of(name: str, folder: RunFolder) -> str | None:
    """Return the role of an artifact by its name; None if no run of this date makes it."""
    end = f"_{folder.date}.txt.gz"
    if not name.endswith(end) or "/" in name:
        return None
    match name.removesuffix(end).split("_", 2):
        case ["ol", "cdump" | "dump" as which]:
            return which
        case ["ol", "dump", role]:
            return role
    return None


def _seal(path: Path) -> PublishedFile:
    size_bytes, md5, sha256 = _digests(path)
    return PublishedFile(path.parent.name, path, path.name, size_bytes, md5, sha256)


def _size_bytes(path: Path) -> int:
    if not path.is_file():
        raise VerificationError(f"{path}: is missing", _DAMAGED_HINT)
    with storage_errors(path):
        return path.stat().st_size


def _sums_in(folder: RunFolder, name: str) -> dict[str, str]:
    """Return the digests in a sums file by item/name. Raises VerificationError."""
    item = folder.published(folder.items[1])
    _size_bytes(item / name)
    with storage_errors(item / name):
        lines = (item / name).read_text(encoding="utf-8", errors="replace").splitlines()
    sums = {}
    for line in lines:
        digest, _, place = line.partition("  ")
        sums[place.removeprefix("../") if place.startswith("../") else f"{item.name}/{place}"] = digest
    return sums


def _require_as_journalled(files: list[PublishedFile], folder: RunFolder) -> None:
    """Compare indexes, sums and manifest with the digests in the journal, if the run still has one."""
    journal = Journal(folder.journal)
    for file in files:
        if journal.published and journal.others.get(file.place, file.sha256) != file.sha256:
            raise VerificationError(f"{file.path}: is not the file that was published", _DAMAGED_HINT)


def _warn_of_unknown_files(files: list[PublishedFile], folder: RunFolder) -> None:
    known = {file.path for file in files}
    for item in folder.items:
        with storage_errors(folder.published(item)):
            for path in sorted(set(folder.published(item).iterdir()) - known):
                log.warning("archive: %s does not belong to the run and is not uploaded", path)


def _digests(path: Path) -> tuple[int, str, str]:
    """Return size, MD5 and SHA-256 of a file, read once. Raises VerificationError if it is missing, StorageError."""
    _size_bytes(path)
    size_bytes, md5, sha256 = 0, hashlib.md5(usedforsecurity=False), hashlib.sha256()
    with storage_errors(path), path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            size_bytes += len(piece)
            md5.update(piece)
            sha256.update(piece)
    return size_bytes, md5.hexdigest(), sha256.hexdigest()
