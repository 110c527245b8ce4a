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
from oldump.stages.sitemaps.entries import Entry, entries_made

FOLDER_ON_SITE = "/static/sitemaps/"
"""Where the site shows the folder."""

_SCHEMA = "http://www.sitemaps.org/schemas/sitemap/0.9"
_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<{{0}} xmlns="{_SCHEMA}">\n'
_MOST_URL_CHARACTERS = 2_047
_COLLECTIONS = {b"/type/author": "authors", b"/type/work": "works"}
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


class Stretch(NamedTuple):
    """URLs of one range, ascending; the three lists run parallel."""

    collection: str
    place: int
    """The range's: the numbers of its keys, divided by how many a range has."""
    numbers: list[int]
    lastmods: list[str]
    elements: list[bytes]

    def part(self, start: int, end: int) -> "Stretch":
        """Those from start on, before end."""
        return self._replace(
            numbers=self.numbers[start:end], lastmods=self.lastmods[start:end], elements=self.elements[start:end]
        )

    def extend(self, other: "Stretch") -> None:
        """Take those of another stretch of the same range, which come behind."""
        self.numbers.extend(other.numbers)
        self.lastmods.extend(other.lastmods)
        self.elements.extend(other.elements)


@dataclass
class Counts:
    """What was made."""

    urls: int = 0
    sitemaps: int = 0
    indexes: int = 0
    left_out: int = 0
    """Works and authors whose keys are not of their collection's usual form: their site has no such page."""
    changed: int = 0
    """Files that are new, or not as they were."""

    def __str__(self) -> str:
        left_out = f", {self.left_out:,} left out since their keys are unusual" if self.left_out else ""
        return f"{self.urls:,} URLs in {self.sitemaps:,} sitemaps{left_out}; {self.changed:,} files new or changed"


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
        make = partial(stretches_of, settings.base_url, limits.numbers)
        for stretches, left_out in entries_made("sitemaps", paths, make, workers, progress, _PREFIXES):
            writing.counts.left_out += left_out
            for stretch in stretches:
                writing.add(stretch)
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


def stretches_of(base_url: str, numbers: int, entries: list[Entry]) -> tuple[list[Stretch], int]:
    """The URLs of works and authors, and how many of these have keys of unusual form. numbers: in a range."""
    left_out = 0
    stretches: dict[tuple[str, int], Stretch] = {}
    for entry in entries:
        collection = _COLLECTIONS.get(entry.type_key)
        if collection is None:
            continue
        if not entry.number:
            left_out += 1
            continue
        place = entry.number // numbers
        stretch = stretches.get((collection, place))
        if stretch is None:
            stretch = stretches[collection, place] = Stretch(collection, place, [], [], [])
        lastmod = moment(entry.last_modified)
        stretch.numbers.append(entry.number)
        stretch.lastmods.append(lastmod)
        stretch.elements.append(_element("url", _location(base_url, entry), lastmod))
    return list(stretches.values()), left_out


def _location(base_url: str, entry: Entry) -> str:
    location = base_url + encoded(entry.path)
    return location if len(location) <= _MOST_URL_CHARACTERS else base_url + entry.key.decode()


def _element(name: str, location: str, lastmod: str) -> bytes:
    """Nothing is left to be escaped in a location: neither encoded paths nor the setting have any of <>&"'."""
    changed = f"<lastmod>{lastmod}</lastmod>" if lastmod else ""
    return f"<{name}><loc>{location}</loc>{changed}</{name}>\n".encode()


def document(name: str, elements: list[bytes]) -> bytes:
    """A sitemap (urlset) or an index of them (sitemapindex)."""
    return b"".join((_HEAD.format(name).encode(), *elements, f"</{name}>\n".encode()))


def parts_of(
    first: int, numbers: int, stretch: Stretch, fits: Callable[[Stretch], bool]
) -> Iterator[tuple[int, int, Stretch]]:
    """The range of numbers from first on, halved until each part fits: first and last number, and URLs of each.

    Parts without URLs are left out. A single number is not halved.
    """
    if not stretch.numbers:
        return
    if fits(stretch) or numbers == 1:
        yield first, first + numbers - 1, stretch
        return
    half = numbers // 2
    border = bisect_left(stretch.numbers, first + half)
    yield from parts_of(first, half, stretch.part(0, border), fits)
    yield from parts_of(first + half, numbers - half, stretch.part(border, len(stretch.numbers)), fits)


class _Writing:
    """Writes a range when the next one begins, and an index when it is full."""

    def __init__(self, replacement: Replacement, base_url: str, names: Names, limits: Limits) -> None:
        self.counts = Counts()
        self._replacement = replacement
        self._folder_url = base_url + FOLDER_ON_SITE
        self._names = names
        self._limits = limits
        self._open: dict[str, Stretch] = {}
        """The URLs of the range that each collection is at."""
        self._sitemaps: list[bytes] = []
        """What the open index names."""

    def add(self, stretch: Stretch) -> None:
        """Take the next one of its collection."""
        held = self._open.get(stretch.collection)
        if held and held.place == stretch.place:
            held.extend(stretch)
            return
        if held:
            self._write(held)
        self._open[stretch.collection] = stretch

    def finish(self) -> None:
        """Write what is open."""
        for stretch in self._open.values():
            self._write(stretch)
        if self._sitemaps:
            self._write_index()

    def _write(self, stretch: Stretch) -> None:
        numbers = self._limits.numbers
        for first, last, part in parts_of(stretch.place * numbers, numbers, stretch, self._fits):
            is_whole = last - first + 1 == numbers
            self._put(self._names.sitemap(part.collection, part.place, None if is_whole else (first, last)), part)

    def _put(self, name: str, part: Stretch) -> None:
        self._replacement.write(name, _compressed(document("urlset", part.elements)))
        self.counts.urls += len(part.numbers)
        self.counts.sitemaps += 1
        self._sitemaps.append(_element("sitemap", self._folder_url + name, max(part.lastmods)))
        if len(self._sitemaps) == self._limits.sitemaps:
            self._write_index()

    def _fits(self, part: Stretch) -> bool:
        text_bytes = len(document("urlset", [])) + sum(map(len, part.elements))
        return len(part.numbers) <= self._limits.urls and text_bytes <= self._limits.text_bytes

    def _write_index(self) -> None:
        content = _compressed(document("sitemapindex", self._sitemaps))
        self._replacement.write(self._names.index(self.counts.indexes), content)
        self.counts.indexes += 1
        self._sitemaps = []


def _compressed(text: bytes) -> bytes:
    """The text as gzip, with no name and no time."""
    return zlib_ng.compress(text, _LEVEL, _GZIP)
