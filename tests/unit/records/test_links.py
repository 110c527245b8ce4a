"""What documents say of each other, however they are written."""

import pytest

from oldump.records.links import EditionLinks, author_keys, edition_links, location_of

SLOW = {
    "as they are": "",
    "beside a lone surrogate": r', "title": "\ud83d"',
    "beside a number beyond a float": ', "n": 1e400',
    "beside deep nesting": f', "x": {"[" * 3_000}{"]" * 3_000}',
}
"""What makes a document go the exact way, by its name."""


def document(members: str, more: str) -> bytes:
    """JSON text of an object."""
    return f'{{"key": "/x"{members}{more}}}'.encode()


@pytest.fixture(params=SLOW)
def more(request: pytest.FixtureRequest) -> str:
    """The end of a document that goes one of the two ways."""
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
    """The first of works, if that is an object with a string key; the same on the fast and on the exact way."""
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
    """A string that is not empty: a number is none, however it is spelled."""
    assert edition_links(document(f', "ocaid": {ocaid}', more)).ocaid == name


def test_an_edition_without_links(more: str) -> None:
    """Nothing is nothing; a member further down is not the document's."""
    assert edition_links(document("", more)) == EditionLinks(None, None)
    assert edition_links(document(', "x": {"ocaid": "foo", "works": [{"key": "/w"}]}', more)) == (None, None)


def test_a_member_that_stands_twice_counts_once(more: str) -> None:
    """The last one, as for json.loads."""
    twice = ', "ocaid": "a", "works": [{"key": "/works/OL1W"}], "ocaid": "b", "works": []'
    assert edition_links(document(twice, more)) == (None, "b")
    assert location_of(document(', "location": "/a", "location": "/b"', more)) == "/b"
    assert author_keys(document(', "authors": [{"author": {"key": "/a"}}], "authors": null', more)) == []


def test_the_authors_of_a_work(more: str) -> None:
    """Those that a role names, in order, also twice; whatever else stands there is left out."""
    authors = r"""
        [{"type": "/type/author_role", "author": {"key": "/authors/OL2A"}}, {"author": {"key": "/authors/OL1A"}},
        {"author": "/authors/OL3A"}, {"key": "/authors/OL4A"}, "/authors/OL5A", {}, [], null, 5, {"author": {}},
        {"author": {"key": 6}}, {"author": {"key": 1e400}}, {"author": null}, {"author": {"key": "\udc00"}},
        {"author": {"key": "/authors/OL6A"}, "author": {"key": "/authors/OL2A"}}, {"author": {"key": ""}}]
    """
    keys = ["/authors/OL2A", "/authors/OL1A", "\udc00", "/authors/OL2A", ""]
    assert author_keys(document(f', "authors": {authors}', more)) == keys


@pytest.mark.parametrize("authors", ["{}", '"/authors/OL1A"', "3", "null", "[]"])
def test_authors_that_are_no_list(authors: str, more: str) -> None:
    """Name nobody."""
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
    """A string, or it leads nowhere."""
    assert location_of(document(f', "location": {location}', more)) == key
