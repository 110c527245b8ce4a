"""The metadata API, task queue and downloads of the fake archive.org, and its data node."""

import json
import mimetypes
import re
from collections import Counter
from email.utils import formatdate
from urllib.parse import quote, unquote

from archive_org.answers import Answer, json_answer, moved, page
from archive_org.request import Action, LoggedRequest
from archive_org.store import DATA_NODE, ITEMS_PATH, Store, StoredFile, task_of


class Web:
    """Answer as archive.org and its data nodes."""

    def __init__(self, store: Store) -> None:
        """Use the store's items."""
        self._store = store

    def answer(self, request: LoggedRequest) -> Answer:
        """Return the answer."""
        if request.method not in {"GET", "HEAD"}:
            return page(405)
        with self._store.lock:
            if request.action is Action.METADATA:
                return self._metadata(request)
            if request.action is Action.TASKS:
                return self._tasks(request)
            if request.action is Action.DOWNLOAD:
                return self._download(request)
            if request.path == "/services/check_identifier.php":
                return self._identifier(request)
        return page(404)

    def _metadata(self, request: LoggedRequest) -> Answer:
        """Return the item's document, {} if there is none, or the part at the request's path."""
        item = self._store.looked_up(request.item)
        document: object = {} if item is None else item.document()
        if not request.key:
            return json_answer(document)
        for step in map(unquote, request.key.strip("/").split("/")):
            try:
                document = document[int(step)] if isinstance(document, list) else document[step]  # type: ignore[index] # a KeyError is answered
            except (KeyError, IndexError, TypeError, ValueError):
                return json_answer({"error": f"Couldn't get '{request.key}' of {request.item}"})
        return json_answer({"result": document})

    def _tasks(self, request: LoggedRequest) -> Answer:
        """Return the waiting uploads: their number or their rows."""
        items = [item for item in self._store.items.values() if request.item in {"", item.identifier}]
        for item in items:
            item.looked_at()
        rows = [task_of(item.identifier, waiting) for item in items for waiting in item.waiting]
        if request.query.get("summary", "1") == "1":
            counts = Counter(str(row["status"]) for row in rows)
            summary = {status: counts[status] for status in ("queued", "running", "error", "paused")}
            return json_answer({"success": True, "value": {"summary": summary}})
        if request.query.get("limit") == "0":
            return Answer(200, "".join(f"{json.dumps(row)}\n" for row in rows).encode())
        return json_answer({"success": True, "value": {"catalog": rows, "history": []}})

    def _identifier(self, request: LoggedRequest) -> Answer:
        """Return whether an identifier is free."""
        name = request.query.get("identifier", "")
        is_taken = name in self._store.items or name in self._store.collections
        code = "not_available" if is_taken else "available"
        return json_answer({"type": "success", "code": code, "identifier": name})

    def _download(self, request: LoggedRequest) -> Answer:
        """Redirect to a data node, or return its file."""
        file = self._store.shown_file(request.item, request.key)
        if file is None:
            return page(404)
        if not request.is_node:
            return moved(302, request.elsewhere(DATA_NODE, f"{ITEMS_PATH}/{request.item}/{quote(request.key)}"))
        return _served(file, request.headers.get("range", ""))


def _served(file: StoredFile, wanted: str) -> Answer:
    """Return a file or a range of it. Source: RFC 9110, 14."""
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
