"""Index, sitemaps and HTML index as functions: what they say of each document, and what they refuse."""

import html
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from lxml import etree

from crawler import ON_SITE, Page, crawled, locations, parsed, schema, sitemaps_of
from oldump.errors import ConfigurationError, NotSorted, RecordError, SourceEmpty
from oldump.records.keys import order_key
from oldump.records.record import PARTS, part_number
from oldump.run.progress import NoProgress
from oldump.settings import Settings
from oldump.stages.sitemaps.htmlindex import make_htmlindex
from oldump.stages.sitemaps.index import write_index
from oldump.stages.sitemaps.stage import Limits, UrlRange, document, make_sitemaps, parts_of

SITE = "https://openlibrary.org"
CREATED, MODIFIED = "2008-04-01T03:28:50.625462", "2010-04-30T20:50:18.033121"
SECOND = "2010-04-30T20:50:18Z"
ODD_TITLES = {
    "emoji": "😀",
    "lone surrogate": "half \ud83d",
    "right to left": "שלום עולם",
    "quotes": '"it\'s" <b>&amp;',
    "slashes": "a/b\\c//",
    "long": "x" * 10_000,
    "long and wide": "😀" * 2_500,
    "controls": "a\x00\x0b\t\n\r\x7f\x85\u2028b",
    "no characters": "\ufffe\uffff\U0001ffff\ufdd0",
    "only unsafe": "???",
    "empty": "",
    "number": 5,
    "null": None,
    "object": {"type": "/type/text", "value": "x"},
}


def record(kind: str, key: str, **members: object) -> bytes:
    """A record of a document."""
    made: dict[str, object] = {"key": key, "type": {"key": f"/type/{kind}"}, "revision": 3}
    made |= {"created": {"type": "/type/datetime", "value": CREATED}} | members
    made |= {"last_modified": {"type": "/type/datetime", "value": MODIFIED}}
    return f"/type/{kind}\t{key}\t3\t{MODIFIED}\t{json.dumps(made)}\n".encode()


AUTHORS = [record("author", "/authors/OL2A", name="Ann"), record("author", "/authors/OL10001A", title="no name")]
WORKS = [
    record("work", "/works/OL9W", title="Nine: a work"),
    record("work", "/works/OL10W", title="Ten"),
    record("work", "/works/OL25000W"),
]
EDITIONS = [record("edition", "/books/OL1M", title="Edition")]
GONE = [record("delete", "/works/OL11W"), record("redirect", "/works/OL12W", location="/works/OL9W")]
OTHERS = [record("language", "/languages/eng", name="English"), record("page", "/help", title="Help")]
DUMP = [AUTHORS[0], AUTHORS[1], GONE[0], *EDITIONS, *OTHERS[::-1], GONE[1], *WORKS]


@pytest.fixture
def settings() -> Settings:
    """One worker."""
    return Settings.of(workers=1)


def written(path: Path, lines: list[bytes]) -> Path:
    """A file of these lines."""
    path.write_bytes(b"".join(lines))
    return path


def index_of(path: Path, settings: Settings) -> bytes:
    """What index writes."""
    output = io.BytesIO()
    assert write_index(path, output, settings, NoProgress()) == output.getvalue().count(b"\n")
    return output.getvalue()


def files_in(folder: Path) -> dict[str, bytes]:
    """All files below."""
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_index_has_a_line_for_each_record(tmp_path: Path, settings: Settings) -> None:
    """Path with slug where the site has one, name or title, created, last_modified, as the old script had them."""
    bare = record("work", "/works/OL30000W", created="never")
    lines = index_of(written(tmp_path / "dump", [*DUMP, bare]), settings).decode().splitlines()
    rest = f"{CREATED}\t{MODIFIED}"
    assert lines == [
        f"/authors/OL2A/Ann\tAnn\t{rest}",
        f"/authors/OL10001A/unnamed\tunnamed\t{rest}",
        f"/works/OL11W\t/works/OL11W\t{rest}",
        f"/books/OL1M/Edition\tEdition\t{rest}",
        f"/help\tHelp\t{rest}",
        f"/languages/eng\t/languages/eng\t{rest}",
        f"/works/OL12W\t/works/OL12W\t{rest}",
        f"/works/OL9W/Nine_a_work\tNine: a work\t{rest}",
        f"/works/OL10W/Ten\tTen\t{rest}",
        f"/works/OL25000W/untitled\tuntitled\t{rest}",
        f"/works/OL30000W/untitled\tuntitled\t-\t{MODIFIED}",
    ]


def test_index_treats_a_list_as_an_author(tmp_path: Path, settings: Settings) -> None:
    """A list has its name as the title, and the slug of that in its path, as the site's own script writes it."""
    lists = [
        record("list", "/people/ann/lists/OL1L", name="Books: to read"),
        record("list", "/people/ann/lists/OL2L", title="not a name"),
    ]
    lines = index_of(written(tmp_path / "dump", lists), settings).decode().splitlines()
    assert lines == [
        f"/people/ann/lists/OL1L/Books_to_read\tBooks: to read\t{CREATED}\t{MODIFIED}",
        f"/people/ann/lists/OL2L/unnamed\tunnamed\t{CREATED}\t{MODIFIED}",
    ]


def test_sitemaps_are_valid_and_hold_works_and_authors_alone(tmp_path: Path, settings: Settings) -> None:
    """In the range of their keys; nothing of editions, other pages, or what was deleted or redirected."""
    counts = make_sitemaps([written(tmp_path / "dump", DUMP)], tmp_path / "out", settings, NoProgress())
    assert crawled(tmp_path / "out") == {
        "sitemap_authors_0000.xml.gz": [Page(f"{SITE}/authors/OL2A/Ann", SECOND)],
        "sitemap_authors_0001.xml.gz": [Page(f"{SITE}/authors/OL10001A/unnamed", SECOND)],
        "sitemap_works_0000.xml.gz": [
            Page(f"{SITE}/works/OL9W/Nine_a_work", SECOND),
            Page(f"{SITE}/works/OL10W/Ten", SECOND),
        ],
        "sitemap_works_0002.xml.gz": [Page(f"{SITE}/works/OL25000W/untitled", SECOND)],
    }
    assert str(counts) == "5 URLs in 4 sitemaps; 5 files new or changed"


def test_each_form_of_the_input_gives_the_same(tmp_path: Path, settings: Settings) -> None:
    """The dump part by part, the same in order of keys, the parts as files, and the index of any."""
    by_key = sorted(DUMP, key=lambda line: order_key(line.split(b"\t")[1]))
    parts: dict[str, list[bytes]] = {}
    for line in DUMP:
        parts.setdefault(PARTS[part_number(line.split(b"\t")[0])], []).append(line)
    dump = written(tmp_path / "dump", DUMP)
    forms = {
        "dump": [dump],
        "by key": [written(tmp_path / "by key", by_key)],
        "parts": [written(tmp_path / name, parts[name]) for name in ("authors", "works")],
        "index": [written(tmp_path / "index", [index_of(dump, settings)])],
    }
    for name, paths in forms.items():
        make_sitemaps(paths, tmp_path / f"{name} out", settings, NoProgress())
        assert files_in(tmp_path / f"{name} out") == files_in(tmp_path / "dump out"), name


@pytest.mark.parametrize("kind", ["author", "work"])
def test_titles_with_every_odd_character_work(kind: str, tmp_path: Path, settings: Settings) -> None:
    """Valid sitemaps, four columns, HTML whose text is the title; nothing too long."""
    member, folder, letter = ("name", "authors", "A") if kind == "author" else ("title", "works", "W")
    lines = [
        record(kind, f"/{folder}/OL{n}{letter}", **{member: title}) for n, title in enumerate(ODD_TITLES.values(), 1)
    ]
    path = written(tmp_path / "dump", lines)
    make_sitemaps([path], tmp_path / "sitemaps", settings, NoProgress())
    make_htmlindex(path, tmp_path / "html", settings, NoProgress())
    found = locations(tmp_path / "sitemaps")
    assert [each.split("/")[4] for each in found] == [f"OL{n}{letter}" for n in range(1, len(ODD_TITLES) + 1)]
    index = index_of(path, settings).decode().split("\n")[:-1]
    assert {line.count("\t") for line in index} == {3}
    page = (tmp_path / "html" / "00" / "00000.html").read_bytes()
    shown = [html.unescape(text) for text in re.findall(r"<li[^>]*><a [^>]*>(.*?)</a>", page.decode())]
    titles = [line.split("\t")[1] for line in index]
    assert [text.removesuffix("…") for text in shown] == [
        (title if title.strip() else f"/{folder}/OL{n}{letter}")[:300] for n, title in enumerate(titles, 1)
    ]
    assert b"&#x27;it" not in page.split(b"<a ")[0]
    etree.fromstring(
        page.replace(b"<!DOCTYPE html>", b"")
        .replace(b'">\n<meta', b'"/>\n<meta')
        .replace(b'">\n<title', b'"/>\n<title')
    )


def test_one_changed_work_changes_its_own_sitemap_alone(tmp_path: Path, settings: Settings) -> None:
    """The index says no more than when the range was changed last."""
    make_sitemaps([written(tmp_path / "dump", DUMP)], tmp_path / "out", settings, NoProgress())
    before = files_in(tmp_path / "out")
    changed = [*DUMP[:-3], record("work", "/works/OL9W", title="Another"), *WORKS[1:]]
    counts = make_sitemaps([written(tmp_path / "dump", changed)], tmp_path / "out", settings, NoProgress())
    after = files_in(tmp_path / "out")
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {
        "sitemap_works_0000.xml.gz"
    }
    assert counts.changed == 1


def test_sitemaps_of_what_is_gone_are_removed(tmp_path: Path, settings: Settings) -> None:
    """And no other file."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sitemap_x_works_0000.xml.gz").write_bytes(b"of another prefix")
    make_sitemaps([written(tmp_path / "dump", DUMP)], tmp_path / "out", settings, NoProgress())
    make_sitemaps([written(tmp_path / "dump", WORKS[:2])], tmp_path / "out", settings, NoProgress())
    assert set(files_in(tmp_path / "out")) == {
        "siteindex.xml.gz",
        "sitemap_works_0000.xml.gz",
        "sitemap_x_works_0000.xml.gz",
        ".oldump-lock",
    }


def test_a_prefix_and_an_address_stand_where_they_belong(tmp_path: Path) -> None:
    """The old script's third argument; and a site of one's own."""
    settings = Settings.of(workers=1, base_url="http://localhost:8080/")
    make_sitemaps([written(tmp_path / "dump", WORKS)], tmp_path / "out", settings, NoProgress(), prefix="new")
    assert sitemaps_of(tmp_path / "out") == ["sitemap_new_works_0000.xml.gz", "sitemap_new_works_0002.xml.gz"]
    index = parsed(tmp_path / "out" / "siteindex_new.xml.gz", "siteindex")
    assert str(index[0][0].text).startswith(f"http://localhost:8080{ON_SITE}")
    with pytest.raises(ConfigurationError, match="cannot be part of file names"):
        make_sitemaps([tmp_path / "dump"], tmp_path / "out", settings, NoProgress(), prefix="../x")


def test_an_index_is_split_beyond_its_limit(tmp_path: Path, settings: Settings) -> None:
    """The protocol lets an index name so many sitemaps; all are named, each once."""
    path = written(tmp_path / "dump", DUMP)
    make_sitemaps([path], tmp_path / "out", settings, NoProgress(), limits=Limits(sitemaps=3))
    assert sorted(path.name for path in (tmp_path / "out").glob("siteindex*")) == [
        "siteindex-2.xml.gz",
        "siteindex.xml.gz",
    ]
    assert len(locations(tmp_path / "out")) == 5


def test_ranges_are_halved_until_they_fit() -> None:
    """By count and by bytes; what is left over is in the smallest half."""
    url_range = UrlRange("works", 0, [1, 2, 3, 7], ["", "", "", ""], [b"1", b"22", b"333", b"7777777"])
    by_count = list(parts_of(0, 10, url_range, lambda part: len(part.numbers) <= 2))
    assert [(first, last, part.numbers) for first, last, part in by_count] == [(0, 1, [1]), (2, 4, [2, 3]), (5, 9, [7])]
    by_bytes = list(parts_of(0, 10, url_range, lambda part: sum(map(len, part.elements)) <= 5))
    assert [part.numbers for _, _, part in by_bytes] == [[1], [2, 3], [7]]


def test_the_largest_range_of_the_longest_urls_fits() -> None:
    """10,000 numbers, each with the longest URL that is legal, are less than the protocol's bytes."""
    longest = b"<url><loc>" + b"x" * 2_047 + b"</loc><lastmod>2010-04-30T20:50:18Z</lastmod></url>\n"
    assert len(document("urlset", [longest] * Limits().numbers)) < Limits().text_bytes


@pytest.mark.parametrize("kind", ["no number", "zero", "leading zero", "other letter"])
def test_works_with_keys_of_unusual_form_are_left_out_and_counted(
    kind: str, tmp_path: Path, settings: Settings
) -> None:
    """The site makes no such keys, and ranges are of numbers."""
    key = {
        "no number": "/works/x",
        "zero": "/works/OL0W",
        "leading zero": "/works/OL01W",
        "other letter": "/works/OL1X",
    }[kind]
    lines = sorted([record("work", key), WORKS[0]], key=lambda line: order_key(line.split(b"\t")[1]))
    path = written(tmp_path / "dump", lines)
    counts = make_sitemaps([path], tmp_path / "out", settings, NoProgress())
    assert (counts.urls, counts.left_out) == (1, 1)
    assert "1 skipped" in str(counts)


@pytest.mark.parametrize("make", ["index", "sitemaps", "htmlindex"])
@pytest.mark.parametrize(
    ("lines", "error", "told"),
    [
        ([WORKS[1], WORKS[0]], NotSorted, r"line 2 \(/works/OL9W\) is out of order"),
        ([WORKS[0], WORKS[0]], NotSorted, r"line 2 \(/works/OL9W\) has the same key as the line before"),
        ([*EDITIONS, WORKS[1], *AUTHORS, WORKS[0]], NotSorted, r"line 5 \(/works/OL9W\)"),
        ([WORKS[0], b"Reading from database ...\n"], RecordError, "line 2 is neither a record"),
        ([b"/type/work\t/works/OL1W\t1\tx\t[]\n"], RecordError, "line 1 is neither"),
        ([b"/type/work\t/works/OL1W\tone\tx\t{}\n"], RecordError, "line 1 is neither"),
        ([b"/type/work\t/works/OL\xff1W\t1\tx\t{}\n"], RecordError, "line 1 is neither"),
        ([], SourceEmpty, "no records"),
    ],
)
def test_what_is_refused(
    make: str, lines: list[bytes], error: type[Exception], told: str, tmp_path: Path, settings: Settings
) -> None:
    """With the line's number; what was there is there as it was."""
    path, out = written(tmp_path / "dump", DUMP), tmp_path / "out"
    commands: dict[str, Callable[[], object]] = {
        "index": lambda: index_of(path, settings),
        "sitemaps": lambda: make_sitemaps([path], out, settings, NoProgress()),
        "htmlindex": lambda: make_htmlindex(path, out, settings, NoProgress()),
    }
    commands[make]()
    before = files_in(out)
    written(path, lines)
    with pytest.raises(error, match=told):
        commands[make]()
    assert files_in(out) == before


def test_order_is_looked_at_across_blocks(tmp_path: Path) -> None:
    """Two workers, many blocks: the line is numbered in the file."""
    lines = [record("work", f"/works/OL{n}W", title="x" * 500) for n in range(1, 4_001)]
    lines.append(record("work", "/works/OL17W"))
    with pytest.raises(NotSorted, match=r"line 4,001 \(/works/OL17W\)"):
        make_sitemaps([written(tmp_path / "dump", lines)], tmp_path / "out", Settings.of(workers=2), NoProgress())


def test_order_is_looked_at_across_files(tmp_path: Path, settings: Settings) -> None:
    """A part that is given twice would otherwise take the place of itself."""
    path = written(tmp_path / "works", WORKS)
    with pytest.raises(NotSorted, match=r"line 1 \(/works/OL9W\)"):
        make_sitemaps([path, path], tmp_path / "out", settings, NoProgress())


def test_a_dump_without_works_and_authors_leaves_the_sitemaps(tmp_path: Path, settings: Settings) -> None:
    """The wrong file must not empty a site's index."""
    make_sitemaps([written(tmp_path / "dump", DUMP)], tmp_path / "out", settings, NoProgress())
    before = files_in(tmp_path / "out")
    with pytest.raises(SourceEmpty, match="neither works nor authors"):
        make_sitemaps([written(tmp_path / "dump", [*EDITIONS, *GONE])], tmp_path / "out", settings, NoProgress())
    with pytest.raises(SourceEmpty, match="no editions, works or authors"):
        make_htmlindex(written(tmp_path / "dump", GONE), tmp_path / "html", settings, NoProgress())
    assert files_in(tmp_path / "out") == before


def test_pages_are_linked_and_hold_all(tmp_path: Path, settings: Settings) -> None:
    """From the first page down to each document, and from page to page; with three links a page, on three levels."""
    lines = [record("work", f"/works/OL{n}W", title=f"Work {n}") for n in range(1, 21)]
    counts = make_htmlindex(written(tmp_path / "dump", lines), tmp_path / "out", settings, NoProgress(), links=3)
    assert str(counts) == "20 links on 7 pages; 11 files new or changed"
    first = links_in(tmp_path / "out" / "index.html")
    assert first == ["00/index.html", "01/index.html", "02/index.html"]
    found: list[str] = []
    for folder in first:
        up, *pages = links_in(tmp_path / "out" / folder)
        assert up == "../index.html"
        for page in pages:
            path = (tmp_path / "out" / folder).parent / page
            found += [link for link in links_in(path) if link.startswith("/")]
            assert all((path.parent / link).is_file() for link in links_in(path) if not link.startswith("/"))
    assert found == [f"/works/OL{n}W/Work_{n}" for n in range(1, 21)]
    third = links_in(tmp_path / "out" / "01" / "00003.html")
    assert third[:3] == ["index.html", "../00/00002.html", "00004.html"]
    assert links_in(tmp_path / "out" / "02" / "00006.html")[:2] == ["index.html", "../01/00005.html"]


def links_in(path: Path) -> list[str]:
    """The targets of a page's links."""
    return [html.unescape(link) for link in re.findall(r'href="([^"]*)"', path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    "url",
    [
        "<loc>ftp://openlibrary.org/works/OL1W</loc>",
        "<loc>https://openlibrary.org/works/OL1W/é</loc>",
        f"<loc>https://openlibrary.org/{'x' * 2_047}</loc>",
        "<loc>https://openlibrary.org/works/OL1W</loc><lastmod>2010-04-30T20:50:18</lastmod>",
        "<loc>https://openlibrary.org/works/OL1W</loc><lastmod>2010-02-30T20:50:18Z</lastmod>",
        "<lastmod>2010-04-30</lastmod><loc>https://openlibrary.org/works/OL1W</loc>",
        "<loc>https://openlibrary.org/works/OL1W</loc><changefreq>often</changefreq>",
        "",
    ],
)
def test_the_schema_refuses_what_is_not_legal(url: str) -> None:
    """A schema that lets all pass would prove nothing."""
    namespace = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
    assert not schema("sitemap").validate(etree.fromstring(f"<urlset {namespace}><url>{url}</url></urlset>"))
    legal = "<loc>https://openlibrary.org/works/OL1W</loc><lastmod>2010-04-30</lastmod>"
    assert schema("sitemap").validate(etree.fromstring(f"<urlset {namespace}><url>{legal}</url></urlset>"))
