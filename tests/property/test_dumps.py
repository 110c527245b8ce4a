"""The dumps agree with the reference implementation, byte for byte.

For any table, any form of it, any number of workers and any memory.
"""

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from oldump.engine.budget import Budget
from oldump.errors import SourceDamaged, SourceEmpty
from oldump.synth.table import copy_blocks
from reference import dumps_of
from tables import DATE, ODD_DOCUMENTS, ODD_LINES, copy_row, tables
from unit.stages.making import (
    AMPLE,
    FORMS,
    MANY_BUCKETS,
    OVERFULL,
    Form,
    Made,
    folder_in,
    made,
    many_members,
    one_member,
    plain,
    rejects_of,
    require_reference,
)

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "real" / "openlibrary-dev.sql"

TINY = Budget(spill_bytes=1, bucket_bytes=1, bucket_shift=63)
"""Every block is spilled alone, every frame is a run, and every record a slice."""
BUDGETS = {"ample": AMPLE, "many buckets": MANY_BUCKETS, "overfull": OVERFULL}


@pytest.fixture(scope="module")
def table() -> bytes:
    """Return a synthetic table with every kind of document, odd and broken ones included.

    Documents with repeated names are left out: JSON does not define their meaning (RFC 8259, section 4). The reference
    keeps one of the members, oldump keeps the stored bytes.
    """
    rows = b"".join(copy_blocks(3000, odd_rows=60, broken_rows=40)).splitlines(keepends=True)
    return b"".join(row for row in rows if b'"title": "one", "title": "two"' not in row)


@pytest.fixture(scope="module")
def baseline(table: bytes, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return the dumps that one worker with ample memory makes."""
    out = tmp_path_factory.mktemp("baseline")
    plain(out / "data", table)
    return made(out / "data", out, workers=1)


def test_a_synthetic_table(baseline: Made, table: bytes) -> None:
    """All streams, counts and rejects agree with the reference; every kind of each occurs."""
    expected = require_reference(baseline, table)
    assert all(expected.parts.values())
    assert len(expected.drops) >= 3
    assert len(expected.rejects) == 40


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_the_same_rows_give_the_same_bytes(
    baseline: Made, table: bytes, tmp_path: Path, workers: int, budget: Budget
) -> None:
    """Files, indexes, counts and journal entries, for any workers, buckets, frames and merges."""
    plain(tmp_path / "data", table)
    run = made(tmp_path / "data", tmp_path, workers, budget)
    assert run.contents() == baseline.contents()
    assert run.counts == baseline.counts
    assert run.artifacts == baseline.artifacts
    assert rejects_of(run.folder) == rejects_of(baseline.folder)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_the_input_gives_the_same_bytes(baseline: Made, table: bytes, tmp_path: Path, form: Form) -> None:
    """Plain, gzip with one member, gzip with members that end in the middle of lines, seekable gzip."""
    form(tmp_path / "data", table)
    run = made(tmp_path / "data", tmp_path)
    assert run.contents() == baseline.contents()
    assert run.counts == baseline.counts
    assert rejects_of(run.folder) == rejects_of(baseline.folder)


def test_the_order_of_the_rows_does_not_matter(baseline: Made, table: bytes, tmp_path: Path) -> None:
    """COPY without ORDER BY gives any order: the files are the same, only the rejects' line numbers differ."""
    rows = sorted(table.splitlines(keepends=True), key=lambda row: hashlib.sha256(row).digest())
    one_member(tmp_path / "data", b"".join(rows))
    run = made(tmp_path / "data", tmp_path, budget=OVERFULL)
    assert run.contents() == baseline.contents()
    assert run.counts == baseline.counts
    assert sorted(row for _, _, row in rejects_of(run.folder)) == sorted(
        row for _, _, row in rejects_of(baseline.folder)
    )


@given(tables(), st.sampled_from((1, 2, 3)), st.sampled_from((AMPLE, TINY)), st.sampled_from((plain, many_members)))
@settings(deadline=None, max_examples=examples(15))
def test_any_table(text: bytes, workers: int, budget: Budget, form: Form) -> None:
    """Any mixture of rows; a truncated table and one with nothing to publish are refused."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        form(folder / "data", text)
        expected = dumps_of(text, DATE)
        is_cut_off = not text.endswith((b"\n", b"\n\\.")) and [row for row, *_ in expected.rejects][-1:] == [
            expected.rows
        ]
        if expected.cdump and not is_cut_off:
            require_reference(made(folder / "data", folder, workers, budget), text, byte_by_byte=False)
            return
        with pytest.raises(SourceDamaged if is_cut_off else SourceEmpty):
            made(folder / "data", folder, workers, budget)
        assert not folder_in(folder).cdump.exists()


@pytest.mark.parametrize("budget", [AMPLE, TINY], ids=["ample", "tiny"])
def test_every_oddity_at_once(tmp_path: Path, budget: Budget) -> None:
    """The whole list of odd documents and odd lines, in one table."""
    rows = [copy_row(number, 1, text) for number, (_, text) in enumerate(ODD_DOCUMENTS)]
    text = b"".join(rows) + b"".join(line + b"\n" for _, line in ODD_LINES)
    plain(tmp_path / "data", text)
    require_reference(made(tmp_path / "data", tmp_path, budget=budget), text, byte_by_byte=False)


@pytest.mark.parametrize("budget", [AMPLE, OVERFULL], ids=["ample", "overfull"])
def test_the_real_table(tmp_path: Path, budget: Budget) -> None:
    """Open Library's own development data, as psql's COPY wrote it, with the end-of-data marker."""
    if not REAL.exists():
        pytest.skip(f"{REAL} is not there: it is not part of the project")
    text = REAL.read_bytes()
    start = text.index(b"\n", text.index(b"\nCOPY public.data (thing_id, revision, data) FROM stdin;\n") + 1) + 1
    text = text[start : text.index(b"\n\\.\n", start) + 4]
    one_member(tmp_path / "data.gz", text)
    expected = require_reference(made(tmp_path / "data.gz", tmp_path, budget=budget), text)
    assert expected.rows == 690
