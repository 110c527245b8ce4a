"""Crawl a folder of sitemaps: read the indexes, fetch the sitemaps that they name, and check the protocol."""

import gzip
from functools import cache
from pathlib import Path
from typing import NamedTuple

from lxml import etree

NAMESPACE = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9"}
ON_SITE = "/static/sitemaps/"
MOST_TEXT_BYTES = 52_428_800


class Page(NamedTuple):
    """The entry of a page in a sitemap."""

    location: str
    lastmod: str | None


@cache
def schema(name: str) -> etree.XMLSchema:
    """Return the schema of this name: sitemap or siteindex."""
    return etree.XMLSchema(etree.parse(str(Path(__file__).parent / "schema" / f"{name}.xsd")))


def parsed(path: Path, kind: str) -> etree._Element:
    """Parse a gzipped XML file.

    It must be valid, within the size limit, and have no name or time in its gzip header.
    """
    content = path.read_bytes()
    assert content[3:8] == bytes(5), "gzip with a name or a time"
    text = gzip.decompress(content)
    assert len(text) <= MOST_TEXT_BYTES
    document = etree.fromstring(text)
    schema(kind).assertValid(document)
    return document


def pages_in(path: Path) -> list[Page]:
    """Return the entries of a sitemap."""
    found = parsed(path, "sitemap").findall("s:url", NAMESPACE)
    return [
        Page(str(each.findtext("s:loc", None, NAMESPACE)), each.findtext("s:lastmod", None, NAMESPACE))
        for each in found
    ]


def sitemaps_of(folder: Path) -> list[str]:
    """Return the names of the sitemaps that the indexes name; each must be named once."""
    names: list[str] = []
    for index in sorted(folder.glob("siteindex*.xml.gz")):
        locations = parsed(index, "siteindex").findall("s:sitemap/s:loc", NAMESPACE)
        names += [str(each.text).rpartition(ON_SITE)[2] for each in locations]
    assert len(set(names)) == len(names)
    return names


def crawled(folder: Path) -> dict[str, list[Page]]:
    """Return the entries of each sitemap in the indexes, by name. Fails if a sitemap is missing."""
    return {name: pages_in(folder / name) for name in sitemaps_of(folder)}


def locations(folder: Path) -> list[str]:
    """Return all URLs."""
    return [page.location for pages in crawled(folder).values() for page in pages]
