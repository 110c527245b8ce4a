"""A real cron daemon with the deployed crontab, and a clock that reaches the first of the month."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commands.command import LOG_PREFIX
from deploy.container import missing_requirement, running
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.skipif(bool(missing_requirement()), reason=missing_requirement())
JUST_BEFORE = datetime(2022, 8, 1, 0, 29, 45, tzinfo=UTC)
"""Fifteen seconds before the first line of the crontab is due."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of a few rows."""
    path = tmp_path / "table.txt"
    path.write_bytes(b"".join(copy_blocks(300, seed=3)))
    return path


def test_cron_makes_the_dumps_of_the_month_before(table: Path, tmp_path: Path) -> None:
    """Cron makes the complete dumps of July as user oldump, and logs the exit code."""
    variables = {"OLDUMP_SOURCE": "table.txt", "OLDUMP_GATE_NEWEST_DAYS": "100000", "PGPASSWORD": "s3cret it's"}
    with running(tmp_path, JUST_BEFORE, {"table.txt": table}, variables) as container:
        container.waits_for(lambda: "ended with exit code" in container.log())
        log = container.log()
        assert "INFO cron-job: oldump run --archive ended with exit code 0" in log, log
        assert all(LOG_PREFIX in line or line.endswith("ol_dump_2022-07-31") for line in log.splitlines())
        assert (container.dumps / "called").read_text() == "oldump run --archive\n"
        manifest = json.loads((container.dumps / "ol_dump_2022-07-31" / "manifest.json").read_bytes())
        assert manifest["date"] == "2022-07-31"
        assert (container.dumps / "ol_cdump_2022-07-31").stat().st_uid == 10_001
        assert (container.dumps / "run-2022-07-31" / "run.log").is_file()
        shown = container.stopped()
    assert "ended with exit code 0" in shown  # in `docker logs`
    assert "s3cret" not in shown + log
