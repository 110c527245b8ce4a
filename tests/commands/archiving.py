"""Observe an upload to the fake archive.org from outside: which files were uploaded, and what latest.json points to."""

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archive_org.request import Action
from archive_org.server import ACCOUNT, ArchiveOrg
from commands.command import DATE, private_of, published

ITEMS = (f"ol_cdump_{DATE}", f"ol_dump_{DATE}")
IMPATIENT = {"OLDUMP_ARCHIVE_BACKOFF_SECONDS": "0.01", "OLDUMP_ARCHIVE_PATIENCE_SECONDS": "20"}


def client(fake: ArchiveOrg) -> dict[str, str]:
    """Return the environment variables that the command needs."""
    return {**fake.environment(), **IMPATIENT}


def uploads(fake: ArchiveOrg) -> list[str]:
    """Return the names of the files that were uploaded, in order, without the file of the rights check."""
    taken = [request for request in fake.requests(Action.UPLOAD) if request.status == 200 and request.item in ITEMS]
    return [request.key for request in taken]


def assert_complete(fake: ArchiveOrg, out: Path) -> None:
    """Require both items to hold exactly the published files, byte for byte."""
    there = {name: file.read_bytes() for item in ITEMS for name, file in fake.items[item].files.items()}
    assert there == published(out)


def secrets_shown(out: Path, *texts: str) -> list[str]:
    """Return the secret keys found in `texts` or in any file that the command wrote."""
    files = [path.read_bytes().decode(errors="replace") for path in (*private_of(out).iterdir(), out / "latest.json")]
    return [key for key in (ACCOUNT.access, ACCOUNT.secret) for text in (*files, *texts) if key in text]


@contextmanager
def followed(fake: ArchiveOrg, out: Path) -> Generator[list[str | None]]:
    """Check latest.json continuously and at each request: the files it names must exist.

    Yields the dates it named, in order.
    """
    seen: list[str | None] = []
    wrong: list[str] = []
    ended = threading.Event()

    def look(_: object = None) -> None:
        with fake.store.lock:  # no file is replaced between reading latest.json and checking it
            pointed = pointed_in(out)
            wrong.extend(missing(fake, pointed))
        date = pointed["date"] if pointed else None
        if not seen or seen[-1] != date:
            seen.append(date)

    def poll() -> None:
        while not ended.wait(0.01):
            look()

    fake.on_request = look
    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
        fake.on_request = None
    assert wrong == []


def pointed_in(out: Path) -> dict[str, Any] | None:
    """Return the content of latest.json, None if the file does not exist."""
    try:
        found: dict[str, Any] = json.loads((out / "latest.json").read_bytes())
    except FileNotFoundError:
        return None
    return found


def missing(fake: ArchiveOrg, pointed: Mapping[str, Any] | None) -> list[str]:
    """Return the files that latest.json names but that readers do not find with the stated size and MD5."""
    wrong = []
    for file in pointed["files"] if pointed else []:
        shown = fake.store.shown_file(file["item"], file["name"])
        if shown is None or (shown.size_bytes, shown.md5) != (file["size_bytes"], file["md5"]):
            wrong.append(f"{pointed and pointed['date']}: {file['name']}")
    return wrong
