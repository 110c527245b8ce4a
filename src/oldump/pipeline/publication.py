"""Publication: complete the items with sums and manifest, and give them their final names.

Guarantees: an item under its final name is complete. Each item is renamed atomically and the folder is synced, so a
            crash leaves either the old items or the new ones; the dump's item, which holds the manifest, comes last
On failure: rerunning publishes the items that are not renamed yet; `undo_interrupted_exchange` puts replaced ones back
"""

import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oldump.engine.commit import PUBLIC_FOLDER_MODE, PUBLIC_MODE, sync_folder, write_whole
from oldump.engine.segments import index_path
from oldump.errors import storage_errors
from oldump.pipeline.state import RunState
from oldump.pipeline.table import STAGES
from oldump.run.folder import RunFolder
from oldump.run.journal import Journal, sha256_of
from oldump.run.manifest import MANIFEST, SUMS, render_manifest, render_sums

log = logging.getLogger("oldump")

_DISCARDED = "discarded-"
"""Prefix of the names of private folders that are to be removed."""


def complete_items(state: RunState) -> None:
    """Remove from the items what the run's choice leaves out; write sums and manifest.

    Raises StorageError.
    """
    surplus = state.surplus
    if surplus:
        state.journal.forget(surplus)
    _remove_surplus_files(state)
    _write_sums_and_manifest(state)


def publish(state: RunState) -> None:
    """Add verify's results to the manifest, give the items their final names, and record that in the journal.

    Raises StorageError.
    """
    folder = state.folder
    _write_manifest(state, {"warnings": state.journal.stages["verify"].counts.get("warnings", {})})
    rename_items(folder, state.require_lock)
    names = {artifact.name for artifact in state.published}
    others = [path for item in folder.items for path in folder.published(item).iterdir() if path.name not in names]
    state.journal.publish({f"{path.parent.name}/{path.name}": sha256_of(path) for path in others})


def _remove_as_far_as_possible(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def rename_items(
    folder: RunFolder,
    require_lock: Callable[[], None],
    remove: Callable[[Path], object] = _remove_as_far_as_possible,
) -> None:
    """Rename the items into the output folder; remove the items that they replace once all are renamed.

    require_lock: called before each rename; raises if another process has taken over the run.
    remove: removes a folder as far as possible. NFS keeps files that are open, and so their folder.
    """
    with storage_errors(folder.out):
        folder.replaced.mkdir(exist_ok=True)
        # The dump's item holds the manifest, which makes a run complete: it leaves first and arrives last.
        unpublished = [item for item in folder.items if folder.made(item).exists()]
        for item in reversed(unpublished):
            if folder.published(item).exists():
                _discard(folder.replaced / item, folder)
                require_lock()
                folder.published(item).rename(folder.replaced / item)
        for item in unpublished:
            _make_readable(folder.made(item))
            require_lock()
            folder.made(item).rename(folder.published(item))
        sync_folder(folder.out)
        _discard(folder.replaced, folder)
        for path in folder.private.glob(f"{_DISCARDED}*"):
            remove(path)
            if path.exists():
                log.warning("%s: some files are still open; the next run of this date removes them", path)
        shutil.rmtree(folder.making, ignore_errors=True)  # already gone if a run was killed here


def _make_readable(item: Path) -> None:
    """Let everybody read the item, whatever the umask: web servers run as another user."""
    for path in item.iterdir():
        path.chmod(PUBLIC_MODE)
    item.chmod(PUBLIC_FOLDER_MODE)


def _discard(path: Path, folder: RunFolder) -> None:
    """Rename a folder, if it exists, so that it is removed at the end of the exchange."""
    if path.exists():
        path.rename(Path(tempfile.mkdtemp(prefix=_DISCARDED, dir=folder.private)) / path.name)


def undo_interrupted_exchange(folder: RunFolder, require_lock: Callable[[], None]) -> None:
    """Put replaced items back under their final names if a run was killed before all new items had theirs.

    So a rerun from scratch finds what was published before, and readers do meanwhile. Raises StorageError.
    """
    replaced = [item for item in folder.items if (folder.replaced / item).exists()]
    if not replaced or folder.published(folder.items[-1]).exists():  # the dump's item arrives last
        return
    with storage_errors(folder.out):
        for item in folder.items:
            if folder.published(item).exists() and not folder.made(item).exists():
                require_lock()
                folder.published(item).rename(folder.made(item))
            if item in replaced:
                require_lock()
                (folder.replaced / item).rename(folder.published(item))
                log.warning("%s: put back, because the run that was replacing it stopped", folder.published(item))
        sync_folder(folder.out)


def _remove_surplus_files(state: RunState) -> None:
    """Remove files from the items that are no artifacts, such as a table that is skipped now."""
    paths = [state.folder.artifact(artifact.name, artifact.item) for artifact in state.published]
    known = {*paths, *map(index_path, paths)}
    with storage_errors(state.folder.making):
        for path in state.folder.making.glob("*/*"):
            if path not in known:
                path.unlink()


def _write_sums_and_manifest(state: RunState) -> None:
    folder, artifacts = state.folder, state.published
    indexes = [index_path(folder.artifact(artifact.name, artifact.item)) for artifact in artifacts]
    for algorithm, name in SUMS.items():
        write_whole(folder.dump_item / name, render_sums(algorithm, artifacts, folder.dump_item, indexes))
    _write_manifest(state, None)


def _write_manifest(state: RunState, verified: dict[str, Any] | None) -> None:
    """Write the manifest. verified: the results of verify, once it has found the items publishable."""
    journal, folder = state.journal, state.folder
    skipped = [stage.name for stage in STAGES if stage.is_optional and stage.name not in journal.stages]
    deworks = journal.stages.get("deworks")
    counts = {
        "rows": journal.stages["dumps"].counts,
        "deworks": deworks.counts if deworks else None,
        "gate": journal.stages["gate"].counts,
        "verify": verified,
    }
    manifest = render_manifest(folder.date, _public_sources(journal), counts, state.published, skipped)
    write_whole(folder.dump_item / MANIFEST, manifest)


def _public_sources(journal: Journal) -> dict[str, Any]:
    """Return the manifest's description of the sources, without hosts, roles and modification times."""
    begun = journal.begun or {}
    sources: dict[str, Any] = {name: begun[name] for name in ("kind", "name", "size_bytes") if name in begun}
    for stage in STAGES:
        committed = journal.stages.get(stage.name)
        if committed and stage.name == "extract":
            sources |= committed.counts
        elif committed and stage.database not in {None, "source"}:
            sources[str(stage.database)] = committed.counts
    return sources
