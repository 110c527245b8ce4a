"""Which members of a document have a value, however the document is written."""

import json

import pytest

from oldump.records.fill import FIELDS, filled

SLOW = {
    "as they are": "",
    "beside a lone surrogate": r', "note": "\ud83d"',
    "beside a number beyond a float": ', "n": 1e400',
    "beside deep nesting": f', "x": {"[" * 3_000}{"]" * 3_000}',
}
"""What makes a document go the exact way, by its name."""


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
def test_what_is_a_value(value: str, counts: bool, more: str) -> None:
    """Anything but null, and an empty string, list or object."""
    document = f'{{"key": "/works/OL1W", "title": {value}{more}}}'.encode()
    assert filled("works", [document])["title"] == counts


@pytest.mark.parametrize("more", SLOW.values(), ids=SLOW)
def test_a_member_that_is_not_there_has_none(more: str) -> None:
    """Nor has one that only another object has; of a name that stands twice the last one counts."""
    document = f'{{"x": {{"title": "a"}}, "covers": [1], "covers": []{more}}}'.encode()
    assert not +filled("works", [document])
    assert filled("works", [f'{{"\\u0074itle": "a", "covers": [], "covers": [1]{more}}}'.encode()])["covers"] == 1


@pytest.mark.parametrize("part", FIELDS)
def test_each_member_is_counted_for_itself(part: str) -> None:
    """Of four documents each member has a value in as many as it was given one."""
    fields = FIELDS[part]
    documents = [
        {name: ["x"] if place % 4 > number else [] for place, name in enumerate(fields)} for number in range(4)
    ]
    counts = filled(part, [json.dumps(document).encode() for document in documents])
    assert counts == {name: place % 4 for place, name in enumerate(fields)}


def test_of_no_documents_there_are_no_counts() -> None:
    """An empty part is possible."""
    assert not +filled("editions", [])
