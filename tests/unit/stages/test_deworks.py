"""Deworks: redirects on disk, the order of contributions, large lines, odd inputs, and the artifact."""

import gzip
import io
import json
import shutil
import sqlite3
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from deworks_reference import counts_of, deworks_of, same_line
from examples import examples
from oldump.engine.budget import Budget
from oldump.engine.gather import Stream
from oldump.engine.segment_writer import TextWriter
from oldump.engine.segments import read_index, uncompressed
from oldump.errors import OldumpError, RecordError, SourceEmpty, SourceMissing, StorageError
from oldump.records.keys import order_key
from oldump.records.record import PARTS, column
from oldump.run.folder import RunFolder
from oldump.run.progress import NoProgress
from oldump.settings import Settings
from oldump.stages.deworks.inputs import Input
from oldump.stages.deworks.intermediate import (
    JOINS_END,
    SECTION_SHIFT,
    Contribution,
    IntermediateLines,
    JoinRole,
    Section,
    contribution_order,
)
from oldump.stages.deworks.job import DeworksJob, DeworksResult
from oldump.stages.deworks.redirects import RedirectFilter, Redirects
from oldump.stages.deworks.stage import make_artifact, make_deworks, write_deworks
from oldump.synth.table import copy_blocks_of_things
from reference import dumps_of
from tables import DATE
from unit.stages.making import FORMS, Form, Watching, checkpoint_in, folder_in

pytestmark = pytest.mark.slow  # whole stages on files

AMPLE = Budget(spill_bytes=8 << 20, bucket_bytes=32 << 20, bucket_shift=31)
MANY_BUCKETS = Budget(spill_bytes=300_000, bucket_bytes=200_000, bucket_shift=20)
OVERFULL = Budget(spill_bytes=60_000, bucket_bytes=100_000, bucket_shift=60)
"""Buckets that are merged from runs and gathered in many slices."""
BUDGETS = (AMPLE, MANY_BUCKETS, OVERFULL)


def record(key: str, type_name: str, members: str = "") -> bytes:
    """Return a record with these further members, given as JSON text."""
    text = f'{{"key": {json.dumps(key)}{", " if members else ""}{members}}}'
    return b"\t".join((f"/type/{type_name}".encode(), column(key), b"1", b"2010-01-01T00:00:00", text.encode())) + b"\n"


def edition(number: int, work: str, members: str = "") -> bytes:
    """Return the record of an edition of a work."""
    works = f'"works": [{{"key": "{work}"}}]'
    return record(f"/books/OL{number}M", "edition", f"{works}, {members}" if members else works)


def work_by(number: int, *authors: str) -> bytes:
    """Return the record of a work with these authors."""
    roles = ", ".join(f'{{"author": {{"key": "{author}"}}}}' for author in authors)
    return record(f"/works/OL{number}W", "work", f'"authors": [{roles}]')


def redirect(key: str, location: str) -> bytes:
    """Return the record of a redirect."""
    return record(key, "redirect", f'"location": {json.dumps(location)}')


def files_in(folder: Path, dump: bytes, items: bytes) -> tuple[Path, Path]:
    """Write the dump and the IA metadata to plain files; return their paths."""
    (folder / "dump").write_bytes(dump)
    (folder / "items").write_bytes(items)
    return folder / "dump", folder / "items"


def made_of(
    dump: Path, items: Path | None, spill: Path, workers: int = 1, budget: Budget = AMPLE
) -> tuple[list[bytes], DeworksResult]:
    """Return the lines that the stage makes from these files, without newlines, and its result."""
    output = io.BytesIO()
    inputs = [Input(dump, has_redirects=True)] + ([Input(items, is_items=True)] if items else [])
    shutil.rmtree(spill, ignore_errors=True)
    spill.mkdir()
    made = make_deworks(
        inputs, Stream(TextWriter(output)), DeworksJob(workers, budget, spill), uncompressed, NoProgress()
    )
    return output.getvalue().split(b"\n")[:-1], made


def made_in(
    folder: Path, dump: bytes, items: bytes = b"", workers: int = 1, budget: Budget = AMPLE
) -> tuple[list[bytes], DeworksResult]:
    """Return the lines and the result for files with these texts."""
    return made_of(*files_in(folder, dump, items), folder / "spill", workers, budget)


def require_reference(lines: list[bytes], dump: bytes, items: bytes) -> None:
    """Fail at the first line that differs from the reference implementation's."""
    expected = deworks_of(dump, items)
    assert len(lines) == len(expected)
    for line, wanted in zip(lines, expected, strict=True):
        assert line == wanted or same_line(line, wanted), (line[:500], wanted[:500])


def members_of(line: bytes) -> dict[str, Any]:
    """Return the JSON of a line."""
    members = json.loads(line.split(b"\t")[1])
    assert isinstance(members, dict)
    return members


# Redirects


def stored(folder: Path, **locations: str) -> Redirects:
    """Return a store in which each key points to its location."""
    return Redirects(folder / "redirects.sqlite", ((key.encode(), location) for key, location in locations.items()))


def test_a_chain_of_redirects_is_followed_to_its_end(tmp_path: Path) -> None:
    """Step by step, even if the end does not exist; other keys have no chain."""
    redirects = stored(tmp_path, a="b", b="c", c="missing")
    assert [location.key for location in redirects.chain(b"a")] == [b"b", b"c", b"missing"]
    assert redirects.end(b"a") == redirects.end(b"c") == (b"missing", b'"missing"')
    assert redirects.chain(b"missing") == []
    assert redirects.end(b"missing") is None


@pytest.mark.parametrize(
    ("key", "chain"), [(b"a", [b"b", b"c"]), (b"b", [b"c", b"a"]), (b"in", [b"a", b"b", b"c"]), (b"self", [])]
)
def test_a_loop_of_redirects_ends(key: bytes, chain: list[bytes], tmp_path: Path) -> None:
    """The chain stops before it repeats, and there is no end."""
    redirects = stored(tmp_path, a="b", b="c", c="a", self="self", **{"in": "a"})
    assert [location.key for location in redirects.chain(key)] == chain
    assert redirects.end(key) is None


def test_a_redirect_into_a_self_loop_has_no_end(tmp_path: Path) -> None:
    """Its target points to itself."""
    redirects = stored(tmp_path, a="self", self="self")
    assert [location.key for location in redirects.chain(b"a")] == [b"self"]
    assert redirects.end(b"a") is None


def test_a_long_chain_is_followed(tmp_path: Path) -> None:
    """There is no limit on the length."""
    redirects = stored(tmp_path, **{f"k{number}": f"k{number + 1}" for number in range(2_000)})
    assert len(redirects.chain(b"k0")) == 2_000
    assert redirects.end(b"k0") == (b"k2000", b'"k2000"')


def test_a_location_keeps_characters_that_columns_escape(tmp_path: Path) -> None:
    """Lone surrogates and tabs are escaped in the key, and kept as in the redirect in the text."""
    redirects = stored(tmp_path, a="/works/\ud83d", b="/works/\t")
    assert redirects.end(b"a") == (rb"/works/\ud83d", rb'"/works/\ud83d"')
    assert redirects.end(b"b") == (rb"/works/\t", rb'"/works/\t"')


def test_targets_of_redirects_are_known(tmp_path: Path) -> None:
    """Every target is known as one; another key almost never is."""
    redirects = stored(tmp_path, a="b", b="c")
    assert redirects.may_lead_to(b"b")
    assert redirects.may_lead_to(b"c")
    assert not redirects.may_lead_to(b"a")


def test_the_filter_has_few_false_positives() -> None:
    """It contains all of 20,000 keys, and almost none of 20,000 others."""
    keys = RedirectFilter()
    for number in range(20_000):
        keys.add(b"/works/OL%dW" % number)
    assert all(b"/works/OL%dW" % number in keys for number in range(20_000))
    assert sum(b"/works/OL%dW" % number in keys for number in range(20_000, 40_000)) < 20


def test_a_storage_failure_is_reported(tmp_path: Path) -> None:
    """SQLite's error becomes a StorageError that names the file."""
    (tmp_path / "redirects.sqlite").mkdir()
    with pytest.raises(StorageError, match=r"redirects\.sqlite") as caught:
        stored(tmp_path, a="b")
    assert isinstance(caught.value.__cause__, sqlite3.Error)


# The order of contributions

_DIGITS = st.sampled_from(("", "0", "1", "01", "9", "10", "99999999999", "999999999999", str(2**40), "7" * 30))
KEYS = st.one_of(
    st.builds(
        lambda stem, digits, ending: f"{stem}{digits}{ending}".encode(),
        st.sampled_from(("/works/OL", "/books/OL", "/authors/OL", "/works/ia:", "/people/ab", "OL", "/", "")),
        _DIGITS,
        st.sampled_from(("W", "M", "A", "X", "w", "", "W-DUP")),
    ),
    st.sampled_from((b"/works", b"/works/", "/works/é".encode(), b"/people/", b"!", b"zz", b"/works/OL1W/OL2W")),
)
POSITIONS = st.sampled_from((0, 1, 2, 9, 10, 32_766, 32_767, 32_768, 100_000))


@st.composite
def contributions(draw: st.DrawFn) -> tuple[int, bytes, Contribution, int, tuple[bytes, ...]]:
    """Section, key, kind, position and fields of a contribution."""
    kind = draw(st.sampled_from(Contribution))
    position = draw(POSITIONS) if kind is Contribution.AUTHOR else 0
    first = b"%d" % position if kind is Contribution.AUTHOR else draw(KEYS)
    return draw(st.sampled_from(Section)), draw(KEYS), kind, position, (first, draw(st.sampled_from((b"x", b"y"))))


@given(each=st.lists(contributions(), min_size=2, max_size=12))
@settings(deadline=None, max_examples=examples(300))
def test_ranks_agree_with_the_order(each: list[tuple[int, bytes, Contribution, int, tuple[bytes, ...]]]) -> None:
    """In the exact order, ranks never decrease; and they are above those of joins."""
    lines = IntermediateLines()
    for section, key, kind, position, fields in each:
        lines.add_contribution(section, key, kind, position, *fields)
    batch = lines.take_batch()
    sections = [section for section, *_ in each]
    places = sorted(range(len(each)), key=lambda place: (sections[place], contribution_order(batch.lines.line(place))))
    ranks = [int(batch.ranks[place]) for place in places]
    assert all(one <= other for one, other in pairwise(ranks))
    assert [rank >> SECTION_SHIFT for rank in ranks] == sorted(sections)
    assert min(ranks) >= JOINS_END
    assert len(lines) == 0


def test_the_order_within_a_line() -> None:
    """Work, editions by key, authors by position, items, duplicates; numbers sort as numbers."""
    lines = IntermediateLines()
    lines.add_contribution(Section.WORKS, b"/works/OL1W", Contribution.DUPLICATE, 0, b"/works/OL1W", b"/works/OL2W")
    lines.add_contribution(Section.WORKS, b"/works/OL1W", Contribution.ITEM, 0, b"/books/OL9M", b"{}")
    lines.add_contribution(Section.WORKS, b"/works/OL1W", Contribution.AUTHOR, 10, b"10", b"{}")
    lines.add_contribution(Section.WORKS, b"/works/OL1W", Contribution.AUTHOR, 9, b"9", b"{}")
    lines.add_contribution(Section.WORKS, b"/works/OL1W", Contribution.EDITION, 0, b"/books/OL10M", b"", b"s", b"{}")
    lines.add_contribution(Section.WORKS, b"/works/OL1W", Contribution.EDITION, 0, b"/books/OL9M", b"", b"s", b"{}")
    lines.add_contribution(Section.WORKS, b"/works/OL1W", Contribution.WORK, 0, b"{}")
    batch = lines.take_batch()
    assert sorted(batch.lines, key=contribution_order) == [*batch.lines][::-1]
    assert contribution_order(batch.lines.line(0))[0] == order_key(b"/works/OL1W")


def test_values_come_before_requests() -> None:
    """All join lines of a key are together, and rank below all contributions."""
    lines = IntermediateLines()
    for key in (b"author /authors/OL1A", b"item foo"):
        lines.add_join(JoinRole.REQUEST, key, b"/works/OL1W")
        lines.add_join(JoinRole.VALUE, key, b"{}")
    ranks = lines.take_batch().ranks.tolist()
    assert [ranks[0] - ranks[1], ranks[2] - ranks[3]] == [1, 1]
    assert max(ranks) < JOINS_END


# Large lines


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_work_with_many_editions(budget: Budget, tmp_path: Path) -> None:
    """All 5,000 editions are in its line in order, across several slices of an overfull bucket, and their items too."""
    dump = b"".join(edition(number, "/works/OL2W", f'"ocaid": "scan{number}"') for number in range(5_000, 0, -1))
    dump += work_by(1) + work_by(2) + work_by(3) + redirect("/books/OL9000M", "/books/OL77M")
    items = b"".join(b"scan%d\tIA%d\ta;b\n" % (number, number) for number in range(0, 5_000, 2))
    lines, made = made_in(tmp_path, dump, items, 2, budget)
    require_reference(lines, dump, items)
    members = members_of(lines[1])
    assert [each["key"] for each in members["editions"]] == [f"/books/OL{number}M" for number in range(1, 5_001)]
    assert len(members["ia"]) == 2_499
    assert members["duplicates"] == {"/books/OL77M": ["/books/OL9000M"]}
    assert (made.tally.lines, made.tally.works, made.tally.editions, made.read.items) == (3, 3, 5_000, 2_500)


@pytest.mark.parametrize("budget", BUDGETS)
def test_an_author_with_many_works(budget: Budget, tmp_path: Path) -> None:
    """Each of 5,000 works has the author's whole document, directly or through a redirect."""
    named = ("/authors/OL1A", "/authors/OL2A")
    dump = b"".join(work_by(number, named[number % 2]) for number in range(1, 5_001))
    dump += record("/authors/OL1A", "author", f'"bio": "{"x" * 200}"') + redirect("/authors/OL2A", "/authors/OL1A")
    lines, _ = made_in(tmp_path, dump, workers=2, budget=budget)
    require_reference(lines, dump, b"")
    assert len(lines) == 5_000
    assert {str(members_of(line)["authors"][0]["bio"]) for line in lines} == {"x" * 200}


def test_a_work_with_more_authors_than_positions_have_ranks(tmp_path: Path) -> None:
    """After the 32,767th, only the exact order distinguishes them."""
    authors = [f"/authors/OL{number * 7 % 40_000}A" for number in range(33_500)]
    lines, _ = made_in(tmp_path, work_by(1, *authors))
    assert [each["key"] for each in members_of(lines[0])["authors"]] == authors


# Inputs


@pytest.fixture(scope="module")
def synthetic() -> tuple[bytes, bytes]:
    """Return a dump of synthetic and odd documents, and the IA metadata of two thirds of its scans."""
    dump = dumps_of(b"".join(copy_blocks_of_things(2_500, seed=5, odd_rows=150)), DATE).dump
    documents = (line.split(b"\t")[4] for line in dump.splitlines() if line.startswith(b"/type/edition\t"))
    ocaids = {json.loads(text).get("ocaid") for text in documents if b'"ocaid"' in text}
    names = sorted(name.encode() for name in ocaids if isinstance(name, str) and name.isascii() and name.isalnum())
    rows = [
        b"%b\t%b\t%b\n"
        % (name, b"IA%d" % place if place % 2 else b"", b"inlibrary;printdisabled" if place % 5 else b"")
        for place, name in enumerate(names)
        if place % 3
    ]
    return dump, b"".join([*rows, b"unknown00scan\t\\N\tamericana\n"])


def test_a_synthetic_catalogue_agrees_with_the_reference(synthetic: tuple[bytes, bytes], tmp_path: Path) -> None:
    """Works, editions, authors, redirects and scans in realistic proportions, with odd documents among them."""
    dump, items = synthetic
    lines, made = made_in(tmp_path, dump, items)
    require_reference(lines, dump, items)
    tally, expected = made.tally, counts_of(dump)
    assert (tally.lines, tally.works, tally.editions) == (expected["lines"], expected["works"], expected["editions"])
    assert tally.works_missing == expected["missing_works"] > 0
    assert tally.editions_without_work == expected["editions_without_work"] > 0
    assert tally.digest == sum(map(xxh3_64_intdigest, lines)) % 2**64
    assert tally.last_key == lines[-1].split(b"\t")[0]
    assert made.read.items == items.count(b"\n")
    together = b"\n".join(lines)
    for text in (b'"_ia_meta": {"collection": []}', b'"boxid": ["IA', b'"boxid": []', b'"ia": [{"identifier"'):
        assert text in together
    assert any(members_of(line)["duplicates"] for line in lines)


@pytest.mark.parametrize("form", FORMS)
def test_inputs_may_have_any_form(form: Form, synthetic: tuple[bytes, bytes], tmp_path: Path) -> None:
    """The same lines from plain files, gzip of any kind and seekable gzip."""
    dump, items = synthetic
    expected, _ = made_in(tmp_path, dump, items)
    form(tmp_path / "dump.in", dump)
    form(tmp_path / "items.in", items)
    assert made_of(tmp_path / "dump.in", tmp_path / "items.in", tmp_path / "spill", 2)[0] == expected


def test_a_large_ordinary_gzip_file(tmp_path: Path) -> None:
    """It has more text than fits into shared memory, which is freed block by block."""
    filling = "x" * 1_000
    dump = b"".join(record(f"/works/OL{number}W", "work", f'"x": "{filling}"') for number in range(1, 16_001))
    (tmp_path / "dump.gz").write_bytes(gzip.compress(dump, 1))
    lines, made = made_of(tmp_path / "dump.gz", None, tmp_path / "spill")
    assert len(lines) == made.tally.works == 16_000


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_dump_may_have_no_last_newline(is_compressed: bool, tmp_path: Path) -> None:
    """Its last record counts, also if it is a redirect."""
    dump = work_by(1) + redirect("/works/OL2W", "/works/OL1W").removesuffix(b"\n")
    lines, _ = made_in(tmp_path, gzip.compress(dump) if is_compressed else dump)
    assert [members_of(line)["duplicates"] for line in lines] == [{"/works/OL1W": ["/works/OL2W"]}]


def test_without_items_scans_have_no_metadata(tmp_path: Path) -> None:
    """Editions have an empty collection, and `ia` is empty."""
    dump = edition(1, "/works/OL1W", '"ocaid": "foo00bar"')
    path, _ = files_in(tmp_path, dump, b"")
    lines, made = made_of(path, None, tmp_path / "spill")
    require_reference(lines, dump, b"")
    assert members_of(lines[0])["editions"][0]["_ia_meta"] == {"collection": []}
    assert made.as_json(with_items=False)["items"] is None
    assert made.as_json(with_items=True)["items"] == 0


def test_a_stored_ia_meta_is_replaced_in_place(tmp_path: Path) -> None:
    """It occurs once; those of nested objects, and of editions without a scan, stay."""
    stored_one = '"_ia_meta": {"old": 1}'
    dump = edition(1, "/works/OL1W", f'{stored_one}, "ocaid": "foo00bar", "x": {{{stored_one}}}')
    dump += edition(2, "/works/OL1W", stored_one)
    lines, _ = made_in(tmp_path, dump, b"foo00bar\tIA1\t\n")
    first, second = members_of(lines[0])["editions"]
    assert lines[0].count(b'"_ia_meta": {"old": 1}') == 2
    assert lines[0].count(b'"_ia_meta"') == 3
    assert first["_ia_meta"] == {"boxid": ["IA1"], "collection": []}
    assert list(first).index("_ia_meta") < list(first).index("ocaid")
    assert first["x"] == {"_ia_meta": {"old": 1}}
    assert second["_ia_meta"] == {"old": 1}


NOT_RECORDS = {
    "words": b"Reading from database ...\n",
    "an empty line": b"\n",
    "four columns": b"/type/work\t/works/OL2W\t1\t{}\n",
    "a redirect of two columns": b"/type/redirect\t/works/OL2W\n",
    "six columns": b"/type/edition\t/books/OL2M\t1\t2010-01-01\t{}\t{}\n",
    "a key that is not UTF-8": b"/type/work\t/works/\xff\t1\t2010-01-01\t{}\n",
    "a redirect of which the key is not UTF-8": b'/type/redirect\t/works/\xff\t1\t2010\t{"location": "/works/OL1W"}\n',
    "no JSON": b"/type/work\t/works/OL2W\t1\t2010-01-01\tno JSON\n",
    "JSON that breaks off": b'/type/edition\t/books/OL2M\t1\t2010-01-01\t{"key": "/bo\n',
    "no object": b"/type/work\t/works/OL2W\t1\t2010-01-01\t[]\n",
    "a redirect that is no object": b"/type/redirect\t/works/OL2W\t1\t2010-01-01\t[]\n",
}


@pytest.mark.parametrize("line", NOT_RECORDS.values(), ids=NOT_RECORDS)
def test_lines_that_are_not_records_are_refused(line: bytes, tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(RecordError, match="dump: a line is not a record"):
        made_in(tmp_path, work_by(1) + line + work_by(3))


@pytest.mark.parametrize("line", [b"foo00bar\tIA1\n", b"foo00bar\tIA1\ta\tb\n", b"\n", work_by(2)])
def test_lines_that_are_not_items_are_refused(line: bytes, tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(RecordError, match="items: a line does not have three columns"):
        made_in(tmp_path, work_by(1), b"a\t\t\n" + line)


@pytest.mark.parametrize("twice", [work_by(1), edition(1, "/works/OL1W"), redirect("/works/OL5W", "/works/OL1W")])
def test_a_repeated_key_is_refused(twice: bytes, tmp_path: Path) -> None:
    """In a dump, each key has one record; the input may be a cdump."""
    with pytest.raises(RecordError, match=r"/OL[15][WM]: occurs in two records"):
        made_in(tmp_path, twice + work_by(3) + twice)


@pytest.mark.parametrize("dump", [b"", gzip.compress(b"", mtime=0), record("/authors/OL1A", "author")])
def test_a_dump_without_works_and_editions_is_refused(dump: bytes, tmp_path: Path) -> None:
    """By the command: the operator may have named the wrong file."""
    path, items = files_in(tmp_path, dump, b"")
    with pytest.raises(SourceEmpty, match="neither works nor editions"):
        write_deworks(path, items, io.BytesIO(), tmp_path, Settings.of(workers=1), NoProgress())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["dump", "items"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """For both inputs."""
    path, items = files_in(tmp_path, work_by(1), b"")
    for missing in (path, items):
        content = missing.read_bytes()
        missing.unlink()
        with pytest.raises(SourceMissing, match=missing.name):
            write_deworks(path, items, io.BytesIO(), tmp_path, Settings.of(workers=1), NoProgress())
        missing.write_bytes(content)


# The same bytes


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("budget", BUDGETS)
def test_the_same_bytes_for_any_workers_and_memory(
    workers: int, budget: Budget, synthetic: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """The counts are the same, too."""
    expected = made_in(tmp_path, *synthetic)
    assert made_in(tmp_path, *synthetic, workers, budget) == expected


# The artifact


def parts_in(folder: RunFolder, dump: bytes) -> dict[str, Path]:
    """Write the parts of an unfinished run; return their paths."""
    for item in folder.items:
        folder.made(item).mkdir(parents=True)
    type_of = {part: f"/type/{part.removesuffix('s')}\t".encode() for part in PARTS}
    for part in PARTS:
        text = b"".join(line for line in dump.splitlines(keepends=True) if line.startswith(type_of[part]))
        folder.part(part).write_bytes(text)
    return {part: folder.part(part) for part in PARTS}


def test_the_artifact_describes_its_file(synthetic: tuple[bytes, bytes], tmp_path: Path) -> None:
    """Records, digest, first and last key, columns and index; and the reported steps."""
    dump, items = synthetic
    folder, watching = folder_in(tmp_path), Watching()
    parts = parts_in(folder, dump)
    _, item_path = files_in(tmp_path, dump, items)
    counts, artifact = make_artifact(
        parts, item_path, folder, Settings.of(workers=2, level=1), checkpoint_in(folder, "deworks"), watching
    )
    lines = gzip.decompress(folder.part("deworks").read_bytes()).splitlines()
    require_reference(lines, dump, items)
    assert (artifact.name, artifact.item) == (f"ol_dump_deworks_{DATE}.txt.gz", f"ol_dump_{DATE}")
    assert artifact.records == counts["lines"] == len(lines)
    assert artifact.text_bytes == sum(map(len, lines)) + len(lines)
    assert artifact.digest == f"{sum(map(xxh3_64_intdigest, lines)) % 2**64:016x}"
    keys = [line.split(b"\t")[0].decode() for line in lines]
    assert (artifact.first_key, artifact.last_key) == (keys[0], keys[-1])
    assert (artifact.columns, artifact.null, artifact.by_type, artifact.newest) == (["key", "json"], None, {}, None)
    index = read_index(folder.part("deworks"))
    assert sum(entry.records for entry in index) == artifact.records
    assert watching.steps == ["deworks redirects", "deworks scatter", "deworks join", "deworks gather"]


def test_parts_without_works_and_editions_make_an_empty_artifact(tmp_path: Path) -> None:
    """In a run, an empty artifact is not an error."""
    folder = folder_in(tmp_path)
    parts = parts_in(folder, record("/authors/OL1A", "author"))
    counts, artifact = make_artifact(
        parts, None, folder, Settings.of(workers=1), checkpoint_in(folder, "deworks"), NoProgress()
    )
    assert counts == dict.fromkeys(("lines", "works", "works_missing", "editions", "editions_without_work"), 0) | {
        "items": None
    }
    assert (artifact.records, artifact.first_key, artifact.last_key) == (0, None, None)


def test_a_failure_leaves_no_files(tmp_path: Path) -> None:
    """No artifact, no index and no spill."""
    folder = folder_in(tmp_path)
    parts = parts_in(folder, work_by(1) + edition(1, "/works/OL1W"))
    parts["editions"].write_bytes(b"words\n")
    with pytest.raises(OldumpError):
        make_artifact(parts, None, folder, Settings.of(workers=1), checkpoint_in(folder, "deworks"), NoProgress())
    assert [path.name for path in folder.dump_item.iterdir() if "deworks" in path.name] == []
    assert not folder.checkpoint("deworks").parent.exists()
