"""The baseline: a straightforward script that handles one row at a time, between sort(1) and gzip(1).

    python baseline.py cdump DATE < data.txt > records      json.loads and json.dumps for each row
    LC_ALL=C sort -t TAB -S 1G -k2,2 -k3,3n
    python baseline.py dump < sorted > latest               itertools.groupby by key
    python baseline.py split NAME_%s.txt.gz < latest        Python's gzip, level 6

It is a fair comparison: it does no unnecessary work, and gives the same records for synthetic rows.
"""

import gzip
import json
import sys
from datetime import date, timedelta
from itertools import groupby
from typing import Any

LEGACY = {"/a/": "/authors/", "/b/": "/books/", "/l/": "/languages/", "/user/": "/people/"}
PARTS = {
    b"/type/author": "authors",
    b"/type/delete": "deletes",
    b"/type/edition": "editions",
    b"/type/list": "lists",
    b"/type/redirect": "redirects",
    b"/type/work": "works",
}


def modern(key: str) -> str:
    """Return the key in today's spelling."""
    for old, new in LEGACY.items():
        if key.startswith(old):
            return new + key[len(old) :]
    return key


def normalise(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Convert keys and datetimes to today's spelling, in place."""
    if isinstance(value, dict):
        if isinstance(value.get("key"), str):
            value["key"] = modern(value["key"])
        if value.get("type") == "/type/datetime" and isinstance(value.get("value"), str):
            value["value"] = value["value"].replace(" ", "T", 1)
        for item in value.values():
            normalise(item)
    elif isinstance(value, list):
        for item in value:
            normalise(item)


def is_dropped(key: str, type_key: str) -> bool:
    """Whether the record is private, administrative or obsolete."""
    if type_key == "/type/user" or not key.startswith("/") or key.startswith(("/admin/", "/scan", "/old/")):
        return True
    return key.startswith("/people/") and not ("/lists/OL" in key and key.endswith("L"))


def cdump(day: str) -> None:
    """Convert rows from standard input to records on standard output."""
    after = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    for line in sys.stdin:
        _, _, text = line.rstrip("\n").split("\t")
        document = json.loads(text.replace("\\\\", "\\"))
        normalise(document)
        document.pop("id", None)
        key, type_key = document["key"], document["type"]["key"]
        last_modified = document["last_modified"]["value"]
        if type_key == "/type/redirect":
            document["location"] = modern(document["location"])
        if is_dropped(key, type_key) or last_modified >= after:
            continue
        print(type_key, key, document["revision"], last_modified, json.dumps(document), sep="\t")


def dump() -> None:
    """Write the latest record of each key. Input: sorted records."""
    for _, records in groupby(sys.stdin.buffer, key=lambda record: record.split(b"\t", 2)[1]):
        *_, latest = records
        sys.stdout.buffer.write(latest)


def split(name_format: str) -> None:
    """Write one gzip file per part."""
    files = {
        part: gzip.GzipFile(name_format.replace("%s", part), "wb", compresslevel=6)
        for part in (*PARTS.values(), "other")
    }
    for record in sys.stdin.buffer:
        files[PARTS.get(record.split(b"\t", 1)[0], "other")].write(record)
    for file in files.values():
        file.close()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["cdump", day]:
            cdump(day)
        case ["dump"]:
            dump()
        case ["split", name_format]:
            split(name_format)
