"""Convert rows of table `data`, one block of COPY text at a time.

Each row becomes a record, a drop or a reject. The kernel converts nearly all rows in one pass over their bytes: this is
the fast path (see kernel.rows). A row that it cannot convert with certainty takes the slow path, through
`document.normalised`. Both paths give the same bytes.
"""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from oldump.kernel.arrays import Flags, Places, Ranks
from oldump.kernel.rows import COMPILED, CONVERTED, PRIVATE, UNPROVED, UNRANKED, ConvertedBlock, RowReader, Tables
from oldump.records import copytext
from oldump.records.document import Document, Reject, Rejected, normalised
from oldump.records.keys import COLLECTIONS, LEGACY_PREFIXES, REVISION_BITS, modern, rank
from oldump.records.privacy import PRIVATE_PREFIX, PUBLIC_PART, Drop, reason_to_drop
from oldump.records.record import PART_NUMBER_OF_TYPE, column, part_number, record_of, revision_of
from oldump.records.tally import newest_of

PartNumbers = np.ndarray[tuple[int], np.dtype[np.uint8]]

TABLES = Tables(
    types=[*PART_NUMBER_OF_TYPE.items()],
    collections=[(each.stem.encode(), each.letter.encode(), each.rank) for each in COLLECTIONS],
    legacy=[(old.encode(), new.encode()) for old, new in LEGACY_PREFIXES.items()],
    revision_bits=REVISION_BITS,
    redirect=b"/type/redirect",
    private=(PRIVATE_PREFIX.encode(), PUBLIC_PART.encode()),
)
_read = RowReader(TABLES).read if COMPILED else None


class Rejection(NamedTuple):
    """A row that cannot become a record."""

    row: int
    """Its index in the block, from 0."""
    reason: Reject
    line: bytes
    """The row as stored, without its newline."""


class ConvertedRows:
    """The records, drops and rejects of one block of rows.

    The arrays are parallel: each has one entry per record, in the order of the rows.
    """

    def __init__(self, block: bytes, cutoff: str, withheld: Collection[str] = ()) -> None:
        """Convert a block of whole lines.

        cutoff: from privacy.first_text_after. withheld: the keys whose rows are dropped.
        """
        self.drops: Counter[Drop] = Counter()
        self.rejects: list[Rejection] = []
        self.cut_short = False
        """Whether the block ends in the middle of a line: the last line has no newline and is rejected."""
        self._cutoff, self._withheld = cutoff, {modern(key) for key in withheld}
        self._lines = block if block.endswith(b"\n") or not block else block + b"\n"
        read = _read(self._lines, cutoff.encode()) if _read is not None else _unproved(self._lines)
        self.newest = read.newest.decode()
        """The latest last_modified of the records."""
        self.rows = self._end_of_data(read)
        self.ended = self.rows < len(read.outcomes)
        """Whether the block contains the end-of-data marker."""
        self.text_after_end = self.rows + 1 < len(read.outcomes)
        """Whether text follows the end-of-data marker."""
        self._read = read
        self._slow_records: list[bytes] = []
        """Records from the slow path. Their text follows that of the kernel's records."""
        self._end = len(read.text)
        self._kept: Flags = read.outcomes == CONVERTED
        self._kept[self.rows :] = False
        if withheld:
            self._withhold()
        outcomes = read.outcomes[: self.rows]
        if private := int(np.count_nonzero(outcomes == PRIVATE)):
            self.drops[Drop.PRIVATE_PAGE] = private
        for row in np.flatnonzero((outcomes == UNRANKED) | (outcomes == UNPROVED)).tolist():
            self._finish(row)
        self.text = memoryview(b"".join((read.text, *self._slow_records))) if self._slow_records else read.text
        """Contains the records, each with its newline."""
        self.starts: Places = read.starts[self._kept]
        """The offset of each record in the text."""
        self.ends: Places = read.ends[self._kept]
        """The offset after each record's newline."""
        self.ranks: Ranks = read.ranks[self._kept]
        self.part_numbers: PartNumbers = read.parts[self._kept]
        """The index of each record's part in record.PARTS."""
        if len(self._lines) > len(block) and self.rejects and not self.ended:
            self.cut_short = self.rejects[-1].row == self.rows - 1

    @property
    def records(self) -> list[bytes]:
        """The records without their newlines."""
        return [
            self.text[start : end - 1].tobytes()
            for start, end in zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        ]

    def _end_of_data(self, read: ConvertedBlock) -> int:
        """Return the number of rows before the end-of-data marker, or of all rows."""
        is_short = read.ends - read.starts == len(copytext.END_OF_DATA) + 1
        for row in np.flatnonzero((read.outcomes == UNPROVED) & is_short).tolist():
            if self._line(read, row) == copytext.END_OF_DATA:
                return row
        return len(read.outcomes)

    def _withhold(self) -> None:
        """Drop the kernel's records of the withheld keys. The drop rules see the keys of all other rows."""
        read, text = self._read, self._read.text.tobytes()
        places = np.flatnonzero(self._kept)
        ends = read.ends[places]
        for key in map(column, self._withheld):
            at = -1
            while (at := text.find(b"\t%b\t" % key, at + 1)) >= 0:
                place = int(np.searchsorted(ends, at))
                start = read.starts[places[place]] if place < len(places) else len(text)
                if start < at and b"\t" not in text[start:at]:  # column 2 of a record that is kept
                    self._kept[places[place]] = False
                    self.drops[Drop.WITHHELD] += 1
        if self.drops[Drop.WITHHELD]:
            self.newest = newest_of(text, read.starts[self._kept], read.ends[self._kept])

    def _line(self, read: ConvertedBlock, row: int) -> bytes:
        """Return an unproved row without its newline."""
        return self._lines[read.starts[row] : read.ends[row] - 1]

    def _finish(self, row: int) -> None:
        """Convert a row that the kernel did not, or apply the drop rules to a record that it made."""
        read = self._read
        if read.outcomes[row] == UNPROVED:
            self._convert(self._line(read, row), row)
            return
        record = read.text[read.starts[row] : read.ends[row]].tobytes()
        type_key, key, revision, last_modified, _ = record.split(b"\t", 4)
        if not self._is_dropped(key.decode(), type_key.decode(), last_modified.decode()):
            self._keep(row, type_key, key, revision, last_modified)

    def _convert(self, line: bytes, row: int) -> None:
        """Convert one row on the slow path."""
        try:
            document = document_of(line)
        except Rejected as rejected:
            self.rejects.append(Rejection(row, rejected.reason, line))
            return
        if self._is_dropped(document.key, document.type_key, document.last_modified):
            return
        record = record_of(document)
        self._slow_records.append(record + b"\n")
        self._read.starts[row], self._end = self._end, self._end + len(record) + 1
        self._read.ends[row] = self._end
        type_key, key, revision, last_modified, _ = record.split(b"\t")
        self._keep(row, type_key, key, revision, last_modified)

    def _is_dropped(self, key: str, type_key: str, last_modified: str) -> bool:
        drop = reason_to_drop(key, type_key, last_modified, self._cutoff, self._withheld)
        if drop:
            self.drops[drop] += 1
        return drop is not None

    def _keep(self, row: int, type_key: bytes, key: bytes, revision: bytes, last_modified: bytes) -> None:
        """Keep the row as a record with these columns before its JSON."""
        self._read.ranks[row] = rank(key, revision_of(revision))
        self._read.parts[row] = part_number(type_key)
        self._kept[row] = True
        self.newest = max(self.newest, last_modified.decode())


def _unproved(lines: bytes) -> ConvertedBlock:
    """Return all rows as unproved, which sends them to the slow path."""
    ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n")) + 1
    starts = np.concatenate(([0], ends))[:-1]
    return ConvertedBlock(
        text=memoryview(b""),
        outcomes=np.full(len(ends), UNPROVED, np.uint8),
        starts=starts,
        ends=ends,
        ranks=np.zeros(len(ends), np.uint64),
        parts=np.zeros(len(ends), np.uint8),
        newest=b"",
    )


def document_of(line: bytes) -> Document:
    """Return the document of one line of COPY text: the slow path. Raises Rejected."""
    if copytext.ends_in_lone_backslash(line):
        raise Rejected(Reject.LONE_BACKSLASH)
    fields = copytext.fields(line)
    if len(fields) != 3:
        raise Rejected(Reject.NOT_THREE_COLUMNS)
    columns = [copytext.unescaped(field) for field in fields]
    try:
        b"\n".join(columns).decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected(Reject.NOT_UTF8) from None
    if fields[2] == copytext.NULL:
        raise Rejected(Reject.NOT_A_JSON_OBJECT)
    return normalised(columns[2])
