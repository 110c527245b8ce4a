"""Sitemaps of any works and authors, with limits so small that everything is split."""

import json
import re
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from crawler import crawled
from examples import examples
from oldump.run.progress import NoProgress
from oldump.settings import Settings
from oldump.stages.sitemaps.stage import Limits, make_sitemaps

COLLECTIONS = {"authors": ("author", "name", "A"), "works": ("work", "title", "W")}
NUMBERS = st.integers(1, 200) | st.integers(1, 10**12)
TITLES = st.text(st.characters(), max_size=30) | st.none() | st.integers()


def dump_of(catalogue: dict[str, dict[int, object]]) -> bytes:
    """Return a dump with a record for each number and title, collection by collection."""
    lines = []
    for folder, titles in sorted(catalogue.items()):
        kind, member, letter = COLLECTIONS[folder]
        for number, title in sorted(titles.items()):
            text = json.dumps({member: title})
            lines.append(f"/type/{kind}\t/{folder}/OL{number}{letter}\t1\t2010-04-30T20:50:18.033121\t{text}\n")
    return "".join(lines).encode()


def range_of(name: str, numbers: int) -> tuple[str, int, int]:
    """Return the collection, first and last number that a sitemap's name states."""
    match = re.fullmatch(r"sitemap_(authors|works)_(\d+)(?:_(\d+)-(\d+))?\.xml\.gz", name)
    assert match is not None
    place = int(match[2])
    return match[1], int(match[3] or place * numbers), int(match[4] or (place + 1) * numbers - 1)


@settings(max_examples=examples(25), deadline=None)
@given(
    catalogue=st.fixed_dictionaries(
        {}, optional={folder: st.dictionaries(NUMBERS, TITLES, min_size=1, max_size=40) for folder in COLLECTIONS}
    ).filter(bool),
    limits=st.builds(
        Limits,
        urls=st.integers(1, 10),
        text_bytes=st.integers(1_500, 5_000),
        sitemaps=st.integers(1, 5),
        numbers=st.integers(1, 64),
    ),
)
def test_every_key_is_in_one_sitemap_of_its_range(catalogue: dict[str, dict[int, object]], limits: Limits) -> None:
    """Ranges do not overlap, limits hold, all XML is valid, and every file is in an index."""
    with TemporaryDirectory() as name:
        path, out = Path(name) / "dump", Path(name) / "out"
        path.write_bytes(dump_of(catalogue))
        make_sitemaps([path], out, Settings.of(workers=1), NoProgress(), limits=limits)
        found = crawled(out)
        files = {each.name for each in out.glob("sitemap_*")}
    assert files == set(found)
    keys: list[tuple[str, int]] = []
    for sitemap, pages in found.items():
        collection, first, last = range_of(sitemap, limits.numbers)
        numbers = [int(re.findall(rf"/{collection}/OL(\d+)[AW]/", page.location)[0]) for page in pages]
        assert 0 < len(numbers) <= limits.urls
        assert all(first <= number <= last for number in numbers)
        keys += [(collection, number) for number in numbers]
    assert sorted(keys) == sorted((folder, number) for folder, titles in catalogue.items() for number in titles)
    ranges = sorted(range_of(sitemap, limits.numbers) for sitemap in found)
    for (collection, _, last), (other, first, _) in pairwise(ranges):
        assert collection != other or last < first
