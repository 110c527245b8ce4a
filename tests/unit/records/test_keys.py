"""Keys: today's spelling, and an order that is represented by integers."""

from decimal import Decimal
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import reference
from examples import examples
from oldump.records.keys import (
    COLLECTIONS,
    LEGACY_PREFIXES,
    MAX_REVISION,
    NUMBER_BITS,
    documents,
    modern,
    order_key,
    rank,
    settled,
)

# Texts for the parts of a key before, in place of and after its number.
STEMS = [
    "", "/", "//", "/OL", "OL", "x", "x/authors/OL", "authors/OL", "/authors", "/authors/", "/authors/OL",
    "/authors/ol", "/authors/OLOL", "/authors/OL1AOL", "/authors/O", "/authors/P", "/authors-old/OL", "/author/OL",
    "/b/OL", "/books", "/books/OL", "/books/ia:foo", "/books/\u00e9OL", "/books/OL-", "/books/OL\u0661",
    "/languages/OL", "/people", "/people/", "/people//OL", "/people/\x7f\u00ff", "/people/a", "/people/a/lists/OL",
    "/people/aa/lists/OL", "/people/abcdOL", "/people/abceOL", "/people/OL", "/people/\u8a9e/lists/OL",
    "/people/OL1A/lists/OL", "/people!/OL", "/people0", "x/people/a", "!/people/a", "people/x", "/subjects/OL",
    "/works", "/works!/OL", "/works/", "/works/OL", "/works/OL1W/OL", "/works/fooOL", "/works0", "/zoo/OL",
    "\U0010ffff/works/OL",
]  # fmt: skip
NUMBERS = [
    "", "0", "00", "000", "1", "01", "5", "05", "005", "50", "9", "10", "12", str(10**12 - 1), str(10**12),
    str(2**NUMBER_BITS - 2), str(2**NUMBER_BITS - 1), "0" + str(2**NUMBER_BITS - 1), str(2**NUMBER_BITS),
    str(2**63), str(2**64), "1" + "0" * 39, "01" + "0" * 39, "7" * 5000, "0" * 5000 + "5",
]  # fmt: skip
ENDINGS = ["", "A", "B", "L", "M", "N", "W", "X", "Z", "a", "m", "w", "z", "\u00e9", "W\\n", "W ", "WX", "W/x", "-DUP"]
REVISIONS = [
    Decimal(text)
    for text in ("-" + "9" * 5000, "-1", "-0", "0", "1", "2", "9", "10", str(2**20 - 2), str(2**20 - 1), str(2**20),
                 str(2**20 + 1), str(2**63), str(2**64), "9" * 30, "9" * 5000)
]  # fmt: skip

Place = tuple[bytes, Decimal]

some_keys = st.one_of(
    st.builds(
        "{}{}{}".format,
        st.sampled_from(STEMS),
        st.sampled_from(NUMBERS) | st.integers(0, 2**41).map(str) | st.integers(0, 20).map("0{}".format),
        st.sampled_from(ENDINGS),
    ),
    st.builds("{}{}".format, st.sampled_from(STEMS), st.text(max_size=6)),
    st.text(alphabet="/OL05AMWaz\u00e9-", max_size=12),
).map(lambda key: key.encode("utf-8", "replace"))
some_revisions = st.sampled_from(REVISIONS) | st.integers().map(Decimal) | st.integers(-2, 5).map(Decimal)
some_places = st.tuples(some_keys, some_revisions)


def place_order(place: Place) -> tuple[object, Decimal]:
    """The order that ranks must never contradict."""
    key, revision = place
    return order_key(key), revision


def rank_of(place: Place) -> int:
    """Return the rank of a key and revision."""
    return rank(*place)


def assert_ranks_keep_the_order(places: list[Place]) -> None:
    """Check all pairs: of places in order, the ranks are in order."""
    in_order = sorted(places, key=place_order)
    ranks = [rank_of(place) for place in in_order]
    assert all(0 <= each < 2**64 for each in ranks)
    for (one, other), (lower, upper) in zip(pairwise(in_order), pairwise(ranks), strict=True):
        assert lower <= upper, (one, other)


def assert_settled_ranks_say_all(places: list[Place]) -> None:
    """Check all pairs: equal settled ranks are of one key and revision, equal documents of one key."""
    ranks = np.array([rank_of(place) for place in places], np.uint64)
    places_of: dict[int, set[Place]] = {}
    keys_of: dict[int, set[bytes]] = {}
    for place, each, document, is_settled in zip(
        places, ranks.tolist(), documents(ranks).tolist(), settled(ranks).tolist(), strict=True
    ):
        if is_settled:
            places_of.setdefault(each, set()).add(place)
            keys_of.setdefault(document, set()).add(place[0])
    assert [same for same in places_of.values() if len(same) > 1] == []
    assert [same for same in keys_of.values() if len(same) > 1] == []


# Today's spelling


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("/a/OL1A", "/authors/OL1A"),
        ("/b/OL1M", "/books/OL1M"),
        ("/l/eng", "/languages/eng"),
        ("/user/foo", "/people/foo"),
        ("/user/foo/lists/OL1L", "/people/foo/lists/OL1L"),
        ("/a/", "/authors/"),
        ("/a//a/OL1A", "/authors//a/OL1A"),
        ("/l/a/b", "/languages/a/b"),
    ],
)
def test_old_prefixes_become_new_ones(key: str, expected: str) -> None:
    """/a/, /b/, /l/ and /user/, once, at the start."""
    assert modern(key) == expected


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "/b",
        "/l",
        "/user",
        "/A/OL1A",
        "/abc/OL1A",
        "/users/foo",
        "a/OL1A",
        " /a/OL1A",
        "//a/x",
        "/works/a/",
    ],
)
def test_what_only_resembles_an_old_prefix_stays(key: str) -> None:
    """Without its last slash, in upper case, or not at the start, it is not an old prefix."""
    assert modern(key) == key


def test_the_old_prefixes_are_those_of_the_contract() -> None:
    """These four and no others."""
    assert LEGACY_PREFIXES == reference.NEW_PREFIXES


# The order


def test_keys_are_ordered_by_component_text_number_and_bytes() -> None:
    """/books/OL9M sorts before /books/OL10M, and all of /works/ before /works-old/."""
    in_order = [
        "/", "/authors/OL2A", "/books/OL9M", "/books/OL10M", "/books/OL18446744073709551616M", "/books/ia:foo",
        "/people/a/lists/OL9L", "/people/a/lists/OL10L", "/people/b/lists/OL1L", "/works", "/works/OL0W",
        "/works/OL01W", "/works/OL1A", "/works/OL1W", "/works/OL2W", "/works/OL-2W", "/works/OL1WX",
        "/works/OL1W\\n", "/works/OLW", "/works/\u00e9", "/works-old/OL1W",
    ]  # fmt: skip
    assert sorted(sorted(in_order), key=lambda key: order_key(key.encode())) == in_order


@settings(max_examples=examples(500), deadline=None)
@given(key=some_keys)
def test_keys_are_ordered_as_the_reference_orders_them(key: bytes) -> None:
    """By the same four criteria, for every key that has a path."""
    if b"/" in key:
        assert order_key(key) == reference.key_order(key.decode())


# Ranks


def test_ranks_never_contradict_the_order() -> None:
    """For every unusual key, and at every limit of numbers and revisions."""
    keys = ["".join(parts).encode() for parts in product(STEMS, NUMBERS, ENDINGS)]
    assert_ranks_keep_the_order([(key, revision) for key in keys for revision in (Decimal(1), Decimal(2**20))])


def test_ranks_never_contradict_the_order_of_revisions() -> None:
    """Negative, zero, common, and too large for a rank."""
    stems = [collection.stem for collection in COLLECTIONS] + ["/people/OL", "/works/fooOL"]
    keys = ["".join(parts).encode() for parts in product(stems, ["", "0", "00", "5", "05", "6"], ENDINGS)]
    assert_ranks_keep_the_order([*product(keys, REVISIONS)])


def test_settled_ranks_are_exact() -> None:
    """Two records with the same settled rank have the same key and revision: no text needs to be compared."""
    keys = ["".join(parts).encode() for parts in product(STEMS, NUMBERS, ENDINGS)]
    assert_settled_ranks_say_all([(key, revision) for key in keys for revision in (Decimal(1), Decimal(2))])
    stems = [collection.stem for collection in COLLECTIONS]
    keys = ["".join(parts).encode() for parts in product(stems, ["", "0", "00", "5", "05", "6"], ENDINGS)]
    assert_settled_ranks_say_all([*product(keys, REVISIONS)])


@settings(max_examples=examples(500), deadline=None)
@given(places=st.lists(some_places, min_size=2, max_size=12))
@example(places=[(b"/works/OL5W", Decimal(1)), (b"/works/OL05W", Decimal(2)), (b"/works/OL5A", Decimal(3))])
def test_ranks_of_any_keys_keep_their_promises(places: list[Place]) -> None:
    """For generated keys: the order and the exactness of settled ranks."""
    assert_ranks_keep_the_order(places)
    assert_settled_ranks_say_all(places)


@pytest.mark.parametrize("collection", COLLECTIONS)
@pytest.mark.parametrize("number", [0, 1, 9, 123_456, 2**40 - 2])
def test_common_keys_are_settled(collection: tuple[str, str, int], number: int) -> None:
    """Otherwise gather would compare texts without need."""
    stem, letter, _ = collection
    key = f"{stem}{number}{letter}".encode()
    ranks = np.array([rank(key, Decimal(revision)) for revision in (1, 2, MAX_REVISION - 1)], np.uint64)
    assert settled(ranks).all()
    assert len({*ranks.tolist()}) == 3
    assert len({*documents(ranks).tolist()}) == 1


@pytest.mark.parametrize(
    ("key", "revision"),
    [
        (b"/works/OL5W", 0),
        (b"/works/OL5W", -1),
        (b"/works/OL5W", MAX_REVISION),
        (b"/works/OL5W", 2**64),
        (b"/works/OL05W", 1),
        (b"/works/OL5A", 1),
        (b"/works/OL5X", 1),
        (b"/works/OL" + str(2**40 - 1).encode() + b"W", 1),
        (b"/works/OL" + str(2**64).encode() + b"W", 1),
        (b"/works/OLW", 1),
        (b"/people/abcd", 1),
        (b"/people/a/lists/OL5L", 1),
        (b"/languages/eng", 1),
    ],
)
def test_unusual_keys_and_revisions_are_not_settled(key: bytes, revision: int) -> None:
    """Their ranks may be shared with other keys or revisions."""
    assert not settled(np.array([rank(key, Decimal(revision))], np.uint64)).any()


def test_people_have_buckets_by_their_first_letter() -> None:
    """Otherwise the lists of all people would be in one bucket."""
    ranks = [rank(f"/people/{letter}/lists/OL1L".encode(), Decimal(1)) for letter in "abc"]
    assert len({each >> 52 for each in ranks}) == 3
