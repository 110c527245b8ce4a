"""A real cron daemon, the deployed crontab as it is, and a clock that comes to the first of the month."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from commands.command import LOG_PREFIX
from deploy.container import lacking, running
from oldump.synth.table import copy_blocks

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())
ALMOST = datetime(2022, 8, 1, 0, 29, 45, tzinfo=UTC)
"""A quarter of a minute before the first line of the crontab is due."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of a few rows."""
    path = tmp_path / "table.txt"
    path.write_bytes(b"".join(copy_blocks(300, seed=3)))
    return path


def test_cron_makes_the_dumps_of_the_month_before(table: Path, tmp_path: Path) -> None:
    """Cron, command line, run: complete, for the last day of July, as user oldump, with log lines and exit code."""
    variables = {"OLDUMP_SOURCE": "table.txt", "OLDUMP_GATE_NEWEST_DAYS": "100000", "PGPASSWORD": "s3cret it's"}
    with running(tmp_path, ALMOST, {"table.txt": table}, variables) as container:
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
    assert "ended with exit code 0" in shown  # what `docker logs` has
    assert "s3cret" not in shown + log
