"""Sitemaps: where search engines find the pages of all works and authors.

Reads:      a dump, its parts authors and works, or an index of them (see entries)
Writes:     sitemap_works_0000.xml.gz …, sitemap_authors_0000.xml.gz …, siteindex.xml.gz
Guarantees: each work and each author in exactly one sitemap, that of its key range; the limits of the protocol;
            the same records give the same bytes; an index never names a missing sitemap
Memory:     one range of each collection, and some blocks per worker, whatever the input's size
On failure: the old sitemaps remain

A sitemap covers a range of 10,000 key numbers, as in the old script, so a changed work changes only its own range's
sitemap. A range that exceeds the limits is halved until it fits.
Source of the format: https://www.sitemaps.org/protocol.html
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from zlib_ng import zlib_ng

from oldump.engine.budget import workers_within
from oldump.engine.replacement import Replacement
from oldump.errors import ConfigurationError, SourceEmpty
from oldump.records.urls import encoded, moment
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.sitemaps.entries import PageEntry, entries_made

FOLDER_ON_SITE = "/static/sitemaps/"
"""The path of the folder on the site."""

_SCHEMA = "http://www.sitemaps.org/schemas/sitemap/0.9"
_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<{{0}} xmlns="{_SCHEMA}">\n'
_MOST_URL_CHARACTERS = 2_047
_COLLECTIONS = {b"/type/author": "authors", b"/type/work": "works"}
_PREFIXES = (b"/type/author\t", b"/type/work\t", b"/authors/", b"/works/")
"""The starts of the lines of works and authors, in records and in an index."""
_LEVEL = 6
_GZIP = 31


@dataclass(frozen=True)
class Limits:
    """The maximum size of a file. The protocol allows 50,000 URLs (or sitemaps in an index) and 50 MiB of text."""

    urls: int = 50_000
    text_bytes: int = 52_428_800
    sitemaps: int = 50_000
    numbers: int = 10_000
    """Key numbers per range."""


PROTOCOL = Limits()


class UrlRange(NamedTuple):
    """The URLs of one range, ascending, as three parallel lists."""

    collection: str
    place: int
    """The number of the range: its key numbers divided by the size of a range."""
    numbers: list[int]
    lastmods: list[str]
    elements: list[bytes]

    def part(self, start: int, end: int) -> "UrlRange":
        """Return the URLs from index `start` to `end`, exclusive."""
        return self._replace(
            numbers=self.numbers[start:end], lastmods=self.lastmods[start:end], elements=self.elements[start:end]
        )

    def extend(self, other: "UrlRange") -> None:
        """Append the URLs of a later part of the same range."""
        self.numbers.extend(other.numbers)
        self.lastmods.extend(other.lastmods)
        self.elements.extend(other.elements)


@dataclass
class SitemapCounts:
    """The numbers of URLs, sitemaps and changed files."""

    urls: int = 0
    sitemaps: int = 0
    indexes: int = 0
    left_out: int = 0
    """Works and authors whose keys do not have the common form of their collection; the site has no page for them."""
    changed: int = 0
    """New or changed files."""

    def __str__(self) -> str:
        left_out = f", {self.left_out:,} skipped because of unusual keys" if self.left_out else ""
        return f"{self.urls:,} URLs in {self.sitemaps:,} sitemaps{left_out}; {self.changed:,} files new or changed"


def make_sitemaps(
    paths: Sequence[Path | None],
    folder: Path,
    settings: Settings,
    progress: Progress,
    *,
    prefix: str = "",
    limits: Limits = PROTOCOL,
) -> SitemapCounts:
    """Replace the sitemaps in `folder` with those of the works and authors in `paths` (None: standard input).

    paths: a dump, or its parts. prefix: part of all file names.
    Raises ConfigurationError, SourceError, NotSorted, RecordError, StorageError, WorkerError.
    """
    names = Names(prefix)
    workers = workers_within(settings.memory, settings.workers)
    with Replacement(folder, names.ours) as replacement:
        writer = _SitemapWriter(replacement, settings.base_url, names, limits)
        make = partial(url_ranges_of, settings.base_url, limits.numbers)
        for url_ranges, left_out in entries_made("sitemaps", paths, make, workers, progress, _PREFIXES):
            writer.counts.left_out += left_out
            for url_range in url_ranges:
                writer.add(url_range)
        writer.finish()
        if not writer.counts.urls:
            told = ", ".join(str(path or "standard input") for path in paths)
            raise SourceEmpty(f"{told}: neither works nor authors", "Use a dump, or its parts authors and works.")
        writer.counts.changed = replacement.commit()
    return writer.counts


class Names:
    """The names of the files."""

    def __init__(self, prefix: str = "") -> None:
        """prefix: part of all names, may be empty. Raises ConfigurationError."""
        if not re.fullmatch("[A-Za-z0-9]*", prefix):
            raise ConfigurationError(f"{prefix!r} cannot be part of file names. Use letters and digits only.")
        self._infix = f"_{prefix}" if prefix else ""
        self.ours = re.compile(
            rf"sitemap{self._infix}_(?:authors|works)_[0-9]{{4,}}(?:_[0-9]+-[0-9]+)?\.xml\.gz"
            rf"|siteindex{self._infix}(?:-[0-9]+)?\.xml\.gz"
        )
        """Matches all such names."""

    def sitemap(self, collection: str, place: int, part: tuple[int, int] | None) -> str:
        """Return the name of the sitemap of a range, or of part of it. part: the first and the last number."""
        numbers = f"_{part[0]}-{part[1]}" if part else ""
        return f"sitemap{self._infix}_{collection}_{place:04d}{numbers}.xml.gz"

    def index(self, place: int) -> str:
        """Return the name of an index. There is more than one only if there are too many sitemaps for one."""
        return f"siteindex{self._infix}{f'-{place + 1}' if place else ''}.xml.gz"


def url_ranges_of(base_url: str, numbers: int, entries: list[PageEntry]) -> tuple[list[UrlRange], int]:
    """Return the URLs of works and authors, and how many have unusual keys. numbers: the size of a range."""
    left_out = 0
    url_ranges: dict[tuple[str, int], UrlRange] = {}
    for entry in entries:
        collection = _COLLECTIONS.get(entry.type_key)
        if collection is None:
            continue
        if not entry.number:
            left_out += 1
            continue
        place = entry.number // numbers
        url_range = url_ranges.get((collection, place))
        if url_range is None:
            url_range = url_ranges[collection, place] = UrlRange(collection, place, [], [], [])
        lastmod = moment(entry.last_modified)
        url_range.numbers.append(entry.number)
        url_range.lastmods.append(lastmod)
        url_range.elements.append(_element("url", _location(base_url, entry), lastmod))
    return list(url_ranges.values()), left_out


def _location(base_url: str, entry: PageEntry) -> str:
    location = base_url + encoded(entry.path)
    return location if len(location) <= _MOST_URL_CHARACTERS else base_url + entry.key.decode()


def _element(name: str, location: str, lastmod: str) -> bytes:
    """Return an element. The location needs no escapes: encoded paths and the setting contain none of <>&"'."""
    changed = f"<lastmod>{lastmod}</lastmod>" if lastmod else ""
    return f"<{name}><loc>{location}</loc>{changed}</{name}>\n".encode()


def document(name: str, elements: list[bytes]) -> bytes:
    """Return the XML of a sitemap (urlset) or of an index (sitemapindex)."""
    return b"".join((_HEAD.format(name).encode(), *elements, f"</{name}>\n".encode()))


def parts_of(
    first: int, numbers: int, url_range: UrlRange, fits: Callable[[UrlRange], bool]
) -> Iterator[tuple[int, int, UrlRange]]:
    """Halve a range of numbers until each part fits; yield the first and last number and the URLs of each part.

    Parts without URLs are skipped. A single number is not halved.
    """
    if not url_range.numbers:
        return
    if fits(url_range) or numbers == 1:
        yield first, first + numbers - 1, url_range
        return
    half = numbers // 2
    border = bisect_left(url_range.numbers, first + half)
    yield from parts_of(first, half, url_range.part(0, border), fits)
    yield from parts_of(first + half, numbers - half, url_range.part(border, len(url_range.numbers)), fits)


class _SitemapWriter:
    """Writes a range when the next one starts, and an index when it is full."""

    def __init__(self, replacement: Replacement, base_url: str, names: Names, limits: Limits) -> None:
        self.counts = SitemapCounts()
        self._replacement = replacement
        self._folder_url = base_url + FOLDER_ON_SITE
        self._names = names
        self._limits = limits
        self._open: dict[str, UrlRange] = {}
        """The URLs of the current range of each collection."""
        self._sitemaps: list[bytes] = []
        """The entries of the open index."""

    def add(self, url_range: UrlRange) -> None:
        """Add the next range of its collection."""
        held = self._open.get(url_range.collection)
        if held and held.place == url_range.place:
            held.extend(url_range)
            return
        if held:
            self._write(held)
        self._open[url_range.collection] = url_range

    def finish(self) -> None:
        """Write the open ranges and indexes."""
        for url_range in self._open.values():
            self._write(url_range)
        if self._sitemaps:
            self._write_index()

    def _write(self, url_range: UrlRange) -> None:
        numbers = self._limits.numbers
        for first, last, part in parts_of(url_range.place * numbers, numbers, url_range, self._fits):
            is_whole = last - first + 1 == numbers
            self._put(self._names.sitemap(part.collection, part.place, None if is_whole else (first, last)), part)

    def _put(self, name: str, part: UrlRange) -> None:
        self._replacement.write(name, _compressed(document("urlset", part.elements)))
        self.counts.urls += len(part.numbers)
        self.counts.sitemaps += 1
        self._sitemaps.append(_element("sitemap", self._folder_url + name, max(part.lastmods)))
        if len(self._sitemaps) == self._limits.sitemaps:
            self._write_index()

    def _fits(self, part: UrlRange) -> bool:
        text_bytes = len(document("urlset", [])) + sum(map(len, part.elements))
        return len(part.numbers) <= self._limits.urls and text_bytes <= self._limits.text_bytes

    def _write_index(self) -> None:
        content = _compressed(document("sitemapindex", self._sitemaps))
        self._replacement.write(self._names.index(self.counts.indexes), content)
        self.counts.indexes += 1
        self._sitemaps = []


def _compressed(text: bytes) -> bytes:
    """Return the text as gzip, without name and time."""
    return zlib_ng.compress(text, _LEVEL, _GZIP)
