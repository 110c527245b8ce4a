"""The synthetic table as a whole: its rows, its history, its shares."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple

import pytest

from oldump.synth.broken import BROKEN_ROWS
from oldump.synth.odd import ODD_ROWS
from oldump.synth.table import copy_blocks, copy_blocks_of_things

ROWS = 20_000
_LEGACY = {"a": "/authors/", "b": "/books/", "l": "/languages/", "user": "/people/"}


class Row(NamedTuple):
    """A row, with the key as it is today."""

    thing: int
    revision: int
    text: str
    document: dict[str, Any]
    key: str
    kind: str


def modern(key: str) -> str:
    """The key as it is spelled since 2010."""
    return re.sub(r"^/(a|b|l|user)/", lambda match: _LEGACY[match[1]], key)


def read(blocks: Iterator[bytes]) -> list[Row]:
    """The rows of COPY text."""
    rows = []
    for line in b"".join(blocks).decode("ascii").splitlines():
        thing, revision, copied = line.split("\t")
        text = copied.replace("\\\\", "\\")
        document = json.loads(text)
        kind = document["type"]["key"].removeprefix("/type/")
        key = modern(document["key"])
        rows.append(Row(int(thing), int(revision), text, document, key, kind))
    return rows


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """A table without odd and broken rows."""
    return read(copy_blocks(ROWS))


@pytest.fixture(scope="module")
def latest(rows: list[Row]) -> dict[str, Row]:
    """The last revision of every document."""
    return {row.key: row for row in rows}


def modified(row: Row) -> str:
    """When the row was written, with a T."""
    value: str = row.document["last_modified"]["value"]
    return value.replace(" ", "T")


def test_same_arguments_same_bytes() -> None:
    """The same arguments give the same bytes, in every run and on every Python."""
    text = b"".join(copy_blocks(3_000, seed=7, odd_rows=50, broken_rows=50))
    assert text == b"".join(copy_blocks(3_000, seed=7, odd_rows=50, broken_rows=50))
    assert sha256(text).hexdigest() == "d96be060fc701096bbf3eca342273d85caa66cf9fbd62c548c7a6d5b3efcf01d"


def test_other_seed_other_rows() -> None:
    """Another seed gives another table."""
    assert b"".join(copy_blocks(100)) != b"".join(copy_blocks(100, seed=1))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 100, 999])
@pytest.mark.parametrize(("odd", "broken"), [(0, 0), (1, 0), (0, 1), (30, 40)])
def test_row_count(count: int, odd: int, broken: int) -> None:
    """There are exactly as many rows as asked for, the odd and broken ones included."""
    total = count + odd + broken
    text = b"".join(copy_blocks(total, odd_rows=odd, broken_rows=broken))
    assert text.count(b"\n") == total


@pytest.mark.parametrize("things", [0, 1, 2, 10, 1_000])
def test_thing_count(things: int) -> None:
    """There are exactly as many documents as asked for, with every revision from the first."""
    rows = read(copy_blocks_of_things(things))
    assert len({row.key for row in rows}) == len({row.thing for row in rows}) == things
    assert len(rows) == things * 14 // 5


def test_too_many_special_rows() -> None:
    """More odd and broken rows than rows are refused."""
    with pytest.raises(ValueError, match="do not fit"):
        copy_blocks(3, odd_rows=2, broken_rows=2)
    with pytest.raises(ValueError, match="negative"):
        copy_blocks_of_things(-1)


def test_blocks_hold_whole_lines() -> None:
    """Every block ends with a line and is about 1 MiB long, except the last."""
    blocks = list(copy_blocks(5_000))
    assert len(blocks) > 2
    assert all(block.endswith(b"\n") for block in blocks)
    assert all(1 << 20 <= len(block) < 5 << 18 for block in blocks[:-1])


def test_json_as_python_writes_it(rows: list[Row]) -> None:
    """A row's JSON is what json.dumps writes, and its revision is the column's."""
    for row in rows:
        assert json.dumps(row.document) == row.text
        assert row.document["revision"] == row.revision


def test_revisions_count_up(rows: list[Row]) -> None:
    """A document keeps its key and id, and its revisions are 1, 2, 3 … in order of the table."""
    so_far: Counter[str] = Counter()
    things: dict[int, str] = {}
    for row in rows:
        so_far[row.key] += 1
        assert row.revision == so_far[row.key]
        assert things.setdefault(row.thing, row.key) == row.key
    assert 2.7 < len(rows) / len(so_far) < 2.9
    assert max(so_far.values()) > 20


def test_time_grows(rows: list[Row]) -> None:
    """last_modified grows along the table, from April 2008 to August 2022, created before it."""
    times = [modified(row) for row in rows]
    assert times == sorted(times)
    assert times[0].startswith("2008-04-01T")
    assert times[-1].startswith("2022-08-31T")
    assert all(row.document.get("created", {"value": ""})["value"] <= modified(row) for row in rows)


def test_share_after_cutoff(rows: list[Row]) -> None:
    """A hundredth of the rows is from August 2022, so that a cutoff in July drops something."""
    assert sum(modified(row) >= "2022-08" for row in rows) == ROWS // 100


def test_rows_of_a_document_lie_apart(rows: list[Row]) -> None:
    """Few revisions follow within a hundred rows of the one before."""
    last: dict[str, int] = {}
    near = total = 0
    for at, row in enumerate(rows):
        if row.key in last:
            total += 1
            near += at - last[row.key] < 100
        last[row.key] = at
    assert near / total < 0.2


def test_revision_changes_little(rows: list[Row]) -> None:
    """Most revisions change one or two members, and keep the order of the others."""
    frame = {"last_modified", "latest_revision", "revision", "created", "id"}
    before: dict[str, dict[str, Any]] = {}
    changes: Counter[int] = Counter()
    for row in rows:
        old, new = before.get(row.key), row.document
        if old and "created" in old and row.kind in {"edition", "work", "author"}:
            names = [name for name in new if name in old]
            assert names == [name for name in old if name in new]
            changes[sum(old.get(name) != new.get(name) for name in (old | new).keys() - frame)] += 1
        before[row.key] = new
    assert (changes[1] + changes[2]) / changes.total() > 0.95


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("edition", 0.42, 0.48),
        ("work", 0.30, 0.36),
        ("author", 0.10, 0.14),
        ("list", 0.005, 0.03),
        ("redirect", 0.004, 0.02),
        ("delete", 0.004, 0.025),
        ("subject", 0.005, 0.02),
        ("user", 0.008, 0.02),
        ("object", 0.008, 0.02),
        ("usergroup", 0.008, 0.025),
        ("permission", 0.008, 0.025),
        ("language", 0.0001, 0.01),
        ("type", 0.0001, 0.01),
    ],
)
def test_shares_of_types(rows: list[Row], kind: str, low: float, high: float) -> None:
    """Each type has about the share of the rows that it has in the live table."""
    assert low < sum(row.kind == kind for row in rows) / ROWS < high


def test_share_of_private_and_obsolete_pages(rows: list[Row]) -> None:
    """A twentieth of the rows are users' own pages, and there are some of each dropped sort."""
    private = [row for row in rows if row.key.startswith("/people/") and row.kind != "list"]
    assert 0.04 < len(private) / ROWS < 0.065
    for prefix in ("/admin/", "/scan_record/", "/old/"):
        assert any(row.key.startswith(prefix) for row in rows)


def test_legacy_first_revisions(rows: list[Row]) -> None:
    """A third of the documents begin in the legacy manner, in all its ways."""
    first = [row for row in rows if row.revision == 1]
    legacy = [row for row in first if "created" not in row.document]
    assert 0.3 < len(legacy) / len(first) < 0.36
    assert not any("latest_revision" in row.document for row in legacy)
    assert any("id" in row.document for row in legacy)
    assert any(" " in row.document["last_modified"]["value"] for row in legacy)
    for prefix in ("/a/", "/b/", "/l/", "/user/"):
        assert any(row.document["key"].startswith(prefix) for row in legacy)
    assert any('"authors": [{"key": "/a/' in row.text for row in legacy)
    assert any('"languages": [{"key": "/l/' in row.text for row in legacy)
    assert any(row.document.get("location", "").startswith("/a/") for row in rows)


def test_redirects_chain_and_loop(latest: dict[str, Row]) -> None:
    """Some redirects lead to redirects, and some of those back."""
    target = {key: modern(row.document["location"]) for key, row in latest.items() if row.kind == "redirect"}
    assert any(target.get(to) not in {None, key} for key, to in target.items())
    assert any(target.get(to) == key for key, to in target.items())


def test_numbers_are_dense(rows: list[Row]) -> None:
    """Authors, works and editions are numbered from 1 without gaps, in order of creation."""
    for pattern in (r"/authors/OL(\d+)A", r"/works/OL(\d+)W", r"/books/OL(\d+)M"):
        matches = (re.fullmatch(pattern, row.key) for row in rows if row.revision == 1)
        numbers = [int(match[1]) for match in matches if match]
        assert numbers == list(range(1, len(numbers) + 1))


def test_editions(latest: dict[str, Row]) -> None:
    """About one edition in seven is scanned, one in twelve has no work, few name a work in vain."""
    editions = [row.document for row in latest.values() if row.kind == "edition"]
    works = [document["works"][0]["key"] for document in editions if "works" in document]
    assert 0.11 < sum("ocaid" in document for document in editions) / len(editions) < 0.17
    assert 0.06 < 1 - len(works) / len(editions) < 0.1
    assert 0 < sum(key not in latest for key in works) / len(works) < 0.02


def test_authors_of_works(latest: dict[str, Row]) -> None:
    """Authors of works come in every form that is stored; some are missing, some redirects."""
    roles = [role for row in latest.values() if row.kind == "work" for role in row.document.get("authors", [])]
    named = [role["author"] for role in roles if "author" in role]
    keys = [modern(author["key"]) for author in named if isinstance(author, dict)]
    assert {} in roles
    assert any(isinstance(role.get("type"), str) for role in roles)
    assert any("type" in role and "author" not in role for role in roles)
    assert any(isinstance(author, str) for author in named)
    assert any(key not in latest for key in keys)
    assert any(key in latest and latest[key].kind == "redirect" for key in keys)


def test_sizes(rows: list[Row]) -> None:
    """Records are about as long as live ones, and escapes about as rare."""
    for kind, low, high in (("edition", 900, 1_100), ("work", 450, 560), ("author", 250, 400)):
        lengths = [len(row.text) for row in rows if row.kind == kind]
        assert low < sum(lengths) / len(lengths) < high
    text = b"".join(copy_blocks(ROWS))
    assert 0.003 < text.count(b"\\") / len(text) < 0.006


def test_several_scripts(rows: list[Row]) -> None:
    """Titles are in Latin with diacritics and in six other scripts."""
    titles = "".join(row.document.get("title", "") for row in rows)
    for letter in "éиίاभ学の":
        assert letter in titles


def test_special_rows_are_spread(rows: list[Row]) -> None:
    """Odd and broken rows stand all over the table, and leave the others as they are."""
    odd, broken = len(ODD_ROWS), len(BROKEN_ROWS)
    plain = b"".join(copy_blocks(1_000)).splitlines()
    mixed = b"".join(copy_blocks(1_000 + odd + broken, odd_rows=odd, broken_rows=broken))
    lines = mixed.split(b"\n")[:-1]
    normal = set(plain)
    places = [at for at, line in enumerate(lines) if line not in normal]
    assert [line for line in lines if line in normal] == plain
    assert places[0] < 50
    assert places[-1] > 1_000
