"""The reference implementation of deworks meets each clause of issue 4, on catalogs small enough to join by hand."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings

from catalogues import Catalogue, catalogues
from deworks_reference import counts_of, deworks_of, same_line
from examples import examples
from oldump.records.keys import order_key

IA_METADATA = (
    b"empty00\t\t\n"
    b"null00\t\\N\t\\N\n"
    b"odd\\\\name\tIA\\t1\tb;\\\\;;c\n"
    b"scan00\tIA1;IA2\tprinteddisabled;inlibrary\n"
    b"scan00\tIA3\tlater\n"
    b"single00\tIA4\tboston\n"
    b"\xc3\xa9t\xc3\xa9\t\tcaf\xc3\xa9\n"
)


def record(type_name: str, key: str, members: str = "") -> bytes:
    """Return a record of this type; its JSON has the key, which is ASCII, and the text of the other members."""
    return odd_record(type_name, key.encode(), f'"key": "{key}"{members and ", " + members}')


def odd_record(type_name: str, key: bytes, members: str) -> bytes:
    """Return a record with this key column and the text of all members of its JSON."""
    return b"/type/%b\t%b\t1\t2010\t{%b}\n" % (type_name.encode(), key, members.encode())


def work(number: int, members: str = "") -> bytes:
    """Return the record of a work."""
    return record("work", f"/works/OL{number}W", members)


def edition(number: int, members: str = "") -> bytes:
    """Return the record of an edition."""
    return record("edition", f"/books/OL{number}M", members)


def author(number: int, members: str = "") -> bytes:
    """Return the record of an author."""
    return record("author", f"/authors/OL{number}A", members)


def redirect(key: str, location: str) -> bytes:
    """Return the record of a redirect."""
    return record("redirect", key, f'"location": "{location}"')


def of_work(number: int) -> str:
    """Return the member of an edition that names its work."""
    return f'"works": [{{"key": "/works/OL{number}W"}}]'


def lines(*records: bytes, ia_metadata: bytes = b"") -> list[str]:
    """Return the reference's lines for these records."""
    return [line.decode() for line in deworks_of(records, ia_metadata)]


def values_of(*records: bytes, member: str, ia_metadata: bytes = IA_METADATA) -> Any:
    """Return the value of one member of the reference's only line."""
    (line,) = lines(*records, ia_metadata=ia_metadata)
    return json.loads(line.split("\t")[1])[member]


def keys(*records: bytes) -> list[str]:
    """Return the keys of the lines."""
    return [line.split("\t")[0] for line in lines(*records)]


# Lines


def test_the_line_of_a_work_has_everything() -> None:
    """Key, tab, and the five members in their order."""
    assert lines(
        author(1, '"name": "A"'),
        edition(2, f'{of_work(1)}, "ocaid": "scan00"'),
        edition(3, f'"title": "Three", {of_work(1)}'),
        redirect("/books/OL7M", "/books/OL2M"),
        redirect("/works/OL5W", "/works/OL1W"),
        work(1, '"authors": [{"author": {"key": "/authors/OL1A"}}]'),
        ia_metadata=IA_METADATA,
    ) == [
        (
            "/works/OL1W\t"
            '{"work": {"key": "/works/OL1W", "authors": [{"author": {"key": "/authors/OL1A"}}]},'
            ' "editions": [{"key": "/books/OL2M", "works": [{"key": "/works/OL1W"}], "ocaid": "scan00",'
            ' "_ia_meta": {"boxid": ["IA1", "IA2"], "collection": ["printeddisabled", "inlibrary"]}},'
            ' {"key": "/books/OL3M", "title": "Three", "works": [{"key": "/works/OL1W"}]}],'
            ' "authors": [{"key": "/authors/OL1A", "name": "A"}],'
            ' "ia": [{"identifier": "scan00",'
            ' "boxid": ["IA1", "IA2"], "collection": ["printeddisabled", "inlibrary"]}],'
            ' "duplicates": {"/works/OL1W": ["/works/OL5W"], "/books/OL2M": ["/books/OL7M"]}}'
        )
    ]


def test_a_work_alone_has_a_line() -> None:
    """All members exist, empty."""
    assert lines(work(1)) == [
        '/works/OL1W\t{"work": {"key": "/works/OL1W"}, "editions": [], "authors": [], "ia": [], "duplicates": {}}'
    ]


def test_without_works_and_editions_there_are_no_lines() -> None:
    """Other records make no lines."""
    assert lines() == []
    assert lines(author(1), redirect("/works/OL1W", "/works/OL2W"), record("delete", "/works/OL3W")) == []
    assert deworks_of(b"", b"") == []


def test_records_may_be_the_text_of_a_dump() -> None:
    """With or without newlines."""
    records = [edition(1, of_work(1)), edition(2), work(1)]
    assert deworks_of(b"".join(records), b"") == deworks_of(records, b"")
    assert deworks_of([record.removesuffix(b"\n") for record in records], b"") == deworks_of(records, b"")


def test_documents_stay_as_they_are() -> None:
    """Member order, numbers as spelled, escapes; of a repeated name the last value."""
    (line,) = lines(
        odd_record(
            "work",
            b"/works/OL1W",
            '"n": [1e400, 1.50, -0], "a": 1, "\\u00C9": "\\ud83d\\/", "key": "/works/OL1W", "a": 2',
        )
    )
    assert line.split("\t")[1].startswith(
        '{"work": {"n": [1e400, 1.50, -0], "a": 2, "\\u00c9": "\\ud83d/", "key": "/works/OL1W"}, "editions"'
    )


def test_the_type_counts_not_the_key() -> None:
    """A work may have the key of a list, an edition that of an author."""
    assert lines(
        record("edition", "/authors/OL1A", '"works": [{"key": "/lists/OL1L"}]'),
        record("work", "/lists/OL1L"),
        record("page", "/works/OL1W"),
    ) == [
        (
            '/lists/OL1L\t{"work": {"key": "/lists/OL1L"},'
            ' "editions": [{"key": "/authors/OL1A", "works": [{"key": "/lists/OL1L"}]}],'
            ' "authors": [], "ia": [], "duplicates": {}}'
        )
    ]


def test_keys_are_spelled_as_columns() -> None:
    """Before the tab as in the dump; the document keeps its own spelling."""
    assert lines(odd_record("work", "/works/caf\u00e9\\t".encode(), '"key": "/works/caf\\u00e9\\t"')) == [
        (
            '/works/caf\u00e9\\t\t{"work": {"key": "/works/caf\\u00e9\\t"}, "editions": [], "authors": [], "ia": [],'
            ' "duplicates": {}}'
        )
    ]


# Order


def test_lines_are_in_key_order() -> None:
    """9 before 10; missing works among the others; editions without a work after all of them."""
    assert keys(
        edition(10),
        edition(9),
        edition(1, of_work(9)),
        record("edition", "/a/first"),
        work(11),
        work(10),
        work(8),
        record("work", "/zines/OL1W"),
    ) == [
        "/works/OL8W",
        "/works/OL9W",
        "/works/OL10W",
        "/works/OL11W",
        "/zines/OL1W",
        "/a/first",
        "/books/OL9M",
        "/books/OL10M",
    ]  # fmt: skip


def test_editions_are_in_key_order() -> None:
    """Within a work too, whatever the order of the records."""
    assert lines(
        edition(10, of_work(1)), record("edition", "/books/ia:x", of_work(1)), edition(9, of_work(1)), work(1)
    ) == [
        (
            '/works/OL1W\t{"work": {"key": "/works/OL1W"}, "editions": ['
            '{"key": "/books/OL9M", "works": [{"key": "/works/OL1W"}]}, '
            '{"key": "/books/OL10M", "works": [{"key": "/works/OL1W"}]}, '
            '{"key": "/books/ia:x", "works": [{"key": "/works/OL1W"}]}], "authors": [], "ia": [], "duplicates": {}}'
        )
    ]


# To which work an edition belongs


def test_a_missing_work_has_a_line() -> None:
    """No edition is lost."""
    assert lines(edition(1, of_work(404)), edition(2, of_work(404))) == [
        (
            '/works/OL404W\t{"work": {}, "editions": ['
            '{"key": "/books/OL1M", "works": [{"key": "/works/OL404W"}]}, '
            '{"key": "/books/OL2M", "works": [{"key": "/works/OL404W"}]}], "authors": [], "ia": [], "duplicates": {}}'
        )
    ]


def test_an_edition_without_a_work_has_a_line() -> None:
    """The line has the edition's key, the IA metadata of its ocaid, and the redirects to it."""
    assert lines(
        edition(1, '"authors": [{"key": "/authors/OL1A"}], "ocaid": "single00"'),
        redirect("/books/OL2M", "/books/OL1M"),
        author(1),
        ia_metadata=IA_METADATA,
    ) == [
        (
            '/books/OL1M\t{"work": {}, "editions": ['
            '{"key": "/books/OL1M", "authors": [{"key": "/authors/OL1A"}], "ocaid": "single00",'
            ' "_ia_meta": {"boxid": ["IA4"], "collection": ["boston"]}}], "authors": [],'
            ' "ia": [{"identifier": "single00", "boxid": ["IA4"], "collection": ["boston"]}],'
            ' "duplicates": {"/books/OL1M": ["/books/OL2M"]}}'
        )
    ]


@pytest.mark.parametrize(
    "works",
    [
        "[]",
        "[{}]",
        "[null]",
        '["/works/OL1W"]',
        '[{"key": 1}]',
        '[{"key": null}]',
        '[{"key": {"key": "/works/OL1W"}}]',
        '[[{"key": "/works/OL1W"}]]',
        '[{}, {"key": "/works/OL1W"}]',
        '{"key": "/works/OL1W"}',
        '"/works/OL1W"',
        "null",
        "1",
        '[{"key": "/works/OL1W"}], "works": []',
        '[{"key": "/works/OL1W", "key": 7}]',
    ],
)
def test_works_without_a_key(works: str) -> None:
    """Only the key of the first work counts, and only if it is a string."""
    assert keys(edition(1, f'"works": {works}'), work(1)) == ["/works/OL1W", "/books/OL1M"]


@pytest.mark.parametrize(
    "works",
    [
        '[{"key": "/works/OL1W"}]',
        '[{"type": 1, "key": "/works/OL1W"}, {"key": "/works/OL2W"}]',
        '[{"key": "/works/OL1W"}, null]',
        '[{"k\\u0065y": "\\/works\\/OL1W"}]',
        '5, "works": [{"key": "/works/OL1W"}]',
        '[{"key": 7, "key": "/works/OL1W"}]',
    ],
)
def test_the_first_work_counts(works: str) -> None:
    """Other elements of works have no effect."""
    assert keys(edition(1, f'"works": {works}'), work(1)) == ["/works/OL1W"]


def test_a_work_that_is_a_redirect_is_not_followed() -> None:
    """It is a missing work. The work that it leads to has its own line, with the redirect in duplicates."""
    assert lines(edition(1, of_work(1)), redirect("/works/OL1W", "/works/OL2W"), work(2)) == [
        (
            '/works/OL1W\t{"work": {}, "editions": [{"key": "/books/OL1M", "works": [{"key": "/works/OL1W"}]}],'
            ' "authors": [], "ia": [], "duplicates": {}}'
        ),
        (
            '/works/OL2W\t{"work": {"key": "/works/OL2W"}, "editions": [], "authors": [], "ia": [],'
            ' "duplicates": {"/works/OL2W": ["/works/OL1W"]}}'
        ),
    ]


@pytest.mark.parametrize("type_name", ["delete", "author", "redirect", "page"])
def test_a_key_of_another_type_is_a_missing_work(type_name: str) -> None:
    """Whatever record has that key."""
    assert values_of(edition(1, of_work(1)), record(type_name, "/works/OL1W"), member="work") == {}


def test_an_edition_may_be_its_own_work() -> None:
    """Its line is that of a missing work and comes before editions without a work. Its duplicates occur once."""
    assert lines(
        edition(1),
        edition(2, '"works": [{"key": "/books/OL2M"}]'),
        redirect("/books/OL3M", "/books/OL2M"),
    ) == [
        (
            '/books/OL2M\t{"work": {}, "editions": [{"key": "/books/OL2M", "works": [{"key": "/books/OL2M"}]}],'
            ' "authors": [], "ia": [], "duplicates": {"/books/OL2M": ["/books/OL3M"]}}'
        ),
        '/books/OL1M\t{"work": {}, "editions": [{"key": "/books/OL1M"}], "authors": [], "ia": [], "duplicates": {}}',
    ]


def test_links_are_compared_as_columns() -> None:
    """A tab, and a backslash with a t, are one key. A lone surrogate and the empty string are keys too."""
    assert lines(
        edition(1, '"works": [{"key": "/works/a\\tb"}]'),
        edition(2, '"works": [{"key": "/works/a\\\\tb"}]'),
        edition(3, '"works": [{"key": "\\ud83d\\u0085"}]'),
        edition(4, '"works": [{"key": ""}]'),
        odd_record("work", b"/works/a\\tb", '"key": "/works/a\\tb"'),
    ) == [
        (
            '\t{"work": {}, "editions": [{"key": "/books/OL4M", "works": [{"key": ""}]}],'
            ' "authors": [], "ia": [], "duplicates": {}}'
        ),
        (
            '\\ud83d\\u0085\t{"work": {}, "editions": [{"key": "/books/OL3M", "works": [{"key": "\\ud83d\\u0085"}]}],'
            ' "authors": [], "ia": [], "duplicates": {}}'
        ),
        (
            '/works/a\\tb\t{"work": {"key": "/works/a\\tb"}, "editions": ['
            '{"key": "/books/OL1M", "works": [{"key": "/works/a\\tb"}]}, '
            '{"key": "/books/OL2M", "works": [{"key": "/works/a\\\\tb"}]}], "authors": [], "ia": [], "duplicates": {}}'
        ),
    ]


# Authors


def authors(roles: str, *records: bytes) -> object:
    """Return the authors in the line of a work with this text of authors."""
    return values_of(work(1, f'"authors": {roles}'), *records, member="authors")


def role(number: int) -> str:
    """Return the text of an element of a work's authors."""
    return f'{{"author": {{"key": "/authors/OL{number}A"}}}}'


def test_authors_are_in_the_order_of_the_work() -> None:
    """Documents, or keys where there is none; twice if the work names one twice."""
    assert authors(f"[{role(10)}, {role(404)}, {role(9)}, {role(10)}]", author(9), author(10, '"name": "Ten"')) == [
        {"key": "/authors/OL10A", "name": "Ten"},
        {"key": "/authors/OL404A"},
        {"key": "/authors/OL9A"},
        {"key": "/authors/OL10A", "name": "Ten"},
    ]


@pytest.mark.parametrize(
    "odd",
    [
        "{}",
        "null",
        "[]",
        "1",
        "true",
        '"/authors/OL1A"',
        '{"key": "/authors/OL1A"}',
        '{"type": {"key": "/type/author_role"}}',
        '{"author": "/authors/OL1A"}',
        '{"author": null}',
        '{"author": {}}',
        '{"author": []}',
        '{"author": [{"key": "/authors/OL1A"}]}',
        '{"author": {"key": null}}',
        '{"author": {"key": 1}}',
        '{"author": {"key": ["/authors/OL1A"]}}',
        '[{"author": {"key": "/authors/OL1A"}}]',
        '{"author": {"key": "/authors/OL1A"}, "author": null}',
    ],
)
def test_invalid_authors_are_omitted(odd: str) -> None:
    """The others stay."""
    assert authors(f"[{odd}]", author(1)) == []
    assert authors(f"[{role(2)}, {odd}, {role(1)}]", author(1)) == [{"key": "/authors/OL2A"}, {"key": "/authors/OL1A"}]


@pytest.mark.parametrize("roles", ["{}", "null", "1", '"/authors/OL1A"', role(1), '{"key": "/authors/OL1A"}'])
def test_authors_that_are_not_a_list_are_ignored(roles: str) -> None:
    """As if the work had none."""
    assert authors(roles, author(1)) == []


@pytest.mark.parametrize(
    "usual",
    [
        '{"type": "/type/author_role", "author": {"key": "/authors/OL1A"}}',
        '{"author": {"key": "/authors/OL1A"}, "type": {"key": "/type/author_role"}, "as": "editor"}',
        '{"author": {"key": 1, "key": "/authors/OL1A"}}',
        '{"\\u0061uthor": {"key": "\\/authors/OL1A"}}',
    ],
)
def test_only_the_key_of_an_author_counts(usual: str) -> None:
    """Other members have no effect."""
    assert authors(f"[{usual}]", author(1, '"name": "A"')) == [{"key": "/authors/OL1A", "name": "A"}]


def test_redirects_are_followed_to_the_author() -> None:
    """One redirect or a chain, whatever the order of keys."""
    records = (
        redirect("/authors/OL1A", "/authors/OL5A"),
        redirect("/authors/OL5A", "/authors/OL3A"),
        author(3, '"name": "C"'),
    )
    for number in (1, 5, 3):
        assert authors(f"[{role(number)}]", *records) == [{"key": "/authors/OL3A", "name": "C"}]


def test_a_redirect_may_lead_to_no_author() -> None:
    """Then the line has the key at its end: missing, deleted, or of another type."""
    leading = redirect("/authors/OL1A", "/authors/OL2A")
    target = [{"key": "/authors/OL2A"}]
    assert authors(f"[{role(1)}]", leading) == target
    assert authors(f"[{role(1)}]", leading, record("delete", "/authors/OL2A", '"name": "A"')) == target
    assert authors(f"[{role(1)}]", leading, record("page", "/authors/OL2A", '"name": "A"')) == target


def test_a_record_that_is_not_an_author_gives_its_key() -> None:
    """A deleted author, or a work named as the author."""
    assert authors(f"[{role(1)}]", record("delete", "/authors/OL1A", '"name": "A"')) == [{"key": "/authors/OL1A"}]
    assert authors('[{"author": {"key": "/works/OL1W"}}]') == [{"key": "/works/OL1W"}]


def test_a_loop_gives_the_key_that_the_work_names() -> None:
    """A loop of one, of two, or after a chain."""
    to_itself = redirect("/authors/OL1A", "/authors/OL1A")
    two = (redirect("/authors/OL2A", "/authors/OL3A"), redirect("/authors/OL3A", "/authors/OL2A"))
    into_two = redirect("/authors/OL4A", "/authors/OL2A")
    for number in (1, 2, 3, 4):
        assert authors(f"[{role(number)}]", to_itself, *two, into_two) == [{"key": f"/authors/OL{number}A"}]


@pytest.mark.parametrize("location", ["null", "1", '{"key": "/authors/OL2A"}', '["/authors/OL2A"]'])
def test_a_redirect_without_location_ends_the_chain(location: str) -> None:
    """Only a string at the top level is followed."""
    nowhere = record("redirect", "/authors/OL1A", f'"location": {location}, "x": {{"location": "/authors/OL2A"}}')
    assert authors(f"[{role(1)}]", nowhere, author(2)) == [{"key": "/authors/OL1A"}]
    assert authors(f"[{role(3)}]", redirect("/authors/OL3A", "/authors/OL1A"), nowhere) == [{"key": "/authors/OL1A"}]


def test_only_redirects_redirect() -> None:
    """A location in an author or a delete has no effect."""
    location = '"location": "/authors/OL2A"'
    assert authors(f"[{role(1)}]", author(1, location), author(2)) == [
        {"key": "/authors/OL1A", "location": "/authors/OL2A"}
    ]
    assert authors(f"[{role(1)}]", record("delete", "/authors/OL1A", location), author(2)) == [{"key": "/authors/OL1A"}]


def test_keys_of_missing_authors_keep_their_spelling() -> None:
    """As in the JSON of the work or redirect, not as columns."""
    assert lines(
        work(1, '"authors": [{"author": {"key": "/authors/\\t\\ud83d"}}, {"author": {"key": "/authors/OL1A"}}]'),
        redirect("/authors/OL1A", "/authors/\\u00e9\\n"),
    )[0].endswith(
        ' "authors": [{"key": "/authors/\\t\\ud83d"}, {"key": "/authors/\\u00e9\\n"}], "ia": [], "duplicates": {}}'
    )


@pytest.mark.parametrize("named", ["/authors/a\\tb", "/authors/a\\\\tb"])
@pytest.mark.parametrize("location", ["/authors/\\ud83d", "/authors/\\\\ud83d"])
def test_authors_are_found_by_columns(named: str, location: str) -> None:
    """At each step of a chain: a tab equals a backslash and a t."""
    assert authors(
        f'[{{"author": {{"key": "{named}"}}}}]',
        odd_record("redirect", b"/authors/a\\tb", f'"key": "/authors/a\\tb", "location": "{location}"'),
        odd_record("author", b"/authors/\\ud83d", '"key": "/authors/\\ud83d", "name": "A"'),
    ) == [{"key": "/authors/\ud83d", "name": "A"}]


# IA metadata


@pytest.mark.parametrize(
    ("ocaid", "boxid", "collection"),
    [
        ("scan00", ["IA1", "IA2"], ["printeddisabled", "inlibrary"]),
        ("single00", ["IA4"], ["boston"]),
        ("empty00", [], []),
        ("null00", [], []),
        ("odd\\\\name", ["IA\t1"], ["b", "\\", "", "c"]),
        ("\\u00e9t\\u00E9", [], ["caf\u00e9"]),
        ("\\u0073can00", ["IA1", "IA2"], ["printeddisabled", "inlibrary"]),
    ],
)
def test_an_item_of_the_ia_metadata(ocaid: str, boxid: list[str], collection: list[str]) -> None:
    """Values are split at semicolons; the first of two lines counts; columns are COPY text."""
    edition_record = edition(1, f'"ocaid": "{ocaid}"')
    values = {"boxid": boxid, "collection": collection}
    identifier = json.loads(f'"{ocaid}"')
    assert values_of(edition_record, member="editions") == [
        {"key": "/books/OL1M", "ocaid": identifier, "_ia_meta": values}
    ]
    assert values_of(edition_record, member="ia") == [{"identifier": identifier, **values}]


@pytest.mark.parametrize("ocaid", ["scan", "Scan00", " scan00", "odd\\\\\\\\name", "\\ud83d", "scan00\\t", "\\\\N"])
def test_an_ocaid_that_is_not_in_the_ia_metadata(ocaid: str) -> None:
    """The edition gets an empty collection and no boxid; ia does not list it."""
    (line,) = lines(edition(1, f'"ocaid": "{ocaid}"'), ia_metadata=IA_METADATA)
    assert line == (
        f'/books/OL1M\t{{"work": {{}}, "editions": [{{"key": "/books/OL1M", "ocaid": "{ocaid}",'
        ' "_ia_meta": {"collection": []}}], "authors": [], "ia": [], "duplicates": {}}'
    )


@pytest.mark.parametrize("ocaid", ['""', "null", "1", '["scan00"]', '{"key": "scan00"}', '"scan00", "ocaid": null'])
def test_an_invalid_ocaid_is_ignored(ocaid: str) -> None:
    """The edition stays unchanged, even if the metadata has an item without a name."""
    record = edition(1, f'"ocaid": {ocaid}')
    (stored,) = values_of(record, member="editions", ia_metadata=b"\tIA1\tx\n" + IA_METADATA)
    assert stored == json.loads(record.split(b"\t")[4])
    assert values_of(record, member="ia", ia_metadata=b"\tIA1\tx\n" + IA_METADATA) == []


def test_without_ia_metadata_no_ocaid_is_found() -> None:
    """A run without an archive database."""
    assert values_of(edition(1, '"ocaid": "scan00"'), member="editions", ia_metadata=b"") == [
        {"key": "/books/OL1M", "ocaid": "scan00", "_ia_meta": {"collection": []}}
    ]


def test_ia_is_in_the_order_of_editions() -> None:
    """Only items with metadata; twice if two editions share one."""
    assert values_of(
        edition(10, f'{of_work(1)}, "ocaid": "empty00"'),
        edition(9, f'"ocaid": "single00", {of_work(1)}'),
        edition(11, f'"ocaid": "unknown00", {of_work(1)}'),
        edition(12, f'"ocaid": "single00", {of_work(1)}'),
        edition(13, of_work(1)),
        work(1, '"ocaid": "scan00"'),
        member="ia",
    ) == [
        {"identifier": "single00", "boxid": ["IA4"], "collection": ["boston"]},
        {"identifier": "empty00", "boxid": [], "collection": []},
        {"identifier": "single00", "boxid": ["IA4"], "collection": ["boston"]},
    ]


def test_an_existing_ia_meta_is_replaced() -> None:
    """With an ocaid, found or not, it is replaced; without one it stays."""
    (line,) = lines(
        edition(1, f'"_ia_meta": 1, {of_work(1)}, "ocaid": "single00", "x": 2'),
        edition(2, f'"_ia_meta": {{"boxid": ["y"]}}, {of_work(1)}, "ocaid": "unknown00"'),
        edition(3, f'"_ia_meta": 1, {of_work(1)}'),
        ia_metadata=IA_METADATA,
    )
    assert line == (
        '/works/OL1W\t{"work": {}, "editions": ['
        '{"key": "/books/OL1M", "_ia_meta": {"boxid": ["IA4"], "collection": ["boston"]},'
        ' "works": [{"key": "/works/OL1W"}], "ocaid": "single00", "x": 2}, '
        '{"key": "/books/OL2M", "_ia_meta": {"collection": []},'
        ' "works": [{"key": "/works/OL1W"}], "ocaid": "unknown00"}, '
        '{"key": "/books/OL3M", "_ia_meta": 1, "works": [{"key": "/works/OL1W"}]}], "authors": [],'
        ' "ia": [{"identifier": "single00", "boxid": ["IA4"], "collection": ["boston"]}], "duplicates": {}}'
    )


# Duplicates


def duplicates(*records: bytes) -> object:
    """Return the duplicates of the one line."""
    return values_of(*records, member="duplicates")


def test_all_redirects_that_lead_to_a_work() -> None:
    """Directly or through others, in key order, whatever their own keys."""
    assert duplicates(
        work(1),
        redirect("/works/OL10W", "/works/OL1W"),
        redirect("/works/OL9W", "/works/OL10W"),
        redirect("/works/OL11W", "/works/OL9W"),
        redirect("/works/OL8W", "/works/OL10W"),
        redirect("/old", "/works/OL1W"),
        redirect("/authors/OL5A", "/works/OL1W"),
        redirect("/works/OL12W", "/works/OL13W"),
    ) == {
        "/works/OL1W": [
            "/authors/OL5A", "/old", "/works/OL8W", "/works/OL9W", "/works/OL10W", "/works/OL11W",
        ]
    }  # fmt: skip


def test_duplicates_of_the_work_come_first_and_then_of_the_editions() -> None:
    """In their order; keys without duplicates are omitted."""
    (line,) = lines(
        edition(9, of_work(1)),
        edition(10, of_work(1)),
        edition(8, of_work(1)),
        redirect("/books/OL5M", "/books/OL10M"),
        redirect("/books/OL6M", "/books/OL8M"),
        redirect("/works/OL2W", "/works/OL1W"),
        work(1),
    )
    assert line.endswith(
        ' "duplicates": {"/works/OL1W": ["/works/OL2W"], "/books/OL8M": ["/books/OL6M"],'
        ' "/books/OL10M": ["/books/OL5M"]}}'
    )


def test_a_missing_work_has_duplicates() -> None:
    """Redirects to a missing key count too."""
    assert duplicates(edition(1, of_work(404)), redirect("/works/OL1W", "/works/OL404W")) == {
        "/works/OL404W": ["/works/OL1W"]
    }


def test_loops_are_cut() -> None:
    """No key is its own duplicate, or listed twice."""
    loop = (redirect("/works/OL1W", "/works/OL2W"), redirect("/works/OL2W", "/works/OL1W"))
    into = redirect("/works/OL3W", "/works/OL2W")
    assert duplicates(edition(1, of_work(1)), *loop, into) == {"/works/OL1W": ["/works/OL2W", "/works/OL3W"]}
    assert duplicates(edition(1, of_work(2)), *loop, into) == {"/works/OL2W": ["/works/OL1W", "/works/OL3W"]}
    assert duplicates(edition(1, of_work(3)), *loop, into) == {}
    assert duplicates(edition(1, of_work(4)), redirect("/works/OL4W", "/works/OL4W")) == {}


def test_only_redirects_with_a_string_location_count() -> None:
    """Locations of other types, and those that are not strings, have no effect."""
    assert (
        duplicates(
            work(1, '"location": "/works/OL1W"'),
            record("delete", "/works/OL2W", '"location": "/works/OL1W"'),
            record("redirect", "/works/OL3W", '"location": {"key": "/works/OL1W"}'),
            record("redirect", "/works/OL4W", '"x": {"location": "/works/OL1W"}'),
            record("redirect", "/works/OL5W", '"location": "/works/OL1W", "location": null'),
            record("redirect", "/works/OL6W"),
        )
        == {}
    )


def test_an_edition_does_not_pass_redirects_to_its_work() -> None:
    """A redirect to an edition leads to that edition, and not to its work."""
    (line,) = lines(edition(1, of_work(1)), redirect("/books/OL2M", "/books/OL1M"), work(1))
    assert line.endswith(' "duplicates": {"/books/OL1M": ["/books/OL2M"]}}')


def test_locations_are_compared_as_columns() -> None:
    """The keys in duplicates are text as in the columns."""
    (line,) = lines(
        odd_record("work", "/works/\u00e9\\t".encode(), '"key": "/works/\\u00e9\\t"'),
        odd_record("redirect", b"/works/\\ud83d", '"key": "/works/\\ud83d", "location": "/works/\\u00E9\\t"'),
        odd_record("redirect", b"/works/OL1W", '"key": "/works/OL1W", "location": "/works/\\u00e9\\\\t"'),
    )
    assert line.endswith(' "duplicates": {"/works/\\u00e9\\\\t": ["/works/OL1W", "/works/\\\\ud83d"]}}')


# Counts


def test_counts() -> None:
    """Each edition is in one line, and so is each work."""
    assert counts_of(
        [edition(1, of_work(1)), edition(2, of_work(404)), edition(3, of_work(404)), edition(4), work(1), work(2)]
    ) == {"works": 2, "editions": 4, "missing_works": 1, "editions_without_work": 1, "lines": 4}


# Comparing lines

LINE = (
    b'/works/OL1W\t{"work": {"a\\u00e9": "/x", "n": [1.0, 1e5, 7, null]}, "editions": [], "authors": [],'
    b' "ia": [{"identifier": "s"}], "duplicates": {"/works/OL1W": ["/works/OL2W"]}}'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b""),
        (b"\\u00e9", b"\\u00E9"),
        (b"/x", b"\\/x"),
        (b'"s"', b'"\\u0073"'),
        (b"1.0", b"1.00"),
        (b"1.0", b"10e-1"),
        (b"1e5", b"100000.0"),
        (b"1e5", b"1E+05"),
        (b'"n": [', b'"n": 3, "n": ['),
        (b'"n": [', b'"\\u006e": {"x": 1, "x": 2}, "n": ['),
    ],
)
def test_lines_may_be_spelled_differently(old: bytes, new: bytes) -> None:
    """Escapes, numbers, and repeated names in a document may differ."""
    assert same_line(LINE, LINE.replace(old, new))
    assert same_line(LINE.replace(old, new), LINE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"/works/OL1W\t", b"/works/OL2W\t"),
        (b"/works/OL1W\t", b"/works/OL\\u0031W\t"),
        (b"\t", b" "),
        (b"\t", b"\t\t"),
        (b'"work"', b'"works"'),
        (b'"editions": [], "authors": []', b'"authors": [], "editions": []'),
        (b'"editions": [], ', b""),
        (b'"editions": [], ', b'"editions": [], "editions": [], '),
        (b'"editions": [], ', b'"editions": [], "more": [], '),
        (b"\\u00e9", b"\\u00e8"),
        (b"\\u00e9", b"\xc3\xa9"),
        (b"\\u00e9", b"\\\\u00e9"),
        (b"1.0", b"1"),
        (b"1.0", b"-1.0"),
        (b"1.0", b"1.0000000000000000000000000001"),
        (b"1.0", b"NaN"),
        (b"1e5", b"100000"),
        (b"1e5", b'"1e5"'),
        (b", 7", b", 7.0"),
        (b"null", b"false"),
        (b", null", b",null"),
        (b"[1.0", b"[ 1.0"),
        (b": ", b":"),
        (b'"n": [', b'"n": 0, "m": ['),
        (b'"identifier": "s"', b'"identifier": "s", "identifier": "s"'),
        (b'["/works/OL2W"]', b'["/works/OL2W"], "/works/OL1W": ["/works/OL2W"]'),
        (b'["/works/OL2W"]', b"[]"),
        (b"}}", b"}}\n"),
        (b"}}", b"}} "),
        (b"}}", b"}"),
    ],
)
def test_lines_differ_by_everything_else(old: bytes, new: bytes) -> None:
    """The key, members and their order, values, spacing, bytes beyond ASCII, the newline."""
    damaged = LINE.replace(old, new)
    assert damaged != LINE
    assert not same_line(LINE, damaged)
    assert not same_line(damaged, LINE)


@pytest.mark.parametrize(("a", "b"), [("0.0", "-0.0"), ("0.0", "0"), ("1e400", "1e401"), ("9" * 70, "9" * 69 + "8")])
def test_different_numbers_differ(a: str, b: str) -> None:
    """However close."""
    line_a, line_b = (LINE.replace(b"1e5", number.encode()) for number in (a, b))
    assert same_line(line_a, line_a)
    assert not same_line(line_a, line_b)


def test_integers_may_spell_zero_with_a_sign() -> None:
    """json.loads and json.dumps drop the sign."""
    assert same_line(LINE.replace(b"7", b"-0"), LINE.replace(b"7", b"0"))


def test_a_line_that_breaks_the_contract_equals_no_line() -> None:
    """Not even itself: two equal mistakes are not agreement."""
    for damaged in (
        LINE.replace(b": ", b":"),
        LINE.replace(b"/x", b"\x7f"),
        LINE.replace(b"/x", b"\x1f"),
        LINE.replace(b"/x", b"\xc3\xa9"),
        LINE.replace(b"7", b"Infinity"),
        LINE.replace(b'"ia"', b'"IA"'),
        LINE[:-1],
        b"/works/OL1W\t{}",
        b"/works/OL1W",
        b"",
    ):
        assert not same_line(damaged, damaged)


# Catalogues


@settings(max_examples=examples(40), deadline=None)
@given(catalogue=catalogues())
def test_every_edition_and_every_work_is_in_one_line(catalogue: Catalogue) -> None:
    """Each line meets the contract, in order."""
    judged = deworks_of(catalogue.records, catalogue.ia_metadata)
    counts = counts_of(catalogue.records)
    stored = [record.split(b"\t")[0] for record in catalogue.records]
    assert counts["lines"] == len(judged)
    assert (counts["works"], counts["editions"]) == (stored.count(b"/type/work"), stored.count(b"/type/edition"))

    documents = [json.loads(line.split(b"\t")[1]) for line in judged]
    editions = Counter(edition["key"] for document in documents for edition in document["editions"])
    assert len(editions) == editions.total() == counts["editions"]
    assert sum(document["work"] != {} for document in documents) == counts["works"]
    assert all(same_line(line, line) for line in judged)

    line_keys = [line.split(b"\t")[0] for line in judged]
    works = len(judged) - counts["editions_without_work"]
    assert line_keys[:works] == sorted(set(line_keys[:works]), key=order_key)
    assert line_keys[works:] == sorted(set(line_keys[works:]), key=order_key)


@settings(max_examples=examples(25), deadline=None)
@given(catalogue=catalogues())
def test_the_order_of_records_does_not_matter(catalogue: Catalogue) -> None:
    """The same records give the same lines."""
    there = deworks_of(catalogue.records, catalogue.ia_metadata)
    assert deworks_of(reversed(catalogue.records), catalogue.ia_metadata) == there


@settings(max_examples=examples(25), deadline=None)
@given(catalogue=catalogues())
def test_catalogues_are_dumps(catalogue: Catalogue) -> None:
    """Distinct keys, five columns, part after part, each in key order; the metadata sorted by identifier."""
    columns = [record.removesuffix(b"\n").split(b"\t") for record in catalogue.records]
    assert {len(row) for row in columns} <= {5}
    keys_of_types: dict[bytes, list[bytes]] = {}
    for type_key, key, *_ in columns:
        keys_of_types.setdefault(type_key, []).append(key)
    assert len({key for _, key, *_ in columns}) == len(columns)
    assert [key for keys in keys_of_types.values() for key in keys] == [key for _, key, *_ in columns]
    for keys_of_type in keys_of_types.values():
        assert keys_of_type == sorted(keys_of_type, key=order_key)
    assert catalogue.ia_metadata.count(b"\t") == 2 * catalogue.ia_metadata.count(b"\n")
