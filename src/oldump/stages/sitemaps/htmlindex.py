"""HTML index: pages of links to all editions, works and authors, for readers and search engines.

Reads:      a dump, a part, or an index of them (see entries)
Writes:     index.html, and for each thousand pages a folder: 00/index.html, 00/00000.html, 00/00001.html …
Guarantees: each edition, work and author on exactly one page, in input order; the same records give the same bytes;
            index.html never links to a missing page
Memory:     a page, the entries of its folder's index, and some blocks per worker
On failure: the old pages remain
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import NamedTuple

from oldump.engine.budget import workers_within
from oldump.engine.replacement import Replacement
from oldump.errors import SourceEmpty
from oldump.records.urls import encoded
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.stages.sitemaps.entries import PageEntry, entries_made

LINKS = 1_000
"""Links on a page, and pages in a folder."""
MOST_SHOWN_CHARACTERS = 300
"""Longer titles are truncated."""

_OURS = re.compile(r"(?:[0-9]{2,}/)?index\.html|[0-9]{2,}/[0-9]{5,}\.html")
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="robots" content="noindex,follow">
<title>{title}</title>
</head>
<body>
<h1>{title}</h1>
<p>{around}</p>
<ul>
{links}
</ul>
</body>
</html>
"""


class Link(NamedTuple):
    """The target and the text of a link, not yet escaped."""

    path: str
    text: str


@dataclass
class HtmlIndexCounts:
    """The numbers of links, pages and changed files."""

    links: int = 0
    pages: int = 0
    folders: int = 0
    changed: int = 0
    """New or changed files."""

    def __str__(self) -> str:
        return f"{self.links:,} links on {self.pages:,} pages; {self.changed:,} files new or changed"


def make_htmlindex(
    path: Path | None, folder: Path, settings: Settings, progress: Progress, *, links: int = LINKS
) -> HtmlIndexCounts:
    """Replace the pages in `folder` with those of `path` (None: standard input). links: the number of links per page.

    Raises SourceError, NotSorted, RecordError, StorageError, WorkerError.
    """
    workers = workers_within(settings.memory, settings.workers)
    with Replacement(folder, _OURS) as replacement:
        writer = _HtmlIndexWriter(replacement, links)
        for made in entries_made("htmlindex", [path], _links, workers, progress):
            for link, text in made:
                writer.add(link, text)
        writer.finish()
        if not writer.counts.links:
            raise SourceEmpty(f"{path or 'standard input'}: no editions, works or authors", "Check that it is a dump.")
        writer.counts.changed = replacement.commit()
    return writer.counts


def _links(entries: list[PageEntry]) -> list[tuple[str, str]]:
    """Return a link to each edition, work and author."""
    links = [Link(entry.path, _text(entry)) for entry in entries if entry.has_page]
    return [(_anchor(link), link.text) for link in links]


def _text(entry: PageEntry) -> str:
    title = entry.title if entry.title.strip() else entry.key.decode()
    return title if len(title) <= MOST_SHOWN_CHARACTERS else f"{title[:MOST_SHOWN_CHARACTERS]}…"


def page_of(title: str, around: Sequence[Link], links: Sequence[str]) -> bytes:
    """Return a page. around: the links above the list; links: the list, as HTML.

    Each link has its own text direction (`dir`), so that a right-to-left title does not affect its neighbours.
    """
    return _PAGE.format(
        title=escape(title),
        around="\n".join(_anchor(link) for link in around),
        links="\n".join(f'<li dir="auto">{link}</li>' for link in links),
    ).encode()


def _anchor(link: Link) -> str:
    return f'<a href="{encoded(link.path)}">{escape(link.text)}</a>'


class _HtmlIndexWriter:
    """Writes each full page when another link follows, a folder's index after its pages, and the top page last."""

    def __init__(self, replacement: Replacement, links: int) -> None:
        self.counts = HtmlIndexCounts()
        self._replacement = replacement
        self._most = links
        self._open: list[str] = []
        self._first = self._last = ""
        """The texts of the first and the last link of the open page."""
        self._pages: list[Link] = []
        """The links in the index of the open folder."""
        self._folders: list[Link] = []

    def add(self, link: str, text: str) -> None:
        """Add a link."""
        if len(self._open) == self._most:
            self._write_page(is_last=False)
        if not self._open:
            self._first = text
        self._last = text
        self._open.append(link)

    def finish(self) -> None:
        """Write the open page and folder, and the top page."""
        if self._open:
            self._write_page(is_last=True)
        if self._pages:
            self._write_folder()
        self._replacement.write("index.html", page_of("Index", [], list(map(_anchor, self._folders))))

    def _write_page(self, *, is_last: bool) -> None:
        number = self.counts.pages
        around = [Link("index.html", "Up")]
        if number:
            around.append(Link(self._seen_from(number, number - 1), "Previous"))
        if not is_last:
            around.append(Link(self._seen_from(number, number + 1), "Next"))
        name = f"{self._folder(number)}/{_name(number)}"
        self._replacement.write(name, page_of(f"Index, page {number + 1:,}", around, self._open))
        self._pages.append(Link(_name(number), f"{number + 1:,}: {self._first} – {self._last}"))
        self.counts.links += len(self._open)
        self.counts.pages += 1
        self._open = []
        if len(self._pages) == self._most:
            self._write_folder()

    def _write_folder(self) -> None:
        first, last = self._pages[0].text, self._pages[-1].text
        folder = self._folder(self.counts.folders * self._most)
        title = f"Index, pages {first.partition(':')[0]} to {last.partition(':')[0]}"
        self._replacement.write(
            f"{folder}/index.html", page_of(title, [Link("../index.html", "Up")], list(map(_anchor, self._pages)))
        )
        self._folders.append(Link(f"{folder}/index.html", title))
        self.counts.folders += 1
        self._pages = []

    def _folder(self, number: int) -> str:
        return f"{number // self._most:02d}"

    def _seen_from(self, number: int, other: int) -> str:
        """Return the path of a page relative to another one."""
        folder, name = self._folder(other), _name(other)
        return name if folder == self._folder(number) else f"../{folder}/{name}"


def _name(number: int) -> str:
    return f"{number:05d}.html"
