"""`oldump archive` in a process, against the fake archive.org: failures, a kill, a second time, and a follower."""

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
from archive_org.asked import Asked, What
from archive_org.faults import Faults, Kind
from archive_org.server import OTHER_ACCOUNT, ArchiveOrg, archive_org
from commands.archiving import ITEMS, assert_complete, client, followed, pointed_in, secrets_shown, uploads
from commands.command import COMMAND, DATE, environment, failed, item_of, oldump, private_of, published, run
from commands.processes import waited_for
from integration.archiving import config_of
from oldump.synth.table import copy_blocks


@pytest.fixture
def fake(tmp_path: Path) -> Generator[ArchiveOrg]:
    """A fake that fails as it is told to."""
    with archive_org(tmp_path / "archive", faults=Faults(still_seconds=0.1, retry_after_seconds=1)) as archive:
        yield archive


def test_three_of_ten_requests_fail(fake: ArchiveOrg, complete: Path) -> None:
    """In all ways: both items are complete and equal, latest.json moved last, no key is shown; then nothing is sent."""
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


def test_killed_in_mid_upload_and_given_again(fake: ArchiveOrg, complete: Path) -> None:
    """SIGKILL while a file is on its way: what archive.org took is not sent again, shown or not; the rest is."""
    fake.late_looks = 4
    command = (*COMMAND, "archive", str(complete))
    process = subprocess.Popen(command, env=environment(**client(fake)), stderr=subprocess.DEVNULL)

    def kill(asked: Asked) -> None:
        if asked.what is What.UPLOAD and len(uploads(fake)) == 9:
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


def test_whoever_follows_the_pointer_gets_a_complete_set(fake: ArchiveOrg, tmp_path: Path) -> None:
    """Two months, and the second made and uploaded again, while uploads fail, show late, and are stored wrong."""
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
    """Its addresses are those of archive.org's downloads, as they are asked for through the proxy."""
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
    """It was removed, or the items were fetched from elsewhere: the folder is made, private, and has the receipt."""
    shutil.rmtree(private_of(complete))
    assert oldump("archive", complete, cwd=complete, env=client(fake)).code == 0
    assert stat.S_IMODE(private_of(complete).stat().st_mode) == 0o700
    assert (private_of(complete) / "archived.json").is_file()
    assert not (private_of(complete) / "journal.jsonl").exists()


def test_an_upload_alone_is_seen_as_in_a_run(fake: ArchiveOrg, complete: Path) -> None:
    """While it goes on it is what `status` shows; then the run is archived, with no old problem, and in the plan."""
    failed(oldump("archive", complete, cwd=complete, env=client(fake) | {"IA_CONFIG_FILE": "none"}), 51, "keys")
    shown: list[dict[str, Any]] = [{}]

    def look(asked: Asked) -> None:
        """Hold an upload until the status tells of it, which is written every 2 s."""
        end = time.monotonic() + 30
        while asked.what is What.UPLOAD and not shown[-1].get("stage") and time.monotonic() < end:
            shown.append(json.loads((private_of(complete) / "status.json").read_bytes()))
            time.sleep(0.05)

    fake.on_request = look
    assert oldump("archive", complete, cwd=complete, env=client(fake)).code == 0
    fake.on_request = None
    assert (shown[-1]["state"], shown[-1]["stage"]) == ("running", "archive")
    seen = json.loads(oldump("status", DATE, "--json", "--out", complete, cwd=complete).out)
    assert (seen["state"], seen["problem"], bool(seen["archived"])) == ("complete", None, True)
    assert seen["stages"][-1]["name"] == "archive"


def test_who_may_not_write_is_told_what_to_do(fake: ArchiveOrg, complete: Path, tmp_path: Path) -> None:
    """Exit code 51, one line, no key; nothing was sent but the check."""
    ini = config_of(fake, OTHER_ACCOUNT, tmp_path / "other.ini")
    ran = oldump("archive", complete, "--ia-config", ini, cwd=complete, env=client(fake))
    told = failed(ran, 51, "AccessDenied", "people of archive.org")
    assert OTHER_ACCOUNT.access not in told
    assert len(fake.asked(What.UPLOAD)) == 1
    assert not (complete / "latest.json").exists()


def test_archive_org_may_be_away_for_too_long(fake: ArchiveOrg, complete: Path) -> None:
    """Exit code 52, when patience is over; each new try was told of."""
    fake.faults.always(Kind.SLOW_DOWN)
    ran = oldump("archive", complete, cwd=complete, env={**client(fake), "OLDUMP_ARCHIVE_PATIENCE_SECONDS": "0.5"})
    failed(ran, 52, "SlowDown", "goes on from there")
    assert ran.err.count("failed, retrying in") >= 3


def test_what_is_damaged_is_not_uploaded(fake: ArchiveOrg, complete: Path) -> None:
    """Exit code 40 names the file."""
    name = f"ol_dump_works_{DATE}.txt.gz"
    path = item_of(complete) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    failed(oldump("archive", complete, cwd=complete, env=client(fake)), 40, name, "committed")
    assert name not in uploads(fake)


@pytest.mark.parametrize("what", ["no manifest", "no cdump", "another name"])
def test_what_is_no_complete_run_is_refused(
    complete: Path, what: str, fake: ArchiveOrg, refused: Callable[..., str]
) -> None:
    """It says which file lacks, and asks archive.org nothing."""
    if what == "no manifest":
        (item_of(complete) / "manifest.json").unlink()
        refused(complete, 2, "manifest.json")
    elif what == "no cdump":
        shutil.rmtree(complete / ITEMS[0])
        refused(complete, 40, ITEMS[0])
    else:
        item_of(complete).rename(complete / "ol_dump_of_july")
        refused(complete, 2, "ol_dump_of_july")
    assert fake.asked(What.UPLOAD) == []


@pytest.fixture
def refused(fake: ArchiveOrg) -> Callable[..., str]:
    """`oldump archive` that fails."""

    def archive(out: Path, code: int, *words: str) -> str:
        return failed(oldump("archive", out, cwd=out, env=client(fake)), code, *words)

    return archive


def test_a_run_that_is_worked_on_is_not_archived(fake: ArchiveOrg, complete: Path) -> None:
    """Two uploads of a run do not cross: exit code 32 while the first one goes on."""
    fake.pause()
    first = subprocess.Popen(
        (*COMMAND, "archive", str(complete)), env=environment(**client(fake)), stderr=subprocess.PIPE
    )
    assert waited_for(lambda: bool(fake.log))
    failed(oldump("archive", complete, cwd=complete, env=client(fake)), 32, "another process works on this run")
    fake.resume()
    _, err = first.communicate(timeout=60)
    assert first.returncode == 0, err.decode()
