"""The real archive.org, whose client library is an extra and is imported on first use."""

from pathlib import Path

from oldump.errors import ConfigurationError
from oldump.outside.items import Site


def site_of(ia_config: Path | None) -> Site:
    """Return archive.org, with the keys in this ia.ini; None: the default file of the library.

    Raises ConfigurationError if the library is missing or the file cannot be read, ArchiveRefused if it has no keys.
    """
    try:
        from oldump.outside.archive_org import ArchiveOrg  # noqa: PLC0415 - an extra, and slow to import
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"archive: the library internetarchive is missing ({error}). Install it: pip install 'oldump[archive]'"
        ) from error
    return ArchiveOrg(ia_config)
