"""Sitemaps: where search engines find the pages of all works and authors.

Reads:      a dump, its parts authors and works, or an index of them (see entries)
Writes:     sitemap_works_0000.xml.gz …, sitemap_authors_0000.xml.gz …, siteindex.xml.gz
Promises:   each work and each author in just one sitemap, the one of its key's range; the limits of the protocol;
            the same records give the same bytes; no index ever names a sitemap that is not there
Memory:     one range of each collection, and some blocks a worker, whatever the input's size
On failure: the sitemaps that were there are there

A sitemap is for a range of key numbers, 10,000 as in the script that made them before, so a changed work changes its
own range's sitemap and no other. Should a range not fit the limits, it is halved until it does.
Source of the format: https://www.sitemaps.org/protocol.html
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from zlib_ng import zlib_ng

from oldump.engine.replacement import Replacement
from oldump.engine.shuffle import workers_within
from oldump.errors import ConfigurationError, SourceEmpty
from oldump.records.urls import encoded, moment
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.sitemaps.entries import Entry, entries_made

FOLDER_ON_SITE = "/static/sitemaps/"
"""Where the site shows the folder."""

_SCHEMA = "http://www.sitemaps.org/schemas/sitemap/0.9"
_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<{{0}} xmlns="{_SCHEMA}">\n'
_MOST_URL_CHARACTERS = 2_047
_KEYS = {
    b"/type/author": re.compile(rb"/(authors)/OL([1-9][0-9]{0,17})A"),
    b"/type/work": re.compile(rb"/(works)/OL([1-9][0-9]{0,17})W"),
}
_PREFIXES = (b"/type/author\t", b"/type/work\t", b"/authors/", b"/works/")
"""How lines of records begin, and of an index, that are of works or authors."""
_LEVEL = 6
_GZIP = 31


@dataclass(frozen=True)
class Limits:
    """How large files may be. The protocol allows 50,000 URLs, or sitemaps in an index, and 50 MiB of text."""

    urls: int = 50_000
    text_bytes: int = 52_428_800
    sitemaps: int = 50_000
    numbers: int = 10_000
    """The numbers of keys in a range."""


PROTOCOL = Limits()


class Url(NamedTuple):
    """A page, as it stands in a sitemap."""

    collection: str
    number: int
    lastmod: str
    text: bytes


@dataclass
class Counts:
    """What was made."""

    urls: int = 0
    sitemaps: int = 0
    indexes: int = 0
    changed: int = 0
    """Files that are new, or not as they were."""

    def __str__(self) -> str:
        return f"{self.urls:,} URLs in {self.sitemaps:,} sitemaps, {self.changed:,} files new or changed"


def make_sitemaps(
    paths: Sequence[Path | None],
    folder: Path,
    settings: Settings,
    progress: Progress,
    *,
    prefix: str = "",
    limits: Limits = PROTOCOL,
) -> Counts:
    """Replace the sitemaps in folder by those of the works and authors in paths (None: standard input).

    A dump; or its parts, say, one behind the other. prefix: a part of all names.
    Raises ConfigurationError, SourceError, NotSorted, RecordError, StorageError, WorkerError.
    """
    names = Names(prefix)
    workers = workers_within(settings.memory, settings.workers)
    with Replacement(folder, names.ours) as replacement:
        writing = _Writing(replacement, settings.base_url, names, limits)
        make = partial(url_of, settings.base_url)
        for urls in entries_made("sitemaps", paths, make, workers, progress, _PREFIXES):
            for url in urls:
                writing.add(url)
        writing.finish()
        if not writing.counts.urls:
            told = ", ".join(str(path or "standard input") for path in paths)
            raise SourceEmpty(f"{told}: neither works nor authors", "Is it a dump, or its parts authors and works?")
        writing.counts.changed = replacement.commit()
    return writing.counts


class Names:
    """What the files are called."""

    def __init__(self, prefix: str = "") -> None:
        """Take a part of all names, or nothing. Raises ConfigurationError."""
        if not re.fullmatch("[A-Za-z0-9]*", prefix):
            raise ConfigurationError(f"{prefix!r} cannot stand in names: letters and digits only.")
        self._infix = f"_{prefix}" if prefix else ""
        self.ours = re.compile(
            rf"sitemap{self._infix}_(?:authors|works)_[0-9]{{4,}}(?:_[0-9]+-[0-9]+)?\.xml\.gz"
            rf"|siteindex{self._infix}(?:-[0-9]+)?\.xml\.gz"
        )
        """The names that such files have."""

    def sitemap(self, collection: str, place: int, part: tuple[int, int] | None) -> str:
        """That of a sitemap: of the place-th range, or of the numbers from first to last of it."""
        numbers = f"_{part[0]}-{part[1]}" if part else ""
        return f"sitemap{self._infix}_{collection}_{place:04d}{numbers}.xml.gz"

    def index(self, place: int) -> str:
        """That of an index. There is one, unless there are more sitemaps than it may name."""
        return f"siteindex{self._infix}{f'-{place + 1}' if place else ''}.xml.gz"


def url_of(base_url: str, entry: Entry) -> Url | None:
    """The page of a work or an author whose key is of its collection's usual form; else None."""
    key = _KEYS[entry.type_key].fullmatch(entry.key) if entry.type_key in _KEYS else None
    if key is None:
        return None
    location = base_url + encoded(entry.path)
    if len(location) > _MOST_URL_CHARACTERS:
        location = base_url + entry.key.decode()
    lastmod = moment(entry.last_modified)
    return Url(key[1].decode(), int(key[2]), lastmod, _element("url", location, lastmod))


def _element(name: str, location: str, lastmod: str) -> bytes:
    changed = f"<lastmod>{lastmod}</lastmod>" if lastmod else ""
    return f"<{name}><loc>{escape(location)}</loc>{changed}</{name}>\n".encode()


def document(name: str, elements: list[bytes]) -> bytes:
    """A sitemap (urlset) or an index of them (sitemapindex)."""
    return b"".join((_HEAD.format(name).encode(), *elements, f"</{name}>\n".encode()))


def parts_of(
    first: int, numbers: int, urls: list[Url], fits: Callable[[list[Url]], bool]
) -> Iterator[tuple[int, int, list[Url]]]:
    """The range of numbers from first on, halved until each part fits: first and last number, and URLs of each.

    Parts without URLs are left out. A single number is not halved.
    """
    if not urls:
        return
    if fits(urls) or numbers == 1:
        yield first, first + numbers - 1, urls
        return
    half = numbers // 2
    middle = first + half
    yield from parts_of(first, half, [url for url in urls if url.number < middle], fits)
    yield from parts_of(middle, numbers - half, [url for url in urls if url.number >= middle], fits)


class _Writing:
    """Writes a range when the next one begins, and an index when it is full."""

    def __init__(self, replacement: Replacement, base_url: str, names: Names, limits: Limits) -> None:
        self.counts = Counts()
        self._replacement = replacement
        self._folder_url = base_url + FOLDER_ON_SITE
        self._names = names
        self._limits = limits
        self._open: dict[str, list[Url]] = {}
        """The URLs of the range that each collection is at."""
        self._sitemaps: list[bytes] = []
        """What the open index names."""

    def add(self, url: Url) -> None:
        """Take the next one of its collection."""
        held = self._open.setdefault(url.collection, [])
        if held and held[0].number // self._limits.numbers != url.number // self._limits.numbers:
            self._write(held)
            held.clear()
        held.append(url)

    def finish(self) -> None:
        """Write what is open."""
        for urls in self._open.values():
            self._write(urls)
        if self._sitemaps:
            self._write_index()

    def _write(self, urls: list[Url]) -> None:
        collection, numbers = urls[0].collection, self._limits.numbers
        place = urls[0].number // numbers
        parts = list(parts_of(place * numbers, numbers, urls, self._fits))
        for first, last, chosen in parts:
            is_whole = last - first + 1 == numbers
            self._put(self._names.sitemap(collection, place, None if is_whole else (first, last)), chosen)

    def _put(self, name: str, urls: list[Url]) -> None:
        self._replacement.write(name, _compressed(document("urlset", [url.text for url in urls])))
        self.counts.urls += len(urls)
        self.counts.sitemaps += 1
        newest = max(url.lastmod for url in urls)
        self._sitemaps.append(_element("sitemap", self._folder_url + name, newest))
        if len(self._sitemaps) == self._limits.sitemaps:
            self._write_index()

    def _fits(self, urls: list[Url]) -> bool:
        text_bytes = len(document("urlset", [])) + sum(len(url.text) for url in urls)
        return len(urls) <= self._limits.urls and text_bytes <= self._limits.text_bytes

    def _write_index(self) -> None:
        content = _compressed(document("sitemapindex", self._sitemaps))
        self._replacement.write(self._names.index(self.counts.indexes), content)
        self.counts.indexes += 1
        self._sitemaps = []


def _compressed(text: bytes) -> bytes:
    """The text as gzip, with no name and no time."""
    return zlib_ng.compress(text, _LEVEL, _GZIP)
