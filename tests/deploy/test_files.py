"""The files in deploy/ are valid for the programs that read them, and name only commands and settings that exist."""

import re
import shutil
import signal
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from oldump import errors
from oldump.cli import main as cli
from oldump.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
FILES = sorted(path for path in DEPLOY.iterdir() if path.is_file())
UNITS = sorted(path for path in FILES if path.suffix in {".service", ".timer"})


def crontab() -> tuple[dict[str, str], list[list[str]]]:
    """Return the crontab's variables, and its lines as seven fields: five for the time, user, command."""
    variables, lines = {}, []
    for line in (DEPLOY / "crontab").read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"([A-Z_]+)=(\S*)", line):
            variables[match[1]] = match[2]
        elif line and not line.startswith("#"):
            lines.append(line.split(None, 6))
    return variables, lines


def compose() -> dict[str, Any]:
    """Return the service cron-jobs."""
    service: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"][
        "cron-jobs"
    ]
    return service


def commands_in(text: str) -> set[tuple[str, str]]:
    """Return each oldump command in a text with each of its flags, or with "" if it has none."""
    found = set()
    for command, rest in re.findall(
        r"(?:bin/|(?<!--user)[ \"'`])oldump ([a-z][a-z-]+)((?: +--[a-z-]+(?: [A-Z]+)?)*)", text
    ):
        found |= {(command, flag) for flag in re.findall(r"--[a-z-]+", rest) or [""]}
    return found


def known() -> set[tuple[str, str]]:
    """Return each command with each of its flags."""
    commands: dict[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined] # a group has commands
    flags = {(name, flag) for name, each in commands.items() for option in each.params for flag in option.opts}
    return flags | {(name, "") for name in commands}


@pytest.mark.parametrize("name", ["crontab", "compose.yaml", "oldump.service", "oldump-status.service"])
def test_commands_and_flags_exist(name: str) -> None:
    """Every oldump command and flag in the deployment files exists."""
    lines = [
        line
        for line in (DEPLOY / name).read_text(encoding="utf-8").splitlines()
        if "cron-job oldump" in line or line.startswith("ExecStart") or "exec --user" in line
    ]
    named = commands_in("\n".join(lines))
    assert named
    assert named <= known()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_settings_exist(path: Path) -> None:
    """Every OLDUMP_ variable in the deployment files is a setting; an unknown one would fail each command."""
    settings = {f"OLDUMP_{name.upper()}" for name in Settings.model_fields} | {"OLDUMP_TOML"}
    assert set(re.findall(r"\bOLDUMP_[A-Z_]+\b", path.read_text(encoding="utf-8"))) <= settings


def test_an_unknown_command_is_detected() -> None:
    """The tests above would detect an unknown command or flag."""
    assert commands_in("x cron-job oldump run --achive") == {("run", "--achive")}
    assert not commands_in("x cron-job oldump run --achive") <= known()
    assert not commands_in("ExecStart=/opt/oldump/bin/oldump rum") <= known()


def test_crontab_can_be_read_by_cron() -> None:
    """Every line has seven fields, no % (a newline to cron) and no pipe, which would hide the exit code."""
    variables, lines = crontab()
    assert variables["TZ"] == variables["CRON_TZ"] == "UTC"
    assert len(lines) == 3
    for *moments, user, command in lines:
        assert all(re.fullmatch(r"\*|[0-9]+(,[0-9]+)*", moment) for moment in moments)
        assert user == "oldump"
        assert re.match("cron-job oldump ", command)
        assert not set(command) & set("%|;&<>")


def test_all_tries_are_for_the_same_date() -> None:
    """A run without a date is for the previous month, so all tries are in one month, starting on its first day."""
    runs = [line for line in crontab()[1] if " run" in line[6]]
    days = {int(day) for line in runs for day in line[2].split(",")}
    assert min(days) == 1
    assert max(days) <= 28
    assert {line[6] for line in runs} == {"cron-job oldump run --archive"}


def test_compose_mounts_the_files_that_it_names() -> None:
    """Each file that a variable names is mounted, and a run has time to stop before it is killed."""
    service = compose()
    mounted = {volume.split(":")[1] for volume in service["volumes"]}
    named = {value for value in service["environment"].values() if str(value).startswith("/")}
    assert named == mounted
    assert service["environment"]["TZ"] == "UTC"
    assert service["stop_grace_period"] == "2m"
    assert (service["build"]["context"], service["build"]["dockerfile"]) == ("..", "deploy/Dockerfile")
    assert service["command"] == ["cron-start"]


def test_the_image_copies_files_that_exist() -> None:
    """Every source of a COPY exists and is allowed by the ignore file."""
    allowed = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copies = [line.split()[1:-1] for line in DOCKERFILE.splitlines() if line.startswith("COPY ")]
    sources = [source for words in copies if not words[0].startswith("--from") for source in words]
    assert len(sources) >= 8
    assert all((ROOT / source).exists() and f"!{source}" in allowed for source in sources)


def test_the_image_is_pinned_and_does_not_run_as_root() -> None:
    """Installed packages have hashes, the image has its own user, and signals reach the process."""
    lines = DOCKERFILE.splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER oldump"]
    assert "STOPSIGNAL SIGTERM" in lines
    assert 'ENTRYPOINT ["tini", "--"]' in lines
    installs = [line for line in lines if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line or "--no-deps wheels/" in line for line in installs)


def _name_of(requirement: str) -> str:
    return re.split(r"[^\w-]", requirement)[0].lower()


@pytest.mark.skipif(shutil.which("awk") is None, reason="awk is missing")
def test_the_build_requirements_are_hashed() -> None:
    """The build requirements of pyproject.toml are installed from requirements/dev.txt with their hashes."""
    (line,) = [line for line in DOCKERFILE.splitlines() if line.startswith("RUN awk")]
    shell = line.removeprefix("RUN ").rpartition(" > ")[0]
    text = subprocess.run(["sh", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    assert all(not [more for more in metadata.requires(_name_of(each)) or () if ";" not in more] for each in required)
    pinned = set(re.findall(r"(?m)^([a-z-]+)==\S+ \\\n +--hash=sha256:", text))
    assert pinned == set(map(_name_of, required))
    assert not text.rstrip().endswith("\\")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """systemd-analyze accepts the units without a warning; /bin/true replaces the program, which is not installed."""
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8").replace("/opt/oldump/bin/oldump", "/bin/true")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    line = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in UNITS)]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_systemd_restarts_after_retryable_errors() -> None:
    """The service is restarted for exactly the exit codes of retryable errors."""
    service = (DEPLOY / "oldump.service").read_text(encoding="utf-8")
    (codes,) = re.findall(r"(?m)^RestartForceExitStatus=(.*)$", service)
    classes = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.OldumpError)
    ]
    assert {int(code) for code in codes.split()} == {each.exit_code for each in classes if each.retryable}
    assert re.search(r"(?m)^Restart=on-abnormal$", service)


def test_the_timer_is_in_utc() -> None:
    """All times of the timer are in UTC, and missed ones are caught up."""
    timer = (DEPLOY / "oldump.timer").read_text(encoding="utf-8")
    moments = re.findall(r"(?m)^OnCalendar=(.*)$", timer)
    assert len(moments) == 2
    assert all(moment.endswith(" UTC") for moment in moments)
    assert "Persistent=true" in timer


def test_a_stopped_run_is_tried_again_on_days_1_to_7() -> None:
    """By cron, and by systemd's timer, which does not count it as a failure."""
    assert ["30", "12", "1,2,3,4,5,6,7", "*", "*"] in [line[:5] for line in crontab()[1]]
    assert "OnCalendar=*-*-01..07 12:30:00 UTC" in (DEPLOY / "oldump.timer").read_text(encoding="utf-8")
    service = (DEPLOY / "oldump.service").read_text(encoding="utf-8")
    (codes,) = re.findall(r"(?m)^SuccessExitStatus=(.*)$", service)
    stops = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    assert {int(code) for code in codes.split()} == {errors.exit_code_of(errors.Stopped(stop)) for stop in stops}


def test_services_are_hardened_and_report_failures() -> None:
    """The unit that reports exists, and the container keeps few capabilities."""
    for name in ("oldump.service", "oldump-status.service"):
        lines = (DEPLOY / name).read_text(encoding="utf-8").splitlines()
        assert {"SystemCallFilter=@system-service", "UMask=0077", "LimitCORE=0"} <= set(lines)
        assert "OnFailure=oldump-failed@%n.service" in lines
    assert (DEPLOY / "oldump-failed@.service").is_file()
    assert compose()["cap_drop"] == ["ALL"]
    assert "SYS_ADMIN" not in compose()["cap_add"]
