"""The rest of the fake archive.org: the metadata API, the queue of tasks, downloads, and the data node behind them."""

import json
import mimetypes
import re
from collections import Counter
from email.utils import formatdate
from urllib.parse import quote, unquote

from archive_org.answers import Answer, json_answer, moved, page
from archive_org.asked import Asked, What
from archive_org.store import DATA_NODE, ITEMS_PATH, Store, StoredFile, task_of


class Web:
    """Answers on behalf of archive.org and of its data nodes."""

    def __init__(self, store: Store) -> None:
        """Take what there is."""
        self._store = store

    def answer(self, asked: Asked) -> Answer:
        """What is there."""
        if asked.method not in {"GET", "HEAD"}:
            return page(405)
        with self._store.lock:
            if asked.what is What.METADATA:
                return self._metadata(asked)
            if asked.what is What.TASKS:
                return self._tasks(asked)
            if asked.what is What.DOWNLOAD:
                return self._download(asked)
            if asked.path == "/services/check_identifier.php":
                return self._identifier(asked)
        return page(404)

    def _metadata(self, asked: Asked) -> Answer:
        """The item's document, {} for none; a part of it by its path."""
        item = self._store.looked_up(asked.item)
        document: object = {} if item is None else item.document()
        if not asked.key:
            return json_answer(document)
        for step in map(unquote, asked.key.strip("/").split("/")):
            try:
                document = document[int(step)] if isinstance(document, list) else document[step]  # type: ignore[index] # a KeyError is answered
            except (KeyError, IndexError, TypeError, ValueError):
                return json_answer({"error": f"Couldn't get '{asked.key}' of {asked.item}"})
        return json_answer({"result": document})

    def _tasks(self, asked: Asked) -> Answer:
        """The uploads that wait: how many, or each."""
        items = [item for item in self._store.items.values() if asked.item in {"", item.identifier}]
        for item in items:
            item.looked_at()
        rows = [task_of(item.identifier, waiting) for item in items for waiting in item.waiting]
        if asked.query.get("summary", "1") == "1":
            counts = Counter(str(row["status"]) for row in rows)
            summary = {status: counts[status] for status in ("queued", "running", "error", "paused")}
            return json_answer({"success": True, "value": {"summary": summary}})
        if asked.query.get("limit") == "0":
            return Answer(200, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
        return json_answer({"success": True, "value": {"catalog": rows, "history": []}})

    def _identifier(self, asked: Asked) -> Answer:
        """Whether a name is still free for an item."""
        name = asked.query.get("identifier", "")
        is_taken = name in self._store.items or name in self._store.collections
        code = "not_available" if is_taken else "available"
        return json_answer({"type": "success", "code": code, "identifier": name})

    def _download(self, asked: Asked) -> Answer:
        """From archive.org itself a redirect to a data node, which has the file."""
        file = self._store.shown_file(asked.item, asked.key)
        if file is None:
            return page(404)
        if not asked.is_node:
            return moved(302, asked.elsewhere(DATA_NODE, f"{ITEMS_PATH}/{asked.item}/{quote(asked.key)}"))
        return _served(file, asked.headers.get("range", ""))


def _served(file: StoredFile, wanted: str) -> Answer:
    """A file or a range of it. Source: RFC 9110, 14."""
    headers = {
        "Content-Type": mimetypes.guess_type(file.name)[0] or "application/octet-stream",
        "Accept-Ranges": "bytes",
        "ETag": f'"{file.md5}"',
        "Last-Modified": formatdate(file.mtime, usegmt=True),
    }
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
    if match is None or match[0] == "bytes=-":
        return Answer(200, headers=headers, file=(file.path, 0, file.size_bytes))
    first, end = _range(match[1], match[2], file.size_bytes)
    if first >= end:
        return Answer(416, headers={"Content-Range": f"bytes */{file.size_bytes}"})
    headers["Content-Range"] = f"bytes {first}-{end - 1}/{file.size_bytes}"
    return Answer(206, headers=headers, file=(file.path, first, end))


def _range(first: str, last: str, size_bytes: int) -> tuple[int, int]:
    if not first:
        return max(0, size_bytes - int(last)), size_bytes
    return int(first), min(size_bytes, int(last) + 1) if last else size_bytes
