"""cron-job logs the output and the exit code of any command, and exits with the same code."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from commands.command import LOG_PREFIX
from commands.processes import wait_for
from deploy.container import DEPLOY

JOB = str(DEPLOY / "cron-job")


def environment(out: Path) -> dict[str, str]:
    """Return the nearly empty environment of a cron job."""
    handed_over = out / "environment"
    handed_over.write_text("export WORDS=$'it\\'s\\nexported'\n")
    return {"PATH": os.environ["PATH"], "OLDUMP_OUT": str(out), "CRON_ENVIRONMENT": str(handed_over)}


@pytest.mark.parametrize("code", [0, 13, 54])
def test_an_exit_code_is_never_lost(code: int, tmp_path: Path) -> None:
    """The log has the output and the exit code; a failure is also on standard error, for cron's mail."""
    line = [JOB, "bash", "-c", f'echo "$WORDS"; echo wrong >&2; pwd; exit {code}']
    ran = subprocess.run(line, env=environment(tmp_path), capture_output=True, text=True, check=False)
    log = (tmp_path / "cron.log").read_text()
    assert ran.returncode == code
    assert f"\nit's\nexported\nwrong\n{tmp_path}\n" in log
    assert log.rstrip().splitlines()[-1].count(f"{LOG_PREFIX} {'ERROR' if code else 'INFO'} cron-job: ") == 1
    assert f"ended with exit code {code}" in log
    assert (f"ended with exit code {code}" in ran.stderr) is bool(code)
    assert ran.stdout == ""


def test_cron_job_waits_for_a_stopped_command(tmp_path: Path) -> None:
    """SIGTERM reaches cron-job and the command together; cron-job waits for the command's own exit code."""
    command = "trap 'sleep 0.3; echo ended in order; exit 143' TERM; echo works; sleep 60 & wait"
    line = [JOB, "bash", "-c", command]
    with subprocess.Popen(line, env=environment(tmp_path), stderr=subprocess.PIPE, start_new_session=True) as job:
        log = tmp_path / "cron.log"
        assert wait_for(lambda: job.poll() is not None or (log.exists() and "\nworks\n" in log.read_text()))
        assert job.poll() is None
        os.killpg(job.pid, signal.SIGTERM)
        assert job.wait(30) == 143
    assert "\nended in order\n" in log.read_text()
    assert "ended with exit code 143" in log.read_text()


def test_a_log_that_cannot_be_written_does_not_stop_the_job(tmp_path: Path) -> None:
    """A command runs even if its log cannot be written; its output then goes to standard error."""
    variables = {**environment(tmp_path), "CRON_LOG": str(tmp_path / "no" / "log")}
    ran = subprocess.run(
        [JOB, "sh", "-c", "echo output; exit 3"], env=variables, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 3
    assert "\noutput\n" in ran.stderr


def test_the_log_is_rotated(tmp_path: Path) -> None:
    """One old log is kept."""
    log = tmp_path / "cron.log"
    log.write_text("old" * 10)
    environ = {**environment(tmp_path), "CRON_LOG_BYTES": "20"}
    assert subprocess.run([JOB, "true"], env=environ, check=False).returncode == 0
    assert (tmp_path / "cron.log.1").read_text() == "old" * 10
    assert "ended with exit code 0" in log.read_text()
