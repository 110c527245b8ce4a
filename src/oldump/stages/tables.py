r"""Table dumps: reading log, ratings, covers, Wikidata entities; and the archive's items.

Reads:      the databases
Writes:     reading-log, ratings, wikidata, covers_metadata, ia-metadata: COPY text in seekable gzip, sorted
Promises:   one snapshot a database; the cutoff; days, never moments; no user's name; every line has the table's shape
Memory:     some segments
On failure: nothing under the final name; run again and it copies anew, under a new snapshot
"""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from typing import BinaryIO, NamedTuple

from oldump.engine.segment_writer import Compressing, SegmentWriter
from oldump.engine.segments import segment_of, segment_texts
from oldump.errors import SourceEmpty, VerificationError
from oldump.outside.postgres import Copying, Query, SnapshotConnection, midnight_after
from oldump.records.copytext import NULL, unescaped
from oldump.records.shapes import COLUMNS, SHAPES
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.run.watch import WATCH
from oldump.settings import Settings

_TAKEN_BYTES = 4 << 20
_ODD = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
"""DEL, the control characters beyond ASCII, and the separators of lines and paragraphs, in UTF-8."""


@dataclass(frozen=True)
class Table:
    """A table dump."""

    name: str
    """Of the stage and the artifact."""
    database: str
    """The setting that says where it is."""
    tables: tuple[str, ...]
    """What the query reads."""
    columns: tuple[str, ...]
    query: str
    """SQL with its order fixed to the last column; :end stands for the first moment behind the cutoff."""
    line: "re.Pattern[bytes]"
    """What a line looks like."""
    raw_last: bool = False
    """Whether the last column is JSON, which is written as it is instead of as COPY text."""
    is_published: bool = True

    def query_until(self, day: date) -> Query:
        """What the stage asks for a date."""
        return Query(self.tables, f"({self.query.replace(':end', midnight_after(day))})")


class CopiedTable(NamedTuple):
    """A table dump that is made."""

    artifact: Artifact
    failures: list[str]
    """What was said of the connections that failed and were replaced."""


TABLES = (
    Table(
        name="reading-log",
        database="source",
        tables=("bookshelves_books", "bookshelves"),
        columns=COLUMNS["reading-log"],
        query="""
            SELECT '/works/OL' || work_id || 'W', '/books/OL' || edition_id || 'M', shelf.name, reading.created::date
            FROM bookshelves_books AS reading LEFT JOIN bookshelves AS shelf ON shelf.id = reading.bookshelf_id
            WHERE reading.created < :end
            ORDER BY work_id, edition_id, shelf.name COLLATE "C", reading.created::date""",
        line=SHAPES["reading-log"],
    ),
    Table(
        name="ratings",
        database="source",
        tables=("ratings",),
        columns=COLUMNS["ratings"],
        query="""
            SELECT '/works/OL' || work_id || 'W', '/books/OL' || edition_id || 'M', rating, created::date
            FROM ratings
            WHERE created < :end
            ORDER BY work_id, edition_id, rating, created::date""",
        line=SHAPES["ratings"],
    ),
    Table(
        name="wikidata",
        database="source",
        tables=("wikidata",),
        columns=COLUMNS["wikidata"],
        # Between the tokens of JSON there may be newlines and tabs; within its strings they are escaped.
        query=r"""
            SELECT id, updated::date, translate(data::text, E'\n\r\t', '   ')
            FROM wikidata
            WHERE updated < :end
            ORDER BY id COLLATE "C", updated::date, data::text COLLATE "C" """,
        line=SHAPES["wikidata"],
        raw_last=True,
    ),
    Table(
        name="covers_metadata",
        database="coverstore",
        tables=("cover",),
        columns=COLUMNS["covers_metadata"],
        query="""
            SELECT id, width, height, created::date
            FROM cover
            WHERE created < :end
            ORDER BY id, width, height, created::date""",
        line=SHAPES["covers_metadata"],
    ),
    Table(
        name="ia-metadata",
        database="archive_database",
        tables=("metadata",),
        columns=COLUMNS["ia-metadata"],
        query="""
            SELECT identifier, coalesce(boxid, ''), coalesce(collection, '')
            FROM metadata
            WHERE mediatype = 'texts' AND curatestate IS DISTINCT FROM 'dark' AND identifier <> ''
            ORDER BY identifier COLLATE "C", coalesce(boxid, '') COLLATE "C", coalesce(collection, '') COLLATE "C" """,
        line=SHAPES["ia-metadata"],
        is_published=False,
    ),
)
TABLE_OF = {table.name: table for table in TABLES}


def make_table(
    table: Table, leading: SnapshotConnection, folder: RunFolder, settings: Settings, progress: Progress
) -> CopiedTable:
    """Make a table dump. Raises SourceError, SnapshotLost, VerificationError, StorageError."""
    progress.begin(table.name, "copy")
    path = folder.part(table.name) if table.is_published else folder.ia_metadata
    compress = partial(segment_of, first_key_at=0, level=settings.level)
    last_line = b""
    with (
        leading.reader() as reader,
        SegmentWriter(path) as writer,
        Compressing(settings.workers, compress) as compressing,
    ):
        copying = Copying(reader, table.query_until(folder.date).statement)
        for text in segment_texts(texts(table, copying)):
            compressing.add(text, writer)
            last_line = text[text.rfind(b"\n", 0, -1) + 1 :]
            progress.update(writer.records, None)
            WATCH.check()
        compressing.finish()
        leading.require_alive()
        artifact = Artifact(
            **asdict(writer.commit()),
            item=folder.items[1] if table.is_published else None,
            last_key=last_line.split(b"\t")[0].decode() if last_line else None,
            columns=list(table.columns),
            null=NULL.decode(),
        )
    return CopiedTable(artifact, copying.failures)


def write_table(table: Table, leading: SnapshotConnection, day: date, output: BinaryIO) -> int:
    """Write the table's lines; how many. Raises SourceError, SnapshotLost, SourceEmpty, VerificationError."""
    rows = 0
    with leading.reader() as reader:
        for text in texts(table, Copying(reader, table.query_until(day).statement)):
            output.write(text)
            rows += text.count(b"\n")
    if not rows:
        raise SourceEmpty(f"{table.name}: {leading.place} gave no rows. Is it the right database?")
    return rows


def texts(table: Table, copying: Copying) -> Iterator[bytes]:
    """The table's lines in pieces, each line as it is published. Raises SourceError, VerificationError."""
    for text in iter(partial(copying.take, _TAKEN_BYTES), b""):
        lines = text.split(b"\n")[:-1]
        if table.raw_last:
            lines = [_with_raw_last(line) for line in lines]
        for line in lines:
            if not table.line.fullmatch(line):
                raise VerificationError(
                    f"{table.name}: the database gave a line of another shape than {', '.join(table.columns)}: "
                    f"{line[:100]!r}. Is it the right database, and table {table.tables[0]} what it is named?"
                )
        yield b"".join(line + b"\n" for line in lines)


def _with_raw_last(line: bytes) -> bytes:
    """The line with its last column as it is, rather than as COPY text; NULL stays as it is written.

    What some readers take for the end of a line stands within JSON's strings only: its escape there is the same.
    """
    start, tab, last = line.rpartition(b"\t")
    return start + tab + (last if last == NULL else _ODD.sub(_escape, unescaped(last)))


def _escape(odd: "re.Match[bytes]") -> bytes:
    return b"\\u%04x" % ord(odd[0].decode())
