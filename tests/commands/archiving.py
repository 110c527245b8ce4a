"""An upload to the fake archive.org, looked at from outside: what was taken, and where latest.json leads meanwhile."""

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archive_org.asked import What
from archive_org.server import ACCOUNT, ArchiveOrg
from commands.command import DATE, private_of, published

ITEMS = (f"ol_cdump_{DATE}", f"ol_dump_{DATE}")
IMPATIENT = {"OLDUMP_ARCHIVE_BACKOFF_SECONDS": "0.01", "OLDUMP_ARCHIVE_PATIENCE_SECONDS": "20"}


def client(fake: ArchiveOrg) -> dict[str, str]:
    """What the command's environment needs."""
    return {**fake.environment(), **IMPATIENT}


def uploads(fake: ArchiveOrg) -> list[str]:
    """The names of the files that were taken, but for the check's, in their order."""
    taken = [asked for asked in fake.asked(What.UPLOAD) if asked.status == 200 and asked.item in ITEMS]
    return [asked.key for asked in taken]


def assert_complete(fake: ArchiveOrg, out: Path) -> None:
    """Both items have just what is published, byte for byte."""
    there = {name: file.read_bytes() for item in ITEMS for name, file in fake.items[item].files.items()}
    assert there == published(out)


def secrets_shown(out: Path, *texts: str) -> list[str]:
    """Keys in texts or in any file that the command wrote."""
    files = [path.read_bytes().decode(errors="replace") for path in (*private_of(out).iterdir(), out / "latest.json")]
    return [key for key in (ACCOUNT.access, ACCOUNT.secret) for text in (*files, *texts) if key in text]


@contextmanager
def followed(fake: ArchiveOrg, out: Path) -> Generator[list[str | None]]:
    """Follow latest.json all the time, and at each request: what it names must be there; the dates, as they came."""
    seen: list[str | None] = []
    wrong: list[str] = []
    ended = threading.Event()

    def look(_: object = None) -> None:
        with fake.store.lock:  # nothing is replaced between reading the pointer and following it
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
    """What latest.json says."""
    try:
        found: dict[str, Any] = json.loads((out / "latest.json").read_bytes())
    except FileNotFoundError:
        return None
    return found


def missing(fake: ArchiveOrg, pointed: Mapping[str, Any] | None) -> list[str]:
    """The files that latest.json names and that readers do not find as it says."""
    wrong = []
    for file in pointed["files"] if pointed else []:
        shown = fake.store.shown_file(file["item"], file["name"])
        if shown is None or (shown.size_bytes, shown.md5) != (file["size_bytes"], file["md5"]):
            wrong.append(f"{pointed and pointed['date']}: {file['name']}")
    return wrong
