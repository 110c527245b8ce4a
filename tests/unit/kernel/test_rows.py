"""The kernel as plain Python reads what it reads compiled."""

import numpy as np

from oldump.kernel import rows as as_installed
from oldump.records.record import record_rank
from oldump.records.rows import TABLES, ConvertedRows
from oldump.synth.table import copy_blocks
from tables import ODD_DOCUMENTS, ODD_LINES, copy_row
from unit.kernel.plain import plain

PLAIN = plain("rows")
CUTOFF = b"2022-08-01"
CORE = '"type": {"key": "/type/work"}, "revision": 1, "last_modified": {"value": "2010"}'
LONG = 100_000
"""What is longer takes plain Python too long."""
ROWS = b"".join(
    [
        *(row for _, text in ODD_DOCUMENTS if len(row := copy_row(1, 1, text)) < LONG),
        *(line + b"\n" for _, line in ODD_LINES if len(line) < LONG),
        *copy_blocks(150),
    ]
)


def test_rows_are_read_as_when_compiled() -> None:
    """Whatever becomes of them: text, places, ranks, parts, and what is left to the exact way."""
    assert not PLAIN.COMPILED
    one, other = (module.RowReader(TABLES).read(ROWS, CUTOFF) for module in (as_installed, PLAIN))
    assert len(set(one.fates.tolist())) == 4
    assert (bytes(one.text), one.newest) == (bytes(other.text), other.newest)
    for name in ("fates", "starts", "ends", "ranks", "parts"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_records_are_read_as_when_compiled() -> None:
    """And what is proved of them is what the kernel itself has written."""
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


def test_room_is_made_for_a_long_row() -> None:
    """Also where each key becomes longer; and the row after it is read as always."""
    keys = ", ".join(['{"key": "/l/e"}'] * 100_000)
    long = copy_row(1, 1, '{"key": "/l/e", "x": [' + keys + "], " + CORE + "}")
    short = copy_row(1, 1, '{"key": "/b/OL1M", ' + CORE + "}")
    reader = as_installed.RowReader(TABLES)
    for block in (short + long + short, short):
        read = reader.read(block, CUTOFF)
        lines = bytes(read.text).splitlines()
        assert len(lines) == block.count(b"\n")
        assert all(b"/books/OL1M" in line or line.count(b"/languages/e") == 100_002 for line in lines)


def test_ranks_are_read_as_when_compiled() -> None:
    """Those of usual records, as record_rank gives them, and no others."""
    records = ConvertedRows(ROWS, CUTOFF.decode()).records
    odd = [b"", b"x\ty", b"\t/works/OL1W\t1\t", b"t\t/works/OL1W\t01\tw\t{}", b"t\t/works/OL1W\t1\tw\t{\t}"]
    odd += [b"t\t/works/OL1W\t-1\tw\t{}", b"t\t/works/OL1M\t1\tw\t{}", b"t\t/works/OL%dW\t1\tw\t{}" % 10**13]
    text = b"".join(line + b"\n" for line in (*records, *odd, b"t\t/works/OL1W\t1\tw\t\xff"))
    ranks, plain_ranks = (module.RecordReader(TABLES).ranks(text) for module in (as_installed, PLAIN))
    assert ranks.tolist() == plain_ranks.tolist()
    usual = np.flatnonzero(ranks[: len(records)]).tolist()
    assert len(usual) > len(records) // 2
    assert ranks[usual].tolist() == [record_rank(records[place]) for place in usual]
    assert ranks[len(records) :].tolist() == [0] * len(odd) + [record_rank(b"t\t/works/OL1W\t1\tw\t{}")]


def test_marks_are_left_to_the_exact_way() -> None:
    """A member of that name at any depth, and no other."""
    reader = as_installed.RecordReader(TABLES._replace(marks=(b"email",)))
    head = b'/type/work\t/works/OL1W\t1\t2010\t{"key": "/works/OL1W", "type": {"key": "/type/work"}, "revision": 1, '
    head += b'"last_modified": {"value": "2010"}, "x": '
    texts = [b'{"email": 1}', b'[{"a": {"email": []}}]', b'"email"', b'{"emails": 1}', b'{"mail": 1}', b'{"Email": 1}']
    held = reader.read(b"".join(head + text + b"}\n" for text in texts))
    assert held.is_proved.tolist() == [False, False, True, True, True, True]
