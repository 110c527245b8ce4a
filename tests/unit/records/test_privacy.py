"""Drops: each reason, and similar records that are published."""

from datetime import date

import pytest

from oldump.records.privacy import Drop, first_text_after, is_private, reason_to_drop

CUTOFF = first_text_after(date(2022, 7, 31))
BEFORE = "2010-01-01T00:00:00"


def reason(key: str = "/works/OL1W", type_key: str = "/type/work", last_modified: str = BEFORE) -> Drop | None:
    """Return the reason to drop a record with these columns."""
    return reason_to_drop(key, type_key, last_modified, CUTOFF)


@pytest.mark.parametrize(
    "key",
    [
        "/people/foo",
        "/people/",
        "/people//",
        "/people/foo/preferences",
        "/people/foo/lists",
        "/people/foo/lists/",
        "/people/foo/lists/OLL",
        "/people/foo/lists/OL1",
        "/people/foo/lists/OL1W",
        "/people/foo/lists/OL1l",
        "/people/foo/lists/ol1L",
        "/people/foo/lists/OL-1L",
        "/people/foo/lists/OL1L/edits",
        "/people/foo/lists/OL1L\n",
        "/people/foo/lists/OL1L ",
        "/people/foo/lists/x/OL1L",
        "/people/foo/lists/OL1LOL2L",
        "/people/foo/Lists/OL1L",
        "/people/foo/xlists/OL1L",
        "/people//lists/OL1L",
        "/people/a/b/lists/OL1L",
        "/people/people/foo/lists/OL1L",
        "/people/foo/lists/OL\u0661L",
        "/people/foo/lists/OL\uff11L",
    ],
)
@pytest.mark.parametrize("type_key", ["/type/list", "/type/page", "/type/delete", "/type/redirect"])
def test_pages_under_people_are_private(key: str, type_key: str) -> None:
    """Keys that only resemble a list's are private, and so are deleted pages."""
    assert reason(key, type_key) is Drop.PRIVATE_PAGE
    assert is_private(key, type_key)


@pytest.mark.parametrize(
    "key",
    ["/people/foo/lists/OL1L", "/people/foo/lists/OL001L", "/people/f\u00f6 \n\ud83d/lists/OL99999999999999999999L"],
)
def test_lists_are_published(key: str) -> None:
    """Exactly /people/NAME/lists/OL<digits>L."""
    assert reason(key, "/type/list") is None
    assert not is_private(key, "/type/list")


@pytest.mark.parametrize("key", ["/people", "/People/foo", "/peoples/foo", "/x/people/foo", "/lists/OL1L"])
def test_pages_outside_people_are_public(key: str) -> None:
    """The prefix is /people/, with both slashes, at the start."""
    assert reason(key) is None


@pytest.mark.parametrize("key", ["/works/OL1W", "/people/foo/lists/OL1L", "/admin/x", "/old/x", "/user", "x", ""])
def test_users_are_private_whatever_their_key(key: str) -> None:
    """Exactly the type /type/user; similar types are public."""
    assert reason(key, "/type/user") is Drop.PRIVATE_PAGE
    for type_key in ("/type/usergroup", "/type/user/", "/type/User", " /type/user", "/type/use"):
        assert not is_private(key, type_key)


@pytest.mark.parametrize("key", ["/admin/", "/admin/block"])
def test_admin_pages_are_dropped(key: str) -> None:
    """All keys under /admin/."""
    assert reason(key) is Drop.ADMIN_PAGE


@pytest.mark.parametrize("key", ["/admin", "/administrators", "/Admin/x", "/x/admin/"])
def test_pages_outside_admin_are_kept(key: str) -> None:
    """The prefix is /admin/, with both slashes, at the start."""
    assert reason(key) is None


@pytest.mark.parametrize(
    "key",
    ["/scan", "/scan_record/b/OL1M", "/scanner", "/old/", "/old/page", "DUP/works/OL1W-DUP", "", " /works/OL1W", "w"],
)
def test_obsolete_pages_are_dropped(key: str) -> None:
    """/scan…, /old/ and keys that do not start with a slash."""
    assert reason(key) is Drop.OBSOLETE_PAGE


@pytest.mark.parametrize("key", ["/sca", "/works/scan", "/Scan", "/old", "/older/x", "/x/old/", "/", "//x", "/DUP"])
def test_pages_that_resemble_obsolete_ones_are_kept(key: str) -> None:
    """The prefixes count only at the start, and /old only with its second slash."""
    assert reason(key) is None


@pytest.mark.parametrize(
    ("last_modified", "expected"),
    [
        ("2022-07-31T23:59:59.999999", None),
        ("2022-07-31T23:59:59.9999999999", None),
        ("2022-07-31 23:59:59.999999", None),
        ("2022-08-01", Drop.AFTER_CUTOFF),
        ("2022-08-01T00:00:00", Drop.AFTER_CUTOFF),
        ("2022-08-01 00:00:00", Drop.AFTER_CUTOFF),
        ("2022-08", None),
        ("2023", Drop.AFTER_CUTOFF),
        ("", None),
        ("yesterday", Drop.AFTER_CUTOFF),
    ],
)
def test_the_cutoff_is_the_end_of_the_day(last_modified: str, expected: Drop | None) -> None:
    """The last moment of the run's date is included, the next midnight is not."""
    assert reason(last_modified=last_modified) is expected


@pytest.mark.parametrize(
    ("day", "text"),
    [
        (date(2022, 7, 31), "2022-08-01"),
        (date(2021, 12, 31), "2022-01-01"),
        (date(2024, 2, 28), "2024-02-29"),
        (date(2023, 2, 28), "2023-03-01"),
    ],
)
def test_the_cutoff_is_the_day_after(day: date, text: str) -> None:
    """Across months, years and leap days."""
    assert first_text_after(day) == text


def test_without_a_date_nothing_is_too_late() -> None:
    """A run without a cutoff keeps records of the far future."""
    assert reason_to_drop("/works/OL1W", "/type/work", "9999-12-31T23:59:59", first_text_after(None)) is None
    assert reason_to_drop("/works/OL1W", "/type/work", "\uffff", first_text_after(None)) is None


def test_the_last_possible_day_has_a_cutoff() -> None:
    """date.max, which no day follows, does not fail."""
    cutoff = first_text_after(date.max)
    assert reason_to_drop("/works/OL1W", "/type/work", "9999-12-31T23:59:59", cutoff) is None


def test_a_record_counts_under_its_first_reason() -> None:
    """Private before admin before obsolete before the cutoff."""
    after = "2023-01-01"
    assert reason("/people/foo", last_modified=after) is Drop.PRIVATE_PAGE
    assert reason("/admin/x", "/type/user", after) is Drop.PRIVATE_PAGE
    assert reason("/admin/x", last_modified=after) is Drop.ADMIN_PAGE
    assert reason("/old/x", last_modified=after) is Drop.OBSOLETE_PAGE
    assert reason(last_modified=after) is Drop.AFTER_CUTOFF


def test_reasons_are_named_as_in_the_manifest() -> None:
    """Readers compare the manifests of different months by these names."""
    assert {*Drop} == {"private_page", "admin_page", "obsolete_page", "withheld", "after_cutoff"}
