"""Links between documents, in any spelling of their JSON."""

import pytest

from oldump.records.links import EditionLinks, author_keys, edition_links, location_of

SLOW = {
    "as they are": "",
    "beside a lone surrogate": r', "title": "\ud83d"',
    "beside a number beyond a float": ', "n": 1e400',
    "beside deep nesting": f', "x": {"[" * 3_000}{"]" * 3_000}',
}
"""Members that send a document to the slow path, by name."""


def document(members: str, more: str) -> bytes:
    """Return the JSON text of an object."""
    return f'{{"key": "/x"{members}{more}}}'.encode()


@pytest.fixture(params=SLOW)
def more(request: pytest.FixtureRequest) -> str:
    """The end of a document that takes the fast or the slow path."""
    return SLOW[request.param]


@pytest.mark.parametrize(
    ("works", "key"),
    [
        ('[{"key": "/works/OL1W"}]', "/works/OL1W"),
        ('[{"key": "/works/OL1W"}, {"key": "/works/OL2W"}]', "/works/OL1W"),
        (r'[{"key": "\/works\/OL1W"}]', "/works/OL1W"),
        ('[{"key": ""}]', ""),
        ('[{"key": "/works/OL1W", "key": "/works/OL2W"}]', "/works/OL2W"),
        ('[{"key": "/works/OL1W", "key": null}]', None),
        (r'[{"key": "/works/\ud83d"}]', "/works/\ud83d"),
        ('[{}, {"key": "/works/OL2W"}]', None),
        ('[{"key": 1}]', None),
        ('[{"key": 99999999999999999999999}]', None),
        ('[{"key": 1e5}]', None),
        ('[{"key": ["/works/OL1W"]}]', None),
        ('["/works/OL1W"]', None),
        ('{"key": "/works/OL1W"}', None),
        ('"/works/OL1W"', None),
        ("[[]]", None),
        ("[]", None),
        ("null", None),
        ("12", None),
    ],
)
def test_the_work_of_an_edition(works: str, key: str | None, more: str) -> None:
    """The first of works, if it is an object with a string key; on the fast and on the slow path."""
    assert edition_links(document(f', "works": {works}', more)).work == key


@pytest.mark.parametrize(
    ("ocaid", "name"),
    [
        ('"foo00bar"', "foo00bar"),
        (r'"\u0066oo"', "foo"),
        (r'"\ud83d"', "\ud83d"),
        (r'"\ud83d\ude00"', "\U0001f600"),
        ('""', None),
        ("7", None),
        ("18446744073709551616", None),
        ("1E400", None),
        ('["foo00bar"]', None),
        ("null", None),
    ],
)
def test_the_ocaid_of_an_edition(ocaid: str, name: str | None, more: str) -> None:
    """A string that is not empty; numbers do not count, in any spelling."""
    assert edition_links(document(f', "ocaid": {ocaid}', more)).ocaid == name


def test_an_edition_without_links(more: str) -> None:
    """No links are found; nested members do not count."""
    assert edition_links(document("", more)) == EditionLinks(None, None)
    assert edition_links(document(', "x": {"ocaid": "foo", "works": [{"key": "/w"}]}', more)) == (None, None)


def test_a_repeated_member_counts_once(more: str) -> None:
    """The last one counts, as in json.loads."""
    twice = ', "ocaid": "a", "works": [{"key": "/works/OL1W"}], "ocaid": "b", "works": []'
    assert edition_links(document(twice, more)) == (None, "b")
    assert location_of(document(', "location": "/a", "location": "/b"', more)) == "/b"
    assert author_keys(document(', "authors": [{"author": {"key": "/a"}}], "authors": null', more)) == []


def test_the_authors_of_a_work(more: str) -> None:
    """The authors of all roles in order, with repetitions; everything else is ignored."""
    authors = r"""
        [{"type": "/type/author_role", "author": {"key": "/authors/OL2A"}}, {"author": {"key": "/authors/OL1A"}},
        {"author": "/authors/OL3A"}, {"key": "/authors/OL4A"}, "/authors/OL5A", {}, [], null, 5, {"author": {}},
        {"author": {"key": 6}}, {"author": {"key": 1e400}}, {"author": null}, {"author": {"key": "\udc00"}},
        {"author": {"key": "/authors/OL6A"}, "author": {"key": "/authors/OL2A"}}, {"author": {"key": ""}}]
    """
    keys = ["/authors/OL2A", "/authors/OL1A", "\udc00", "/authors/OL2A", ""]
    assert author_keys(document(f', "authors": {authors}', more)) == keys


@pytest.mark.parametrize("authors", ["{}", '"/authors/OL1A"', "3", "null", "[]"])
def test_authors_that_are_not_a_list(authors: str, more: str) -> None:
    """They give no authors."""
    assert author_keys(document(f', "authors": {authors}', more)) == []


@pytest.mark.parametrize(
    ("location", "key"),
    [
        ('"/works/OL1W"', "/works/OL1W"),
        (r'"/works/\ud83d"', "/works/\ud83d"),
        ('""', ""),
        ("1", None),
        ("123456789012345678901234567890", None),
        ('{"key": "/works/OL1W"}', None),
        ("null", None),
    ],
)
def test_the_location_of_a_redirect(location: str, key: str | None, more: str) -> None:
    """A string; otherwise there is none."""
    assert location_of(document(f', "location": {location}', more)) == key
