"""`oldump archive` against the fake archive.org: failures, kills, reruns, and a reader that follows latest.json."""

import json
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from archive_org.answers import Cut
from archive_org.faults import Faults, Kind
from archive_org.request import Action, LoggedRequest
from archive_org.server import OTHER_ACCOUNT, ArchiveOrg, archive_org
from commands.archiving import ITEMS, assert_complete, client, followed, pointed_in, secrets_shown, uploads
from commands.command import COMMAND, DATE, environment, failed, item_of, oldump, private_of, published, run
from commands.processes import wait_for
from integration.archiving import config_of
from oldump.synth.table import copy_blocks


@pytest.fixture
def fake(tmp_path: Path) -> Generator[ArchiveOrg]:
    """A fake archive.org whose faults each test chooses."""
    with archive_org(tmp_path / "archive", faults=Faults(stall_seconds=0.1, retry_after_seconds=1)) as archive:
        yield archive


def test_three_of_ten_requests_fail(fake: ArchiveOrg, complete: Path) -> None:
    """Uploads survive every kind of failure.

    Both items are complete and equal, latest.json is written last and no key is shown. A rerun sends nothing.
    """
    moments: list[bool] = []
    fake.on_request = lambda _: moments.append((complete / "latest.json").exists())
    fake.faults.share = 0.3
    ran = oldump("archive", complete, cwd=complete, env=client(fake))
    assert ran.code == 0, ran.err
    assert ran.out.decode().split() == [f"https://archive.org/details/{item}" for item in ITEMS]
    assert len({kind for _, kind in fake.faults.happened}) >= 8
    assert_complete(fake, complete)
    assert moments
    assert not any(moments)
    assert secrets_shown(complete, ran.err, ran.out.decode()) == []
    fake.faults.never()
    before = fake.puts().total()
    again = oldump("archive", item_of(complete), cwd=complete, env=client(fake))
    assert again.code == 0, again.err
    assert fake.puts().total() == before


def test_a_rerun_after_a_kill_sends_only_missing_files(fake: ArchiveOrg, complete: Path) -> None:
    """After SIGKILL during an upload, a rerun does not send what archive.org has stored, shown or not."""
    fake.late_looks = 4
    command = (*COMMAND, "archive", str(complete))
    process = subprocess.Popen(command, env=environment(**client(fake)), stderr=subprocess.DEVNULL)

    def kill(request: LoggedRequest) -> None:
        if request.action is Action.UPLOAD and len(uploads(fake)) == 9:
            process.kill()
            process.wait()
            raise Cut

    fake.on_request = kill
    assert process.wait(60) == -signal.SIGKILL
    fake.on_request = None
    first = uploads(fake)
    assert len(first) == 9
    assert not (complete / "latest.json").exists()
    ran = oldump("archive", complete, cwd=complete, env=client(fake))
    assert ran.code == 0, ran.err
    assert sorted(uploads(fake)) == sorted(published(complete))
    assert_complete(fake, complete)


def test_a_reader_that_follows_latest_json_gets_a_complete_set(fake: ArchiveOrg, tmp_path: Path) -> None:
    """latest.json never names a missing or wrong file.

    Two months are uploaded, the second is made and uploaded again, while uploads fail, show late, or are stored wrong.
    """
    out = tmp_path / "out"
    rows = b"".join(copy_blocks(300)).splitlines(keepends=True)
    (tmp_path / "data.txt").write_bytes(b"".join(rows))
    (tmp_path / "more.txt").write_bytes(b"".join(rows[:290]))
    fake.faults = Faults(0.3, 1, [kind for kind in Kind if kind.name in KINDS], 0, 0.1)
    fake.late_looks = 1
    with followed(fake, out) as seen:
        assert oldump("run", "2022-06-30", "--source", "data.txt", "--out", out, cwd=tmp_path).code == 0
        assert oldump("archive", out, cwd=tmp_path, env=client(fake)).code == 0
        run("data.txt", out, "--override-gate", "the same rows", cwd=tmp_path)
        assert oldump("archive", item_of(out), cwd=tmp_path, env=client(fake)).code == 0
        run("more.txt", out, "--overwrite", "--override-gate", "fewer rows", cwd=tmp_path)
        ran = oldump("archive", item_of(out), cwd=tmp_path, env=client(fake))
        assert ran.code == 0, ran.err
    assert seen == [None, "2022-06-30", DATE, "2022-06-30", DATE]
    assert_complete(fake, out)


KINDS = {"SLOW_DOWN", "RESET_IN_BODY", "RESET_AFTER_STORING", "LATE_METADATA", "ITEM_FIRST", "WRONG_BYTE", "REDIRECT"}


def test_latest_json_leads_to_the_files(fake: ArchiveOrg, complete: Path) -> None:
    """The URLs in latest.json are archive.org's download URLs; each returns the published file."""
    env = {**client(fake), "OLDUMP_ARCHIVE_URL": "http://archive.org"}
    assert oldump("archive", complete, cwd=complete, env=env).code == 0
    pointed = pointed_in(complete)
    assert pointed is not None
    files = published(complete)
    assert {file["name"] for file in pointed["files"]} == set(files)
    for file in pointed["files"]:
        line = ["curl", "-sfL", "-x", fake.url, file["url"]]
        assert subprocess.run(line, capture_output=True, check=True).stdout == files[file["name"]]


def test_a_run_without_its_private_folder_is_archived(fake: ArchiveOrg, complete: Path) -> None:
    """The private folder may be missing, for example if the items were downloaded.

    It is created with mode 700 and the receipt.
    """
    shutil.rmtree(private_of(complete))
    assert oldump("archive", complete, cwd=complete, env=client(fake)).code == 0
    assert stat.S_IMODE(private_of(complete).stat().st_mode) == 0o700
    assert (private_of(complete) / "archived.json").is_file()
    assert not (private_of(complete) / "journal.jsonl").exists()


def test_status_shows_a_separate_upload(fake: ArchiveOrg, complete: Path) -> None:
    """During `oldump archive`, `oldump status` shows the upload.

    Afterwards it shows the run as archived, without the old problem.
    """
    failed(oldump("archive", complete, cwd=complete, env=client(fake) | {"IA_CONFIG_FILE": "none"}), 51, "keys")
    shown: list[dict[str, Any]] = [{}]

    def look(request: LoggedRequest) -> None:
        """Hold an upload until status.json, which is written every 2 s, reports it."""
        end = time.monotonic() + 30
        while request.action is Action.UPLOAD and not shown[-1].get("stage") and time.monotonic() < end:
            shown.append(json.loads((private_of(complete) / "status.json").read_bytes()))
            time.sleep(0.05)

    fake.on_request = look
    assert oldump("archive", complete, cwd=complete, env=client(fake)).code == 0
    fake.on_request = None
    assert (shown[-1]["state"], shown[-1]["stage"]) == ("running", "archive")
    seen = json.loads(oldump("status", DATE, "--json", "--out", complete, cwd=complete).out)
    assert (seen["state"], seen["problem"], bool(seen["archived"])) == ("complete", None, True)
    assert seen["stages"][-1]["name"] == "archive"


def test_missing_rights_are_reported(fake: ArchiveOrg, complete: Path, tmp_path: Path) -> None:
    """Without the right to upload: exit code 51, one error line, no key in it, and nothing sent except the check."""
    ini = config_of(fake, OTHER_ACCOUNT, tmp_path / "other.ini")
    ran = oldump("archive", complete, "--ia-config", ini, cwd=complete, env=client(fake))
    error = failed(ran, 51, "AccessDenied", "archive.org staff")
    assert OTHER_ACCOUNT.access not in error
    assert len(fake.requests(Action.UPLOAD)) == 1
    assert not (complete / "latest.json").exists()


def test_archive_org_may_be_unavailable_for_too_long(fake: ArchiveOrg, complete: Path) -> None:
    """When the retry time is over: exit code 52. The log has each retry."""
    fake.faults.always(Kind.SLOW_DOWN)
    ran = oldump("archive", complete, cwd=complete, env={**client(fake), "OLDUMP_ARCHIVE_PATIENCE_SECONDS": "0.5"})
    failed(ran, 52, "SlowDown", "not sent again")
    assert ran.err.count("failed, retrying in") >= 3


def test_a_damaged_file_is_not_uploaded(fake: ArchiveOrg, complete: Path) -> None:
    """Exit code 40, and the error names the file."""
    name = f"ol_dump_works_{DATE}.txt.gz"
    path = item_of(complete) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    failed(oldump("archive", complete, cwd=complete, env=client(fake)), 40, name, "committed")
    assert name not in uploads(fake)


@pytest.mark.parametrize("what", ["no manifest", "no cdump", "another name"])
def test_an_incomplete_run_is_refused(complete: Path, what: str, fake: ArchiveOrg, refused: Callable[..., str]) -> None:
    """The error names the missing file; archive.org receives no request."""
    if what == "no manifest":
        (item_of(complete) / "manifest.json").unlink()
        refused(complete, 2, "manifest.json")
    elif what == "no cdump":
        shutil.rmtree(complete / ITEMS[0])
        refused(complete, 40, ITEMS[0])
    else:
        item_of(complete).rename(complete / "ol_dump_of_july")
        refused(complete, 2, "ol_dump_of_july")
    assert fake.requests(Action.UPLOAD) == []


@pytest.fixture
def refused(fake: ArchiveOrg) -> Callable[..., str]:
    """Run `oldump archive`, which must fail, and return its error line."""

    def archive(out: Path, code: int, *words: str) -> str:
        return failed(oldump("archive", out, cwd=out, env=client(fake)), code, *words)

    return archive


def test_a_run_in_use_is_not_archived(fake: ArchiveOrg, complete: Path) -> None:
    """A second upload of the same run is refused with exit code 32 while the first one is in progress."""
    fake.pause()
    first = subprocess.Popen(
        (*COMMAND, "archive", str(complete)), env=environment(**client(fake)), stderr=subprocess.PIPE
    )
    assert wait_for(lambda: bool(fake.log))
    failed(oldump("archive", complete, cwd=complete, env=client(fake)), 32, "another process works on this run")
    fake.resume()
    _, err = first.communicate(timeout=60)
    assert first.returncode == 0, err.decode()
