"""How the items get their final names.

On failure: what was published stays, or is replaced by what is whole; the same again goes on from there.
"""

import shutil
from collections.abc import Iterable

from oldump.engine.commit import sync_folder
from oldump.engine.segments import index_path
from oldump.errors import storage_errors
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact


def remove_strangers(folder: RunFolder, artifacts: Iterable[Artifact]) -> None:
    """Remove what lies among the items and is none of the artifacts: a table that is skipped now, say."""
    ours = [folder.artifact(artifact.name, artifact.item) for artifact in artifacts]
    known = {*ours, *map(index_path, ours)}
    with storage_errors(folder.making):
        for path in folder.making.glob("*/*"):
            if path not in known:
                path.unlink()


def publish(folder: RunFolder) -> None:
    """Rename the items into the output folder; what they replace goes when they are there."""
    replaced = folder.private / "replaced"
    with storage_errors(folder.out):
        replaced.mkdir(exist_ok=True)
        # The dump's item has the manifest, which says that all is there: it goes first and comes last.
        waiting = [item for item in folder.items if folder.made(item).exists()]
        for item in reversed(waiting):
            if folder.published(item).exists():
                shutil.rmtree(replaced / item, ignore_errors=True)
                folder.published(item).rename(replaced / item)
        for item in waiting:
            folder.made(item).rename(folder.published(item))
        sync_folder(folder.out)
        shutil.rmtree(replaced)
        shutil.rmtree(folder.making, ignore_errors=True)  # a run that was stopped behind this has none
