"""Runs in all conditions, and artifacts, for tests of monitoring."""

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from oldump.monitoring.health import Expectation, assess_run
from oldump.monitoring.summary import RunSummary
from oldump.run.folder import RunFolder
from oldump.run.journal import Artifact, Committed, Journal
from oldump.run.owner import Owner
from oldump.run.status import Status
from unit.run.examples import STATUS

DAY = date(2022, 7, 31)
NOW = datetime.fromisoformat(STATUS.updated) + timedelta(seconds=1)
LATE = datetime(2022, 8, 4, tzinfo=UTC)
DEAD = asdict(replace(Owner.current(), started="1"))
"""The owner of a run whose process has ended."""
ELSEWHERE = asdict(replace(Owner.current(), kernel="another"))
"""The owner of a run on another machine."""
CDUMP = Artifact("ol_cdump_2022-07-31.txt.gz", "ol_cdump_2022-07-31", 700, 9_000, 42, 1, "", "", None)
RECEIPT: dict[str, object] = {
    "format": 1,
    "date": "2022-07-31",
    "archived": "2022-08-02T03:04:05+00:00",
    "previous": None,
    "files": [
        {
            "item": CDUMP.item,
            "name": CDUMP.name,
            "role": "cdump",
            "url": "",
            "size_bytes": CDUMP.size_bytes,
            "md5": CDUMP.md5,
            "sha256": CDUMP.sha256,
        }
    ],
}


def write_status(folder: RunFolder, status: Status = STATUS, **changes: object) -> None:
    """Write a status with these changes."""
    folder.status.write_bytes(replace(status, **changes).to_json())  # type: ignore[arg-type] # any member


def assess(folder: RunFolder, now: datetime = NOW, *, archive: bool = False) -> RunSummary:
    """Assess the run; it is late after three days."""
    return assess_run(folder, now, Expectation(3, archive))


def complete(folder: RunFolder) -> None:
    """Write the journal of a complete run."""
    journal = Journal(folder.journal)
    journal.commit(Committed("dumps", [CDUMP], {}, 12.0))
    journal.publish({})


def artifact(name: str, records: int, item: str | None = "ol_dump_2022-07-31", **more: Any) -> Artifact:
    """Return an artifact whose sizes are multiples of its records."""
    sizes: dict[str, Any] = {"size_bytes": 10 * records, "text_bytes": 99 * records, "segments": 1}
    return Artifact(name, item, records=records, sha256="", md5="", first_key=None, **sizes, **more)
