r"""Table dumps: reading log, ratings, covers, Wikidata entities; and the archive's items.

Reads:      the databases
Writes:     reading-log, ratings, wikidata, covers_metadata, ia-metadata: COPY text in seekable gzip, sorted
Guarantees: one snapshot per database; the cutoff; dates without times; no user names; every line has the table's shape
Memory:     a few segments
On failure: no partial file under a final name; a rerun copies again, from a new snapshot
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
from oldump.outside.postgres.copying import ResumableCopy
from oldump.outside.postgres.queries import Query, midnight_after
from oldump.outside.postgres.snapshot import SnapshotConnection
from oldump.records.copytext import NULL, unescaped
from oldump.records.shapes import COLUMNS, SHAPES
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact
from oldump.run.progress import Progress
from oldump.run.watch import WATCH
from oldump.settings import Settings

_CHUNK_BYTES = 4 << 20
_UNSAFE = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
"""In UTF-8: DEL, the control characters beyond ASCII, and the line and paragraph separators."""


@dataclass(frozen=True)
class Table:
    """The definition of a table dump."""

    name: str
    """The name of the stage and of the artifact."""
    database: str
    """The setting that holds the connection."""
    tables: tuple[str, ...]
    """The tables that the query reads."""
    columns: tuple[str, ...]
    query: str
    """SQL that sorts by all columns. :end stands for the first moment after the cutoff."""
    line: "re.Pattern[bytes]"
    """The pattern of a line."""
    raw_last: bool = False
    """Whether the last column is JSON, which is written as is and not as COPY text."""
    is_published: bool = True

    def query_until(self, day: date) -> Query:
        """Return the query up to a cutoff."""
        return Query(self.tables, f"({self.query.replace(':end', midnight_after(day))})")


class CopiedTable(NamedTuple):
    """A finished table dump."""

    artifact: Artifact
    failures: list[str]
    """The errors of the connections that failed and were replaced."""


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
        # Raw newlines and tabs occur only between the tokens of JSON; within strings they are escaped.
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
    table: Table, snapshot: SnapshotConnection, folder: RunFolder, settings: Settings, progress: Progress
) -> CopiedTable:
    """Make a table dump. Raises SourceError, SnapshotLost, VerificationError, StorageError."""
    progress.begin(table.name, "copy")
    path = folder.part(table.name) if table.is_published else folder.ia_metadata
    compress = partial(segment_of, first_key_at=0, level=settings.level)
    last_line = b""
    with (
        snapshot.reader() as reader,
        SegmentWriter(path) as writer,
        Compressing(settings.workers, compress) as compressing,
    ):
        copying = ResumableCopy(reader, table.query_until(folder.date).statement)
        for text in segment_texts(texts(table, copying)):
            compressing.add(text, writer)
            last_line = text[text.rfind(b"\n", 0, -1) + 1 :]
            progress.update(writer.records, None)
            WATCH.check()
        compressing.finish()
        snapshot.require_alive()
        artifact = Artifact(
            **asdict(writer.commit()),
            item=folder.items[1] if table.is_published else None,
            last_key=last_line.split(b"\t")[0].decode() if last_line else None,
            columns=list(table.columns),
            null=NULL.decode(),
        )
    return CopiedTable(artifact, copying.failures)


def write_table(table: Table, snapshot: SnapshotConnection, day: date, output: BinaryIO) -> int:
    """Write the table's lines, and return their number.

    Raises SourceError, SnapshotLost, SourceEmpty, VerificationError.
    """
    rows = 0
    with snapshot.reader() as reader:
        for text in texts(table, ResumableCopy(reader, table.query_until(day).statement)):
            output.write(text)
            rows += text.count(b"\n")
    if not rows:
        raise SourceEmpty(f"{table.name}: {snapshot.place} gave no rows", "Check that it is the right database.")
    return rows


def texts(table: Table, copying: ResumableCopy) -> Iterator[bytes]:
    """Yield the table's lines as they are published, many at a time. Raises SourceError, VerificationError."""
    for text in iter(partial(copying.take, _CHUNK_BYTES), b""):
        lines = text.split(b"\n")[:-1]
        if table.raw_last:
            lines = [_with_raw_last(line) for line in lines]
        for line in lines:
            if not table.line.fullmatch(line):
                raise VerificationError(
                    f"{table.name}: the database gave a line that is not {', '.join(table.columns)}: {line[:100]!r}",
                    f"Check that it is the right database and that {table.tables[0]} is the expected table.",
                )
        yield b"".join(line + b"\n" for line in lines)


def _with_raw_last(line: bytes) -> bytes:
    """Return the line with its last column unescaped, unless it is NULL.

    Characters that some readers take for a line end occur only within JSON strings, where they can be escaped.
    """
    start, tab, last = line.rpartition(b"\t")
    return start + tab + (last if last == NULL else _UNSAFE.sub(_escape, unescaped(last)))


def _escape(match: "re.Match[bytes]") -> bytes:
    return b"\\u%04x" % ord(match[0].decode())
