"""A synthetic `data` table, as PostgreSQL's `copy data to stdout` writes it.

Rows are in order of writing, from April 2008 to August 2022. The same arguments give the same bytes on every machine
and Python version.

Memory: 60 MB, and some 25 bytes per document.
"""

from collections.abc import Iterator
from itertools import islice

from oldump.synth import books, history, outcomes, pages
from oldump.synth.broken import broken_line
from oldump.synth.dice import dice_of
from oldump.synth.frames import RevisionClock
from oldump.synth.odd import odd_line

BLOCK_BYTES = 1 << 20
_LINES_AT_ONCE = 64

_MANY, _FEW = history.ROWS_PER_THING

_WRITERS = (
    books.edition,
    books.work,
    books.author,
    pages.account,
    pages.reading_list,
    pages.subject,
    pages.site_page,
    pages.admin_page,
    pages.obsolete_page,
)
"""The function that writes a revision, by kind."""


def copy_blocks(rows: int, *, seed: int = 0, odd_rows: int = 0, broken_rows: int = 0) -> Iterator[bytes]:
    """Yield exactly `rows` rows as COPY text, in blocks of whole lines of about 1 MiB.

    The odd and broken rows are included in the number. Raises ValueError if there are too many of them.
    """
    normal = rows - odd_rows - broken_rows
    if min(normal, odd_rows, broken_rows) < 0:
        raise ValueError(f"{odd_rows} odd and {broken_rows} broken rows do not fit into {rows}")
    things = (normal * _FEW + _MANY - 1) // _MANY
    return _blocks(_lines(things, normal, seed, odd_rows, broken_rows))


def copy_blocks_of_things(things: int, *, seed: int = 0, odd_rows: int = 0, broken_rows: int = 0) -> Iterator[bytes]:
    """Yield exactly `things` documents, with 2.8 revisions each on average, as `copy_blocks` does.

    The odd and broken rows, and their documents, are not included in the number.
    """
    if min(things, odd_rows, broken_rows) < 0:
        raise ValueError("numbers of documents and rows cannot be negative")
    return _blocks(_lines(things, things * _MANY // _FEW, seed, odd_rows, broken_rows))


def _blocks(lines: Iterator[str]) -> Iterator[bytes]:
    """Yield blocks of lines, joined a few at a time so that they stay in the cache."""
    block = bytearray()
    while few := "".join(islice(lines, _LINES_AT_ONCE)):
        block += few.encode("utf-8", "surrogateescape")
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)


def _lines(things: int, normal: int, seed: int, odd_rows: int, broken_rows: int) -> Iterator[str]:
    """Yield all rows: the special ones are spread evenly among the normal ones."""
    clock = RevisionClock(normal)
    lines = _normal_lines(things, normal, seed, clock)
    special = odd_rows + broken_rows
    if not special:
        return lines
    return _merged(lines, _special_lines(things, odd_rows, broken_rows, clock), normal, special)


def _normal_lines(things: int, rows: int, seed: int, clock: RevisionClock) -> Iterator[str]:
    dice_of_document = dice_of(seed)
    events = history.events(things, rows, clock.legacy_rows, seed)
    for row, (thing, kind, number, revision, born) in enumerate(events):
        frame = clock.frame(thing + 1, revision, born, row)
        dice = dice_of_document(kind, number)
        target = outcomes.outcome(kind, dice, number, revision)
        if target == outcomes.LIVES:
            yield _WRITERS[kind](dice, number, revision, frame)
        else:
            yield outcomes.ended(kind, number, target, frame)


def _special_lines(things: int, odd_rows: int, broken_rows: int, clock: RevisionClock) -> Iterator[str]:
    """Yield odd and broken rows in turn, in proportion; their documents are numbered after all others."""
    special = odd_rows + broken_rows
    for at in range(special):
        broken = at * broken_rows // special
        time = clock.time(at * clock.rows // special, "T")
        thing = things + 1 + at
        if (at + 1) * broken_rows // special > broken:
            yield broken_line(broken, thing, time)
        else:
            yield odd_line(at - broken, thing, time)


def _merged(lines: Iterator[str], special_lines: Iterator[str], normal: int, special: int) -> Iterator[str]:
    for row, line in enumerate(lines):
        yield line
        yield from islice(special_lines, (row + 1) * special // normal - row * special // normal)
    yield from special_lines
