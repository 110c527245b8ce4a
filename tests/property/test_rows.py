"""For every row, the fast path agrees with the slow path, and both agree with the reference implementation."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from examples import examples
from oldump.records.document import Rejected
from oldump.records.privacy import first_text_after, reason_to_drop
from oldump.records.record import columns, part_number, record_of, record_rank
from oldump.records.rows import ConvertedRows, document_of
from oldump.synth.table import copy_blocks
from tables import DATE, ODD_DOCUMENTS, ODD_LINES, copy_row, tables

CUTOFF = first_text_after(date.fromisoformat(DATE))
WHEN = '"last_modified": {"type": "/type/datetime", "value": "2010-01-01T00:00:00.000001"}'
CORE = ['"key": "/works/OL1W"', '"type": {"key": "/type/work"}', '"revision": 1', WHEN]
PLAIN = copy_row(1, 1, "{" + ", ".join(CORE) + "}")
SPELLED = copy_row(2, 1, '{"a": "\\u00C9 \\\\ ", ' + ", ".join(CORE) + "}")
OLD = copy_row(3, 1, '{"id": 7, "x": {"key": "/a/OL1A"}, ' + ", ".join(CORE).replace("01T00", "01 00") + "}")
NEIGHBOURS = (PLAIN, SPELLED, OLD)

ODD_ROWS: list[tuple[str, bytes]] = [
    *((name, copy_row(1, 1, text)) for name, text in ODD_DOCUMENTS),
    *((name, line + b"\n") for name, line in ODD_LINES),
]
odd_rows = pytest.mark.parametrize("row", [row for _, row in ODD_ROWS], ids=[name for name, _ in ODD_ROWS])


class Made(NamedTuple):
    """The records, drops and rejects of a table."""

    rows: int
    records: list[bytes]
    drops: Counter[str]
    rejects: list[tuple[int, str, bytes]]


def made_by_fast_path(blocks: list[bytes]) -> Made:
    """Convert blocks on the fast path."""
    made = Made(0, [], Counter(), [])
    for block in blocks:
        batch = ConvertedRows(block, CUTOFF)
        assert batch.ranks.tolist() == [record_rank(record) for record in batch.records]
        assert batch.part_numbers.tolist() == [part_number(columns(record).type_key) for record in batch.records]
        assert batch.newest == max((columns(record).last_modified for record in batch.records), default=b"").decode()
        made.drops.update(batch.drops)
        made.records.extend(batch.records)
        made.rejects.extend((made.rows + row, reason, line) for row, reason, line in batch.rejects)
        made = made._replace(rows=made.rows + batch.rows)
        if batch.ended:
            break
    return made


def made_by_slow_path(text: bytes) -> Made:
    """Convert each row alone on the slow path."""
    made = Made(len(reference.lines_of(text)), [], Counter(), [])
    for row, line in enumerate(reference.lines_of(text)):
        try:
            document = document_of(line)
        except Rejected as rejected:
            made.rejects.append((row, rejected.reason, line))
            continue
        drop = reason_to_drop(document.key, document.type_key, document.last_modified, CUTOFF)
        if drop is None:
            made.records.append(record_of(document))
        else:
            made.drops[drop] += 1
    return made


def made_by_reference(text: bytes) -> Made:
    """Convert each row alone with the reference implementation."""
    made = Made(len(reference.lines_of(text)), [], Counter(), [])
    for row, line in enumerate(reference.lines_of(text)):
        try:
            record = reference.record_of(line)
        except reference.Reject as reject:
            made.rejects.append((row, reject.reason, line))
            continue
        drop = reference.drop_reason(record, DATE)
        if drop is None:
            made.records.append(reference.written_record(record).removesuffix(b"\n"))
        else:
            made.drops[drop] += 1
    return made


Comparison = Callable[[bytes, bytes], bool]


def assert_same(fast: Made, exact: Made, same: Comparison = reference.same_record) -> None:
    """Require equal outcomes; records may differ as far as `same` allows."""
    assert fast._replace(records=[]) == exact._replace(records=[])
    assert len(fast.records) == len(exact.records)
    for one, other in zip(fast.records, exact.records, strict=True):
        assert one == other or same(one, other), (one[:2000], other[:2000])


def assert_paths_agree(text: bytes) -> None:
    """Check the fast path against the slow path, and that against the reference implementation."""
    exact = made_by_slow_path(text)
    assert exact == made_by_reference(text)
    assert_same(made_by_fast_path([text]), exact)


def lines_with_ends(text: bytes) -> list[bytes]:
    """Return the lines with their newlines; str.splitlines would also split at other characters."""
    lines = [line + b"\n" for line in text.split(b"\n")]
    return lines[:-1] + [line for line in [lines[-1].removesuffix(b"\n")] if line]


# Odd rows


@odd_rows
def test_an_odd_row_alone(row: bytes) -> None:
    """As a block of its own, with its newline and without."""
    assert_paths_agree(row)
    if row != b"\n":
        assert_paths_agree(row.removesuffix(b"\n"))


@odd_rows
def test_an_odd_row_between_others(row: bytes) -> None:
    """The outcome is the same as alone, also for its neighbours."""
    alone = made_by_fast_path([row])
    for before, after in ((NEIGHBOURS, NEIGHBOURS), ((), NEIGHBOURS), (NEIGHBOURS, ())):
        around = [
            made_by_fast_path([b"".join(each)]) if each else Made(0, [], Counter(), []) for each in (before, after)
        ]
        made = made_by_fast_path([b"".join((*before, row, *after))])
        assert made.records == around[0].records + alone.records + around[1].records
        assert made.drops == alone.drops
        assert made.rejects == [(len(before), reason, line) for _, reason, line in alone.rejects]
        assert made.rows == len(before) + 1 + len(after)


def test_all_odd_rows_together() -> None:
    """In one block, in both orders."""
    rows = [row for _, row in ODD_ROWS]
    assert_paths_agree(b"".join(rows))
    assert_paths_agree(b"".join(reversed(rows)))


# Tables


@settings(max_examples=examples(120), deadline=None)
@given(table=tables(), data=st.data())
def test_whole_tables(table: bytes, data: st.DataObject) -> None:
    """Rows of every kind agree with the reference in one block, and give the same bytes wherever blocks end."""
    assert_paths_agree(table)
    lines = lines_with_ends(table)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(lines))), label="cuts"))
    blocks = [b"".join(lines[start:end]) for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    whole = made_by_fast_path([table])
    assert made_by_fast_path(blocks) == whole
    assert made_by_fast_path(lines) == whole


def synthetic_blocks() -> Iterator[bytes]:
    """Yield a table like the live one, with rows of every odd and broken kind."""
    return copy_blocks(2000, odd_rows=50, broken_rows=50)


def same_meaning(one: bytes, other: bytes) -> bool:
    """Whether two records have the same columns and JSON of the same meaning; names in it may repeat."""
    *columns_of_one, text_of_one = columns(one)
    *columns_of_other, text_of_other = columns(other)
    return columns_of_one == columns_of_other and json.loads(text_of_one) == json.loads(text_of_other)


def same_but_for_repeated_names(one: bytes, other: bytes) -> bool:
    """Like reference.same_record, except for synthetic rows with repeated names, whose meaning JSON leaves open."""
    return same_meaning(one, other) if b'"title": "one", "title": "two"' in one else reference.same_record(one, other)


def test_synthetic_tables() -> None:
    """Rows like those of the live table use both paths in every block, with block borders anywhere."""
    blocks = [*synthetic_blocks()]
    text = b"".join(blocks)
    exact = made_by_slow_path(text)
    assert exact == made_by_reference(text)
    fast = made_by_fast_path(blocks)
    assert_same(fast, exact, same_but_for_repeated_names)
    assert fast.rows == 2000
    assert len(fast.rejects) == 50
    lines = lines_with_ends(text)
    for size in (1, 7, 500):
        assert made_by_fast_path([b"".join(lines[at : at + size]) for at in range(0, len(lines), size)]) == fast


# Deceptive documents


TRICKY_CHARACTERS = (
    "a", "T", "/", ":", "-", "0", "2", "4", " ", "  ", ", ", ": ", '\\"', "\\\\", "\\/", "\\n", "\\u0020", "\\u0061",
    "\\u002f", "\\u00e9", "\\u00E9", "\\u005C", "\\u0022", "\\ud83d", "\x7f", "key", "type", "value", "id", "location",
)  # fmt: skip
tricky_texts = st.lists(st.sampled_from(TRICKY_CHARACTERS), max_size=5).map("".join)

days = st.sampled_from(("2008-04-30", "2008-04-3", "2008-04-300", "2008 04-30", '2008-04\\"3', "2008-04\\\\3", "", "2"))
separators = st.sampled_from((" ", "T", "  ", "", "\\u0020", "\\t", '\\"', "\\\\"))
times = st.sampled_from(
    ("20:50:18", "20:50:18.033121", "20:50", "20:50:18.033121Z", "20:50:18.1", "", "2", "20:50:18.0 31")
)
tricky_moments = st.one_of(
    st.builds("{}{}{}".format, days, separators, times),
    st.builds("{}{}{}{}".format, days, separators, times, tricky_texts),
    st.builds("2008-04-30T20:50:18.033121{}".format, tricky_texts),
    # An escaped quote, or a space, at every place.
    st.builds(
        lambda at, inserted: "2008-04-30T20:50:18.033121"[:at] + inserted, st.integers(0, 27),
        st.sampled_from((" ", " x", '\\" ', '\\" x', "\\\\ x", '\\\\\\" x', "\\/ x")),
    ),
    tricky_texts,
)  # fmt: skip
type_names = st.sampled_from(("type", "class", "subtype", 'x\\"type', "t\\u0079pe", "Type", "key"))
type_texts = st.sampled_from(("/type/datetime", "\\/type\\/datetime", "/type/datetimes", "/type/text", "/type/date"))
value_names = st.sampled_from(("value", "values", "v\\u0061lue", 'x\\"value'))


@st.composite
def tricky_datetimes(draw: st.DrawFn) -> str:
    """Return JSON text of a datetime, or of something similar."""
    members = [
        f'"{draw(type_names)}": "{draw(type_texts)}"' if draw(st.booleans()) else '"type": "/type/datetime"',
        f'"{draw(value_names)}": "{draw(tricky_moments)}"'
        if draw(st.booleans())
        else f'"value": "{draw(tricky_moments)}"',
    ]
    if draw(st.integers(0, 3)) == 0:
        members.insert(
            draw(st.integers(0, 2)), draw(st.sampled_from(('"x": 1', '"x": "a b"', '"x": ["/type/datetime"]')))
        )
    if draw(st.integers(0, 3)) == 0:
        members.reverse()
    return "{" + ", ".join(members) + "}"


old_keys = st.sampled_from(
    ("/a/OL1A", "/b/OL1M", "/l/eng", "/user/foo", "/a/", "/a", "/users/x", "/us/r/x", "/u123/x", "/works/OL1W",
     "/b\\/x", "\\/a\\/x", "/\\u0061/x", "\\u002fl/x", "/user\\/x", "/us\\u0065r/x", "/b/\\ud83d", "/a/\\u00e9",
     "/a/\\u00E9", '/l/\\"')
)  # fmt: skip
texts_as_json = (old_keys | tricky_texts).map('"{}"'.format)
plain_values = st.sampled_from(
    (
        "1",
        "-5",
        "1.50",
        "1e5",
        "1E400",
        "-0",
        "null",
        "true",
        "[]",
        "{}",
        '""',
        '"a b"',
        '"x"',
        "18446744073709551616",
        "5",
    )
)
member_names = st.sampled_from(
    ("key", "location", "id", "monkey", "title", "k\\u0065y", "\\u0069d", "loc\\u0061tion", 'x\\"key', 'x\\"id',
     'x\\"location', "xid", "/a/", "/type/datetime", "value", "")
)  # fmt: skip


def decoded(name: str) -> str:
    """Return the decoded name of a member."""
    text: str = json.loads(f'"{name}"')
    return text


def tricky_objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return JSON text of an object with distinct member names."""
    members = st.lists(st.tuples(member_names, values), max_size=3, unique_by=lambda member: decoded(member[0]))
    return members.map(lambda chosen: "{" + ", ".join(f'"{name}": {value}' for name, value in chosen) + "}")


tricky_values = st.recursive(
    st.one_of(plain_values, texts_as_json, tricky_datetimes()),
    lambda values: st.one_of(
        tricky_objects(values), st.lists(values, max_size=3).map(lambda some: f"[{', '.join(some)}]")
    ),
    max_leaves=4,
)
top_names = st.sampled_from(
    ("id", "\\u0069d", "location", "loc\\u0061tion", "created", "x", "y", 'z\\"id', 'z\\"location', 'z\\"key', "value")
)
core_keys = old_keys | st.sampled_from(
    ("/works/OL1W", "/works/OL1W", "/books/OL01M", "/people/foo/lists/OL1L", "/works/\x7fOL1W", "/works/\\u0085OL1W",
     "/works/\\u00e9OL1W", "/works/OL1W\\u2029", "/x/\\u009f")
)  # fmt: skip
core_types = st.sampled_from(("work", "work", "redirect", "redirect", "r\\u0065direct", "edition", "shelf", "user"))
core_revisions = st.sampled_from(
    ("1", "1", "2", "0", "-1", "-0", "1048574", "1048575", "1048576", "18446744073709551616", "1.0")
)


@st.composite
def tricky_rows(draw: st.DrawFn) -> bytes:
    """Return a row that makes the fast path fall back to the slow path, or should."""
    more = draw(st.lists(st.tuples(top_names, tricky_values), max_size=4, unique_by=lambda member: decoded(member[0])))
    members = [f'"{name}": {value}' for name, value in more]
    if draw(st.integers(0, 9)) == 0:
        members.append(draw(st.sampled_from(('"id": 8', '"\\u0069d": {"id": 9}', '"id": "x"'))))
    members.append(f'"key": "{draw(core_keys)}"')
    members.append(f'"type": {{"key": "/type/{draw(core_types)}"}}')
    members.append(f'"revision": {draw(core_revisions)}')
    members.append(f'"last_modified": {draw(tricky_datetimes())}' if draw(st.booleans()) else WHEN)
    text = "{" + ", ".join(draw(st.permutations(members))) + "}"
    if draw(st.integers(0, 9)) == 0:
        text = draw(
            st.sampled_from((text.replace(", ", ",", 1), text.replace(": ", ":"), text[:-1], text + " ", text + "}"))
        )
    row = copy_row(draw(st.integers(1, 1000)), 1, text)
    if draw(st.integers(0, 19)) == 0:
        row = draw(
            st.sampled_from((row.replace(b"1\t", b"\\\\1\t", 1), row.replace(b"1\t", b"\\1\t", 1), row[:-1] + b"\\\n"))
        )
    return row


@settings(max_examples=examples(600), deadline=None)
@given(rows=st.lists(tricky_rows(), min_size=1, max_size=4))
def test_deceptive_rows(rows: list[bytes]) -> None:
    """Datetimes, legacy keys, locations and ids of every form, at any position, also at the end of a block."""
    assert_paths_agree(b"".join(rows))
    assert made_by_fast_path(rows) == made_by_fast_path([b"".join(rows)])


# The comparison itself


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"x", b"xx"),
        (b"rejected", b"dropped"),
    ],
)
def test_a_difference_is_found(one: bytes, other: bytes) -> None:
    """The comparison of these tests fails if a record differs or a row has another outcome."""
    good = Made(1, [one], Counter(), [])
    assert_same(good, good)
    for damaged in (
        good._replace(records=[other]),
        good._replace(records=[]),
        good._replace(rows=2),
        good._replace(drops=Counter(private_page=1)),
        good._replace(rejects=[(0, "no_key", one)]),
    ):
        with pytest.raises(AssertionError):
            assert_same(good, damaged)
