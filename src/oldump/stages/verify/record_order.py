"""Order of records: compare each line of a segment with the next one, and a segment's first line with the last before.

Ranks compare most neighbours in bulk; the others, and equal ones, are compared as records.

Does not: check a line by itself; see record_rules.
"""

from typing import NamedTuple

import numpy as np

from oldump.engine.text_lines import Lines
from oldump.kernel.arrays import Flags, Ranks
from oldump.records.keys import documents, order_key
from oldump.records.record import part_number, revision_of
from oldump.stages.verify.findings import OUT_OF_ORDER, FindingKind, VerifyFinding
from oldump.stages.verify.record_block import PartNumbers


class FileOrder(NamedTuple):
    """How the records of a file are ordered, beyond by key."""

    every_revision: bool = False
    """A key may have several records, ordered by revision: the cdump."""
    by_part: bool = False
    """All records of a part come before those of the next part: the dump."""


class NeighbourComparison(NamedTuple):
    """A record compared with the next one."""

    same_key: bool
    same_revision: bool
    """Key and revision are the same."""
    problem: FindingKind | None


class Neighbours:
    """Each record of a segment compared with the next one."""

    def __init__(self, lines: Lines, parts: PartNumbers, ranks: Ranks, order: FileOrder) -> None:
        keys = documents(ranks)
        self.same_key: Flags = keys[1:] == keys[:-1]
        """For each record but the last."""
        self.same_revision = 0
        """Pairs with the same key and revision."""
        self.problems: list[tuple[int, FindingKind]] = []
        """With the position of the first record of the pair."""
        is_ordered = _ordered_by_rank(parts, ranks, keys, order)
        for place in np.flatnonzero(~is_ordered).tolist():
            pair = compare_lines(lines.line(place), lines.line(place + 1), order)
            self.same_key[place] = pair.same_key
            self.same_revision += pair.same_revision
            if pair.problem is not None:
                self.problems.append((place, pair.problem))


def _ordered_by_rank(parts: PartNumbers, ranks: Ranks, keys: Ranks, order: FileOrder) -> Flags:
    """Whether the ranks alone prove that the next record is in order, for each record but the last."""
    is_common = ranks > 0
    ascending = ranks[1:] > ranks[:-1] if order.every_revision else keys[1:] > keys[:-1]
    is_ordered: Flags = is_common[1:] & is_common[:-1] & ascending
    if order.by_part:
        is_ordered &= parts[1:] == parts[:-1]
    return is_ordered


def compare_lines(line: bytes, following: bytes, order: FileOrder) -> NeighbourComparison:
    """Compare two neighbouring lines as records. A line that is not a record is not compared; other rules find it."""
    try:
        part, key, revision, rest = _sort_fields(line)
        next_part, next_key, next_revision, next_rest = _sort_fields(following)
    except ValueError:
        return NeighbourComparison(same_key=False, same_revision=False, problem=None)
    if order.by_part and part != next_part:
        problem = FindingKind.ORDER if part > next_part else None
        return NeighbourComparison(same_key=False, same_revision=False, problem=problem)
    same_key, same_revision = key == next_key, key == next_key and revision == next_revision
    if order.every_revision:
        is_ordered = (order_key(key), revision, rest) <= (order_key(next_key), next_revision, next_rest)
    elif same_key:
        return NeighbourComparison(same_key, same_revision, FindingKind.DUPLICATE)
    else:
        is_ordered = order_key(key) < order_key(next_key)
    return NeighbourComparison(same_key, same_revision, None if is_ordered else FindingKind.ORDER)


def _sort_fields(line: bytes) -> tuple[int, bytes, object, tuple[bytes, bytes]]:
    """Return part, key, revision, and the columns that break ties. Raises ValueError."""
    type_key, key, revision, last_modified, text = line.split(b"\t")
    return part_number(type_key), key, revision_of(revision), (last_modified, text)


def order_finding(kind: FindingKind, file: str, line: bytes, number: int) -> VerifyFinding:
    """Return the finding of a line that is out of order, or a duplicate."""
    what = "the previous line has the same key" if kind is FindingKind.DUPLICATE else OUT_OF_ORDER
    return VerifyFinding(kind, file, what, number, key_of(line))


def key_of(line: bytes) -> str:
    """Return the key column for display; empty if there is none."""
    fields = line.split(b"\t", 2)
    return fields[1].decode(errors="backslashreplace") if len(fields) > 1 else ""
