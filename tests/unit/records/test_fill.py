"""Fill rates: which members of a document have a value."""

import json

import pytest

from oldump.records.fill import FIELDS, filled

SLOW = {
    "as they are": "",
    "beside a lone surrogate": r', "note": "\ud83d"',
    "beside a number beyond a float": ', "n": 1e400',
    "beside deep nesting": f', "x": {"[" * 3_000}{"]" * 3_000}',
}
"""Members that send a document to the slow path, by name."""


@pytest.mark.parametrize("more", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize(
    ("value", "counts"),
    [
        ('"The Waves"', True),
        ('"a"', True),
        ('"ab"', True),
        ('" "', True),
        ('["a"]', True),
        ("[[]]", True),
        ('{"": null}', True),
        ("17", True),
        ("1", True),
        ("0", True),
        ("1234", True),
        ("false", True),
        ("true", True),
        ('""', False),
        ("[]", False),
        ("{}", False),
        ("null", False),
    ],
)
def test_values_that_count(value: str, counts: bool, more: str) -> None:
    """Anything except null and an empty string, list or object."""
    document = f'{{"key": "/works/OL1W", "title": {value}{more}}}'.encode()
    assert filled("works", [document])["title"] == counts


@pytest.mark.parametrize("more", SLOW.values(), ids=SLOW)
def test_a_missing_member_has_no_value(more: str) -> None:
    """A nested member does not count; of a repeated name, the last one counts."""
    document = f'{{"x": {{"title": "a"}}, "covers": [1], "covers": []{more}}}'.encode()
    assert not +filled("works", [document])
    assert filled("works", [f'{{"\\u0074itle": "a", "covers": [], "covers": [1]{more}}}'.encode()])["covers"] == 1


@pytest.mark.parametrize("part", FIELDS)
def test_each_member_is_counted_separately(part: str) -> None:
    """In four documents, each member has as many values as it was given."""
    fields = FIELDS[part]
    documents = [
        {name: ["x"] if place % 4 > number else [] for place, name in enumerate(fields)} for number in range(4)
    ]
    counts = filled(part, [json.dumps(document).encode() for document in documents])
    assert counts == {name: place % 4 for place, name in enumerate(fields)}


def test_no_documents_give_no_counts() -> None:
    """A part may be empty."""
    assert not +filled("editions", [])
