"""Commands that make files for the website: "Site" in the help."""

import logging
from typing import Annotated

import typer

from oldump.cli.options import DumpOrIndex, File, Memory, NewFolder, Workers, input_path
from oldump.cli.output import filter_progress, standard_output

log = logging.getLogger("oldump")


def sitemaps(
    file: DumpOrIndex,
    folder: NewFolder,
    prefix: Annotated[
        str, typer.Argument(metavar="[PREFIX]", help="Part of all file names: siteindex_PREFIX.xml.gz (default: none).")
    ] = "",
    base_url: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of the site (default: https://openlibrary.org).")
    ] = None,
    workers: Workers = None,
    memory: Memory = None,
) -> None:
    """Replace the sitemaps of works and authors in DIR.

    Writes the sitemap index too. Works and authors come from the dump FILE.
    """
    from oldump.settings import Settings
    from oldump.stages.sitemaps.stage import make_sitemaps

    settings = Settings.of(base_url=base_url, workers=workers, memory=memory)
    path = input_path(file)
    with filter_progress(reads_input=path is None, writes_data=False) as progress:
        counts = make_sitemaps([path], folder, settings, progress, prefix=prefix)
    log.info("sitemaps: %s", counts)


def index(file: File = None, workers: Workers = None, memory: Memory = None) -> None:
    """List the records of a dump: path, title and dates.

    Writes one line per record to standard output: path with slug, title, created and last_modified, tab-separated.
    """
    from oldump.settings import Settings
    from oldump.stages.sitemaps.index import write_index

    settings = Settings.of(workers=workers, memory=memory)
    path = input_path(file)
    with standard_output() as output, filter_progress(reads_input=path is None) as progress:
        lines = write_index(path, output, settings, progress)
    log.info("index: %s lines", f"{lines:,}")


def htmlindex(file: DumpOrIndex, folder: NewFolder, workers: Workers = None, memory: Memory = None) -> None:
    """Replace the HTML index of editions, works and authors in DIR.

    Each page has 1,000 links. Use a folder of its own for DIR: index.html, and any file with a name that such pages
    have, is replaced or removed.
    """
    from oldump.settings import Settings
    from oldump.stages.sitemaps.htmlindex import make_htmlindex

    settings = Settings.of(workers=workers, memory=memory)
    path = input_path(file)
    with filter_progress(reads_input=path is None, writes_data=False) as progress:
        counts = make_htmlindex(path, folder, settings, progress)
    log.info("htmlindex: %s", counts)
