"""Paths and titles of pages: the site's rules, and characters that are never allowed."""

import pytest

from oldump.records.urls import encoded, moment, shown, slug


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Title of the book", "Title_of_the_book"),
        ("  Who? Me & you: a/b, $5+ ", "Who_Me_you_a_b_5"),
        ("<i>#100%\"{}|\\^[]`'", "i_100_'"),
        ("a\tb\r\nc\x00d\x85e\u2028f", "a_b_c_d_e_f"),
        ("half \ud83d of it", "half_of_it"),
        ("😀 שלום", "😀_שלום"),
        ("x" * 10_000, "x" * 100),
        ("?!", "!"),
        ("???", ""),
        ("", ""),
    ],
)
def test_a_slug_agrees_with_the_site(title: str, expected: str) -> None:
    """Runs of unsafe characters become one underscore, except at the ends; at most 100 characters."""
    assert slug(title) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/works/OL1W/a-b._~", "/works/OL1W/a-b._~"),
        ("/works/OL1W/é'&<>\"", "/works/OL1W/%C3%A9%27%26%3C%3E%22"),
        ("/works/OL1W/😀", "/works/OL1W/%F0%9F%98%80"),
        ("/works/OL1W/\ud83d", "/works/OL1W/%3F"),
    ],
)
def test_a_path_is_percent_encoded(path: str, expected: str) -> None:
    """No character remains that XML or HTML would have to escape."""
    assert encoded(path) == expected


def test_titles_are_safe_in_columns_and_pages() -> None:
    """Control characters, line ends and noncharacters are replaced; all else is kept."""
    assert shown("a\tb\x00\u2028c") == "a b  c"
    assert shown("\ud83d \ufffe \U0010ffff \ufdd0") == "\ufffd \ufffd \ufffd \ufffd"
    assert shown("<b> “שלום” 😀\u00a0&amp;") == "<b> “שלום” 😀\u00a0&amp;"


@pytest.mark.parametrize(
    ("last_modified", "expected"),
    [
        ("2008-04-30T20:50:18.033121", "2008-04-30T20:50:18Z"),
        ("2008-04-30 20:50:18", "2008-04-30T20:50:18Z"),
        ("2008-02-30T20:50:18", ""),
        ("0000-01-01T00:00:00", ""),
        ("2008-04-30", ""),
        ("٢٠٠٨-04-30T20:50:18", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_only_valid_times_are_returned(last_modified: str, expected: str) -> None:
    """A crawler gets a datetime with its zone, or none at all."""
    assert moment(last_modified) == expected
