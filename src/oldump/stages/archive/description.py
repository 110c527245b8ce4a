"""The metadata of an item on archive.org, from the manifest.

Does not: send it, or compare it with an item that exists.
"""

import re
from html import escape, unescape

from oldump.run.folder import RunFolder
from oldump.run.manifest import Manifest
from oldump.settings import Settings

FORMAT_PAGE = "docs/format.md"


def metadata_of(item: str, folder: RunFolder, manifest: Manifest, settings: Settings) -> dict[str, str]:
    """Return the metadata of an item."""
    what = "every revision of every document" if item == folder.items[0] else "the latest revision of every document"
    return {
        "title": f"Open Library data dump {folder.date}: {what}",
        "date": str(folder.date),
        "year": str(folder.date.year),
        "format": "Data",
        "mediatype": "data",
        "collection": settings.archive_collection,
        "creator": settings.archive_creator,
        "licenseurl": settings.archive_licence,
        "description": _description(item, folder, manifest, what),
    }


def is_same(ours: str, listed: object) -> bool:
    """Whether the catalogue lists our value of a field, allowing for normalisation by archive.org.

    archive.org may add values, which makes the field a list, and may change markup, entities and white space.
    """
    values = listed if isinstance(listed, list) else [listed]
    return _plain(ours) in map(_plain, values)


def _plain(value: object) -> str:
    return "".join(unescape(re.sub(r"<[^>]*>", "", str(value))).split())


def _description(item: str, folder: RunFolder, manifest: Manifest, what: str) -> str:
    """Return the description and list of files as HTML, kept short because it is sent in one HTTP header."""
    lines = [
        f"<li>{escape(artifact.name)}: {artifact.records:,} {_unit(artifact.name, bool(artifact.columns))}, "
        f"{artifact.size_bytes:,} bytes</li>"
        for artifact in manifest.artifacts
        if artifact.item == item
    ]
    version = manifest.counts.get("tool", {}).get("version", "")
    return (
        f"<p>Open Library as of {folder.date} (UTC): {what}. Text, tab-separated, gzip; beside each file its index."
        f" Sums and manifest.json are in {folder.items[1]}. Made by oldump {escape(str(version))}.</p>"
        f"<ul>{''.join(lines)}</ul>"
    )


def _unit(name: str, is_table: bool) -> str:
    return "lines" if "_deworks_" in name else "rows" if is_table else "records"
