"""The fast path gives the same results compiled and as plain Python."""

import numpy as np

from oldump.kernel import rows as as_installed
from oldump.kernel.rows import CONVERTED, PRIVATE, UNPROVED, UNRANKED
from oldump.records.record import record_rank
from oldump.records.rows import TABLES, ConvertedRows
from oldump.synth.table import copy_blocks
from tables import ODD_DOCUMENTS, ODD_LINES, copy_row
from unit.kernel.plain import plain

PLAIN = plain("rows")
CUTOFF = b"2022-08-01"
CORE = '"type": {"key": "/type/work"}, "revision": 1, "last_modified": {"value": "2010"}'
LONG = 100_000
"""Longer rows are omitted, because plain Python is too slow for them."""
ROWS = b"".join(
    [
        *(row for _, text in ODD_DOCUMENTS if len(row := copy_row(1, 1, text)) < LONG),
        *(line + b"\n" for _, line in ODD_LINES if len(line) < LONG),
        *copy_blocks(150),
    ]
)


def test_plain_python_converts_rows_like_the_compiled_kernel() -> None:
    """Text, offsets, outcomes, ranks and parts are equal, for rows of every outcome."""
    assert not PLAIN.COMPILED
    one, other = (module.RowReader(TABLES).read(ROWS, CUTOFF) for module in (as_installed, PLAIN))
    assert set(one.outcomes.tolist()) == {CONVERTED, UNRANKED, UNPROVED, PRIVATE}
    assert (bytes(one.text), one.newest) == (bytes(other.text), other.newest)
    for name in ("outcomes", "starts", "ends", "ranks", "parts"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_plain_python_proves_records_like_the_compiled_kernel() -> None:
    """Most converted records are proved, damaged lines are not, and the offset of the JSON is right."""
    records = ConvertedRows(ROWS, CUTOFF.decode()).records
    text = b"".join(record + b"\n" for record in records) + b"no record\n" + records[0].replace(b"\t", b" ", 1) + b"\n"
    one, other = (module.RecordReader(TABLES).read(text) for module in (as_installed, PLAIN))
    for name, values in one._asdict().items():
        assert np.array_equal(values, getattr(other, name)), name
    assert one.is_proved.sum() > len(records) // 2
    assert not one.is_proved[-2:].any()
    lines = text.split(b"\n")
    assert [lines[place].split(b"\t")[4] for place in np.flatnonzero(one.is_proved)] == [
        text[start : end - 1] for start, end in zip(one.text_starts, one.ends, strict=True) if start
    ]


def test_the_buffer_grows_for_a_long_row() -> None:
    """Also if each of its keys becomes longer. The rows after it are converted as usual."""
    keys = ", ".join(['{"key": "/l/e"}'] * 100_000)
    long = copy_row(1, 1, '{"key": "/l/e", "x": [' + keys + "], " + CORE + "}")
    short = copy_row(1, 1, '{"key": "/b/OL1M", ' + CORE + "}")
    reader = as_installed.RowReader(TABLES)
    for block in (short + long + short, short):
        read = reader.read(block, CUTOFF)
        lines = bytes(read.text).splitlines()
        assert len(lines) == block.count(b"\n")
        assert all(b"/books/OL1M" in line or line.count(b"/languages/e") == 100_002 for line in lines)


def test_plain_python_ranks_records_like_the_compiled_kernel() -> None:
    """Ranks equal those of record_rank for common keys, and are 0 for all other lines."""
    records = ConvertedRows(ROWS, CUTOFF.decode()).records
    odd = [b"", b"x\ty", b"\t/works/OL1W\t1\t", b"t\t/works/OL1W\t01\tw\t{}", b"t\t/works/OL1W\t1\tw\t{\t}"]
    odd += [b"t\t/works/OL1W\t-1\tw\t{}", b"t\t/works/OL1M\t1\tw\t{}", b"t\t/works/OL%dW\t1\tw\t{}" % 10**13]
    text = b"".join(line + b"\n" for line in (*records, *odd, b"t\t/works/OL1W\t1\tw\t\xff"))
    ranks, plain_ranks = (module.RecordReader(TABLES).ranks(text) for module in (as_installed, PLAIN))
    assert ranks.tolist() == plain_ranks.tolist()
    ranked = np.flatnonzero(ranks[: len(records)]).tolist()
    assert len(ranked) > len(records) // 2
    assert ranks[ranked].tolist() == [record_rank(records[place]) for place in ranked]
    assert ranks[len(records) :].tolist() == [0] * len(odd) + [record_rank(b"t\t/works/OL1W\t1\tw\t{}")]


def test_a_marked_member_sends_the_document_to_the_slow_path() -> None:
    """At any depth. A text value or a similar name does not."""
    reader = as_installed.RecordReader(TABLES._replace(marks=(b"email",)))
    head = b'/type/work\t/works/OL1W\t1\t2010\t{"key": "/works/OL1W", "type": {"key": "/type/work"}, "revision": 1, '
    head += b'"last_modified": {"value": "2010"}, "x": '
    texts = [b'{"email": 1}', b'[{"a": {"email": []}}]', b'"email"', b'{"emails": 1}', b'{"mail": 1}', b'{"Email": 1}']
    proofs = reader.read(b"".join(head + text + b"}\n" for text in texts))
    assert proofs.is_proved.tolist() == [False, False, True, True, True, True]
